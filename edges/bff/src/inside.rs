//! The routes without a socket: for a program that holds the owner itself and asks a few things.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use tower::Service as _;

/// Asks as over HTTP, and waits for the whole answer, its body as text.
///
/// # Errors
/// When what is asked is no request, or the answer is no text of at most `most` bytes.
pub async fn ask(
    mut router: Router,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: String,
    most: usize,
) -> Result<Response<String>, String> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).map_err(|error| error.to_string())?;
    let (parts, body) = router.call(request).await.unwrap_or_else(|never| match never {}).into_parts();
    let bytes = to_bytes(body, most).await.map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes.into()).map_err(|error| error.to_string())?;
    Ok(Response::from_parts(parts, text))
}
