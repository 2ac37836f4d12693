//! The head of a request has a bound: what is longer is answered as a problem that says so. Beyond bounds of its own, which are wider, hyper
//! answers by itself, without a body.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The longest path and query together, in bytes.
pub const TARGET_MAX: usize = 32 << 10;
/// The most that the headers may be together, in bytes: names, values, and four for the colon, the space and the end of each line.
pub const HEADERS_MAX: usize = 64 << 10;
/// The most headers.
pub const HEADERS_COUNT_MAX: usize = 80;

/// Answers 414 or 431 instead of handing the request on.
pub(crate) async fn bounded(request: Request, next: Next) -> Response {
    match check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(request: &Request) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_MAX {
        let why = format!("path and query are {target} bytes, and {TARGET_MAX} is the most");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "target-too-long", why));
    }
    let headers = request.headers();
    if headers.len() > HEADERS_COUNT_MAX {
        let why = format!("there are {} headers, and {HEADERS_COUNT_MAX} is the most", headers.len());
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", why));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEADERS_MAX {
        let why = format!("the headers are {bytes} bytes, and {HEADERS_MAX} is the most");
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", why));
    }
    Ok(())
}
