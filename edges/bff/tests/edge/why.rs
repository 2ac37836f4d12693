//! The why-graph: what a saga's command caused, and where the time went.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Edge, campaign};

/// The kinds of the messages, indented by their depth.
fn outline(why: &Value) -> Vec<String> {
    let line = |message: &Value| {
        let depth = usize::try_from(message["depth"].as_u64().unwrap()).unwrap();
        format!("{}{}", "  ".repeat(depth), message["kind"].as_str().unwrap_or("command"))
    };
    why["messages"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_saga_tells_what_its_command_caused_and_where_the_time_went() {
    let edge = Edge::start();
    // Others run beside it, so that its rows do not stand alone.
    for at in 0..5 {
        assert_eq!(edge.post("/v1/campaigns", campaign(&format!("d-{at}"), &["p-1", "p-9"]).to_string()).await.status, 202);
    }
    let saga = edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.json["saga"].clone();
    let saga = saga.as_str().unwrap();
    let why = edge.get(&format!("/v1/sagas/{saga}/why")).await.json;
    assert_eq!((&why["saga"], &why["complete"]), (&json!(saga), &json!(true)), "{why}");
    let lines = outline(&why);
    assert_eq!(
        lines,
        [
            "command",
            "  partner.register-enrolment.v1",
            "    partner.enrolment-registered.v1",
            "    saga.answered.v1",
            "      tracking.record-event.v1",
            "        tracking.event-recorded.v1",
            "        saga.answered.v1",
            "          campaign.approve-reservation.v1",
            "            campaign.reservation-approved.v1",
            "            saga.answered.v1",
            "              campaign.activate.v1",
            "                campaign.activated.v1",
            "                saga.answered.v1",
            "  campaign.registered.v1",
        ],
        "{why}"
    );
    let messages = why["messages"].as_array().unwrap();
    let by_id: BTreeMap<&str, &Value> = messages.iter().map(|message| (message["id"].as_str().unwrap(), message)).collect();
    for message in messages.iter().filter(|message| message["depth"] != 0) {
        let cause = by_id[message["cause"].as_str().unwrap()];
        assert_eq!(message["said"], cause["committed"], "what was said was written with what handled its cause: {message}");
    }
    let first = messages.first().unwrap();
    assert_eq!(first["id"], why["command"]);
    let path: Vec<&str> = why["path"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!((path.first().copied(), path.len()), (why["command"].as_str(), 9), "{why}");
    let at = |message: &Value, member: &str| wire::values::Timestamp::parse(message[member].as_str()?).ok();
    let last = by_id[path[8]];
    let end = at(last, "committed").or_else(|| at(last, "said")).unwrap();
    let whole = end.as_micros() - at(first, "received").unwrap().as_micros();
    let spent: i64 = ["waiting_us", "queued_us", "handling_us"].iter().filter_map(|member| why["spent"][member].as_i64()).sum();
    assert_eq!(spent, whole, "no moment is left out, none counted twice: {why}");
    assert_eq!(edge.get("/v1/sagas/c-9~1/why").await.status, 404);
}

#[tokio::test]
async fn an_undone_saga_tells_the_way_back_too() {
    let edge = Edge::start();
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-2"}"#).await.status, 201);
    let saga = edge.wait("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await.json["saga"].clone();
    let why = edge.get(&format!("/v1/sagas/{}/why", saga.as_str().unwrap())).await.json;
    assert_eq!(why["complete"], json!(true), "{why}");
    let count = |kind: &str, direction: &str| {
        let messages = why["messages"].as_array().unwrap().iter();
        messages.filter(|message| message["kind"] == kind && message["direction"] == direction).count()
    };
    assert_eq!((count("partner.register-enrolment.v1", "do"), count("partner.cancel-enrolment.v1", "undo")), (2, 2));
    assert_eq!((count("tracking.record-event.v1", "do"), count("tracking.cancel-event.v1", "undo")), (2, 1));
    assert_eq!(count("campaign.undo-registration.v1", "undo"), 1);
    assert_eq!(count("saga.answered.v1", "do") + count("saga.answered.v1", "undo"), 8, "{why}");
}

#[tokio::test]
async fn what_has_been_sent_and_not_answered_is_told_as_far_as_it_came() {
    let edge = Edge::start();
    let path = "/v1/subscriptions/partner:0:partner.commands";
    assert_eq!(edge.post(&format!("{path}/pause"), r#"{"reason": "to look"}"#).await.status, 200);
    let sagas: Vec<Value> = {
        let mut sagas = Vec::new();
        for at in 0..4 {
            let answer = edge.post("/v1/campaigns", campaign(&format!("c-{at}"), &["p-1", "p-2"]).to_string()).await;
            sagas.push(answer.json["saga"].clone());
        }
        sagas
    };
    for saga in &sagas {
        let why = edge.get(&format!("/v1/sagas/{}/why", saga.as_str().unwrap())).await.json;
        let expected =
            ["command", "  partner.register-enrolment.v1", "  partner.register-enrolment.v1", "  campaign.registered.v1"];
        assert_eq!((outline(&why).as_slice(), &why["complete"]), (&expected.map(str::to_owned)[..], &json!(true)), "{why}");
        let waits = &why["messages"][1];
        assert_eq!((&waits["received"], &waits["spent"]), (&Value::Null, &Value::Null), "nobody has handled it");
    }
}
