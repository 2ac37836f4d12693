//! Seed 003, verbatim: its path, its header with one `p`, its body, its fields.

use serde_json::{Value, json};

use crate::harness::Edge;

/// The body that the seed prints, blanks and all.
const PRINTED: &str = include_str!("../../../../walks/data/seed-003.json");

fn with_id(id: &str) -> String {
    PRINTED.replace("c-12345", id)
}

#[tokio::test]
async fn the_printed_request_is_accepted_and_its_query_answers_the_same_fields() {
    let edge = Edge::start();
    let answer = edge.ask("POST /campaña-comando", &[("content-type", "aplication/json")], PRINTED).await;
    assert_eq!(answer.status, 202, "{}", answer.json);
    assert_eq!(answer.headers["location"], "/campa%C3%B1a-query/c-12345");
    assert_eq!((&answer.json["id"], &answer.json["status"]), (&json!("c-12345"), &json!("accepted")));
    let saga = answer.json["saga"].as_str().unwrap();
    assert!(saga.starts_with("c-12345~"));
    assert_eq!(edge.ended(saga).await["status"], "completed");

    let found = edge.get("/campaña-query/c-12345").await;
    assert_eq!((found.status.as_u16(), &found.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    let mut expected: Value = serde_json::from_str(PRINTED).unwrap();
    expected["estado"] = json!("active");
    assert_eq!(found.json, expected);
    assert!(found.text.contains("\"monto\":15000.00"), "the digits as they were sent: {}", found.text);
    assert_eq!(edge.get("/campaña-query").await.json, json!({"items": [expected], "next": null}));
}

#[tokio::test]
async fn every_spelling_of_its_paths_works() {
    let edge = Edge::start();
    let mut count = 0;
    for n in ["ñ", "%C3%B1", "%c3%b1", "%C3%b1", "%c3%B1", "n"] {
        for command in ["comando", "commando"] {
            count += 1;
            let id = format!("c-{count}");
            let answer = edge.post(&format!("/campa{n}a-{command}"), with_id(&id)).await;
            assert_eq!((answer.status.as_u16(), &answer.json["id"]), (202, &json!(id)), "{n} {command}: {}", answer.json);
            assert_eq!(edge.get(&format!("/campa{n}a-query/{id}")).await.json["id"], id);
            assert_eq!(edge.get(&format!("/campa{n}a-query")).await.json["items"].as_array().map(Vec::len), Some(count));
        }
    }
}

#[tokio::test]
async fn kinds_are_answered_as_they_were_sent_and_amounts_with_the_currencys_decimals() {
    let edge = Edge::start();
    for (count, (kind, of_partner, amount, currency, shown)) in [
        ("influencer", "afiliado", "15000", "USD", "15000.00"),
        ("Mixed", "Ambassador", "7", "JPY", "7"),
        ("AFFILIATE", "influencer", "0.5", "KWD", "0.500"),
        ("Affiliate", "Influencer", "90071992547409.93", "USD", "90071992547409.93"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("c-{count}");
        let body = with_id(&id)
            .replace("\"tipo\": \"Affiliate\"", &format!("\"tipo\": \"{of_partner}\""))
            .replace("\"tipo\": \"Influencer\",  ", &format!("\"tipo\": \"{kind}\","))
            .replace("15000.00", amount)
            .replace("USD", currency);
        let answer = edge.post("/campana-comando", body).await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        let found = edge.get(&format!("/campana-query/{id}")).await;
        assert_eq!((&found.json["tipo"], &found.json["participantes"][1]["tipo"]), (&json!(kind), &json!(of_partner)));
        assert!(found.text.contains(&format!("\"monto\":{shown},")), "{}", found.text);
    }
}

#[tokio::test]
async fn what_the_seed_leaves_out_may_be_left_out() {
    let edge = Edge::start();
    let body = r#"{"nombre": "Corta", "presupuesto": {"monto": 1, "divisa": "USD"}, "marca_id": "b-1",
        "participantes": [{"tipo": "Influencer", "nombre": "Alice"}]}"#;
    let answer = edge.ask("POST /campana-comando", &[("prefer", "wait=30")], body).await;
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (201, &json!("completed")), "{}", answer.json);
    let id = answer.json["id"].as_str().unwrap();
    let found = edge.get(&format!("/campana-query/{id}")).await.json;
    assert_eq!((&found["tipo"], &found["participantes"][0]["informacion_perfil"]), (&json!("mixed"), &json!("")));
    assert!(found["participantes"][0]["id"].as_str().is_some_and(|id| id.len() == 36), "{found}");
}
