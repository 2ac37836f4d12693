//! `alpes subscriptions` and `alpes streams` against a running server.

use rusqlite::Connection;

use super::support::{Client, Folder, Said, Server, campaign, run, until};

#[track_caller]
fn alpes(folder: &Folder, arguments: &[&str]) -> Said {
    run(folder.path(), arguments, |command| {
        command.env("ALPES_DATA", folder.data()).env("TZ", "UTC");
    })
}

#[track_caller]
fn register(server: &Server, id: &str, headers: &str) -> serde_json::Value {
    let mut client = Client::open(server.address).expect("the server listens");
    client.ask("POST", "/v1/campaigns", headers, &campaign(id, "b-1", &["p-1"])).expect("an answer").body
}

/// The id of the subscription to a topic.
#[track_caller]
fn subscription(folder: &Folder, topic: &str) -> String {
    let all = alpes(folder, &["subscriptions", "list", "--json"]).json();
    let found = all.as_array().and_then(|all| all.iter().find(|one| one["topic"] == topic));
    found.and_then(|one| one["id"].as_str()).unwrap_or_else(|| panic!("{topic} is missing: {all}")).to_owned()
}

#[test]
fn a_subscription_is_paused_with_a_reason_and_resumed_and_nothing_is_lost() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    assert_eq!(register(&server, "c-1", "Prefer: wait=30\r\n")["status"], "completed");
    let id = subscription(&folder, "partner.commands");
    let without = alpes(&folder, &["subscriptions", "pause", &id]);
    assert!(without.status == Some(2) && without.error.contains("--reason"), "{without:?}");
    let paused = alpes(&folder, &["subscriptions", "pause", &id, "--reason", "a look inside", "--actor", "maria"]);
    assert!(paused.status == Some(0) && paused.out.contains("by maria: a look inside"), "{paused:?}");
    assert_eq!(register(&server, "c-2", "")["status"], "accepted");
    let listed = until("a command waits to be read", || {
        let listed = alpes(&folder, &["subscriptions", "list"]).out;
        let line = listed.lines().find(|line| line.starts_with(&id))?.to_owned();
        (line.split_whitespace().nth(2) == Some("1")).then_some(line)
    });
    assert!(listed.contains("paused"), "{listed}");
    let doctor = alpes(&folder, &["doctor"]);
    assert!(
        doctor.status == Some(0) && doctor.out.contains(&format!("1 ({id} since")),
        "it is told, and is not wrong: {doctor:?}"
    );
    let resumed = alpes(&folder, &["subscriptions", "resume", &id, "--json"]).json();
    assert_eq!(resumed["state"], "reading");
    assert_eq!(alpes(&folder, &["sagas", "watch", "c-2"]).status, Some(0), "it goes on where it stopped");
    alpes(&folder, &["subscriptions", "resume", "nobody:0:nothing"]).fails(3, &["nobody:0:nothing"]);
}

#[test]
fn streams_are_listed_and_sent_again_and_only_a_gap_is_skipped() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    register(&server, "c-1", "Prefer: wait=30\r\n");
    let listed = alpes(&folder, &["streams", "list"]);
    let line = listed.out.lines().find(|line| line.starts_with("campaign/0/")).unwrap_or_else(|| panic!("{listed:?}"));
    assert!(line.contains("partner.commands"), "{listed:?}");
    let stream = line.split_whitespace().next().expect("an id");
    let rows = alpes(&folder, &["streams", "rows", stream, "--topic", "partner.commands"]);
    assert!(rows.status == Some(0) && rows.out.lines().count() == 2, "{rows:?}");
    assert!(rows.out.contains("partner.register-enrolment.v1") && rows.out.contains("p-1"), "{rows:?}");
    let first = alpes(&folder, &["streams", "rows", stream, "--limit", "1"]);
    assert!(first.out.lines().count() == 2 && first.error.contains("--after 1"), "{first:?}");
    let behind = alpes(&folder, &["streams", "rows", stream, "--after", "1", "--json"]).json();
    assert!(behind.as_array().is_some_and(|rows| rows[0]["position"] == 2), "{behind}");
    alpes(&folder, &["streams", "rows", "campaign/0/1"]).fails(3, &["campaign/0/1"]);
    let resent = alpes(&folder, &["streams", "resend", stream, "--topic", "partner.commands", "--after", "0"]);
    assert!(resent.status == Some(0) && resent.out.starts_with("sent again to partner.commands from"), "{resent:?}");
    alpes(&folder, &["streams", "resend", "campaign", "--topic", "x", "--after", "0"]).fails(2, &["context/partition/epoch"]);
    alpes(&folder, &["streams", "resend", "campaign/0/1", "--topic", "partner.commands", "--after", "0"])
        .fails(3, &["campaign/0/1"]);
    let skip = ["streams", "skip", stream, "--topic", "partner.commands", "--reader", "partner", "--reason", "lost"];
    alpes(&folder, &skip).fails(2, &["never takes effect", "--yes"]);
    let skipped = alpes(&folder, &[&skip[..], &["--yes"]].concat());
    assert_eq!(skipped.status, Some(1), "there is no gap: {skipped:?}");
    assert!(server.stop().status.success());
    let store = Connection::open(folder.store()).expect("the store opens");
    let kept: i64 =
        store.query_row("SELECT count(*) FROM operation WHERE decision LIKE '%esend%'", [], |row| row.get(0)).expect("kept");
    assert_eq!(kept, 1, "the decision is kept");
}
