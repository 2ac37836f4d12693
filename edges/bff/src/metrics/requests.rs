//! Requests, counted by route, method and status, and how long they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use seedwork::executor::Histogram;

use super::spans::{self, RequestSpan};
use super::text::Text;
use crate::Shared;
use crate::asked::{TRACEPARENT, trace};

/// Upper bounds of the time that a request takes, in microseconds.
const BOUNDS: &[u64] = &[500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000];

/// The requests of one route.
struct Route {
    /// By method and status.
    answered: BTreeMap<(String, u16), u64>,
    took: Histogram,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Requests(Mutex<BTreeMap<String, Route>>);

impl Requests {
    fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Route { answered: BTreeMap::new(), took: Histogram::new(BOUNDS) });
        }
        let Some(of) = routes.get_mut(route) else { return };
        // Whatever a client calls a method, there are few of them here.
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"].contains(&method);
        *of.answered.entry((if known { method } else { "other" }.to_owned(), status)).or_default() += 1;
        of.took.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn write(&self, text: &mut Text) {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.metric("alpes_http_requests_total", "counter", "Requests that were answered, by route, method and status.");
        for (route, of) in &*routes {
            for ((method, status), count) in &of.answered {
                let labels = [("route", route.as_str()), ("method", method), ("status", &status.to_string())];
                text.value("alpes_http_requests_total", &labels, count);
            }
        }
        text.metric("alpes_http_request_seconds", "histogram", "From the head of a request to the head of its answer.");
        for (route, of) in &*routes {
            text.histogram("alpes_http_request_seconds", &[("route", route)], &of.took, 0.000_001);
        }
    }
}

/// Counts a request, tells it to the log (target `http`) when that is wanted, and to whoever exports traces. Then each has a trace, its own or a new one, which goes
/// with whatever it causes.
pub(crate) async fn counted(State(edge): State<Shared>, mut request: Request, next: Next) -> Response {
    let span = edge.spans.as_ref().and_then(|spans| spans::begin(&mut request, &edge.ids, spans));
    let told = tracing::enabled!(target: "http", tracing::Level::INFO).then(|| {
        let trace = request.headers().get(TRACEPARENT).and_then(trace).unwrap_or_else(|| edge.ids.trace().into());
        if let Ok(value) = HeaderValue::from_str(&trace) {
            request.headers_mut().insert(TRACEPARENT, value);
        }
        (trace, request.uri().path().to_owned())
    });
    let began = edge.ids.monotonic();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let took = edge.ids.monotonic().saturating_sub(began);
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let status = response.status().as_u16();
    edge.requests.count(route, method.as_str(), status, took);
    if let (Some(spans), Some(span)) = (&edge.spans, span) {
        spans.take(RequestSpan { route: route.to_owned(), status, ended: edge.ids.now(), ..span });
    }
    if let Some((trace, path)) = told {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let trace_id = trace.get(3..35).unwrap_or_default();
        tracing::info!(target: "http", %method, path, route, status, micros, trace_id, "answered");
    }
    response
}
