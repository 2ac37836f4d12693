//! A message that breaks its handler, from its eighth attempt to its saga's end, all through HTTP.

use seedwork::{Context, Error, UnitOfWork};
use serde_json::{Value, json};
use wire::partner_v1::Partner;

use crate::harness::{Answer, Edge, campaign};

/// Partners whose handler breaks on one name.
fn contexts() -> Vec<Context> {
    let register = |ask: wire::RegisterEnrolment, _: &mut UnitOfWork<'_>| match ask.name.contains("poison") {
        true => Err(Error::fault("the name cannot be digested")),
        false => Ok(()),
    };
    let cancel = |_: wire::CancelEnrolment, _: &mut UnitOfWork<'_>| Ok(());
    let partner = Context::of::<Partner>().command("partners.write", register).command("partners.write", cancel);
    vec![campaign::context(campaign::Settings::default()), partner, tracking::context()]
}

/// Campaigns with one participant that nobody can digest; returns their sagas.
async fn poisoned(edge: &Edge, campaigns: &[&str]) -> Vec<String> {
    let mut sagas = Vec::new();
    for id in campaigns {
        let mut body = campaign(id, &["p-1", "p-2"]);
        body["participants"][1]["name"] = json!("poison");
        let saga = edge.post("/v1/campaigns", body.to_string()).await.json["saga"].clone();
        sagas.push(saga.as_str().unwrap().to_owned());
    }
    sagas
}

/// Time goes by, in steps that no deadline minds, until there are so many dead letters.
async fn dead(edge: &Edge, count: usize) -> Vec<Value> {
    for _ in 0..40 {
        let page = edge.get("/v1/dead-letters?order=oldest").await.json;
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        if items.len() == count {
            return items.clone();
        }
        edge.skip(20).await;
    }
    panic!("there are not {count} dead letters: {}", edge.get("/v1/waiting").await.json);
}

fn no(answer: &Answer) -> (u16, &str, &str) {
    let text = |member: &str| answer.json[member].as_str().unwrap_or_default();
    (answer.status.as_u16(), text("code"), text("field"))
}

#[tokio::test]
async fn a_poisoned_message_is_seen_edited_and_replayed_and_its_saga_completes() {
    let edge = Edge::skipping(contexts());
    let saga = poisoned(&edge, &["c-1"]).await.remove(0);
    let waiting = edge.until("/v1/waiting", |told| told["items"][0].is_object()).await["items"][0].clone();
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("retrying"), &json!(1)), "{waiting}");
    let early = waiting["id"].as_str().unwrap();
    assert_eq!(edge.get(&format!("/v1/waiting/{early}")).await.json["body"]["name"], "poison");
    assert_eq!(no(&edge.get(&format!("/v1/dead-letters/{early}")).await), (404, "unknown", ""));
    let too_early = edge.post(&format!("/v1/dead-letters/{early}/discard"), r#"{"reason": "x"}"#).await;
    assert_eq!(no(&too_early), (409, "not-dead", ""), "what is tried by itself is not decided on");

    let letter = dead(&edge, 1).await.remove(0);
    assert_eq!(letter["id"], early, "it is the same message");
    let expected = json!({"id": early, "revision": letter["revision"], "state": "dead", "context": "partner", "partition": 0,
        "topic": "partner.commands", "lane": format!("commands|p-2~c-1|{saga}"), "kind": "partner.register-enrolment.v1",
        "key": "p-2~c-1", "source": "campaign", "saga": saga, "attempts": 8, "reason": "the name cannot be digested",
        "since": letter["since"], "edited": false});
    assert_eq!(letter, expected);
    let path = format!("/v1/dead-letters/{early}");
    let whole = edge.get(&path).await.json;
    assert_eq!((&whole["envelope"]["type"], &whole["envelope"]["subject"]), (&letter["kind"], &letter["key"]), "{whole}");
    assert_eq!((&whole["body"]["name"], &whole["behind"]), (&json!("poison"), &json!({"count": 0, "first": []})));

    let good = |name: &str| {
        let mut body = whole["body"].clone();
        body["name"] = json!(name);
        body
    };
    let mut other = good("Alice");
    other["enrolment"] = json!("p-3~c-1");
    for (body, why) in [
        (json!({}), (400, "field-missing", "body")),
        (json!({"body": {}}), (422, "body-invalid", "body")),
        (json!({"body": [1]}), (422, "body-invalid", "body")),
        (json!({"body": other}), (422, "key-changed", "body")),
        (json!({"body": good("Alice"), "revision": 1}), (409, "letter-changed", "")),
        (json!({"body": good("Alice"), "what": 1}), (400, "field-unknown", "what")),
    ] {
        let answer = edge.post(&format!("{path}/edit"), body.to_string()).await;
        assert_eq!(no(&answer), why, "{body}: {}", answer.json);
    }
    let edit = json!({"body": good("Alice"), "reason": "a typing error", "revision": letter["revision"]});
    let edited = edge.ask(&format!("POST {path}/edit"), &[("alpes-actor", "Ana")], edit.to_string()).await;
    assert_eq!((edited.status.as_u16(), &edited.json["edited"]), (200, &json!(true)), "{}", edited.json);
    assert_eq!((&edited.json["body"]["name"], &edited.json["state"]), (&json!("Alice"), &json!("dead")));
    assert!(edited.json["original"].as_str().unwrap().contains("poison"), "the bytes as they came are kept");
    let stale = edge.post(&format!("{path}/replay"), json!({"revision": letter["revision"]}).to_string()).await;
    assert_eq!(
        (no(&stale), &stale.json["details"]),
        ((409, "letter-changed", ""), &json!({"revision": edited.json["revision"]}))
    );
    let replayed = edge.ask(&format!("POST {path}/replay"), &[("alpes-actor", "Ana")], "").await;
    assert_eq!((replayed.status.as_u16(), &replayed.json), (200, &json!({"done": [early], "changed": []})));
    let told = edge.ended(&saga).await;
    assert_eq!(told["status"], "completed", "{told}");
    assert_eq!(no(&edge.post(&format!("{path}/replay"), "").await), (404, "unknown", ""), "twice is once");
    let kept = edge.get(&format!("/v1/operations?about={early}")).await.json;
    let kept: Vec<_> = kept["items"].as_array().unwrap().iter().map(|kept| (&kept["decision"], &kept["actor"])).collect();
    assert_eq!(kept, [(&json!("replay"), &json!("Ana")), (&json!("edit"), &json!("Ana"))]);
    assert_eq!(signed(&told), [("edited", "Ana", Some("a typing error")), ("replayed", "Ana", None)]);
    let row = |line: &&Value| line["what"] == "replayed";
    let line = told["log"].as_array().unwrap().iter().find(row).unwrap();
    assert_eq!((&line["row"], &line["index"]), (&json!(2), &json!(1)), "the second participant is poison: {line}");
}

/// What operators did, as a saga's own log tells it.
fn signed(saga: &Value) -> Vec<(&str, &str, Option<&str>)> {
    let line = |line: &'_ Value| line["actor"].is_string();
    let lines = saga["log"].as_array().unwrap().iter().filter(|told| line(told));
    lines.map(|line| (line["what"].as_str().unwrap(), line["actor"].as_str().unwrap(), line["detail"].as_str())).collect()
}

#[tokio::test]
async fn a_letter_that_is_replayed_in_vain_is_seen_to_die_again_and_who_discards_it_at_last_is_named() {
    let edge = Edge::skipping(contexts());
    let saga = poisoned(&edge, &["c-1"]).await.remove(0);
    let path = format!("/v1/dead-letters/{}", dead(&edge, 1).await.remove(0)["id"].as_str().unwrap());
    let replay = edge.ask(&format!("POST {path}/replay"), &[("alpes-actor", "Ana")], r#"{"reason": "perhaps now"}"#).await;
    assert_eq!(replay.status, 200, "{}", replay.text);
    dead(&edge, 1).await;
    let told = edge.get(&format!("/v1/sagas/{saga}")).await.json;
    let died = told["log"].as_array().unwrap().iter().filter(|line| line["what"] == "dead-letter").count();
    assert_eq!(died, 2, "{told}");
    let discard = edge.ask(&format!("POST {path}/discard"), &[("alpes-actor", "Eva")], r#"{"reason": "never"}"#).await;
    assert_eq!(discard.status, 200, "{}", discard.text);
    let told = edge.ended(&saga).await;
    let signed = signed(&told);
    assert_eq!(signed[0], ("replayed", "Ana", Some("perhaps now")));
    assert_eq!((signed[1].0, signed[1].1, signed.len()), ("refused", "Eva", 2), "{told}");
    assert!(signed[1].2.unwrap().contains("discarded") && signed[1].2.unwrap().contains("never"), "{told}");
}

#[tokio::test]
async fn what_waits_behind_a_dead_letter_is_shown_and_goes_on_when_it_is_discarded() {
    let edge = Edge::skipping(contexts());
    let saga = poisoned(&edge, &["c-1"]).await.remove(0);
    let id = dead(&edge, 1).await.remove(0)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/dead-letters/{id}");
    assert_eq!(edge.post(&format!("/v1/sagas/{saga}/abort"), r#"{"reason": "enough"}"#).await.status, 200);
    edge.skip(1).await;
    let behind = edge.get(&path).await.json["behind"].clone();
    assert_eq!((&behind["count"], &behind["first"][0]["kind"]), (&json!(1), &json!("partner.cancel-enrolment.v1")), "{behind}");
    assert_eq!(no(&edge.post(&format!("{path}/discard"), "").await), (422, "reason-missing", "reason"));
    assert_eq!(edge.post(&format!("{path}/discard"), r#"{"reason": "never"}"#).await.status, 200);
    edge.skip(1).await;
    assert_eq!(edge.ended(&saga).await["status"], "undone");
    assert_eq!(edge.get("/v1/waiting").await.json["items"], json!([]));
}

#[tokio::test]
async fn many_are_decided_on_as_a_dry_run_saw_them_and_what_changed_since_is_said() {
    let edge = Edge::skipping(contexts());
    let sagas = poisoned(&edge, &["c-1", "c-2", "c-3"]).await;
    let letters = dead(&edge, 3).await;
    let dry = |filter: Value| {
        let body = json!({"dry_run": true, "filter": filter}).to_string();
        let edge = &edge;
        async move { edge.post("/v1/dead-letters/discard", body).await.json }
    };
    for (filter, count) in [
        (json!({}), 3),
        (json!({"key": "p-2~c-2"}), 1),
        (json!({"saga": sagas[2]}), 1),
        (json!({"reason": "digested", "context": "partner", "kind": "partner.register-enrolment.v1"}), 3),
        (json!({"reason": "lost"}), 0),
        (json!({"context": "tracking"}), 0),
        (json!({"lane": letters[0]["lane"]}), 1),
    ] {
        let found = dry(filter.clone()).await;
        assert_eq!(
            (&found["count"], &found["more"], &found["dry_run"]),
            (&json!(count), &json!(false), &json!(true)),
            "{filter}"
        );
    }
    let seen = dry(json!({})).await["letters"].clone();
    assert_eq!(edge.get("/v1/dead-letters").await.json["items"].as_array().unwrap().len(), 3, "a dry run does nothing");
    let id = |at: usize| letters[at]["id"].as_str().unwrap();
    let whole = edge.get(&format!("/v1/dead-letters/{}", id(1))).await.json;
    let edit = json!({"body": whole["body"]}).to_string();
    assert_eq!(edge.post(&format!("/v1/dead-letters/{}/edit", id(1)), edit).await.status, 200);
    assert_eq!(edge.post(&format!("/v1/dead-letters/{}/discard", id(2)), r#"{"reason": "one"}"#).await.status, 200);
    let all = edge.post("/v1/dead-letters/discard", json!({"letters": seen, "reason": "all"}).to_string()).await;
    assert_eq!((all.status.as_u16(), &all.json["done"]), (200, &json!([id(0)])), "{}", all.json);
    let changed = &all.json["changed"];
    assert_eq!((&changed[0]["id"], &changed[0]["code"]), (&json!(id(1)), &json!("letter-changed")), "{changed}");
    assert_eq!((&changed[1]["id"], &changed[1]["code"]), (&json!(id(2)), &json!("unknown")), "{changed}");
    let told = edge.ended(&sagas[0]).await;
    assert_eq!((&told["status"], &told["reason"]["code"]), (&json!("undone"), &json!("discarded")));
    assert_eq!((&told["reason"]["message"], &told["reason"]["details"]), (&json!("all"), &json!({"actor": "local"})));

    let many: Vec<Value> = (0..=bff::BULK_MAX).map(|at| json!({"id": format!("partner:0:{at}")})).collect();
    for (body, field) in [
        (json!({}), "letters"),
        (json!({"letters": []}), "letters"),
        (json!({"letters": many}), "letters"),
        (json!({"letters": [{"id": "p-1"}], "reason": "x"}), "letters[0].id"),
        (json!({"letters": [{"id": id(1)}]}), "reason"),
        (json!({"letters": [{"id": id(1)}], "dry_run": true}), "dry_run"),
        (json!({"filter": {}}), "dry_run"),
        (json!({"filter": {}, "dry_run": true, "letters": []}), "letters"),
    ] {
        let answer = edge.post("/v1/dead-letters/discard", body.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.json["field"].as_str()), (422, Some(field)), "{}", answer.json);
    }
    for bad in ["x", "partner:0:x", "partner:0", "nobody:7:1", "a%2Fb", "partner:99999:1"] {
        assert_eq!(no(&edge.get(&format!("/v1/dead-letters/{bad}")).await), (404, "unknown", ""), "{bad}");
        let replayed = edge.post(&format!("/v1/dead-letters/{bad}/replay"), "").await;
        assert_eq!(no(&replayed), (404, "unknown", ""), "{bad}");
    }
    let nobody = edge.post("/v1/dead-letters/replay", json!({"letters": [{"id": "nobody:7:1"}]}).to_string()).await;
    assert_eq!((&nobody.json["done"], &nobody.json["changed"][0]["code"]), (&json!([]), &json!("unknown")), "{}", nobody.json);
    for (query, field) in [("order=up", "order"), ("cursor=1", "cursor"), ("cursor=1.x", "cursor"), ("limit=x", "limit")] {
        let answer = edge.get(&format!("/v1/dead-letters?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json["field"].as_str()), (400, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn dead_letters_come_in_pages_of_either_order() {
    let edge = Edge::skipping(contexts());
    poisoned(&edge, &["c-1", "c-2", "c-3", "c-4", "c-5"]).await;
    let oldest: Vec<Value> = dead(&edge, 5).await.iter().map(|letter| letter["id"].clone()).collect();
    let newest: Vec<Value> = oldest.iter().rev().cloned().collect();
    for (order, expected) in [("oldest", oldest), ("newest", newest)] {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = edge.get(&format!("/v1/dead-letters?limit=2&order={order}{next}")).await.json;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(seen, expected, "{order}");
    }
}
