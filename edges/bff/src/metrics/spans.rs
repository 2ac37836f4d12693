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

/// Who exports traces: which of those that begin here, and what takes each request as it is answered.
#[derive(Clone)]
pub struct Spans {
    below: u64,
    take: Arc<dyn Fn(RequestSpan) + Send + Sync>,
}

impl Spans {
    /// Exports this share of the traces that begin here, from 0 to 1. A trace's id decides, as OpenTelemetry's `TraceIdRatioBased` does it, so
    /// that whoever decides by the same share decides the same. What takes a request must not block.
    pub fn new(ratio: f64, take: impl Fn(RequestSpan) + Send + Sync + 'static) -> Spans {
        // What is no share becomes the nearest that is one: the conversion is bounded on both sides.
        Spans { below: (ratio * HALF) as u64, take: Arc::new(take) }
    }

    /// Whether a trace that begins here is exported.
    fn sampled(&self, trace: &str) -> bool {
        let low = trace.get(16..32).and_then(|low| u64::from_str_radix(low, 16).ok());
        low.is_some_and(|low| low >> 1 < self.below)
    }

    pub(super) fn take(&self, span: RequestSpan) {
        (self.take)(span);
    }
}

/// How many traces there are by the 63 bits that decide.
const HALF: f64 = 9_223_372_036_854_775_808.0;

/// What is asked by machines all the time, and tells nothing.
const QUIET: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// The span of a request that begins: it takes the caller's trace or begins one, and stands in the header from here on, so that whatever
/// the request causes names it. None when the trace is not recorded: the caller has said so, or its id decides so. Then the header says that,
/// and everybody behind keeps to it.
pub(super) fn begin(request: &mut axum::extract::Request, ids: &Ids, spans: &Spans) -> Option<RequestSpan> {
    if QUIET.contains(&request.uri().path()) {
        return None;
    }
    let told = request.headers().get(TRACEPARENT).and_then(trace);
    let fresh = ids.trace();
    let mut new = fresh.split('-').skip(1);
    let (own, span) = (new.next()?.to_owned(), new.next()?.to_owned());
    let (trace, parent) = match told.as_deref() {
        None if !spans.sampled(&own) => {
            let value = HeaderValue::try_from(format!("00-{own}-{span}-00")).ok()?;
            request.headers_mut().insert(TRACEPARENT, value);
            return None;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_exported_and_their_ids_decide_which() {
        let of = |ratio: f64| Spans::new(ratio, |_| ());
        let all = (0..4096_u64).map(|number| format!("{number:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let all: Vec<String> = all.collect();
        let count = |ratio: f64| all.iter().filter(|trace| of(ratio).sampled(trace)).count();
        assert_eq!((count(0.0), count(1.0)), (0, 4096));
        assert!((900..1150).contains(&count(0.25)), "{}", count(0.25));
        // A larger share has every trace of a smaller one: services with different shares still have whole traces.
        assert!(all.iter().all(|trace| !of(0.1).sampled(trace) || of(0.2).sampled(trace)));
        // OpenTelemetry's own bounds for a half: the 63 upper bits of the id's second half.
        assert!(of(0.5).sampled("0af7651916cd43dd7fffffffffffffff") && !of(0.5).sampled("0af7651916cd43dd8000000000000000"));
        assert_eq!((of(f64::NAN).below, of(-1.0).below, of(2.0).below > 1 << 63), (0, 0, true));
    }
}
