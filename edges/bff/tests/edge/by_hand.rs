//! What people do without a campaign's registration: enrol a partner, record an event, take either back.

use axum::body::Body;
use serde_json::json;

use crate::harness::{Edge, campaign};

/// An edge with the campaign `c-1`, in which `p-1` is enrolled.
async fn edge() -> Edge {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    edge
}

#[tokio::test]
async fn a_partner_is_enrolled_by_hand_and_leaves_again() {
    let edge = edge().await;
    let body = json!({"partner": "p-9", "campaign": "c-1", "kind": "Embajador", "name": "Bea", "profile": "Cine"});
    let made = edge.post("/v1/enrolments", body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(
        (&made.headers["location"], &made.headers["etag"]),
        (&"/v1/enrolments/p-9~c-1".parse().unwrap(), &"\"1\"".parse().unwrap())
    );
    let expected =
        json!({"id": "p-9~c-1", "partner": "p-9", "campaign": "c-1", "kind": "Embajador", "name": "Bea", "status": "registered"});
    assert_eq!(made.json, expected);
    assert_eq!(edge.get("/v1/partners/p-9").await.json["profile"], "Cine", "the person became known");
    assert_eq!(edge.get("/v1/events?enrolment=p-9~c-1").await.json["items"], json!([]), "no event was recorded");
    assert_eq!(edge.get("/v1/sagas?key=p-9").await.json["items"], json!([]), "and no saga started");

    let again = edge.post("/v1/enrolments", body.to_string()).await;
    assert_eq!((again.status.as_u16(), &again.json), (201, &expected), "sent again it is the same request");
    let other = edge.post("/v1/enrolments", format!("{body} ")).await;
    assert_eq!((other.status.as_u16(), &other.json["code"]), (409, &json!("idempotency-mismatch")));
    let key = [("idempotency-key", "another")];
    let clash = json!({"partner": "p-9", "campaign": "c-1", "kind": "affiliate", "name": "Bea"}).to_string();
    let clash = edge.ask("POST /v1/enrolments", &key, clash).await;
    assert_eq!((clash.status.as_u16(), &clash.json["code"]), (409, &json!("already-enrolled")), "{}", clash.json);

    let gone = edge.post("/v1/enrolments/p-9~c-1/cancel", r#"{"reason": "left"}"#).await;
    assert_eq!((gone.status.as_u16(), &gone.json["status"], &gone.json["reason"]), (200, &json!("cancelled"), &json!("left")));
    let gone = edge.post("/v1/enrolments/p-9~c-1/cancel", Body::empty()).await;
    assert_eq!((gone.status.as_u16(), &gone.json["reason"]), (200, &json!("left")), "the first reason stays");
    assert_eq!(edge.get("/v1/enrolments?status=cancelled").await.json["items"][0]["id"], "p-9~c-1");
}

#[tokio::test]
async fn who_names_no_partner_gets_a_new_one_and_the_same_one_under_the_same_key() {
    let edge = edge().await;
    let body = json!({"campaign": "c-1", "kind": "influencer", "name": "Bea"}).to_string();
    let ids = async |key: &str| {
        let made = edge.ask("POST /v1/enrolments", &[("idempotency-key", key)], body.clone()).await;
        assert_eq!(made.status, 201, "{}", made.json);
        made.json["id"].as_str().unwrap().to_owned()
    };
    let first = ids("k-1").await;
    assert_eq!(ids("k-1").await, first);
    assert_ne!(ids("k-2").await, first);
    let other = edge.post("/v1/enrolments", body.clone()).await.json["id"].clone();
    assert_ne!(edge.post("/v1/enrolments", body.clone()).await.json["id"], other, "without a key each is another");
}

#[tokio::test]
async fn an_event_is_recorded_by_hand_of_enrolments_of_either_origin_and_taken_back() {
    let edge = edge().await;
    let made = json!({"partner": "p-9", "campaign": "c-1", "kind": "influencer", "name": "Bea"});
    assert_eq!(edge.post("/v1/enrolments", made.to_string()).await.status, 201);
    for enrolment in ["p-1~c-1", "p-9~c-1"] {
        let id = format!("{enrolment}~e-1");
        let body = json!({"id": id, "enrolment": enrolment, "kind": "sale", "at": "2025-09-10T00:00:00Z",
            "value": {"amount": "12.5", "currency": "USD"}});
        let recorded = edge.post("/v1/events", body.to_string()).await;
        let expected = json!({"id": id, "enrolment": enrolment, "kind": "sale", "at": "2025-09-10T00:00:00Z", "status": "recorded",
            "value": {"amount": "12.50", "currency": "USD"}});
        // Tracking hears of an enrolment made by hand a moment later; until then its events wait.
        if recorded.status == 202 {
            assert_eq!((enrolment, &recorded.json["status"]), ("p-9~c-1", &json!("waiting")));
            let command = recorded.headers["location"].to_str().unwrap().to_owned();
            edge.until(&command, |told| told["status"] == "done").await;
        } else {
            assert_eq!((recorded.status.as_u16(), &recorded.json), (201, &expected), "{}", recorded.json);
            assert_eq!(recorded.headers["location"], format!("/v1/events/{id}"));
        }
        assert_eq!(edge.get(&format!("/v1/events/{id}")).await.json, expected);
        let cancelled = edge.post(&format!("/v1/events/{id}/cancel"), Body::empty()).await;
        assert_eq!((cancelled.status.as_u16(), &cancelled.json["status"]), (200, &json!("cancelled")));
        let late = edge.ask("POST /v1/events", &[("idempotency-key", enrolment)], body.to_string()).await;
        assert_eq!((late.status.as_u16(), &late.json["code"]), (409, &json!("event-cancelled")));
    }
    let minted = edge.post("/v1/events", r#"{"enrolment": "p-1~c-1", "kind": "click"}"#).await;
    assert_eq!(minted.status, 201, "{}", minted.json);
    assert!(minted.json["id"].as_str().unwrap().starts_with("p-1~c-1~"), "{}", minted.json);
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.status, 201);
    let blocked = edge.post("/v1/events", r#"{"enrolment": "p-1~c-1", "kind": "click"}"#).await;
    assert_eq!((blocked.status.as_u16(), &blocked.json["code"]), (409, &json!("partner-blocked")));
}

#[tokio::test]
async fn what_names_something_unknown_waits_and_is_done_as_soon_as_that_is_known() {
    let edge = edge().await;
    let body = json!({"partner": "p-9", "campaign": "c-2", "kind": "influencer", "name": "Bea"});
    let waits = edge.post("/v1/enrolments", body.to_string()).await;
    assert_eq!((waits.status.as_u16(), &waits.json["status"]), (202, &json!("waiting")), "{}", waits.json);
    let command = waits.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(command, "/v1/commands/partner.register-enrolment.v1:p-9~c-2");
    assert_eq!(edge.get(&command).await.json["status"], "accepted");
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-2", &["p-2"]).to_string()).await.status, 201);
    edge.until(&command, |told| told["status"] == "done").await;
    assert_eq!(edge.get("/v1/enrolments/p-9~c-2").await.json["status"], "registered");
}
