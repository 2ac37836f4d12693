//! Requests as spans, for whoever exports traces (OpenTelemetry, kind server).

use std::sync::Arc;

use axum::http::HeaderValue;

use crate::asked::{TRACEPARENT, trace};
use crate::ids::Ids;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSpan {
    /// The id of its trace: 32 hexadecimal digits.
    pub trace: String,
    /// Its own id, 16 hexadecimal digits: the messages that it causes name it.
    pub span: String,
    /// The caller's span, if one was named.
    pub parent: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without what stands behind the `?`.
    pub path: String,
    /// The route, with parameters in braces.
    pub route: String,
    /// The status of its answer.
    pub status: u16,
    /// When its head had come: microseconds since 1970.
    pub began: i64,
    /// When its answer's head was there.
    pub ended: i64,
}

/// Takes requests as they are answered; must not block.
pub type Spans = Arc<dyn Fn(RequestSpan) + Send + Sync>;

/// What is asked by machines all the time, and tells nothing.
const QUIET: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// The span of a request that begins: it takes the caller's trace or begins one, and stands in the header from here on, so that whatever
/// the request causes names it. None when the caller has said that its trace is not recorded.
pub(super) fn begin(request: &mut axum::extract::Request, ids: &Ids) -> Option<RequestSpan> {
    if QUIET.contains(&request.uri().path()) {
        return None;
    }
    let told = request.headers().get(TRACEPARENT).and_then(trace);
    let fresh = ids.trace();
    let mut new = fresh.split('-').skip(1);
    let (own, span) = (new.next()?.to_owned(), new.next()?.to_owned());
    let (trace, parent) = match told.as_deref() {
        None => (own, None),
        Some(told) => {
            let mut parts = told.split('-').skip(1);
            let (trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?);
            if u8::from_str_radix(flags, 16).ok()? & 1 == 0 {
                return None;
            }
            (trace.to_owned(), Some(parent.to_owned()))
        }
    };
    let value = HeaderValue::try_from(format!("00-{trace}-{span}-01")).ok()?;
    request.headers_mut().insert(TRACEPARENT, value);
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let began = ids.now();
    Some(RequestSpan { trace, span, parent, method, path, route: String::new(), status: 0, began, ended: began })
}
