//! `alpes dead-letters` against a running server: seen, edited, replayed and discarded, and never in bulk without being asked.

use std::fs;

use rusqlite::Connection;

use super::support::{Client, Folder, Said, Server, campaign, run, until};

#[track_caller]
fn alpes(folder: &Folder, arguments: &[&str]) -> Said {
    let arguments = [&["dead-letters"], arguments].concat();
    run(folder.path(), &arguments, |command| {
        command.env("ALPES_DATA", folder.data()).env("TZ", "UTC");
    })
}

/// A server on whose store the events that activated two campaigns are dead letters of tracking.
fn told() -> (Folder, Server) {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::open(server.address).expect("the server listens");
    for id in ["c-1", "c-2"] {
        let body = campaign(id, "b-1", &["p-1"]);
        let answer = client.ask("POST", "/v1/campaigns", "Prefer: wait=30\r\n", &body).expect("an answer");
        assert_eq!(answer.body["status"], "completed", "{answer:?}");
    }
    assert!(server.stop().status.success());
    let store = Connection::open(folder.store()).expect("the store opens");
    let sql = "INSERT INTO waiting (partition, number, lane, attempts, due, dead, not_yet, topic, reason, raw, since, kind, key, source, \
               saga, revision, original) \
               SELECT (SELECT id FROM name WHERE text = 'tracking/0'), row_number() OVER (ORDER BY id), 'lane ' || id, 8, NULL, 1, NULL, \
               topic, 'the disk was on fire', CAST(raw AS BLOB), written, 'campaign.activated.v1', json_extract(raw, '$.subject'), \
               'campaign', NULL, 1, NULL FROM log WHERE json_extract(raw, '$.type') = 'campaign.activated.v1'";
    assert_eq!(store.execute(sql, []).expect("they are planted"), 2);
    drop(store);
    let server = Server::start(&folder);
    (folder, server)
}

/// How many there are.
#[track_caller]
fn count(folder: &Folder) -> usize {
    alpes(folder, &["list", "--json"]).json().as_array().expect("a list").len()
}

#[test]
fn dead_letters_are_listed_and_shown() {
    let (folder, _server) = told();
    let table = alpes(&folder, &["list", "--oldest"]);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    for words in ["campaign.activated.v1", "c-1", "the disk was on fire"] {
        assert!(lines[1].contains(words), "{words} is missing: {table:?}");
    }
    assert_eq!(alpes(&folder, &["list", "--key", "c-2"]).out.lines().count(), 2);
    assert_eq!(alpes(&folder, &["list", "--failed-with", "flood"]).out, "no dead letter\n");
    let id = lines[1].split_whitespace().next().expect("an id");
    let shown = alpes(&folder, &["show", id]);
    for words in [id, "the disk was on fire", "tried 8 times", "Envelope", "\"partners\""] {
        assert!(shown.out.contains(words), "{words} is missing: {shown:?}");
    }
    assert_eq!(alpes(&folder, &["show", id, "--json"]).json()["key"], "c-1");
    alpes(&folder, &["show", "tracking:0:99"]).fails(3, &["tracking:0:99"]);
}

#[test]
fn in_bulk_nothing_is_done_before_a_look_and_a_yes() {
    let (folder, _server) = told();
    let dry = alpes(&folder, &["replay", "--all", "--dry-run"]);
    assert!(dry.status == Some(0) && dry.out.matches("would be replayed").count() == 2, "{dry:?}");
    alpes(&folder, &["replay", "--all"]).fails(2, &["2 dead letters will be replayed", "--yes"]);
    alpes(&folder, &["replay"]).fails(2, &["--kind", "--all"]);
    alpes(&folder, &["replay", "--all", "--key", "c-1"]).fails(2, &["say which"]);
    assert_eq!(count(&folder), 2, "nothing was done");
    let replayed = alpes(&folder, &["replay", "--kind", "campaign.activated.v1", "--yes", "--reason", "the fire is out"]);
    assert!(replayed.status == Some(0) && replayed.out.lines().all(|line| line.starts_with("replayed")), "{replayed:?}");
    until("both have been handled", || (count(&folder) == 0).then_some(()));
    assert_eq!(alpes(&folder, &["replay", "--all", "--yes"]).out, "no dead letter\n");
}

#[test]
fn one_is_edited_and_one_is_discarded_with_a_reason() {
    let (folder, _server) = told();
    let all = alpes(&folder, &["list", "--oldest", "--json"]).json();
    let id = |place: usize| all[place]["id"].as_str().expect("an id").to_owned();
    let body = folder.path().join("body.json");
    let new = r#"{"campaign":"c-1","name":"Otra","kind":"mixed","partners":["p-1"]}"#;
    fs::write(&body, new).expect("a file");
    let edited = alpes(&folder, &["edit", &id(0), "--body", body.to_str().expect("UTF-8"), "--reason", "a slip"]);
    assert_eq!(edited.status, Some(0), "{edited:?}");
    let shown = alpes(&folder, &["show", &id(0)]);
    assert!(shown.out.contains("Otra") && shown.out.contains("edited"), "{shown:?}");
    fs::write(&body, "{").expect("a file");
    alpes(&folder, &["edit", &id(0), "--body", body.to_str().expect("UTF-8")]).fails(2, &["no JSON", "nothing was changed"]);
    alpes(&folder, &["edit", &id(0)]).fails(2, &["EDITOR", "--body"]);

    let without = alpes(&folder, &["discard", &id(1)]);
    assert!(without.status == Some(2) && without.error.contains("--reason"), "{without:?}");
    let discarded = alpes(&folder, &["discard", &id(1), "--reason", "it was a test", "--json"]).json();
    assert_eq!(discarded["done"], serde_json::json!([id(1)]));
    assert_eq!(count(&folder), 1);
    let gone = alpes(&folder, &["discard", &id(1), "--reason", "again"]);
    assert!(gone.status == Some(1) && gone.out.contains("left"), "{gone:?}");
}

#[test]
fn an_editor_changes_a_body() {
    let (folder, _server) = told();
    let all = alpes(&folder, &["list", "--oldest", "--json"]).json();
    let id = all[0]["id"].as_str().expect("an id");
    let edit = |editor: &str| {
        run(folder.path(), &["dead-letters", "edit", id], |command| {
            command.env("ALPES_DATA", folder.data()).env("VISUAL", editor).env("TMPDIR", folder.path());
        })
    };
    edit("true").fails(1, &["nothing was changed"]);
    assert_eq!(edit("sed -i s/Moda/Playa/").status, Some(0));
    assert!(alpes(&folder, &["show", id]).out.contains("Playa"));
}
