//! Decisions on many dead letters while some of their partitions go from one replica to another.

use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use seedwork::view::Read;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Answer, Edge, answer};

/// Where the replica listens that has partition 1. Nobody has the others, but for the first.
static OTHER: OnceLock<String> = OnceLock::new();

fn find(_: &dyn Read, _: &str) -> Result<Vec<(u16, Option<String>)>, String> {
    Ok(vec![(1, OTHER.get().cloned())])
}

/// What the other replica was sent.
type Heard = Arc<Mutex<Vec<Value>>>;

/// A replica whose lease has begun and whose owner has not: it does what it is told from the third time on.
async fn decides_at_last(State(heard): State<Heard>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    assert!(headers.contains_key("alpes-sent-on"), "it is sent on once");
    let mut heard = heard.lock().unwrap();
    heard.push(asked.clone());
    if heard.len() < 3 {
        return (StatusCode::SERVICE_UNAVAILABLE, [("alpes-elsewhere", "partner/1")]).into_response();
    }
    let ids: Vec<&Value> = asked["letters"].as_array().unwrap().iter().map(|letter| &letter["id"]).collect();
    Json(json!({"done": ids, "changed": []})).into_response()
}

async fn replay(router: &Router, sent_on: bool, letters: &[&str]) -> Answer {
    let letters: Vec<Value> = letters.iter().map(|id| json!({"id": id, "revision": 1})).collect();
    let mut request = Request::post("/v1/dead-letters/replay").header("content-type", "application/json");
    if sent_on {
        request = request.header("alpes-sent-on", "1");
    }
    let request = request.body(Body::from(json!({"letters": letters}).to_string())).unwrap();
    answer(router.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn letters_whose_partition_is_moving_are_tried_again_or_said_to_be_undecided_and_none_is_missing() {
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    OTHER.set(listener.local_addr().unwrap().to_string()).unwrap();
    let other = Router::new().route("/v1/dead-letters/replay", post(decides_at_last)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, other).await });

    let edge = Edge::start();
    let router = edge.replica("partner", 4, find);
    let asked = ["partner:0:7", "partner:1:5", "partner:2:9", "partner:1:6", "partner:4:1"];
    let told = replay(&router, false, &asked).await;
    assert_eq!((told.status.as_u16(), &told.json["done"]), (200, &json!(["partner:1:5", "partner:1:6"])), "{}", told.text);
    let mut left: Vec<(&str, &str)> = told.json["changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    left.sort_unstable();
    assert_eq!(left, [("partner:0:7", "unknown"), ("partner:2:9", "not-decided"), ("partner:4:1", "unknown")]);
    let of_the_other = json!([{"id": "partner:1:5", "revision": 1}, {"id": "partner:1:6", "revision": 1}]);
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 3, "until it decided, and not once more");
    assert!(heard.iter().all(|asked| asked["letters"] == of_the_other), "{heard:?}");

    // Whoever sent it on is told that it has gone, instead of an answer in which nothing was decided.
    let told = replay(&router, true, &["partner:3:1"]).await;
    assert_eq!((told.status.as_u16(), &told.headers["alpes-elsewhere"]), (503, &"partner/3".parse().unwrap()), "{}", told.text);
}
