//! Queries: documents, lists and their pages, sagas with plan and log.

use std::sync::Arc;

use axum::body::Body;
use seedwork::view::{Read, Value as Cell};
use serde_json::{Value, json};

use crate::harness::{Edge, campaign};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_campaign_is_answered_as_it_was_sent_with_an_entity_tag() {
    let edge = Edge::start();
    let body = json!({"id": "c-1", "name": "Moda", "kind": "Influencer", "starts": "2025-09-10T02:00:00+02:00",
        "ends": "2025-12-10T23:59:59Z", "brand": "b-1", "budget": {"amount": "15000", "currency": "USD"},
        "participants": [{"id": "p-1", "kind": "afiliado", "name": "Alice Doe", "profile": "Moda, 200k"}]});
    assert_eq!(edge.wait("/v1/campaigns", body.to_string()).await.status, 201);
    let found = edge.get("/v1/campaigns/c-1").await;
    let mut expected = body.clone();
    expected["starts"] = json!("2025-09-10T00:00:00Z");
    expected["budget"]["amount"] = json!("15000.00");
    expected["status"] = json!("active");
    expected["created"] = found.json["created"].clone();
    assert_eq!(found.json, expected);
    let tag = found.headers["etag"].to_str().unwrap();
    let known = edge.ask("GET /v1/campaigns/c-1", &[("if-none-match", tag)], Body::empty()).await;
    assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    assert_eq!(edge.post("/v1/campaigns/c-1/pause", "").await.status, 200);
    let changed = edge.ask("GET /v1/campaigns/c-1", &[("if-none-match", tag)], Body::empty()).await;
    assert_eq!((changed.status.as_u16(), &changed.json["status"]), (200, &json!("paused")));
    assert_ne!(changed.headers["etag"], found.headers["etag"]);
    let head = edge.ask("HEAD /v1/campaigns/c-1", &[], Body::empty()).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn lists_come_in_pages_and_can_be_filtered() {
    let edge = Edge::start();
    for at in 0..5 {
        let mut body = campaign(&format!("c-{at}"), &["p-1"]);
        body["brand"] = json!(if at % 2 == 0 { "b-even" } else { "b-odd" });
        assert_eq!(edge.wait("/v1/campaigns", body.to_string()).await.status, 201);
    }
    assert_eq!(edge.post("/v1/campaigns/c-3/pause", "").await.status, 200);
    for path in ["/v1/campaigns", "/campana-query"] {
        assert_eq!(ids(&edge.get(path).await.json), ["c-4", "c-3", "c-2", "c-1", "c-0"], "the newest first");
        let mut seen = Vec::new();
        let mut next = String::new();
        let mut pages = 0;
        loop {
            let page = edge.get(&format!("{path}?limit=2{next}")).await.json;
            pages += 1;
            seen.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!((seen.join(" ").as_str(), pages), ("c-4 c-3 c-2 c-1 c-0", 3), "{path}");
    }
    assert_eq!(ids(&edge.get("/v1/campaigns?brand=b-odd").await.json), ["c-3", "c-1"]);
    assert_eq!(ids(&edge.get("/v1/campaigns?status=paused&brand=b-odd").await.json), ["c-3"]);
    assert_eq!(ids(&edge.get("/v1/campaigns?status=draft").await.json), Vec::<&str>::new());
}

#[tokio::test]
async fn campaigns_are_sorted_filtered_by_kind_and_counted_when_that_is_asked_for() {
    let edge = Edge::start();
    for (id, kind) in [("c-1", "influencer"), ("c-2", "Mixta"), ("c-3", "afiliado"), ("c-4", "Influencer")] {
        let mut body = campaign(id, &["p-1"]);
        body["kind"] = json!(kind);
        assert_eq!(edge.wait("/v1/campaigns", body.to_string()).await.status, 201);
    }
    assert_eq!(ids(&edge.get("/v1/campaigns?sort=created").await.json), ["c-1", "c-2", "c-3", "c-4"]);
    assert_eq!(ids(&edge.get("/v1/campaigns?sort=-created&kind=influencer").await.json), ["c-4", "c-1"]);
    let first = edge.get("/v1/campaigns?sort=created&limit=3&total=true").await.json;
    assert_eq!((ids(&first), &first["total"]), (vec!["c-1", "c-2", "c-3"], &json!({"count": 4, "exact": true})));
    let rest = edge.get(&format!("/v1/campaigns?sort=created&cursor={}", first["next"].as_str().unwrap())).await.json;
    assert_eq!((ids(&rest), rest.get("total")), (vec!["c-4"], None), "a total is told to who asks for it");
    assert_eq!(edge.get("/v1/campaigns?kind=affiliate&total=true").await.json["total"]["count"], 1);
}

#[tokio::test]
async fn campaigns_are_found_by_how_their_names_begin() {
    let edge = Edge::start();
    for (id, name) in [("c-1", "Moda Otoño"), ("c-2", "moda"), ("c-3", "Otoño"), ("c-4", "MODA")] {
        let mut body = campaign(id, &["p-1"]);
        body["name"] = json!(name);
        assert_eq!(edge.wait("/v1/campaigns", body.to_string()).await.status, 201);
    }
    for path in ["/v1/campaigns", "/campana-query"] {
        let found = edge.get(&format!("{path}?name=mod&status=active&total=true")).await.json;
        assert_eq!((ids(&found), &found["total"]["count"]), (vec!["c-2", "c-4", "c-1"], &json!(3)), "{path}");
    }
    assert_eq!(ids(&edge.get("/v1/campaigns?name=OTO%C3%91").await.json), ["c-3"]);
    let last_first = edge.get("/v1/campaigns?sort=-name&limit=3").await.json;
    assert_eq!(ids(&last_first), ["c-3", "c-1", "c-4"]);
    let rest = edge.get(&format!("/v1/campaigns?sort=-name&cursor={}", last_first["next"].as_str().unwrap())).await.json;
    assert_eq!(ids(&rest), ["c-2"]);
}

#[tokio::test]
async fn events_are_listed_by_when_they_happened_between_two_times() {
    let edge = Edge::start();
    for id in ["c-1", "c-2"] {
        assert_eq!(edge.wait("/v1/campaigns", campaign(id, &["p-1"]).to_string()).await.status, 201);
    }
    // Recorded in another order than they happened; the registrations happened now.
    for (campaign, id, day) in [("c-1", "x", 12), ("c-2", "y", 10), ("c-1", "z", 11)] {
        let event = json!({"id": format!("p-1~{campaign}~{id}"), "enrolment": format!("p-1~{campaign}"), "kind": "sale",
            "at": format!("2025-09-{day}T00:00:00Z")});
        assert_eq!(edge.post("/v1/events", event.to_string()).await.status, 201);
    }
    for (query, expected) in [
        ("kind=sale", "x z y"),
        ("kind=sale&sort=at", "y z x"),
        ("to=2025-09-12T00:00:00Z", "z y"),
        ("from=2025-09-11T00:00:00Z&to=2025-09-13T00:00:00Z", "x z"),
        ("campaign=c-1&kind=sale&to=2030-01-01T00:00:00Z", "x z"),
        ("partner=p-1&kind=sale", "x z y"),
        ("partner=p-1&kind=sale&sort=-at", "x z y"),
        ("enrolment=p-1~c-1&kind=sale&sort=at", "z x"),
    ] {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = edge.get(&format!("/v1/events?{query}&limit=1{next}")).await.json;
            seen.extend(ids(&page).iter().filter_map(|id| id.rsplit('~').next().map(str::to_owned)));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(seen.join(" "), expected, "{query}");
    }
    let newest = edge.get("/v1/events").await.json;
    assert_eq!(ids(&newest)[..2], ["p-1~c-2~registration", "p-1~c-1~registration"]);
}

#[tokio::test]
async fn partners_enrolments_and_events_are_listed_and_filtered() {
    let edge = Edge::start();
    for (id, partners) in [("c-1", &["p-1", "p-2", "p-10"][..]), ("c-2", &["p-1"])] {
        assert_eq!(edge.wait("/v1/campaigns", campaign(id, partners).to_string()).await.status, 201);
    }
    assert_eq!(edge.post("/v1/partners/p-2/ban", "").await.status, 200);
    assert_eq!(edge.wait("/v1/campaigns/c-2/cancel", "").await.status, 200);
    for (path, expected) in [
        ("/v1/partners", &["p-1", "p-10", "p-2"][..]),
        ("/v1/partners?sort=-id", &["p-2", "p-10", "p-1"]),
        ("/v1/partners?status=banned", &["p-2"]),
        ("/v1/partners?status=active", &["p-1", "p-10"]),
        ("/v1/enrolments", &["p-10~c-1", "p-1~c-1", "p-1~c-2", "p-2~c-1"]),
        ("/v1/enrolments?partner=p-1", &["p-1~c-1", "p-1~c-2"]),
        ("/v1/enrolments?campaign=c-1", &["p-10~c-1", "p-1~c-1", "p-2~c-1"]),
        ("/v1/enrolments?campaign=c-1&partner=p-1", &["p-1~c-1"]),
        ("/v1/enrolments?status=cancelled", &["p-1~c-2"]),
        ("/v1/enrolments?status=registered&partner=p-1&sort=-id", &["p-1~c-1"]),
        ("/v1/enrolments?kind=ambassador", &[]),
        ("/v1/events?campaign=c-2", &["p-1~c-2~registration"]),
        ("/v1/events?partner=p-1&sort=-id", &["p-1~c-2~registration", "p-1~c-1~registration"]),
        ("/v1/events?enrolment=p-1~c-1&partner=p-1", &["p-1~c-1~registration"]),
        ("/v1/events?kind=click", &[]),
        (
            "/v1/events?kind=registration&campaign=c-1&status=recorded&sort=-id",
            &["p-2~c-1~registration", "p-1~c-1~registration", "p-10~c-1~registration"],
        ),
    ] {
        let page = edge.get(path).await;
        assert_eq!((page.status.as_u16(), ids(&page.json)), (200, expected.to_vec()), "{path}");
        let with = format!("{path}{}total=true", if path.contains('?') { '&' } else { '?' });
        let counted = edge.get(&with).await.json;
        assert_eq!(counted["total"], json!({"count": expected.len(), "exact": true}), "{with}");
        // One at a time they are the same.
        let one_by_one = with.replace("total=true", "limit=1");
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = edge.get(&format!("{one_by_one}{next}")).await.json;
            seen.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(seen, expected, "{one_by_one}");
    }
    let one = edge.get("/v1/enrolments?partner=p-2").await.json["items"][0].clone();
    assert_eq!(one, edge.get("/v1/enrolments/p-2~c-1").await.json, "an item reads as it does alone");
}

#[tokio::test]
async fn brands_are_listed_with_their_accounts_and_blocks_with_their_status() {
    let edge = Edge::start();
    for (id, brand) in [("c-1", "b-2"), ("c-2", "b-1")] {
        let mut body = campaign(id, &["p-1"]);
        body["brand"] = json!(brand);
        assert_eq!(edge.wait("/v1/campaigns", body.to_string()).await.status, 201);
    }
    assert_eq!(edge.ask("PUT /v1/brands/b-1/accounts/JPY", &[], r#"{"limit": "5"}"#).await.status, 200);
    assert_eq!(edge.ask("PUT /v1/brands/b-3/accounts/JPY", &[], r#"{"limit": "5"}"#).await.status, 200);
    let first = edge.get("/v1/brands?limit=2").await.json;
    let jpy = json!({"brand": "b-1", "currency": "JPY", "limit": "5", "reserved": "0", "available": "5"});
    assert_eq!(ids(&first), ["b-1", "b-2"]);
    assert_eq!(first["items"][0]["accounts"][0], jpy);
    assert_eq!(first["items"][0]["accounts"][1]["reserved"], "15000.00");
    let rest = edge.get(&format!("/v1/brands?cursor={}", first["next"].as_str().unwrap())).await.json;
    assert_eq!((ids(&rest), &rest["next"]), (vec!["b-3"], &Value::Null));
    let accounts = edge.get("/v1/brands/b-1/accounts").await.json;
    assert_eq!((&accounts["items"], &accounts["next"]), (&first["items"][0]["accounts"], &Value::Null));
    assert_eq!(edge.get("/v1/brands/nobody/accounts").await.json, json!({"items": [], "next": null}));

    for block in [r#"{"partner": "p-1"}"#, r#"{"campaign": "c-9"}"#] {
        assert_eq!(edge.post("/v1/blocks", block).await.status, 201);
    }
    assert_eq!(edge.ask("DELETE /v1/blocks/p-1~partner", &[], "").await.status, 200);
    assert_eq!(ids(&edge.get("/v1/blocks").await.json), ["c-9~campaign", "p-1~partner"]);
    assert_eq!(ids(&edge.get("/v1/blocks?status=lifted").await.json), ["p-1~partner"]);
    assert_eq!(ids(&edge.get("/v1/blocks?sort=-id&limit=1").await.json), ["p-1~partner"]);
}

#[tokio::test]
async fn a_tag_tells_one_version_of_a_thing_from_the_next() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.headers["etag"], "\"1\"");
    for path in [
        "/v1/campaigns/c-1",
        "/campana-query/c-1",
        "/v1/partners/p-1",
        "/v1/enrolments/p-1~c-1",
        "/v1/events/p-1~c-1~registration",
        "/v1/blocks/p-1~partner",
        "/v1/brands/b-1/accounts/USD",
        "/v1/brands/unused/accounts/USD",
    ] {
        let tag = edge.get(path).await.headers["etag"].clone();
        let again = edge.ask(&format!("GET {path}"), &[("if-none-match", tag.to_str().unwrap())], "").await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{path}");
    }
    let banned = edge.post("/v1/partners/p-1/ban", "").await;
    assert_eq!(banned.headers["etag"], edge.get("/v1/partners/p-1").await.headers["etag"], "a change tells the tag that it made");
}

#[tokio::test]
async fn a_saga_is_told_with_its_plan_and_its_log() {
    let edge = Edge::start();
    let completed = edge.wait("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await.json;
    let told = edge.get(&format!("/v1/sagas/{}", completed["saga"].as_str().unwrap())).await.json;
    assert_eq!(
        (&told["status"], &told["name"], &told["key"]),
        (&json!("completed"), &json!("campaign.registration"), &json!("c-1"))
    );
    let plan = told["plan"].as_array().unwrap();
    let rows: Vec<_> = plan.iter().map(|row| (row["row"].as_u64(), row["phase"].as_str(), row["status"].as_str())).collect();
    let phases = ["start", "step", "step", "pivot", "then"];
    assert_eq!(rows, (1..).zip(phases).map(|(row, phase)| (Some(row), Some(phase), Some("done"))).collect::<Vec<_>>());
    assert_eq!(
        (&plan[1]["command"], &plan[1]["undo"]),
        (&json!("partner.register-enrolment.v1"), &json!("partner.cancel-enrolment.v1"))
    );
    assert_eq!((&plan[1]["children"], &plan[1]["steps"]), (&json!(2), &json!({"done": 2})));
    assert_eq!(told["undo_if_failed_now"], json!([]));
    let log = told["log"].as_array().unwrap();
    assert_eq!((&log[0]["what"], &log.last().unwrap()["what"]), (&json!("started"), &json!("completed")));
    assert!(log.iter().all(|line| line["at"].as_str().unwrap().ends_with('Z')), "{told}");

    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-2"}"#).await.status, 201);
    let undone = edge.wait("/v1/campaigns", campaign("c-2", &["p-1", "p-2"]).to_string()).await.json;
    let told = edge.get(&format!("/v1/sagas/{}", undone["saga"].as_str().unwrap())).await.json;
    let statuses: Vec<_> = told["plan"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["undone", "undone", "undone", "not reached", "not reached"]);
    assert_eq!(told["plan"][2]["steps"], json!({"done": 1, "refused": 1}));
    assert_eq!(
        (&told["reason"]["row"], &told["reason"]["index"], &told["reason"]["code"]),
        (&json!(3), &json!(1), &json!("partner-blocked"))
    );
    assert_eq!(told["reason"]["step"], "tracking.record-event.v1");
}

#[tokio::test]
async fn sagas_are_listed_by_key_and_in_pages() {
    let edge = Edge::start();
    for id in ["c-1", "c-10", "c-1.1", "c-2"] {
        assert_eq!(edge.wait("/v1/campaigns", campaign(id, &["p-1"]).to_string()).await.status, 201);
    }
    assert_eq!(edge.wait("/v1/campaigns/c-1/cancel", "").await.status, 200);
    let keys = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|of| of["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&edge.get("/v1/sagas?key=c-1").await.json),
        ["c-1", "c-1"],
        "its registration and its closing, and no other's"
    );
    assert_eq!(edge.get("/v1/sagas?key=c").await.json, json!({"items": [], "next": null}));
    let first = edge.get("/v1/sagas?limit=3").await.json;
    let second = edge.get(&format!("/v1/sagas?limit=3&cursor={}", first["next"].as_str().unwrap())).await.json;
    assert_eq!((keys(&first).len(), keys(&second).len(), &second["next"]), (3, 2, &Value::Null));
    let of_key = edge.get("/v1/sagas?key=c-1&limit=1").await.json;
    let rest = edge.get(&format!("/v1/sagas?key=c-1&cursor={}", of_key["next"].as_str().unwrap())).await.json;
    assert_eq!((keys(&rest), &rest["next"]), (vec!["c-1".to_owned()], &Value::Null));
    assert_ne!(ids(&of_key), ids(&rest));
}

#[tokio::test]
async fn the_root_lists_what_there_is() {
    let edge = Edge::start();
    let root = edge.get("/").await.json;
    for link in ["campaigns", "sagas", "campaña-query", "health", "readiness"] {
        let path = root["links"][link].as_str().unwrap();
        assert_eq!(edge.get(path).await.status, 200, "{path}");
    }
    assert_eq!(edge.get("/healthz").await.json, json!({"status": "ok"}));
    assert_eq!(edge.get("/readyz").await.json, json!({"status": "ok"}));
}

/// A store that cannot be read, in one way or the other.
struct Broken {
    panics: bool,
}

impl Read for Broken {
    fn select(&self, _: &str, _: &[Cell]) -> Result<Vec<Vec<Cell>>, String> {
        assert!(!self.panics, "the disk is on fire");
        Err("secret path of the store".to_owned())
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_fault_of_the_client_and_no_secret() {
    for (panics, status, code) in [(false, 503, "store-unreadable"), (true, 500, "internal")] {
        let edge = Edge::with(|_| Arc::new(Broken { panics }));
        for path in ["/v1/campaigns/c-1", "/v1/campaigns", "/v1/sagas", "/v1/commands/x", "/readyz"] {
            let answer = edge.get(path).await;
            assert_eq!((answer.status.as_u16(), &answer.json["code"]), (status, &json!(code)), "{path}");
            assert!(!answer.text.contains("secret") && !answer.text.contains("fire"), "{}", answer.text);
        }
    }
}
