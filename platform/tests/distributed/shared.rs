//! Several processes share the partitions of a context, and one of them stands still.
#![expect(clippy::disallowed_methods, reason = "how long a takeover takes is measured in real time")]

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Stack, campaign, until};

/// How soon the partitions of a process that stands still have to flow again.
const TAKEOVER: Duration = Duration::from_secs(15);

#[test]
fn the_partitions_of_a_stopped_replica_flow_again_and_it_can_write_nothing_when_it_wakes() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    stack.start_replica("partner", "partner-2", 0);
    // Both have a share: campaigns go through either.
    for number in 0..8 {
        let told = stack.post("/v1/campaigns", 60, &campaign(&format!("c-{number}"), "b-1", 2));
        assert_eq!(told.json["status"], "completed", "{}", told.json);
    }
    stack.signal("partner-2", "-STOP");
    let from = Instant::now();
    for number in 8..16 {
        let told = stack.post("/v1/campaigns", 60, &campaign(&format!("c-{number}"), "b-1", 2));
        assert_eq!(told.json["status"], "completed", "{}", told.json);
    }
    let took = from.elapsed();
    stack.signal("partner-2", "-CONT");
    for number in 16..24 {
        let told = stack.post("/v1/campaigns", 60, &campaign(&format!("c-{number}"), "b-1", 2));
        assert_eq!(told.json["status"], "completed", "{}", told.json);
    }
    let enrolments = stack.get("/v1/enrolments?limit=200");
    assert_eq!(enrolments.json["items"].as_array().map(Vec::len), Some(48), "each once");
    assert_eq!(stack.get("/v1/dead-letters").json["items"], json!([]));
    // The eight after it include what no partition of the stopped one delayed, so this bounds the takeover.
    assert!(took < TAKEOVER + Duration::from_secs(5), "the partitions stood still for {took:?}");

    // One that is told to stop hands its partitions on at once.
    stack.stop("partner-2");
    let told = stack.post("/v1/campaigns", 30, &campaign("c-last", "b-1", 2));
    assert_eq!(told.json["status"], "completed", "{}", told.json);
    until("it is found", || (stack.get("/v1/enrolments/p-c-last-1~c-last").status == 200).then_some(()));
}
