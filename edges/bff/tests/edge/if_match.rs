//! `If-Match`: a change that is about a version of a thing is made to that version or not at all.

use axum::body::Body;
use serde_json::json;

use crate::harness::{Edge, campaign};

#[tokio::test]
async fn a_change_is_made_to_the_version_that_was_read_and_to_no_other() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    for body in [r#"{"partner": "p-7"}"#, r#"{"campaign": "c-9"}"#] {
        assert_eq!(edge.post("/v1/blocks", body).await.status, 201);
    }
    for (read, change, body, again) in [
        ("/v1/partners/p-1", "POST /v1/partners/p-1/ban", "{}", "POST /v1/partners/p-1/unban"),
        ("/v1/campaigns/c-1", "POST /v1/campaigns/c-1/pause", "", "POST /v1/campaigns/c-1/resume"),
        ("/v1/blocks/p-7~partner", "DELETE /v1/blocks/p-7~partner", "", "DELETE /v1/blocks/p-7~partner"),
        (
            "/v1/brands/b-1/accounts/USD",
            "PUT /v1/brands/b-1/accounts/USD",
            r#"{"limit": "7"}"#,
            "PUT /v1/brands/b-1/accounts/USD",
        ),
        (
            "/v1/brands/b-9/accounts/USD",
            "PUT /v1/brands/b-9/accounts/USD",
            r#"{"limit": "7"}"#,
            "PUT /v1/brands/b-9/accounts/USD",
        ),
        ("/v1/enrolments/p-1~c-1", "POST /v1/enrolments/p-1~c-1/cancel", "", "POST /v1/enrolments/p-1~c-1/cancel"),
        (
            "/v1/events/p-1~c-1~registration",
            "POST /v1/events/p-1~c-1~registration/cancel",
            "",
            "POST /v1/events/p-1~c-1~registration/cancel",
        ),
        ("/v1/campaigns/c-1", "POST /v1/campaigns/c-1/finish", "", "POST /v1/campaigns/c-1/finish"),
    ] {
        let tag = edge.get(read).await.headers["etag"].to_str().unwrap().to_owned();
        let other = edge.ask(change, &[("if-match", "\"99\"")], body).await;
        assert_eq!((other.status.as_u16(), &other.json["code"]), (412, &json!("version-differs")), "{change}: {}", other.json);
        assert_eq!(json!(tag), json!(format!("\"{}\"", other.json["details"]["version"])), "it says which there is");
        assert_eq!(edge.get(read).await.headers["etag"], tag, "nothing has changed");
        let list = format!("\"98\", {tag}");
        let done = edge.ask(change, &[("if-match", &list), ("prefer", "wait=30")], body).await;
        assert_eq!(done.status, 200, "{change}: {}", done.json);
        assert_ne!(edge.get(read).await.headers["etag"], tag);
        let late = edge.ask(again, &[("if-match", &tag)], body).await;
        assert_eq!(late.status, 412, "{again}: {}", late.json);
    }
    assert_eq!(edge.ask("DELETE /v1/blocks/c-9~campaign", &[("if-match", "*")], "").await.status, 200, "any version will do");
    let weak = edge.ask("DELETE /v1/blocks/c-9~campaign", &[("if-match", "W/\"2\"")], "").await;
    assert_eq!(weak.status, 412, "a weak tag is equal to none");
    assert_eq!(edge.ask("DELETE /v1/blocks/c-8~campaign", &[("if-match", "*")], "").await.status, 412, "there is none");
    let new = edge.ask("POST /v1/campaigns", &[("if-match", "\"1\"")], campaign("c-2", &["p-1"]).to_string()).await;
    assert_eq!((new.status.as_u16(), edge.get("/v1/campaigns/c-2").await.status.as_u16()), (412, 404));
}

#[tokio::test]
async fn of_many_who_have_read_the_same_version_one_changes_it() {
    let edge = Edge::start();
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.status, 201);
    let tag = [("if-match", "\"1\"")];
    let lift = || edge.ask("DELETE /v1/blocks/p-1~partner", &tag, Body::empty());
    // All are handed over before the first is answered, so they meet in one batch.
    let (one, two, three) = tokio::join!(lift(), lift(), lift());
    let mut statuses = [one, two, three].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
}

#[tokio::test]
async fn a_condition_belongs_to_what_an_idempotency_key_stands_for() {
    let edge = Edge::start();
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.status, 201);
    let lift = async |tag: &str| {
        edge.ask("DELETE /v1/blocks/p-1~partner", &[("if-match", tag), ("idempotency-key", "k")], Body::empty()).await
    };
    assert_eq!(lift("\"9\"").await.status, 412);
    assert_eq!(lift("\"9\"").await.status, 412);
    let other = lift("\"1\"").await;
    assert_eq!((other.status.as_u16(), &other.json["code"]), (409, &json!("idempotency-mismatch")));
    let record = edge.get("/v1/commands/k").await.json;
    assert_eq!((&record["status"], &record["reason"]["code"]), (&json!("refused"), &json!("version-differs")));
}
