//! One campaign from end to end, and services that come late.

use serde_json::json;

use crate::support::{Stack, campaign, until};

#[test]
fn a_campaign_is_registered_over_four_processes_and_found_at_each() {
    let Some(stack) = Stack::find().map(Stack::all) else { return };
    let told = stack.post("/v1/campaigns", 30, &campaign("c-1", "b-1", 2));
    assert_eq!((told.status, &told.json["status"]), (201, &json!("completed")), "{}", told.json);

    assert_eq!(stack.get("/v1/campaigns/c-1").json["status"], "active");
    assert_eq!(stack.get("/v1/enrolments/p-c-1-2~c-1").json["status"], "registered");
    assert_eq!(stack.get("/v1/brands/b-1/accounts/USD").json["reserved"], "10.00");
    let events = stack.get("/v1/events?campaign=c-1");
    assert_eq!(events.json["items"].as_array().map(Vec::len), Some(2), "{}", events.json);
    assert_eq!(stack.get("/v1/commands/campaign.register.v1:c-1").json["status"], "done");

    // Each service answers the paths of the document on its own port, and no other's.
    for (service, path) in [("campaign", "/campaigns"), ("partner", "/partners"), ("tracking", "/eventos")] {
        let told = stack.get_at(service, path);
        assert!(told.json.as_array().is_some_and(|items| !items.is_empty()), "{service}{path}: {told:?}");
        assert_eq!(stack.get_at(service, "/health").json, json!({"status": "ok"}), "{service}");
    }
    assert_eq!(stack.get_at("partner", "/v1/campaigns").status, 421);

    // The same request again is the same command; another body under its id is refused.
    let again = stack.post("/v1/campaigns", 30, &campaign("c-1", "b-1", 2));
    assert_eq!((again.status, &again.json["saga"]), (201, &told.json["saga"]), "{}", again.json);
    let other = stack.post("/v1/campaigns", 5, &campaign("c-1", "b-2", 2));
    assert_eq!((other.status, &other.json["code"]), (409, &json!("idempotency-mismatch")), "{}", other.json);

    // A refusal in another service undoes what was done, and says why.
    let banned = stack.post("/v1/partners/p-c-1-1/ban", 0, &json!({}));
    assert_eq!((banned.status, &banned.json["status"]), (200, &json!("banned")), "{}", banned.json);
    let mut second = campaign("c-2", "b-1", 2);
    second["participants"][1]["id"] = json!("p-c-1-1");
    let undone = stack.post("/v1/campaigns", 30, &second);
    assert_eq!((undone.status, &undone.json["status"]), (200, &json!("undone")), "{}", undone.json);
    assert_eq!(undone.json["reason"]["code"], "partner-banned", "{}", undone.json);
    assert_eq!(stack.get("/v1/campaigns/c-2").json["status"], "cancelled");
    assert_eq!(stack.get("/v1/brands/b-1/accounts/USD").json["reserved"], "10.00");
}

#[test]
fn a_service_that_was_never_started_finds_everything_when_it_starts() {
    let Some(mut stack) = Stack::find() else { return };
    stack.start("bff");
    // Nobody owns its key: it is durable in the broker's topic.
    let told = stack.post("/v1/campaigns", 0, &campaign("c-1", "b-1", 1));
    assert_eq!((told.status, &told.json["status"]), (202, &json!("waiting")), "{}", told.json);
    assert_eq!(stack.get("/v1/campaigns/c-1").status, 503);

    stack.start("campaign");
    until("the campaign is known", || (stack.get("/v1/campaigns/c-1").status == 200).then_some(()));
    // The saga waits for partners, whose queries are 503; the rest goes on.
    assert_eq!(stack.get("/v1/partners").status, 503);
    assert_eq!(stack.get("/v1/campaigns/c-1").json["status"], "draft");

    stack.start("partner");
    stack.start("tracking");
    assert_eq!(stack.ended("c-1"), "completed");
    assert_eq!(stack.get("/v1/campaigns/c-1").json["status"], "active");
}

#[test]
fn a_service_does_not_start_on_the_database_of_another_context() {
    let Some(mut stack) = Stack::find() else { return };
    stack.start("campaign");
    let told = stack.command("partner", &stack.database("campaign"), 0).output().expect("the binary starts");
    let why = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && why.contains("the database belongs to campaign and is not for partner"), "{why}");
}
