//! A request that is sent again is the same request: the same answer, and nothing done twice.

use axum::body::Body;
use serde_json::json;

use crate::harness::{Edge, campaign};

#[tokio::test]
async fn the_same_id_and_body_give_the_same_answer_and_another_body_is_409() {
    let edge = Edge::start();
    let body = campaign("c-1", &["p-1"]);
    let first = edge.post("/v1/campaigns", body.to_string()).await;
    assert_eq!(first.status, 202, "{}", first.json);
    assert_eq!(first.headers["location"], "/v1/campaigns/c-1");
    let again = edge.post("/v1/campaigns", body.to_string()).await;
    assert_eq!((again.status, &again.json, &again.headers["location"]), (first.status, &first.json, &first.headers["location"]));
    let waited = edge.wait("/v1/campaigns", body.to_string()).await;
    assert_eq!((waited.status.as_u16(), &waited.json["saga"]), (201, &first.json["saga"]), "{}", waited.json);
    assert_eq!(waited.json["status"], "completed");

    // One blank more is another body.
    let other = edge.post("/v1/campaigns", format!("{body} ")).await;
    assert_eq!((other.status.as_u16(), &other.json["code"]), (409, &json!("idempotency-mismatch")), "{}", other.json);
    assert_eq!(other.json["field"], "id");
    let keyed = edge.ask("POST /v1/campaigns", &[("idempotency-key", "k-1")], body.to_string()).await;
    assert_eq!((keyed.status.as_u16(), &keyed.json["code"]), (409, &json!("campaign-exists")), "{}", keyed.json);
    assert_eq!(keyed.json["field"], "id", "as the request calls it");
    let record = edge.get("/v1/commands/k-1").await.json;
    assert_eq!((&record["status"], &record["reason"]["field"]), (&json!("refused"), &json!("id")), "{record}");
    assert_eq!(edge.get("/v1/sagas?key=c-1").await.json["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_idempotency_key_decides_the_ids_that_are_minted() {
    let edge = Edge::start();
    let body = r#"{"name": "Moda", "brand": "b-1", "budget": {"amount": "1.00", "currency": "USD"},
        "participants": [{"kind": "influencer", "name": "A"}, {"kind": "influencer", "name": "B"}]}"#;
    let ask = async |key: &str, body: &str| edge.ask("POST /v1/campaigns", &[("idempotency-key", key)], body.to_owned()).await;
    let first = ask("one/key", body).await;
    assert_eq!(first.status, 202, "{}", first.json);
    assert_eq!(ask("one/key", body).await.json, first.json);
    assert_ne!(ask("two", body).await.json["id"], first.json["id"]);
    let found = edge.get(first.headers["location"].to_str().unwrap()).await.json;
    let people: Vec<_> = found["participants"].as_array().unwrap().iter().map(|of| of["id"].clone()).collect();
    assert!(people[0] != people[1] && people.iter().all(|id| *id != found["id"]), "each id is its own: {found}");

    let other = ask("one/key", &body.replace("1.00", "2.00")).await;
    assert_eq!((other.status.as_u16(), &other.json["code"]), (409, &json!("idempotency-mismatch")));
    assert_eq!(other.json["field"], "Idempotency-Key");
    let elsewhere = edge.ask("POST /v1/blocks", &[("idempotency-key", "one/key")], r#"{"partner": "p-1"}"#).await;
    assert_eq!((elsewhere.status.as_u16(), &elsewhere.json["code"]), (409, &json!("idempotency-mismatch")));

    let command = edge.get("/v1/commands/one%2Fkey").await;
    assert_eq!(command.status, 200, "{}", command.json);
    assert_eq!(command.json["status"], "done");
    assert_eq!((&command.json["kind"], &command.json["key"]), (&json!("campaign.register.v1"), &first.json["id"]));
    assert_eq!((&command.json["id"], &command.json["saga"]), (&json!("one/key"), &first.json["saga"]));
}

#[tokio::test]
async fn a_request_without_a_key_may_mean_something_each_time() {
    let edge = Edge::start();
    for (what, body, status) in [
        ("POST /v1/blocks", r#"{"partner": "p-1"}"#, 201),
        ("DELETE /v1/blocks/p-1~partner", "", 200),
        ("POST /v1/blocks", r#"{"partner": "p-1"}"#, 201),
    ] {
        let answer = edge.ask(what, &[], body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.json);
        assert_eq!(answer.json["status"], if status == 201 { "active" } else { "lifted" });
    }
    assert_eq!(edge.get("/v1/blocks/p-1~partner").await.json["status"], "active", "the second block was no repetition");
    // With a key it is one.
    for _ in 0..2 {
        let lifted = edge.ask("DELETE /v1/blocks/p-1~partner", &[("idempotency-key", "lift")], Body::empty()).await;
        assert_eq!((lifted.status.as_u16(), &lifted.json["status"]), (200, &json!("lifted")));
    }
    let refused = edge.ask("POST /v1/partners/p-9/ban", &[("idempotency-key", "ban")], Body::empty()).await;
    assert_eq!(refused.status, 404);
    let command = edge.get("/v1/commands/ban").await.json;
    assert_eq!((&command["status"], &command["reason"]["code"]), (&json!("refused"), &json!("unknown")), "{command}");
    assert_eq!(edge.ask("POST /v1/partners/p-9/ban", &[("idempotency-key", "ban")], Body::empty()).await.json, refused.json);
}
