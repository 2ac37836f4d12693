//! A draft over HTTP: an operator pauses what reads its registration's next command, so that it stands between two rows.
#![expect(clippy::disallowed_methods, reason = "stories of real processes wait in real time, with bounds")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Deployment};

/// Nothing here takes longer on a machine that works.
const BOUND: Duration = Duration::from_secs(60);

#[track_caller]
fn until(what: &str, mut answer: impl FnMut() -> Option<Value>) -> Value {
    let bound = Instant::now() + BOUND;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < bound, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A draft is neither paused, resumed nor finished, and a cancel undoes it, wherever before the pivot its registration is held back. For a
/// deployment in which nothing has happened yet and that nobody else uses: what is paused is paused for all.
///
/// # Panics
/// When it is not so.
pub fn a_draft_belongs_to_its_registration_and_a_cancel_undoes_it(deployment: &impl Deployment) {
    let get = |path: &str| deployment.send("GET", path, &[], 0, &Value::Null).json;
    let post = |path: &str, body: Value| deployment.send("POST", path, &[], 0, &body);
    let done = |told: Answer| assert_eq!(told.status, 200, "{told:?}");
    for (held, id, row) in [("partner", "c-1", 2), ("tracking", "c-2", 3)] {
        let all = get(&format!("/v1/subscriptions?context={held}"));
        let topic = format!(":{held}.commands");
        let all = all["items"].as_array().unwrap_or_else(|| panic!("no list: {all}"));
        let reading: Vec<&str> = all.iter().filter_map(|one| one["id"].as_str()).filter(|id| id.ends_with(&topic)).collect();
        assert!(!reading.is_empty(), "{all:?}");
        for id in &reading {
            done(post(&format!("/v1/subscriptions/{id}/pause"), json!({"reason": "to look at a draft"})));
        }

        let participants = ["p-1", "p-2"].map(|id| json!({"id": id, "kind": "influencer", "name": "Alice", "profile": ""}));
        let registration = json!({
            "id": id, "name": "Moda", "brand": "b-1", "budget": {"amount": "15000", "currency": "USD"},
            "participants": participants,
        });
        let registered = post("/v1/campaigns", registration);
        assert_eq!(registered.status, 202, "its saga has begun and cannot end: {registered:?}");
        let saga = format!("/v1/sagas/{}", registered.json["saga"].as_str().unwrap_or_else(|| panic!("{registered:?}")));
        until("it stands at the row that is held back", || Some(get(&saga)).filter(|saga| saga["row"] == row));
        let path = format!("/v1/campaigns/{id}");
        assert_eq!(get(&path)["status"], "draft");
        for verb in ["pause", "resume", "finish"] {
            let told = post(&format!("{path}/{verb}"), json!({}));
            assert_eq!((told.status, &told.json["code"]), (409, &json!("campaign-is-draft")), "{verb}");
        }
        let cancelled = post(&format!("{path}/cancel"), json!({"reason": "too dear"}));
        assert_eq!((cancelled.status, &cancelled.json["status"]), (202, &json!("undoing")), "{cancelled:?}");
        assert_eq!(get(&saga)["status"], "undoing", "what is held back must be undone behind its step");
        assert_eq!(get(&path)["status"], "draft");

        for id in &reading {
            done(post(&format!("/v1/subscriptions/{id}/resume"), json!({})));
        }
        let ended = until("its saga has ended", || Some(get(&saga)).filter(|saga| saga["status"] == "undone"));
        assert_eq!(ended["reason"]["code"], "aborted", "{ended}");
        let left = get(&path);
        assert_eq!((&left["status"], &left["reason"]), (&json!("cancelled"), &json!("too dear")), "{left}");
        let enrolled = get(&format!("/v1/enrolments?campaign={id}&status=registered"));
        assert_eq!(enrolled["items"], json!([]), "nobody is left enrolled");
    }
    assert_eq!(get("/v1/brands/b-1/accounts/USD")["reserved"], "0.00");
}
