//! The bench against services: what a saga costs is counted in all of them, and at the broker.

use std::process::Command;

use serde_json::Value;

use crate::support::Stack;

#[test]
fn a_saga_over_the_broker_is_measured_with_its_commits_messages_and_entries() {
    let Some(stack) = Stack::find().map(Stack::all) else { return };
    let services = bff::CONTEXTS.map(|context| stack.url(context)).join(",");
    let (admin, namespace) = stack.topics();
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.args(["bench", "sagas", "--load", "one", "--clients", "4", "--seconds", "3", "--json"]);
    command.arg("--url").arg(stack.url("bff"));
    command.args(["--services", &services, "--broker-admin", admin, "--broker-namespace", &namespace]);
    let ran = command.output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON and nothing else");
    let row = &report["rows"][0];
    let of = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} is not known: {row}"));
    // A registration is nine steps; each of them but the last sends something on, and some are heard by two.
    assert!((8.0..30.0).contains(&of("messages")), "{row}");
    assert!(of("entries") > 0.0 && of("entries") <= of("messages"), "{row}");
    assert!(of("commits") > 0.0 && of("commits") <= 2.0 * of("messages"), "{row}");
}
