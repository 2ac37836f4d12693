//! What can be wrong when it starts: each is one clear line, and status 1.

use std::net::TcpListener;
use std::process::Command;

use super::support::{Folder, Server, alpes, ask, bare, ended};

#[test]
fn a_second_process_on_the_same_directory_is_refused_and_told_who_holds_it() {
    let folder = Folder::new();
    let first = Server::start(&folder);
    let second = ended(alpes(&folder.data()), &folder);
    let (address, process) = (format!("http://{}", first.address), format!("process {}", first.process()));
    second.is_clear(&[&address, &process, "--data"]);
    assert_eq!(ask(first.address, "GET", "/v1/campaigns", "").status, 200, "the first goes on");
    first.kill();
    Server::start(&folder);
}

#[test]
fn a_port_in_use_is_told() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = other.local_addr().expect("it is bound").port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.args(["serve", "--port", &port, "--data"]).arg(folder.data());
    ended(command, &folder).is_clear(&[&port, "another program listens there", "--port"]);
}

#[test]
fn it_listens_to_other_machines_only_when_the_network_is_trusted() {
    let folder = Folder::new();
    let mut command = alpes(&folder.data());
    command.args(["--host", "0.0.0.0"]);
    ended(command, &folder).is_clear(&["0.0.0.0", "--trust-network"]);
    assert!(!folder.data().exists(), "refused before anything was made");
    let mut command = alpes(&folder.data());
    command.args(["--host", "0.0.0.0", "--trust-network"]);
    let server = Server::listening(command, &folder);
    assert_eq!(ask(([127, 0, 0, 1], server.address.port()).into(), "GET", "/v1/campaigns", "").status, 200);
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_told() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    ended(alpes(&file), &folder).is_clear(&["data directory", "--data"]);
    ended(alpes(&file.join("below")), &folder).is_clear(&["data directory", "--data"]);
    // A directory stands where the store's file should be: nobody's rights help, not even root's.
    std::fs::create_dir_all(folder.store()).expect("a directory");
    ended(alpes(&folder.data()), &folder).is_clear(&["alpes.db"]);
}

#[test]
fn port_and_directory_come_from_the_environment_too() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    bare(&mut command);
    command.env("ALPES_PORT", "0").env("ALPES_DATA", folder.data());
    let server = Server::listening(command, &folder);
    assert_eq!(ask(server.address, "GET", "/v1/campaigns", "").status, 200);
    assert!(folder.store().exists());
}

#[test]
fn the_log_is_json_with_the_trace_of_each_request_when_asked_for() {
    let folder = Folder::new();
    let mut command = alpes(&folder.data());
    command.args(["--log-format", "json", "--log-level", "warn,http=info"]);
    let server = Server::listening(command, &folder);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let mut client = super::support::Client::open(server.address).expect("it listens");
    let blocked = client.ask("POST", "/v1/blocks", &header, r#"{"partner":"p-1"}"#).expect("an answer");
    assert_eq!(blocked.status, 201, "{blocked:?}");
    assert_eq!(client.ask("GET", "/v1/campaigns/c-1", "", "").expect("an answer").status, 404);
    let lines: Vec<serde_json::Value> = super::support::until("both are told", || {
        let told = server.error();
        let lines: Vec<_> = told.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        (lines.len() >= 2).then_some(lines)
    });
    assert_eq!(
        (&lines[0]["trace_id"], &lines[0]["status"], &lines[0]["route"]),
        (&trace.into(), &201.into(), &"/v1/blocks".into())
    );
    let made = lines[1]["trace_id"].as_str().expect("a trace");
    assert!(made.len() == 32 && made != trace, "one that brings none gets one: {}", lines[1]);
}
