//! Where to begin, and whether the server lives and can work.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::answer::document;
use crate::docs::wants_html;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Home, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new().route("/", get(index)).route("/healthz", get(healthy)).route("/readyz", get(ready))
}

/// A browser is led to the page that describes the API.
async fn index(headers: HeaderMap) -> Response {
    if wants_html(&headers) {
        return Redirect::to("/docs").into_response();
    }
    let index = json!({
        "name": "alpes",
        "links": {
            "campaigns": "/v1/campaigns",
            "campaign": "/v1/campaigns/{id}",
            "partners": "/v1/partners",
            "partner": "/v1/partners/{id}",
            "enrolments": "/v1/enrolments",
            "enrolment": "/v1/enrolments/{partner}~{campaign}",
            "events": "/v1/events",
            "event": "/v1/events/{id}",
            "blocks": "/v1/blocks",
            "block": "/v1/blocks/{id}",
            "brands": "/v1/brands",
            "accounts": "/v1/brands/{id}/accounts",
            "account": "/v1/brands/{id}/accounts/{currency}",
            "sagas": "/v1/sagas",
            "saga": "/v1/sagas/{id}",
            "command": "/v1/commands/{id}",
            "stream": "/v1/stream",
            "campaña-comando": "/campa%C3%B1a-comando",
            "campaña-query": "/campa%C3%B1a-query",
            "metrics": "/metrics",
            "health": "/healthz",
            "readiness": "/readyz",
            "docs": "/docs",
            "description": "/openapi.json",
            "problems": "/problems",
        },
    });
    Json(index).into_response()
}

pub(crate) async fn healthy() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Ready is who takes commands and can read the store.
async fn ready(State(edge): State<Shared>) -> Result<Response, Problem> {
    if !edge.door.has_room() {
        return Err(Problem::unavailable("busy", "no command is taken at the moment: too many wait, or the server stops"));
    }
    if let Home::Here(here) = &edge.home {
        if here.owner.measured().paused {
            return Err(Problem::unavailable("store-paused", "the store cannot be written at the moment; the log says why"));
        }
        edge.query(|read| read.select("SELECT 1", &[])).await?;
    }
    document(StatusCode::OK, &json!({"status": "ok"}))
}
