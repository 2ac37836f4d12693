//! Several processes share the partitions of a context, and one of them stands still.
#![expect(clippy::disallowed_methods, reason = "how long a takeover takes is measured in real time, and clients are threads")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use walks::http::Scene;
use walks::{Alpes, Told, invariants};

use crate::stories::Processes;
use crate::support::{BOUND, Stack, campaign, listening, until};

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

/// Registers campaigns until it is told to stop, and waits until nothing moves any more. All clients count together.
fn register(processes: &Arc<Processes>, done: &AtomicBool, all: &AtomicUsize) {
    let mut scene = Scene::new(processes);
    let until = Instant::now() + BOUND;
    let mut asked = 0;
    while !done.load(Ordering::SeqCst) && Instant::now() < until {
        asked += 1;
        all.fetch_add(1, Ordering::SeqCst);
        scene.ask(&walks::campaign(&format!("c-{asked}")).budget("10", "USD"));
        // Below what this machine can do, so that the time goes by with sagas at every stage and not with a queue.
        std::thread::sleep(Duration::from_millis(40));
    }
    scene.rest();
    assert_eq!(invariants(&scene), Ok(()));
    let completed = scene.sagas().iter().filter(|(_, record)| record.stage() == "completed").count();
    assert_eq!(completed, asked, "each that was accepted was registered, once");
}

#[test]
fn of_what_an_owner_says_to_itself_nothing_is_lost_or_done_twice_when_its_partitions_change_hands() {
    let Some(processes) = Processes::start() else { return };
    let stack = &processes.stack;
    let holds = |url: &str| {
        let told = ureq::get(format!("{url}/v1/subscriptions")).header("alpes-sent-on", "1").call();
        let told: Value = told.ok().and_then(|mut told| told.body_mut().read_to_string().ok()?.parse().ok()).unwrap_or_default();
        told["items"].as_array().map_or(0, Vec::len)
    };
    let (done, all) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| register(&processes, &done, &all))).collect();
        // Another replica of the context that commands itself takes its share, and gives it back: when it is told to, or when its leases end.
        for killed in [false, true, false] {
            let (mut replica, url) = listening(stack.command("campaign", &stack.database("campaign"), 0));
            until("it holds its share", || (holds(&url) > 0).then_some(()));
            let before = all.load(Ordering::SeqCst);
            until("more are asked for meanwhile", || (all.load(Ordering::SeqCst) >= before + 12).then_some(()));
            if killed {
                replica.kill().expect("it can be killed");
            } else {
                let told = Command::new("kill").args(["-TERM", &replica.id().to_string()]).status().expect("kill runs");
                assert!(told.success());
            }
            let ended = replica.wait().expect("it ends");
            assert!(killed || ended.success(), "{ended}");
        }
        done.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().expect("a client that found all well"));
    });
    assert_eq!(stack.get("/v1/dead-letters").json["items"], json!([]));
}
