//! What is served until a service has begun: it lives, it is not ready and says why, and whatever is asked of it comes too early.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use tower::Service as _;

use crate::health::healthy;
use crate::problem::Problem;

/// Ends what would keep a server that stops.
pub type Ends = Box<dyn Fn() + Send + Sync>;

/// A place for the routes of a service that has not begun. Cheap to clone.
#[derive(Clone, Default)]
pub struct Starting(Arc<Begins>);

#[derive(Default)]
struct Begins {
    routes: OnceLock<(Router, Ends)>,
    why: Mutex<String>,
}

impl Starting {
    /// It still waits, for this reason.
    pub fn waits(&self, why: &str) {
        why.clone_into(&mut self.0.why.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// It has begun: from now on these routes answer, and end so. Only the first counts.
    pub fn begun(&self, router: Router, ends: Ends) {
        // A service begins once.
        let _ = self.0.routes.set((router, ends));
    }

    /// Ends what would keep a server that stops: its subscribers would wait for ever.
    pub fn stop(&self) {
        if let Some((_, ends)) = self.0.routes.get() {
            ends();
        }
    }

    /// What is served from the beginning.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(State(starting): State<Starting>, request: Request) -> Response {
    if let Some((router, _)) = starting.0.routes.get() {
        return router.clone().call(request).await.unwrap_or_else(|never| match never {});
    }
    if matches!(request.uri().path(), "/healthz" | "/health") {
        return healthy().await.into_response();
    }
    let why = starting.0.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let why = if why.is_empty() { "it has just been started".to_owned() } else { why };
    Problem::unavailable("starting", format!("this service has not begun yet: {why}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_service_that_waits_lives_and_says_why_it_is_not_ready_and_then_serves_on_the_same_router() {
        let starting = Starting::default();
        let served = starting.router();
        let ask = async |path: &str| {
            let answer = served.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let (status, retry) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
            let body = axum::body::to_bytes(answer.into_body(), 9999).await.unwrap();
            (status, retry, String::from_utf8(body.to_vec()).unwrap())
        };
        starting.waits("no broker can be reached");
        assert_eq!(ask("/healthz").await.0, 200);
        for path in ["/readyz", "/v1/campaigns", "/nothing"] {
            let (status, retry, body) = ask(path).await;
            assert!(status == 503 && retry && body.contains("no broker can be reached"), "{path}: {status} {body}");
        }
        starting.begun(Router::new().route("/readyz", get(|| async { "ready" })), Box::new(|| ()));
        assert_eq!(ask("/readyz").await, (200, false, "ready".to_owned()));
        assert_eq!(ask("/healthz").await.0, 404, "nothing is left of what was served before");
    }
}
