//! What an operator sees of sagas and decides on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seedwork::{Context, Error, Refusal, UnitOfWork};
use serde_json::{Value, json};
use wire::partner_v1::Partner;

use crate::harness::{Answer, Edge, campaign};

fn contexts(partner: Context) -> Vec<Context> {
    vec![campaign::context(campaign::Settings::default()), partner, tracking::context()]
}

fn register(_: wire::RegisterEnrolment, _: &mut UnitOfWork<'_>) -> seedwork::Result {
    Ok(())
}

/// Partners whose undo is refused for as long as it is said so.
fn stubborn(refuses: Arc<AtomicBool>) -> Context {
    let cancel = move |_: wire::CancelEnrolment, _: &mut UnitOfWork<'_>| match refuses.load(Ordering::Relaxed) {
        true => Err(Error::from(Refusal::conflict("no", "not today"))),
        false => Ok(()),
    };
    Context::of::<Partner>().command("partners.write", register).command("partners.write", cancel)
}

/// Partners that break their handler.
fn broken() -> Context {
    let breaks = |_: wire::RegisterEnrolment, _: &mut UnitOfWork<'_>| Err(Error::fault("out of order"));
    let cancel = |_: wire::CancelEnrolment, _: &mut UnitOfWork<'_>| Ok(());
    Context::of::<Partner>().command("partners.write", breaks).command("partners.write", cancel)
}

async fn until(edge: &Edge, saga: &str, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let told = edge.get(&format!("/v1/sagas/{saga}")).await.json;
        if is(&told) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the saga {saga} does not come there: {}", edge.get(&format!("/v1/sagas/{saga}")).await.json);
}

async fn listed(edge: &Edge, query: &str) -> Vec<String> {
    let page = edge.get(&format!("/v1/sagas?{query}")).await.json;
    page["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

fn no(answer: &Answer) -> (u16, &str, &str) {
    let text = |member: &str| answer.json[member].as_str().unwrap_or_default();
    (answer.status.as_u16(), text("code"), text("field"))
}

#[tokio::test]
async fn a_stuck_saga_is_found_tried_again_and_resolved_with_a_reason_that_is_kept() {
    let refuses = Arc::new(AtomicBool::new(true));
    let edge = Edge::over(contexts(stubborn(refuses)), |read| read);
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-2"}"#).await.status, 201);
    let saga = edge.post("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await.json["saga"].clone();
    let saga = saga.as_str().unwrap();
    let well = edge.wait("/v1/campaigns", campaign("c-2", &["p-1"]).to_string()).await.json["saga"].clone();
    let told = until(&edge, saga, |told| told["status"] == "stuck").await;
    assert_eq!((&told["stage"], &told["row"], &told["possible"]), (&json!("undoing"), &json!(2), &json!(["retry", "resolve"])));
    assert_eq!(listed(&edge, "status=stuck").await, [saga]);
    assert_eq!(listed(&edge, "status=stuck&name=campaign.registration&context=campaign&key=c-1").await, [saga]);
    for none in
        ["status=undoing", "status=late", "status=stuck&key=c-2", "status=stuck&name=campaign.closing", "status=exceptions"]
    {
        assert_eq!(listed(&edge, none).await, Vec::<String>::new(), "{none}");
    }
    assert_eq!(listed(&edge, "status=completed").await, [well.as_str().unwrap()]);

    let path = |verb: &str| format!("/v1/sagas/{saga}/{verb}");
    let again = edge.ask(&format!("POST {}", path("retry")), &[("alpes-actor", "Ana")], r#"{"reason": "they are back"}"#).await;
    assert_eq!(again.status, 200, "{}", again.json);
    let did = &again.json["did"][0];
    assert_eq!((&did["what"], &did["actor"], &did["detail"]), (&json!("retried"), &json!("Ana"), &json!("they are back")));
    let told = until(&edge, saga, |told| told["status"] == "stuck").await;
    let attempts = told["log"].as_array().unwrap().iter().filter(|line| line["what"] == "retried").count();
    assert_eq!(attempts, 1, "refused again, it is stuck again: {told}");

    for (body, why) in [
        (json!({}), (422, "reason-missing", "reason")),
        (json!({"reason": " "}), (422, "reason-missing", "reason")),
        (json!({"reason": "x".repeat(501)}), (422, "reason-invalid", "reason")),
        (json!({"reason": "a\u{7}b"}), (422, "reason-invalid", "reason")),
        (json!({"reason": "seen", "outcome": "happened"}), (422, "outcome-wrong", "outcome")),
        (json!({"reason": "seen", "outcome": "perhaps"}), (400, "type-wrong", "outcome")),
        (json!({"reason": "seen", "why": 1}), (400, "field-unknown", "why")),
    ] {
        let answer = edge.post(&path("resolve"), body.to_string()).await;
        assert_eq!(no(&answer), why, "{body}: {}", answer.json);
    }
    let resolved =
        edge.ask(&format!("POST {}", path("resolve")), &[("alpes-actor", "Ana")], r#"{"reason": "done by hand"}"#).await;
    assert_eq!(resolved.status, 200, "{}", resolved.json);
    let told = edge.ended(saga).await;
    assert_eq!(told["status"], "undone");
    let signed = json!({"row": 2, "index": 0, "direction": "undo", "reason": "done by hand", "actor": "Ana"});
    assert!(told["exceptions"].as_array().unwrap().contains(&signed), "{told}");
    for found in ["status=exceptions", "status=undone"] {
        assert_eq!(listed(&edge, found).await, [saga], "{found}");
    }
    let twice = edge.post(&path("resolve"), r#"{"reason": "done by hand"}"#).await;
    assert_eq!(no(&twice), (409, "saga-ended", ""));
    assert_eq!(twice.json["details"]["possible"], json!([]), "it says what is possible now");
    let kept = edge.get(&format!("/v1/operations?about={saga}")).await.json;
    let kept: Vec<_> =
        kept["items"].as_array().unwrap().iter().map(|kept| (&kept["decision"], &kept["actor"], &kept["reason"])).collect();
    assert_eq!(
        kept,
        [(&json!("resolve"), &json!("Ana"), &json!("done by hand")), (&json!("retry"), &json!("Ana"), &json!("they are back"))]
    );
}

#[tokio::test]
async fn who_has_a_saga_as_it_is_waits_until_it_moves_and_one_that_has_ended_is_not_waited_for() {
    let refuses = Arc::new(AtomicBool::new(true));
    let edge = Edge::over(contexts(stubborn(refuses)), |read| read);
    assert_eq!(edge.post("/v1/blocks", r#"{"partner": "p-1"}"#).await.status, 201);
    let saga = edge.post("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.json["saga"].clone();
    let path = format!("/v1/sagas/{}", saga.as_str().unwrap());
    until(&edge, saga.as_str().unwrap(), |told| told["status"] == "stuck").await;
    let seen = edge.get(&path).await;
    let tag = seen.headers["etag"].to_str().unwrap().to_owned();
    let wait = async |tag: &str, seconds: u32| {
        let headers = [("if-none-match", tag), ("prefer", &format!("wait={seconds}"))];
        edge.ask(&format!("GET {path}"), &headers, "").await
    };
    let same = wait(&tag, 1).await;
    assert_eq!((same.status.as_u16(), &same.headers["etag"], same.text.as_str()), (304, &seen.headers["etag"], ""));
    assert_eq!(wait("\"0\"", 60).await.status, 200, "who has another is told at once");
    // Retried, it is refused again, and stuck again; each step is a version of its own.
    let moved = async {
        let waiting = edge.moves.clone();
        while waiting.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(edge.post(&format!("{path}/retry"), r#"{"reason": "they are back"}"#).await.status, 200);
    };
    let (told, ()) = tokio::join!(async { tokio::time::timeout(Duration::from_secs(30), wait(&tag, 60)).await.unwrap() }, moved);
    assert_eq!(told.status, 200, "{}", told.text);
    assert!(told.json["log"].as_array().unwrap().iter().any(|line| line["what"] == "retried"), "{}", told.json);
    assert_ne!(told.headers["etag"], tag.as_str());
    assert_eq!(edge.moves.waiting(), 0, "its place is free again");
    until(&edge, saga.as_str().unwrap(), |told| told["status"] == "stuck").await;
    assert_eq!(edge.post(&format!("{path}/resolve"), r#"{"reason": "done by hand"}"#).await.status, 200);
    edge.ended(saga.as_str().unwrap()).await;
    let ended = edge.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    let told = tokio::time::timeout(Duration::from_secs(30), wait(&ended, 60)).await.expect("nothing more will come");
    assert_eq!(told.status, 304);
}

#[tokio::test]
async fn a_stop_answers_who_waits_for_a_saga() {
    let edge = Edge::over(contexts(broken()), |read| read);
    let saga = edge.post("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.json["saga"].clone();
    let path = format!("GET /v1/sagas/{}", saga.as_str().unwrap());
    until(&edge, saga.as_str().unwrap(), |told| told["row"] == 2).await;
    let stops = async {
        while edge.moves.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        edge.moves.close();
    };
    let waits = edge.ask(&path, &[("if-none-match", "*"), ("prefer", "wait=60")], "");
    let (told, ()) = tokio::join!(async { tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap() }, stops);
    assert_eq!(told.status, 304);
}

#[tokio::test]
async fn a_saga_is_aborted_before_its_pivot_and_never_after_it() {
    let edge = Edge::over(contexts(broken()), |read| read);
    let saga = edge.post("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.json["saga"].clone();
    let saga = saga.as_str().unwrap().to_owned();
    let path = format!("/v1/sagas/{saga}/abort");
    let told = until(&edge, &saga, |told| told["row"] == 2).await;
    assert_eq!(told["possible"], json!(["abort"]));
    let early = edge.post(&format!("/v1/sagas/{saga}/retry"), "").await;
    assert_eq!((no(&early), &early.json["details"]["possible"]), ((409, "not-stuck", ""), &json!(["abort"])));
    assert_eq!(no(&edge.post(&path, "").await), (422, "reason-missing", "reason"));
    let aborted = edge.post(&path, r#"{"reason": "nobody wants it"}"#).await;
    assert_eq!((aborted.status.as_u16(), &aborted.json["status"]), (200, &json!("undoing")), "{}", aborted.json);
    assert_eq!(aborted.json["reason"]["code"], "aborted");
    assert_eq!(no(&edge.post(&path, r#"{"reason": "nobody wants it"}"#).await), (409, "saga-undoing", ""));

    let edge = Edge::start();
    let saga = edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.json["saga"].clone();
    let path = format!("/v1/sagas/{}/abort", saga.as_str().unwrap());
    assert_eq!(no(&edge.post(&path, r#"{"reason": "too late"}"#).await), (409, "saga-ended", ""));
    assert_eq!(no(&edge.post("/v1/sagas/c-1~0/abort", r#"{"reason": "x"}"#).await), (404, "unknown", ""));
}

#[tokio::test]
async fn sagas_are_listed_newest_or_oldest_first_and_a_wrong_filter_is_named() {
    let edge = Edge::start();
    let mut started = Vec::new();
    for at in [3, 1, 4, 2, 0] {
        let answer = edge.wait("/v1/campaigns", campaign(&format!("c-{at}"), &["p-1"]).to_string()).await;
        started.push(answer.json["saga"].as_str().unwrap().to_owned());
    }
    let oldest = started.clone();
    started.reverse();
    for (order, expected) in
        [("", &started), ("order=newest", &started), ("order=oldest", &oldest), ("order=oldest&status=completed", &oldest)]
    {
        assert_eq!(listed(&edge, order).await, *expected, "{order}");
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = edge.get(&format!("/v1/sagas?limit=2&{order}{next}")).await.json;
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(seen, *expected, "{order} in pages");
    }
    for (query, field) in [
        ("order=up", "order"),
        ("status=lost", "status"),
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("limit=0", "limit"),
        ("key=a%20b", "key"),
    ] {
        let answer = edge.get(&format!("/v1/sagas?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.json["field"].as_str()), (400, Some(field)), "{query}: {}", answer.json);
    }
}
