//! Subscriptions and log streams: seen, paused and resumed, read and sent again.

use serde_json::{Value, json};

use crate::harness::{Answer, Edge, campaign};

fn no(answer: &Answer) -> (u16, &str, &str) {
    let text = |member: &str| answer.json[member].as_str().unwrap_or_default();
    (answer.status.as_u16(), text("code"), text("field"))
}

#[tokio::test]
async fn a_paused_subscription_takes_nothing_shows_its_lag_and_goes_on_when_it_is_resumed() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-0", &["p-1"]).to_string()).await.status, 201);
    let path = "/v1/subscriptions/partner:0:partner.commands";
    let before = edge.get(path).await.json;
    assert_eq!((&before["state"], &before["lag"]), (&json!("reading"), &json!({"rows": 0, "more": false})), "{before}");
    assert_eq!(
        (&before["context"], &before["topic"], &before["partition"]),
        (&json!("partner"), &json!("partner.commands"), &json!(0))
    );
    assert_eq!(before["streams"][0]["mark"], before["streams"][0]["sent"]);

    assert_eq!(no(&edge.post(&format!("{path}/resume"), "").await), (409, "not-paused", ""));
    assert_eq!(no(&edge.post(&format!("{path}/pause"), "").await), (422, "reason-missing", "reason"));
    let reason = r#"{"reason": "in the dock"}"#;
    let paused = edge.ask(&format!("POST {path}/pause"), &[("alpes-actor", "Ana")], reason).await;
    assert_eq!((paused.status.as_u16(), &paused.json["state"]), (200, &json!("paused")), "{}", paused.json);
    assert_eq!((&paused.json["paused"]["actor"], &paused.json["paused"]["reason"]), (&json!("Ana"), &json!("in the dock")));
    assert_eq!(no(&edge.post(&format!("{path}/pause"), reason).await), (409, "already-paused", ""));
    let saga = edge.post("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await.json["saga"].clone();
    let saga = saga.as_str().unwrap();
    let ban = edge.post("/v1/partners/p-1/ban", "").await;
    assert_eq!((ban.status.as_u16(), &ban.json["code"]), (503, &json!("unavailable")), "commands from outside wait too");
    edge.skip(5).await;
    let behind = edge.get(path).await.json;
    assert_eq!(behind["lag"], json!({"rows": 2, "more": false}), "{behind}");
    assert_eq!(edge.get(&format!("/v1/sagas/{saga}")).await.json["row"], 2);
    let listed = edge.get("/v1/subscriptions").await.json;
    let listed = listed["items"].as_array().unwrap();
    let states = |of: &str| listed.iter().filter(|one| one["state"] == of).map(|one| one["id"].clone()).collect::<Vec<Value>>();
    assert_eq!(states("paused"), [json!("partner:0:partner.commands")]);
    assert!(states("reading").contains(&json!("tracking:0:campaign.events")), "{listed:?}");

    assert_eq!(edge.post(&format!("{path}/resume"), "").await.status, 200);
    assert_eq!(edge.ended(saga).await["status"], "completed");
    assert_eq!(edge.get(path).await.json["lag"]["rows"], 0);
    for unknown in ["nobody:0:partner.commands", "partner:0:tracking.commands", "partner:9:partner.commands", "x"] {
        assert_eq!(no(&edge.get(&format!("/v1/subscriptions/{unknown}")).await), (404, "unknown", ""), "{unknown}");
        assert_eq!(
            no(&edge.post(&format!("/v1/subscriptions/{unknown}/pause"), reason).await),
            (404, "unknown", ""),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_listed_read_in_pages_and_sent_again() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    let listed = edge.get("/v1/streams").await.json;
    let stream = listed["items"].as_array().unwrap().iter().find(|stream| stream["context"] == "campaign").unwrap().clone();
    let head = stream["head"].as_u64().unwrap();
    assert_eq!(
        (&stream["id"], &stream["first"], &stream["current"]),
        (&json!("campaign/0/1"), &json!(1), &json!(true)),
        "{stream}"
    );
    assert!(
        head > 4 && stream["destinations"].as_array().unwrap().iter().any(|to| to["topic"] == "partner.commands"),
        "{stream}"
    );

    let path = "/v1/streams/campaign/0/1";
    let (mut rows, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = edge.get(&format!("{path}?limit=2&after={after}")).await.json;
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    let positions: Vec<u64> = rows.iter().map(|row| row["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=head).collect::<Vec<_>>());
    let sent = rows.iter().find(|row| row["topic"] == "partner.commands").unwrap();
    assert_eq!(
        (&sent["envelope"]["type"], &sent["body"]["enrolment"]),
        (&json!("partner.register-enrolment.v1"), &json!("p-1~c-1")),
        "{sent}"
    );
    assert!(sent["received"].as_str() <= sent["started"].as_str() && sent["started"].as_str() <= sent["written"].as_str());
    let only = edge.get(&format!("{path}?topic=partner.commands")).await.json;
    assert_eq!(only["items"].as_array().unwrap().len(), 1);
    let position = sent["position"].as_u64().unwrap();

    let to = |after: u64| json!({"topic": "partner.commands", "after": after}).to_string();
    let again = edge.post(&format!("{path}/resend"), to(0)).await;
    assert_eq!(
        (again.status.as_u16(), &again.json["first"]),
        (200, &json!({"epoch": 1, "position": position})),
        "{}",
        again.json
    );
    edge.skip(1).await;
    assert_eq!(edge.get("/v1/enrolments/p-1~c-1").await.json["status"], "registered");
    assert_eq!(
        edge.get("/v1/streams/partner/0/1").await.json,
        edge.get("/v1/streams/partner/0/1?after=0").await.json,
        "it has said nothing twice"
    );
    let late = edge.post(&format!("{path}/resend"), to(position)).await;
    assert_eq!((no(&late), &late.json["details"]["last"]["position"]), ((409, "nothing-to-send", ""), &json!(position)));
    let nowhere = edge.post(&format!("{path}/resend"), r#"{"topic": "nobody.commands", "after": 0}"#).await;
    assert_eq!(no(&nowhere), (404, "unknown", ""));
    let skip = |reader: &str| json!({"reader": reader, "topic": "partner.commands", "reason": "lost"}).to_string();
    assert_eq!(no(&edge.post(&format!("{path}/skip"), skip("partner")).await), (409, "no-gap", ""));
    assert_eq!(no(&edge.post(&format!("{path}/skip"), skip("nobody")).await), (404, "unknown", ""));
    let silent = json!({"reader": "partner", "topic": "partner.commands"}).to_string();
    assert_eq!(no(&edge.post(&format!("{path}/skip"), silent).await), (422, "reason-missing", "reason"));
    for (body, why) in [("{}", (400, "field-missing", "topic")), (r#"{"topic": "x", "after": -1}"#, (400, "type-wrong", "after"))]
    {
        assert_eq!(no(&edge.post(&format!("{path}/resend"), body.to_owned()).await), why, "{body}");
    }
    let anew = || json!({"reason": "yesterday's backup was restored"}).to_string();
    let begun = edge.post(&format!("{path}/new-epoch"), anew()).await;
    assert!(begun.status.as_u16() == 200 && begun.json["epoch"].as_u64() > Some(1), "{}", begun.json);
    assert_eq!(no(&edge.post(&format!("{path}/new-epoch"), anew()).await), (409, "epoch-ended", ""));
    assert_eq!(no(&edge.post(&format!("{path}/new-epoch"), "{}").await), (422, "reason-missing", "reason"));
    let next = edge.wait("/v1/campaigns", campaign("c-2", &["p-1"]).to_string()).await;
    assert_eq!((next.status.as_u16(), &next.json["status"]), (201, &json!("completed")), "{}", next.json);
    for unknown in ["campaign/0/2", "campaign/1/1", "nobody/0/1", "campaign/x/1", "campaign/0/x"] {
        assert_eq!(no(&edge.get(&format!("/v1/streams/{unknown}")).await), (404, "unknown", ""), "{unknown}");
        assert_eq!(no(&edge.post(&format!("/v1/streams/{unknown}/resend"), to(0)).await), (404, "unknown", ""), "{unknown}");
    }
    for (query, field) in [("after=x", "after"), ("after=-1", "after"), ("limit=0", "limit"), ("cursor=1", "cursor")] {
        let answer = edge.get(&format!("{path}?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json["field"].as_str()), (400, Some(field)), "{query}");
    }
    let beyond = edge.get(&format!("{path}?after=18446744073709551615")).await;
    assert_eq!((beyond.status.as_u16(), &beyond.json["items"]), (200, &json!([])));
}
