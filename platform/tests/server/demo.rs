//! `alpes demo`: one saga of each outcome, made through the public API, and nothing new the second time.
#![expect(clippy::disallowed_methods, reason = "a server of the test's own is a thread")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

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

/// Answers one request after the other as a server does in which every campaign is registered and its saga ends when it is waited for; what was
/// asked, line by line.
fn patient(connection: &mut TcpStream, ended: &mut BTreeSet<String>, asked: &mut Vec<String>) {
    let mut bytes = Vec::new();
    loop {
        let Some(blank) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            let mut part = [0; 4096];
            match connection.read(&mut part) {
                Ok(read) if read > 0 => bytes.extend_from_slice(&part[..read]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..blank]).to_ascii_lowercase();
        bytes.drain(..blank + 4);
        let path = head.split_whitespace().nth(1).expect("a path").to_owned();
        let saga = |id: &str, ended: &BTreeSet<String>| {
            let status = if ended.contains(id) { "completed" } else { "running" };
            json!({"id": id, "name": "campaign.registration", "status": status, "reason": null})
        };
        let body = if let Some(id) = path.strip_prefix("/v1/sagas/") {
            assert!(head.contains("prefer: wait="), "it lets the server wait: {head}");
            // The first answer is that it runs; the next is the one that was waited for.
            let told = saga(id, ended);
            if head.contains("if-none-match: \"1\"") || told["status"] == "completed" {
                ended.insert(id.to_owned());
            }
            saga(id, ended)
        } else if let Some(key) = path.strip_prefix("/v1/sagas?key=").and_then(|rest| rest.split('&').next()) {
            json!({"items": [saga(&format!("{key}~1"), ended)], "next": null})
        } else {
            json!({"status": "active"})
        };
        asked.push(path);
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"1\"\r\ncontent-length: {length}\r\n\r\n");
        connection.write_all(format!("{head}{body}").as_bytes()).expect("it can be answered");
    }
}

#[test]
fn it_lets_the_server_say_when_a_saga_has_ended_and_asks_nothing_again_and_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (sender, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut ended = BTreeSet::new();
        for connection in listener.incoming() {
            let mut asked = Vec::new();
            patient(&mut connection.expect("a connection"), &mut ended, &mut asked);
            asked.into_iter().for_each(|path| sender.send(path).expect("the test listens"));
        }
    });
    let folder = Folder::new();
    let told = demo(&folder, &["--json", "--url", &url]).json();
    assert!(
        told.as_array().is_some_and(|all| all.len() == 8 && all.iter().all(|story| story["outcome"] == "completed")),
        "{told}"
    );
    // Each of the eight: is it there, its sagas, its saga twice, its sagas again, what became of it.
    let asked: Vec<String> = heard.iter().take(8 * 6).collect();
    let of = |campaign: &str| asked.iter().filter(|path| path.contains(campaign)).map(String::as_str).collect::<Vec<_>>();
    let (saga, list) = ("/v1/sagas/demo-feria~1", "/v1/sagas?key=demo-feria&limit=200");
    assert_eq!(of("demo-feria"), ["/v1/campaigns/demo-feria", list, saga, saga, list, "/v1/campaigns/demo-feria"]);
    assert!(heard.try_recv().is_err(), "and nothing else");
}
