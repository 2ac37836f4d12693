//! A draft over HTTP: an operator pauses what reads the registration's next command, so that it stands between two rows.

use serde_json::Value;

use super::support::{Answer, Folder, Server, ask, campaign, until};

#[test]
fn a_draft_is_not_paused_resumed_or_finished_and_a_cancel_undoes_it_wherever_its_registration_is_held_back() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let get = |path: &str| ask(server.address, "GET", path, "").body;
    let post = |path: &str, body: &str| ask(server.address, "POST", path, body);
    let done = |answer: &Answer| assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.body);
    for (held, id, row) in [("partner", "c-1", 2), ("tracking", "c-2", 3)] {
        let reading = format!("/v1/subscriptions/{held}:0:{held}.commands");
        done(&post(&format!("{reading}/pause"), r#"{"reason": "to look at a draft"}"#));
        let registered = post("/v1/campaigns", &campaign(id, "b-1", &["p-1", "p-2"]));
        assert_eq!(registered.status, 202, "its saga has begun and cannot end: {}", registered.body);
        let saga = format!("/v1/sagas/{}", registered.body["saga"].as_str().expect("the id of its saga"));
        until("the saga stands at the row that is held back", || (get(&saga)["row"] == row).then_some(()));
        let path = format!("/v1/campaigns/{id}");
        assert_eq!(get(&path)["status"], "draft");
        for verb in ["pause", "resume", "finish"] {
            let answer = post(&format!("{path}/{verb}"), "");
            assert_eq!((answer.status, &answer.body["code"]), (409, &Value::from("campaign-is-draft")), "{verb}");
        }
        let cancelled = post(&format!("{path}/cancel"), r#"{"reason": "too dear"}"#);
        assert_eq!((cancelled.status, &cancelled.body["status"]), (202, &Value::from("undoing")), "{}", cancelled.body);
        assert_eq!(get(&saga)["status"], "undoing", "what is held back must be undone behind its step");
        assert_eq!(get(&path)["status"], "draft");

        done(&post(&format!("{reading}/resume"), ""));
        let ended = until("the saga has ended", || Some(get(&saga)).filter(|saga| saga["status"] == "undone"));
        assert_eq!(ended["reason"]["code"], "aborted", "{ended}");
        let left = get(&path);
        assert_eq!((&left["status"], &left["reason"]), (&Value::from("cancelled"), &Value::from("too dear")), "{left}");
        let enrolled = get(&format!("/v1/enrolments?campaign={id}&status=registered"));
        assert_eq!(enrolled["items"], Value::Array(Vec::new()), "nobody is left enrolled");
    }
    assert_eq!(get("/v1/brands/b-1/accounts/USD")["reserved"], "0.00");
}
