//! `alpes demo`: one saga of each outcome, made through the public API, and nothing new the second time.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Folder, Said, Server, ask, bare, run, signal, until};

#[track_caller]
fn demo(folder: &Folder, arguments: &[&str]) -> Said {
    let arguments = [&["demo"], arguments].concat();
    run(folder.path(), &arguments, |command| {
        command.env("ALPES_DATA", folder.data());
    })
}

/// The story of this campaign.
#[track_caller]
fn story(told: &Value, campaign: &str) -> Value {
    let all = told.as_array().expect("a list");
    all.iter().find(|story| story["campaign"] == campaign).unwrap_or_else(|| panic!("{campaign} is missing: {told}")).clone()
}

#[test]
fn it_makes_one_saga_of_each_outcome_and_nothing_new_the_second_time() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let told = demo(&folder, &["--json"]).json();
    for (campaign, outcome, status, reason) in [
        ("demo-cosecha", "completed", "active", ""),
        ("demo-feria", "completed", "paused", ""),
        ("demo-carnaval", "completed", "finished", ""),
        ("demo-cancelada", "completed", "cancelled", ""),
        ("demo-vetada", "undone", "cancelled", "partner.register-enrolment.v1: the partner is banned"),
        ("demo-bloqueada", "undone", "cancelled", "tracking.record-event.v1: events of the partner are blocked"),
        ("demo-sin-cupo", "undone", "cancelled", "campaign.approve-reservation.v1: 80000000.00 COP cannot be reserved"),
    ] {
        let story = story(&told, campaign);
        assert_eq!((&story["outcome"], &story["status"]), (&outcome.into(), &status.into()), "{story}");
        assert!(story["reason"].as_str().unwrap_or_default().starts_with(reason), "{story}");
        assert_eq!(story["known"], false);
    }
    // Whether the cancel came in time is a race; what it leads to is not.
    assert_eq!(story(&told, "demo-interrumpida")["status"], "cancelled", "{told}");
    let events = ask(server.address, "GET", "/v1/events?campaign=demo-cosecha", "").body;
    let kinds = |kind: &str| events["items"].as_array().map(|all| all.iter().filter(|event| event["kind"] == kind).count());
    assert_eq!((kinds("click"), kinds("conversion")), (Some(1), Some(2)), "{events}");
    let sagas = ask(server.address, "GET", "/v1/sagas?limit=200", "").body;

    let again = demo(&folder, &["--json"]).json();
    assert!(again.as_array().is_some_and(|all| all.iter().all(|story| story["known"] == true)), "{again}");
    assert_eq!(ask(server.address, "GET", "/v1/sagas?limit=200", "").body, sagas, "nothing has happened the second time");
    let table = demo(&folder, &[]);
    assert_eq!(table.status, Some(0), "{table:?}");
    for words in ["refused at row 3", "8 of 8 were there already", "alpes sagas show", "/v1/campaigns/demo-cosecha"] {
        assert!(table.out.contains(words), "{words} is missing: {table:?}");
    }
}

#[test]
fn where_no_server_runs_it_has_one_of_its_own_until_it_is_told_to_stop() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.arg("demo").current_dir(folder.path()).stdin(Stdio::null());
    bare(&mut command);
    command.env("ALPES_DATA", folder.data()).env("TMPDIR", folder.path());
    let mut demo = Server::listening(command, &folder);
    let campaign = ask(demo.address, "GET", "/v1/campaigns/demo-cosecha", "").body;
    let own = format!("alpes-demo-{}", demo.process());
    let was_there = folder.path().join(&own).exists();
    // Told to stop before anything is asserted: a demo that is killed leaves its server behind.
    signal("INT", demo.process());
    let ended = demo.ended();
    assert_eq!(campaign["status"], "active", "{campaign}");
    assert!(was_there, "its data is where temporary things are");
    assert!(ended.status.success(), "{}", ended.error);
    until("its data is deleted", || (!folder.path().join(&own).exists()).then_some(()));
    assert!(!folder.data().exists(), "it makes nothing where the server's data would be");
}
