//! Seed 004, verbatim: its paths, its bodies, its answers.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Edge, campaign};

/// A campaign as the seed's collection has it.
fn asked(partners: &[&str]) -> Value {
    let people = partners
        .iter()
        .map(|id| json!({"id": id, "tipo": "Influencer", "nombre": format!("Name of {id}"), "informacion_perfil": "Moda, 200k"}));
    json!({"nombre": "Campaña Moda", "presupuesto": 15000.5, "divisa": "USD", "marca_id": "b-12345", "participantes": people.collect::<Vec<_>>()})
}

/// Registers a campaign and waits until it is there and active.
async fn registered(edge: &Edge, partners: &[&str]) -> String {
    let answer = edge.post("/registrar-campaign", asked(partners).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let saga = answer.json["saga"].as_str().unwrap();
    assert_eq!(edge.ended(saga).await["status"], "completed");
    answer.json["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_campaign_is_accepted_at_once_and_answered_with_the_seeds_fields() {
    let edge = Edge::start();
    let answer = edge.post("/registrar-campaign", asked(&["p-1", "p-2"]).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let id = answer.json["id"].as_str().unwrap().to_owned();
    let command = format!("campaign.register.v1:{id}");
    assert_eq!(answer.json, json!({"status": "ok", "id": id, "command": command, "saga": answer.json["saga"]}));
    let mut expected = asked(&["p-1", "p-2"]);
    expected["id"] = json!(id);
    let found = edge.get(&format!("/obtener-campaigns/{id}")).await;
    assert_eq!((found.status.as_u16(), &found.json), (200, &expected), "as soon as it is accepted");
    assert!(found.text.contains("\"presupuesto\":15000.50,"), "digits, not a float: {}", found.text);
    assert_eq!(edge.get("/obtener-campaigns").await.json, json!([expected]));
    assert_eq!(edge.ended(answer.json["saga"].as_str().unwrap()).await["status"], "completed");
    assert_eq!(edge.get(&format!("/v1/commands/{command}")).await.json["status"], "done");
    let other = edge.post("/registrar-campaign", asked(&["p-1", "p-2"]).to_string()).await;
    assert_ne!(other.json["id"], id, "the seed has no ids to tell one request from another");
    let key = [("idempotency-key", "k")];
    let one = edge.ask("POST /registrar-campaign", &key, asked(&["p-1"]).to_string()).await;
    assert_eq!(edge.ask("POST /registrar-campaign", &key, asked(&["p-1"]).to_string()).await.json, one.json);
    let mismatch = edge.ask("POST /registrar-campaign", &key, asked(&["p-2"]).to_string()).await;
    assert_eq!((mismatch.status.as_u16(), &mismatch.json["code"]), (409, &json!("idempotency-mismatch")));
}

#[tokio::test]
async fn the_campaigns_partners_and_events_are_answered_with_the_seeds_fields() {
    let edge = Edge::start();
    let id = registered(&edge, &["p-1", "p-2"]).await;
    let partner = |person: &str| {
        json!({"id": format!("{person}~{id}"), "id_campaign": id, "nombre": format!("Name of {person}"), "tipo": "Influencer",
            "informacion_perfil": "Moda, 200k"})
    };
    assert_eq!(edge.get("/obtener-partners").await.json, json!([partner("p-1"), partner("p-2")]));
    assert_eq!(edge.get(&format!("/obtener-partners/p-2~{id}")).await.json, partner("p-2"));
    let events = edge.get("/obtener-eventos").await.json;
    let event = format!("p-1~{id}~registration");
    let of_p_1 = json!({"id": event, "id_partner": format!("p-1~{id}"), "id_campana": id, "fecha": events[0]["fecha"]});
    assert_eq!((&events[0], events.as_array().map(Vec::len)), (&of_p_1, Some(2)));
    let told: wire::values::Timestamp =
        edge.get(&format!("/v1/events/{event}")).await.json["at"].as_str().unwrap().parse().unwrap();
    assert_eq!(events[0]["fecha"].as_i64(), Some(told.as_micros() / 1000), "milliseconds since 1970");
    let one = edge.get(&format!("/obtener-eventos/{event}")).await;
    assert_eq!(one.json, of_p_1);
    let known = [("if-none-match", one.headers["etag"].to_str().unwrap())];
    assert_eq!(edge.ask(&format!("GET /obtener-eventos/{event}"), &known, "").await.status, 304);
}

#[tokio::test]
async fn a_partner_is_a_new_person_in_a_campaign_without_a_saga_or_an_event() {
    let edge = Edge::start();
    let id = registered(&edge, &["p-1"]).await;
    let body = json!({"id_campaign": id, "nombre": "Blog Moda Trends", "tipo": "afiliado", "informacion_perfil": "Blog"});
    let answer = edge.post("/registrar-partner", body.to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("ok")), "{}", answer.json);
    let partner = answer.json["id"].as_str().unwrap();
    let (person, campaign) = partner.split_once('~').unwrap();
    assert_eq!((campaign, answer.json.get("saga")), (id.as_str(), None));
    let mut expected = body.clone();
    expected["id"] = json!(partner);
    assert_eq!(edge.get(&format!("/obtener-partners/{partner}")).await.json, expected, "the kind as it was sent");
    assert_eq!(edge.get(&format!("/v1/partners/{person}")).await.json["profile"], "Blog");
    assert_eq!(edge.get(&format!("/v1/sagas?key={person}")).await.json["items"], json!([]));
    assert_eq!(edge.get("/obtener-eventos").await.json.as_array().map(Vec::len), Some(1), "only the one of the registration");
    let other = edge.post("/registrar-partner", body.to_string()).await.json["id"].clone();
    assert_ne!(other, partner, "another person");
}

#[tokio::test]
async fn an_event_is_recorded_now_of_a_partner_named_in_either_way() {
    let edge = Edge::start();
    let id = registered(&edge, &["p-1"]).await;
    let before = crate::harness::now() / 1000;
    for partner in ["p-1".to_owned(), format!("p-1~{id}")] {
        let body = json!({"id_partner": partner, "id_campana": id}).to_string();
        let answer = edge.post("/registrar-evento", body).await;
        assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("ok")), "{}", answer.json);
        let event = answer.json["id"].as_str().unwrap();
        let found = edge.get(&format!("/obtener-eventos/{event}")).await.json;
        assert_eq!((&found["id_partner"], &found["id_campana"]), (&json!(format!("p-1~{id}")), &json!(id)));
        assert!((before..=crate::harness::now() / 1000).contains(&found["fecha"].as_i64().unwrap()), "{found}");
        assert_eq!(edge.get(&format!("/v1/events/{event}")).await.json["kind"], "conversion");
    }
}

#[tokio::test]
async fn what_the_business_refuses_is_accepted_and_refused_where_one_asks_for_it() {
    let edge = Edge::start();
    let id = registered(&edge, &["p-1"]).await;
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.status, 201);
    let blocked = edge.post("/registrar-evento", json!({"id_partner": "p-1", "id_campana": id}).to_string()).await;
    assert_eq!((blocked.status.as_u16(), &blocked.json["status"]), (200, &json!("ok")), "{}", blocked.json);
    let told = edge.get(&format!("/v1/commands/{}", blocked.json["command"].as_str().unwrap())).await.json;
    assert_eq!((&told["status"], &told["reason"]["code"]), (&json!("refused"), &json!("partner-blocked")));
    assert_eq!(edge.get(&format!("/obtener-eventos/{}", blocked.json["id"].as_str().unwrap())).await.status, 404);
    // What nobody knows may have come early: it is waited for, and refused when it does not come.
    for (path, body) in [
        ("/registrar-partner", json!({"id_campaign": "c-9", "nombre": "N", "tipo": "influencer", "informacion_perfil": ""})),
        ("/registrar-evento", json!({"id_partner": "p-9", "id_campana": id})),
        ("/registrar-evento", json!({"id_partner": "p-1", "id_campana": "c-9"})),
    ] {
        let answer = edge.post(path, body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("ok")), "{path}: {}", answer.json);
        let told = edge.get(&format!("/v1/commands/{}", answer.json["command"].as_str().unwrap())).await.json;
        assert_eq!(told["status"], "accepted", "{path}");
    }
}

#[tokio::test]
async fn what_is_removed_is_gone_here_and_kept_elsewhere() {
    let edge = Edge::start();
    for method in ["GET", "DELETE"] {
        let id = registered(&edge, &["p-1", "p-2"]).await;
        for (kind, list, of, elsewhere) in [
            ("evento", "eventos", format!("p-1~{id}~registration"), "events"),
            ("partner", "partners", format!("p-1~{id}"), "enrolments"),
            ("campaign", "campaigns", id.clone(), "campaigns"),
        ] {
            assert_eq!(edge.get(&format!("/obtener-{list}/{of}")).await.status, 200);
            let removed = edge.ask(&format!("{method} /eliminar-{kind}/{of}"), &[], Body::empty()).await;
            assert_eq!((removed.status.as_u16(), &removed.json["status"], &removed.json["id"]), (200, &json!("ok"), &json!(of)));
            let deprecated = removed.headers.get("deprecation").map(|value| value.to_str().unwrap());
            assert_eq!(deprecated, (method == "GET").then_some("@1795651200"), "{kind}");
            assert_eq!(edge.get(&format!("/obtener-{list}/{of}")).await.status, 404);
            let all = edge.get(&format!("/obtener-{list}")).await.json;
            assert!(all.as_array().unwrap().iter().all(|item| item["id"] != of), "{all}");
            assert_eq!(edge.get(&format!("/v1/{elsewhere}/{of}")).await.json["status"], "cancelled");
            let again = edge.ask(&format!("{method} /eliminar-{kind}/{of}"), &[], Body::empty()).await;
            assert_eq!(again.status, 200, "it was so already: {}", again.json);
        }
        // Cancelling one partner leaves the campaign alone; cancelling the campaign takes its partners along.
        edge.until(&format!("/v1/enrolments/p-2~{id}"), |told| told["status"] == "cancelled").await;
    }
    for what in ["GET", "DELETE"] {
        for (path, kind) in [
            ("/eliminar-campaign/c-9", "campaign"),
            ("/eliminar-partner/p-9~c-9", "enrolment"),
            ("/eliminar-evento/x~y~z", "event"),
        ] {
            let answer = edge.ask(&format!("{what} {path}"), &[], "").await;
            assert_eq!((answer.status.as_u16(), &answer.json["details"]["kind"]), (404, &json!(kind)), "{what} {path}");
            assert_eq!(answer.headers.contains_key("deprecation"), what == "GET");
        }
    }
    let id = registered(&edge, &["p-3"]).await;
    let head = edge.ask(&format!("HEAD /eliminar-campaign/{id}"), &[], "").await;
    assert_eq!((head.status.as_u16(), head.headers["allow"].to_str().unwrap()), (405, "DELETE,GET"));
    let elsewhere = edge.ask(&format!("GET /eliminar-campaign/{id}"), &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(elsewhere.status, 403, "a link on another site cancels nothing");
    assert_eq!(edge.get(&format!("/obtener-campaigns/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_campaign_that_was_undone_is_gone_and_a_get_with_a_body_is_answered() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-0", &["p-1"]).to_string()).await.status, 201);
    assert_eq!(edge.post("/v1/partners/p-1/ban", "").await.status, 200);
    let answer = edge.post("/registrar-campaign", asked(&["p-1"]).to_string()).await.json;
    assert_eq!(edge.ended(answer["saga"].as_str().unwrap()).await["status"], "undone");
    assert_eq!(edge.get(&format!("/obtener-campaigns/{}", answer["id"].as_str().unwrap())).await.status, 404);
    for path in ["/obtener-campaigns", "/obtener-campaigns/c-0", "/obtener-partners", "/obtener-eventos"] {
        let headers = [("content-type", "application/json")];
        let answer = edge.ask(&format!("GET {path}"), &headers, r#"{"nombre": "x"}"#).await;
        assert_eq!((answer.status.as_u16(), &answer.json), (200, &edge.get(path).await.json), "{path}");
    }
    let removed = edge.ask("GET /eliminar-partner/p-1~c-0", &[("content-type", "text/plain")], "a body").await;
    assert_eq!(removed.status, 200, "{}", removed.json);
}

#[tokio::test]
async fn a_list_has_a_cap_and_a_link_to_the_rest() {
    let edge = Edge::start();
    let people: Vec<String> = (0..1000).map(|number| format!("p-{number:04}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let id = registered(&edge, &people).await;
    for path in ["/obtener-partners", "/obtener-eventos"] {
        let all = edge.get(path).await;
        assert_eq!((all.json.as_array().map(Vec::len), all.headers.get("link")), (Some(1000), None), "{path}: a full list");
    }
    let body = json!({"id_campaign": id, "nombre": "N", "tipo": "influencer", "informacion_perfil": ""}).to_string();
    assert_eq!(edge.post("/registrar-partner", body).await.status, 200);
    let first = edge.get("/obtener-partners").await;
    assert_eq!(first.json.as_array().map(Vec::len), Some(1000));
    let link = first.headers["link"].to_str().unwrap();
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
    let rest = edge.get(next).await;
    assert_eq!((rest.json.as_array().map(Vec::len), rest.headers.get("link")), (Some(1), None));
    assert!(!first.json.as_array().unwrap().contains(&rest.json[0]));
}
