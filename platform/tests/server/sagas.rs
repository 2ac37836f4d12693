//! `alpes sagas` against a running server: tables for people, JSON for programs, and a saga that is watched to its end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::{Client, Folder, Said, Server, ask, bare, campaign, run};

/// Runs a command beside the server, which it finds by the data directory.
#[track_caller]
fn alpes(folder: &Folder, arguments: &[&str]) -> Said {
    run(folder.path(), arguments, |command| with_data(command, folder))
}

fn with_data(command: &mut Command, folder: &Folder) {
    command.env("ALPES_DATA", folder.data()).env("TZ", "UTC");
}

/// Registers a campaign, and waits until its saga has ended.
#[track_caller]
fn register(server: &Server, id: &str, participants: &[&str]) -> Value {
    let body = campaign(id, "b-1", participants);
    let mut client = Client::open(server.address).expect("the server listens");
    client.ask("POST", "/v1/campaigns", "Prefer: wait=30\r\n", &body).expect("an answer").body
}

/// A server with a campaign that completed, `c-1`, and one that was undone, `c-2`.
#[track_caller]
fn told(folder: &Folder) -> Server {
    let server = Server::start(folder);
    assert_eq!(register(&server, "c-1", &["p-1", "p-2"])["status"], "completed");
    assert_eq!(ask(server.address, "POST", "/v1/partners/p-1/ban", "").status, 200);
    assert_eq!(register(&server, "c-2", &["p-1"])["status"], "undone");
    server
}

#[test]
fn sagas_are_listed_as_a_table_and_as_json() {
    let folder = Folder::new();
    let _server = told(&folder);
    let table = alpes(&folder, &["sagas", "list", "--oldest"]);
    assert_eq!(table.status, Some(0), "{table:?}");
    assert!(!table.out.contains('\u{1b}'), "no colours where no terminal is: {table:?}");
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    let column = lines[0].find("STATUS").expect("a head");
    assert!(lines[1].starts_with("c-1~") && lines[1][column..].starts_with("completed"), "{table:?}");
    assert!(lines[2].starts_with("c-2~") && lines[2][column..].starts_with("undone"), "{table:?}");
    assert!(lines[2].contains("partner-banned"), "{table:?}");

    let json = alpes(&folder, &["sagas", "list", "--json"]).json();
    let statuses: Vec<&Value> = json.as_array().expect("a list").iter().map(|saga| &saga["status"]).collect();
    assert_eq!(statuses, ["undone", "completed"], "the newest first");
    let undone = alpes(&folder, &["sagas", "list", "--status", "undone", "--kind", "campaign.registration", "--json"]).json();
    assert!(undone.as_array().is_some_and(|all| all.len() == 1 && all[0]["key"] == "c-2"), "{undone}");
    alpes(&folder, &["sagas", "list", "--status", "gone"]).fails(1, &["status", "stuck", "400"]);
    let one = alpes(&folder, &["sagas", "list", "--key", "c-2", "--json"]).json();
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one}");
    let first = alpes(&folder, &["sagas", "list", "--limit", "1"]);
    assert!(first.out.lines().count() == 2 && first.error.contains("--limit"), "{first:?}");
    let none = alpes(&folder, &["sagas", "list", "--key", "c-9"]);
    assert_eq!((none.status, none.out.as_str()), (Some(0), "no saga\n"));
}

#[test]
fn a_saga_is_shown_with_its_plan_its_reason_and_its_log() {
    let folder = Folder::new();
    let _server = told(&folder);
    let shown = alpes(&folder, &["sagas", "show", "c-2"]);
    assert_eq!(shown.status, Some(0), "{shown:?}");
    for words in
        ["c-2~", "undone", "partner-banned", "partner.register-enrolment.v1", "not reached", "turned-round", "(in campaign)"]
    {
        assert!(shown.out.contains(words), "{words} is missing: {shown:?}");
    }
    let json = alpes(&folder, &["sagas", "show", "c-1", "--json"]).json();
    assert_eq!(json["status"], "completed");
    assert!(json["log"].as_array().is_some_and(|log| log.len() > 5), "{json}");
    let id = json["id"].as_str().expect("an id");
    assert!(alpes(&folder, &["sagas", "show", id]).out.contains("2 done"), "both participants are counted");
}

#[test]
fn a_saga_tells_what_caused_what_and_where_the_time_went() {
    let folder = Folder::new();
    let _server = told(&folder);
    let why = alpes(&folder, &["sagas", "why", "c-1"]);
    assert_eq!(why.status, Some(0), "{why:?}");
    for words in ["campaign.register.v1", "  partner.register-enrolment.v1", "campaign.activate.v1", " ms", "in line"] {
        assert!(why.out.contains(words), "{words} is missing: {why:?}");
    }
    let json = alpes(&folder, &["sagas", "why", "c-1", "--json"]).json();
    assert!(json["messages"].as_array().is_some_and(|messages| messages.len() > 5), "{json}");
}

#[test]
fn a_saga_is_watched_to_its_end_and_the_status_tells_which() {
    let folder = Folder::new();
    let _server = told(&folder);
    let completed = alpes(&folder, &["sagas", "watch", "c-1"]);
    assert_eq!(completed.status, Some(0), "{completed:?}");
    assert!(completed.out.contains("started") && completed.out.trim_end().ends_with("completed"), "{completed:?}");
    let undone = alpes(&folder, &["sagas", "watch", "c-2"]);
    assert_eq!((undone.status, undone.error.as_str()), (Some(5), ""), "{undone:?}");
    let json = alpes(&folder, &["sagas", "watch", "c-1", "--json"]).json();
    assert_eq!(json["status"], "completed");
}

#[test]
fn what_is_not_there_and_who_does_not_answer_have_their_own_status() {
    let folder = Folder::new();
    alpes(&folder, &["sagas", "list"]).fails(4, &["no server runs", "alpes serve", "--url", "--data"]);
    let server = Server::start(&folder);
    alpes(&folder, &["sagas", "show", "c-9"]).fails(3, &["no saga is known under c-9"]);
    alpes(&folder, &["sagas", "show", "c-9~abc"]).fails(3, &["c-9~abc"]);
    alpes(&folder, &["sagas", "watch", "c-9~abc"]).fails(3, &["c-9~abc"]);
    let url = format!("http://{}", server.address);
    assert_eq!(run(folder.path(), &["sagas", "list", "--url", &url], |_| {}).out, "no saga\n", "found by its address alone");
    alpes(&folder, &["sagas", "list", "--key", "not an id"]).fails(1, &["key", "400"]);
    server.kill();
    assert!(!fs::read_to_string(folder.data().join("lock")).expect("a lock file").is_empty(), "it could not say goodbye");
    let listed = alpes(&folder, &["sagas", "list"]);
    assert_eq!((listed.status, listed.out.as_str()), (Some(0), "no saga\n"), "its store is there: {listed:?}");
    assert!(listed.error.contains("no server runs"), "{listed:?}");
    run(folder.path(), &["sagas", "list", "--url", &url], |_| {}).fails(4, &[&url, "does not answer"]);
}

/// Makes a saga stand elsewhere than it does; nobody holds its store.
#[track_caller]
pub fn stand(folder: &Folder, id: &str, stands: &str) {
    let store = rusqlite::Connection::open(folder.store()).expect("the store opens");
    let sql = "UPDATE saga SET stage = 'running', body = json_set(body, '$.run', json(?1)) WHERE id = ?2";
    assert_eq!(store.execute(sql, [stands, id]).expect("it is changed"), 1);
}

/// A store with a saga that stands in its last row and has passed its deadline, and the id of that saga.
pub fn late() -> (Folder, String) {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let registered = register(&server, "c-1", &["p-1", "p-2"]);
    let id = registered["saga"].as_str().expect("an id").to_owned();
    assert!(server.stop().status.success());
    stand(&folder, &id, r#"{"stage":"running","row":5,"rows":["d||","dd||","dd||","d||","s||"],"late":true}"#);
    (folder, id)
}

#[test]
fn a_late_saga_is_retried_and_goes_on_to_its_end() {
    let (folder, id) = late();
    let _server = Server::start(&folder);
    let listed = alpes(&folder, &["sagas", "list", "--status", "late"]);
    assert!(listed.out.contains(&id) && listed.out.contains("running (late)"), "{listed:?}");
    assert!(alpes(&folder, &["sagas", "show", &id]).out.contains("retry"), "it says what is possible");
    let retried = alpes(&folder, &["sagas", "retry", "c-1", "--reason", "the context is back", "--json"]).json();
    assert!(retried["did"].as_array().is_some_and(|did| !did.is_empty()), "{retried}");
    assert_eq!(alpes(&folder, &["sagas", "watch", &id]).status, Some(0));
    assert_eq!(alpes(&folder, &["sagas", "list", "--status", "late"]).out, "no saga\n");
    alpes(&folder, &["sagas", "retry", &id]).fails(1, &["the saga has ended", "409"]);
    alpes(&folder, &["sagas", "abort", &id, "--reason", "too late"]).fails(1, &["the saga has ended", "409"]);
}

#[test]
fn where_no_server_runs_the_store_is_opened_and_sagas_are_seen_and_decided() {
    let (folder, id) = late();
    let shown = alpes(&folder, &["sagas", "show", "c-1", "--json"]).json();
    assert_eq!((&shown["id"], &shown["status"]), (&id.as_str().into(), &"running".into()), "{shown}");
    assert_eq!(alpes(&folder, &["subscriptions", "list", "--json"]).json().as_array().map(Vec::is_empty), Some(false));
    assert_eq!(alpes(&folder, &["streams", "list", "--json"]).json().as_array().map(Vec::is_empty), Some(false));
    let unknown = alpes(&folder, &["sagas", "show", "c-9~abc"]);
    assert!(unknown.status == Some(3) && unknown.error.contains("no saga \"c-9~abc\""), "{unknown:?}");
    let retried = alpes(&folder, &["sagas", "retry", "c-1", "--reason", "the context is back", "--json"]).json();
    assert!(retried["did"].as_array().is_some_and(|did| !did.is_empty()), "{retried}");
    // Its command is sent, and handled while the store is open; at the latest while somebody watches.
    assert_eq!(alpes(&folder, &["sagas", "watch", &id]).status, Some(0));
    assert_eq!(fs::read_to_string(folder.data().join("lock")).expect("a lock file"), "", "nobody holds it afterwards");
    let server = Server::start(&folder);
    assert_eq!(ask(server.address, "GET", &format!("/v1/sagas/{id}"), "").body["status"], "completed", "what was done stays");
}

#[test]
fn a_late_saga_is_resolved_and_ends_with_an_exception_that_names_who_said_so() {
    let (folder, id) = late();
    let _server = Server::start(&folder);
    let without = alpes(&folder, &["sagas", "resolve", &id]);
    assert!(without.status == Some(2) && without.error.contains("--reason"), "{without:?}");
    alpes(&folder, &["sagas", "resolve", &id, "--reason", "x", "--outcome", "happened"]).fails(1, &["outcome"]);
    let decided = ["sagas", "resolve", &id, "--reason", "seen in the books", "--actor", "maria"];
    let resolved = alpes(&folder, &decided);
    assert_eq!(resolved.status, Some(0), "{resolved:?}");
    assert!(resolved.out.contains("resolved"), "{resolved:?}");
    assert_eq!(alpes(&folder, &["sagas", "watch", &id]).status, Some(5), "it ended with exceptions");
    let shown = alpes(&folder, &["sagas", "show", &id]);
    assert!(shown.out.contains("completed (exceptions)") && shown.out.contains("seen in the books, said maria"), "{shown:?}");
    assert!(alpes(&folder, &["sagas", "list", "--status", "exceptions"]).out.contains(&id));
}

#[test]
fn a_saga_before_its_pivot_is_aborted_and_undone() {
    let folder = Folder::new();
    let server = told(&folder);
    let listed = alpes(&folder, &["sagas", "list", "--key", "c-2", "--json"]).json();
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    assert!(server.stop().status.success());
    stand(&folder, &id, r#"{"stage":"running","row":2,"rows":["d||","s||"],"late":false}"#);
    let _server = Server::start(&folder);
    alpes(&folder, &["sagas", "retry", &id]).fails(1, &["neither stuck nor past its deadline", "409"]);
    let aborted = alpes(&folder, &["sagas", "abort", &id, "--reason", "nobody answers"]);
    assert_eq!(aborted.status, Some(0), "{aborted:?}");
    let watched = alpes(&folder, &["sagas", "watch", &id]);
    assert!(watched.status == Some(5) && watched.out.trim_end().ends_with("undone"), "{watched:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that nothing is asked meanwhile takes a while to see")]
fn who_watches_a_saga_is_told_when_it_moves_and_waits_for_a_server_that_is_started_anew() {
    let (folder, id) = late();
    let mut server = Server::start(&folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.args(["sagas", "watch", &id, "--json"]).current_dir(folder.path());
    bare(&mut command);
    with_data(&mut command, &folder);
    let mut watches = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut says = BufReader::new(watches.stdout.take().expect("a pipe"));
    let mut hear = || {
        let mut line = String::new();
        says.read_line(&mut line).expect("it can be read");
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
    };
    assert_eq!(hear()["late"], true, "as it stands");
    // It comes back elsewhere: the port is another one.
    server.kill();
    server = Server::start(&folder);
    std::thread::sleep(Duration::from_secs(2));
    let metrics = ureq::get(format!("http://{}/metrics", server.address)).call().expect("an answer");
    let metrics = metrics.into_body().read_to_string().expect("a text");
    assert!(metrics.contains("route=\"/metrics\"") || metrics.contains("alpes_commits_total"), "{metrics}");
    assert!(!metrics.contains("/v1/sagas/{id}"), "who waits has one question open, and asks no other: {metrics}");
    assert_eq!(alpes(&folder, &["sagas", "retry", &id, "--reason", "the context is back"]).status, Some(0));
    let mut last = hear();
    while last["status"] != "completed" {
        last = hear();
    }
    let what = |line: &Value| line["what"] == "retried" && line["detail"] == "the context is back";
    assert!(last["log"].as_array().expect("a log").iter().any(what), "{last}");
    assert_eq!(watches.wait().expect("it ends").code(), Some(0));
    let mut error = String::new();
    watches.stderr.take().expect("a pipe").read_to_string(&mut error).expect("it can be read");
    assert_eq!(error.matches("tried again").count(), 1, "it says once that nobody answers: {error}");
}
