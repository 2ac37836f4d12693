//! What is answered when a saga ends one way or the other, and when nobody waits for it.

use axum::body::Body;
use serde_json::json;

use crate::harness::{Edge, campaign, now};

#[tokio::test]
async fn who_waits_learns_that_all_of_it_happened() {
    let edge = Edge::start();
    let answer = edge.wait("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    assert_eq!(answer.headers["location"], "/v1/campaigns/c-1");
    let saga = answer.json["saga"].clone();
    assert_eq!(answer.json, json!({"id": "c-1", "saga": saga, "status": "completed"}));
    let found = edge.get("/v1/campaigns/c-1").await.json;
    assert_eq!((&found["status"], &found["budget"]), (&json!("active"), &json!({"amount": "15000.00", "currency": "USD"})));
    let account = edge.get("/v1/brands/b-1/accounts/USD").await.json;
    let expected =
        json!({"brand": "b-1", "currency": "USD", "limit": "1000000.00", "reserved": "15000.00", "available": "985000.00"});
    assert_eq!(account, expected);
    assert_eq!(edge.get("/v1/enrolments/p-2~c-1").await.json["status"], "registered");
    assert_eq!(edge.get("/v1/events/p-2~c-1~registration").await.json["status"], "recorded");
}

#[tokio::test]
async fn who_waits_learns_at_which_step_and_why_it_was_undone() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-0", &["p-1"]).to_string()).await.status, 201);
    assert_eq!(edge.post("/v1/partners/p-1/ban", r#"{"reason": "spam"}"#).await.json["status"], "banned");
    let banned = edge.wait("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await;
    assert_eq!(banned.status, 200, "{}", banned.json);
    assert!(banned.headers.get("location").is_none(), "nothing was created");
    let reason = json!({"code": "partner-banned", "message": "the partner is banned"});
    let expected = json!({"id": "c-1", "saga": banned.json["saga"], "status": "undone", "reason": reason,
        "step": "partner.register-enrolment.v1"});
    assert_eq!(banned.json, expected);
    assert_eq!(edge.get("/v1/campaigns/c-1").await.json["status"], "cancelled");
    assert_eq!(edge.get("/v1/enrolments/p-2~c-1").await.json["status"], "cancelled");

    assert_eq!(edge.post("/v1/partners/p-1/unban", "").await.json["status"], "active");
    assert_eq!(edge.post("/v1/blocks", r#"{"campaign": "c-2"}"#).await.status, 201);
    let blocked = edge.wait("/v1/campaigns", campaign("c-2", &["p-1"]).to_string()).await.json;
    assert_eq!((&blocked["step"], &blocked["reason"]["code"]), (&json!("tracking.record-event.v1"), &json!("campaign-blocked")));

    let limit = edge.ask("PUT /v1/brands/b-1/accounts/USD", &[], r#"{"limit": "20000.00"}"#).await;
    let expected =
        json!({"brand": "b-1", "currency": "USD", "limit": "20000.00", "reserved": "15000.00", "available": "5000.00"});
    assert_eq!((limit.status.as_u16(), &limit.json), (200, &expected));
    let dear = edge.wait("/v1/campaigns", campaign("c-3", &["p-1"]).to_string()).await.json;
    assert_eq!((&dear["status"], &dear["step"]), (&json!("undone"), &json!("campaign.approve-reservation.v1")));
    assert_eq!(dear["reason"]["code"], "limit-exceeded");
    assert_eq!(
        dear["reason"]["details"]["available"],
        json!({"amount": "5000.00", "currency": "USD"}),
        "as amounts read outside"
    );
}

#[tokio::test]
async fn who_does_not_wait_or_not_long_enough_is_told_where_to_look() {
    // Without the contexts that its steps ask, a registration does not end.
    let edge = Edge::over(vec![campaign::context(campaign::Settings::default())], |read| read);
    for (id, headers) in [
        ("c-1", &[][..]),
        ("c-2", &[("prefer", "wait=soon")]),
        ("c-3", &[("prefer", "wait=0")]),
        ("c-4", &[("prefer", "respond-async, wait=1")]),
    ] {
        let answer = edge.ask("POST /v1/campaigns", headers, campaign(id, &["p-1"]).to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        assert_eq!(answer.headers["location"], format!("/v1/campaigns/{id}"));
        assert_eq!(answer.json, json!({"id": id, "saga": answer.json["saga"], "status": "accepted"}));
        let told = edge.get(&format!("/v1/sagas/{}", answer.json["saga"].as_str().unwrap())).await.json;
        assert_eq!((&told["status"], &told["plan"][1]["status"]), (&json!("running"), &json!("running")));
        let undos: Vec<_> = told["undo_if_failed_now"].as_array().unwrap().iter().map(|undo| undo["undo"].as_str()).collect();
        assert_eq!(undos, [Some("partner.cancel-enrolment.v1"), Some("campaign.undo-registration.v1")]);
    }
}

#[tokio::test]
async fn commands_without_a_saga_answer_with_the_thing_as_it_is_now() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    for (what, status) in [("pause", "paused"), ("pause", "paused"), ("resume", "active")] {
        // A wait is not needed, and does no harm.
        let answer = edge.wait(&format!("/v1/campaigns/c-1/{what}"), "{}").await;
        assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!(status)), "{}", answer.json);
        assert_eq!(answer.json["id"], "c-1");
    }
    let banned = edge.post("/v1/partners/p-1/ban", Body::empty()).await.json;
    assert_eq!(banned, json!({"id": "p-1", "name": "Name of p-1", "profile": "", "status": "banned"}));
    let block = edge.post("/v1/blocks", r#"{"partner": "p-98765"}"#).await;
    assert_eq!((block.status.as_u16(), &block.headers["location"]), (201, &"/v1/blocks/p-98765~partner".parse().unwrap()));
    assert_eq!(block.json, json!({"id": "p-98765~partner", "partner": "p-98765", "status": "active"}));
    assert_eq!(edge.get("/v1/brands/unused/accounts/KWD").await.json["available"], "1000000.000");
}

#[tokio::test]
async fn ending_a_campaign_starts_a_saga_that_can_be_waited_for() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    let answer = edge.wait("/v1/campaigns/c-1/cancel", r#"{"reason": "too dear"}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("completed")), "{}", answer.json);
    let found = edge.get("/v1/campaigns/c-1").await.json;
    assert_eq!((&found["status"], &found["reason"]), (&json!("cancelled"), &json!("too dear")));
    assert_eq!(edge.get("/v1/enrolments/p-1~c-1").await.json["reason"], "too dear");
    assert_eq!(edge.get("/v1/brands/b-1/accounts/USD").await.json["reserved"], "0.00");
    let again = edge.post("/v1/campaigns/c-1/cancel", Body::empty()).await;
    assert_eq!((again.status.as_u16(), &again.json["status"]), (200, &json!("cancelled")), "it was so already");
    let refused = edge.post("/v1/campaigns/c-1/pause", Body::empty()).await;
    assert_eq!((refused.status.as_u16(), &refused.json["code"]), (409, &json!("campaign-is-final")));

    let other = edge.wait("/v1/campaigns", campaign("c-2", &["p-1"]).to_string()).await;
    assert_eq!(other.status, 201);
    let finished = edge.post("/v1/campaigns/c-2/finish", Body::empty()).await;
    assert_eq!(finished.status, 202, "{}", finished.json);
    assert_eq!(finished.headers["location"], "/v1/campaigns/c-2");
    assert_eq!(edge.ended(finished.json["saga"].as_str().unwrap()).await["name"], "campaign.closing");
}

#[tokio::test]
async fn a_draft_is_cancelled_by_way_of_its_registration() {
    let edge = Edge::start();
    let people: Vec<String> = (0..1000).map(|at| format!("p-{at}")).collect();
    let body = campaign("c-1", &people.iter().map(String::as_str).collect::<Vec<_>>()).to_string();
    // Both are handed over before the first is answered, so the registration of a thousand has not ended by then.
    let cancel = edge.wait("/v1/campaigns/c-1/cancel", r#"{"reason": "a mistake"}"#);
    let (registered, cancelled) = tokio::join!(edge.post("/v1/campaigns", body), cancel);
    assert_eq!((registered.status.as_u16(), cancelled.status.as_u16()), (202, 200), "{}", cancelled.json);
    assert_eq!(cancelled.json["saga"], registered.json["saga"]);
    assert_eq!((&cancelled.json["status"], &cancelled.json["reason"]["code"]), (&json!("undone"), &json!("aborted")));
    assert_eq!(edge.get("/v1/campaigns/c-1").await.json["reason"], "a mistake");
    let told = edge.get(&format!("/v1/sagas/{}", registered.json["saga"].as_str().unwrap())).await.json;
    assert_eq!((&told["status"], &told["reason"]["code"]), (&json!("undone"), &json!("aborted")));
}

#[tokio::test]
async fn nothing_is_taken_by_a_server_that_stops() {
    let edge = Edge::start();
    edge.owner.stop();
    let answer = edge.post("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (503, &json!("busy")), "{}", answer.json);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(edge.get("/readyz").await.status, 503);
    assert_eq!(edge.get("/healthz").await.status, 200, "it lives all the same");
}

#[tokio::test]
async fn the_envelope_says_who_asked() {
    let edge = Edge::start();
    let before = now();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("alpes-actor", "María"), ("traceparent", trace), ("idempotency-key", "k-1"), ("prefer", "wait=30")];
    let answer = edge.ask("POST /v1/campaigns", &headers, campaign("c-1", &["p-1"]).to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let told = edge.get(&format!("/v1/sagas/{}", answer.json["saga"].as_str().unwrap())).await.json;
    assert_eq!((&told["actor"], &told["command"], &told["correlation"]), (&json!("María"), &json!("k-1"), &json!("k-1")));
    let nobody = edge.wait("/v1/campaigns", campaign("c-2", &["p-1"]).to_string()).await.json;
    let told = edge.get(&format!("/v1/sagas/{}", nobody["saga"].as_str().unwrap())).await.json;
    assert_eq!((&told["actor"], &told["command"]), (&json!("local"), &json!("campaign.register.v1:c-2")));
    let record = edge.get("/v1/commands/k-1").await.json;
    assert!(record.get("hash").is_none(), "the record's inside: {record}");
    let received: wire::values::Timestamp = record["received"].as_str().unwrap().parse().unwrap();
    assert!((before..=now()).contains(&received.as_micros()), "{record}");
}
