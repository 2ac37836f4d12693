//! `alpes doctor`: nothing is wrong with a server that is well, and each planted trouble is found, with the server running or stopped.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use rusqlite::Connection;
use serde_json::Value;

use super::support::{Client, Folder, Said, Server, campaign, run};

#[track_caller]
fn doctor(folder: &Folder, arguments: &[&str]) -> Said {
    let arguments = [&["doctor"], arguments].concat();
    run(folder.path(), &arguments, |command| {
        command.env("ALPES_DATA", folder.data());
    })
}

/// What one check has found: its level, and its words.
#[track_caller]
fn found(folder: &Folder, arguments: &[&str], check: &str) -> (Option<i32>, String, String) {
    let said = doctor(folder, &[&["--json"], arguments].concat());
    let all: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("no JSON ({error}): {said:?}"));
    let finding = all.as_array().and_then(|all| all.iter().find(|finding| finding["check"] == check));
    let finding = finding.unwrap_or_else(|| panic!("{check} is missing: {said:?}"));
    let word = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    (said.status, word("level"), format!("{}: {}", word("what"), word("to_do")))
}

#[track_caller]
fn is_wrong(folder: &Folder, arguments: &[&str], check: &str, words: &[&str]) {
    let (status, level, told) = found(folder, arguments, check);
    assert_eq!((status, level.as_str()), (Some(1), "wrong"), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is missing: {told}");
    }
}

#[track_caller]
fn register(server: &Server, id: &str) {
    let mut client = Client::open(server.address).expect("the server listens");
    let answer = client.ask("POST", "/v1/campaigns", "Prefer: wait=30\r\n", &campaign(id, "b-1", &["p-1"])).expect("an answer");
    assert_eq!(answer.body["status"], "completed", "{answer:?}");
}

/// A store in which two campaigns have been registered, and nobody who holds it.
fn stopped() -> Folder {
    let folder = Folder::new();
    let server = Server::start(&folder);
    register(&server, "c-1");
    register(&server, "c-2");
    let ended = server.stop();
    assert!(ended.status.success(), "{}", ended.error);
    folder
}

#[track_caller]
fn change(folder: &Folder, sql: &str) {
    let store = Connection::open(folder.store()).expect("the store opens");
    assert!(store.execute(sql, []).expect(sql) > 0, "nothing was changed: {sql}");
}

#[test]
fn nothing_is_wrong_with_a_server_that_is_well_running_or_stopped() {
    let folder = Folder::new();
    let before = doctor(&folder, &[]);
    assert_eq!(before.status, Some(0), "nothing is there yet, and nothing is wrong: {before:?}");
    assert!(!folder.data().exists(), "a doctor makes nothing");
    let server = Server::start(&folder);
    register(&server, "c-1");
    let running = doctor(&folder, &[]);
    assert_eq!(running.status, Some(0), "{running:?}");
    for words in [
        &server.address.to_string(),
        "it takes commands",
        "none is found",
        "dead letters",
        "every message that was sent is taken",
    ] {
        assert!(running.out.contains(words), "{words} is missing: {running:?}");
    }
    assert_eq!(found(&folder, &["--deploy"], "deploy").1, "good");
    let url = format!("http://{}", server.address);
    assert_eq!(doctor(&folder, &["--url", &url]).status, Some(0));
    server.stop();
    let stopped = doctor(&folder, &[]);
    assert_eq!(stopped.status, Some(0), "{stopped:?}");
    assert!(stopped.out.contains("alpes serve"), "{stopped:?}");
    let url = run(folder.path(), &["doctor", "--url", &url], |_| {});
    assert_eq!(url.status, Some(1), "nobody answers there any more: {url:?}");
}

#[test]
fn a_server_that_was_killed_is_told_from_one_that_stopped() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let process = format!("process {}", server.process());
    server.kill();
    let (status, level, told) = found(&folder, &[], "server");
    assert_eq!((status, level.as_str()), (Some(0), "advice"), "{told}");
    assert!(told.contains(&process) && told.contains("nothing that was acknowledged is lost"), "{told}");
}

#[test]
fn a_damaged_store_and_one_of_a_newer_build_are_found() {
    let folder = stopped();
    change(&folder, "UPDATE meta SET value = 999 WHERE key = 'format'");
    is_wrong(&folder, &[], "format", &["999", "newer build"]);
    change(&folder, "UPDATE meta SET value = 1 WHERE key = 'format'");
    let size = fs::metadata(folder.store()).expect("the store").len();
    let file = OpenOptions::new().write(true).open(folder.store()).expect("the store opens");
    // The first page says what the file is; all others are overwritten.
    file.write_all_at(&vec![0xa5; usize::try_from(size - 4096).expect("a small file")], 4096).expect("it is overwritten");
    let said = doctor(&folder, &[]);
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.contains("WRONG") && said.out.contains("copy in its place"), "{said:?}");
    fs::write(folder.store(), "no database at all, but long enough to be read as the head of one").expect("it is overwritten");
    is_wrong(&folder, &[], "store", &["cannot be read"]);
}

#[test]
fn dead_letters_are_found() {
    let folder = stopped();
    change(
        &folder,
        "INSERT INTO waiting (partition, number, lane, attempts, dead, topic, reason, raw, since, revision) \
         SELECT partition, 7, 'p-1', 8, 1, topic, 'it broke', '{}', 1700000000000000, 1 FROM destination LIMIT 1",
    );
    is_wrong(&folder, &[], "dead letters", &["1, the oldest since 2023-11-", "alpes dead-letters list"]);
    let server = Server::start(&folder);
    let url = format!("http://{}", server.address);
    is_wrong(&folder, &["--url", &url], "dead letters", &["1:", "alpes dead-letters list"]);
    assert_eq!(found(&folder, &["--url", &url], "stuck sagas").1, "good");
}

#[test]
fn stuck_and_late_sagas_and_those_of_a_version_that_this_build_lacks_are_found() {
    let folder = stopped();
    let standing = |stage: &str, more: &str| {
        change(&folder, &format!("UPDATE saga SET stage = '{stage}', body = json_set(body, {more}) WHERE id LIKE 'c-1~%'"));
    };
    standing("running", "'$.run.late', json('true')");
    is_wrong(&folder, &[], "sagas", &["1 past their deadline (c-1~"]);
    standing("stuck", "'$.stuck', json('true')");
    is_wrong(&folder, &[], "sagas", &["1 stuck (c-1~", "alpes sagas show"]);
    standing("running", "'$.stuck', json('false'), '$.run.late', json('false')");
    assert_eq!(found(&folder, &["--deploy"], "deploy").1, "good");
    standing("running", "'$.version', 99");
    is_wrong(&folder, &["--deploy"], "deploy", &["1 sagas run on a version that this build lacks (c-1~"]);
}

#[test]
fn a_message_that_is_not_taken_is_a_gap_only_while_the_server_runs() {
    let folder = stopped();
    let back = "UPDATE mark SET position = position - 1 WHERE position > 1";
    let server = Server::start(&folder);
    change(&folder, back);
    change(&folder, "UPDATE log SET written = written - 60000000");
    is_wrong(&folder, &[], "subscriptions", &["not taken, the oldest since", "alpes streams list", "campaign"]);
    server.kill();
    let (_, level, told) = found(&folder, &[], "subscriptions");
    assert!(level == "good" && told.contains("the next start does"), "{told}");
}

#[test]
fn a_clock_behind_the_store_and_a_log_that_is_not_folded_in_are_found() {
    let folder = stopped();
    change(&folder, "UPDATE log SET written = written + 86400000000");
    is_wrong(&folder, &[], "history", &["set the clock"]);
    let wal =
        OpenOptions::new().create(true).truncate(true).write(true).open(folder.data().join("alpes.db-wal")).expect("a file");
    wal.set_len(600 << 20).expect("a hole of that size");
    is_wrong(&folder, &[], "wal", &["629.1 MB", "next start"]);
}

#[test]
fn growth_is_told_from_the_rows_of_the_last_day() {
    let folder = stopped();
    assert!(found(&folder, &[], "growth").2.contains("too young"));
    // The oldest row was written ten days ago, all others just now.
    change(&folder, "UPDATE log SET written = written - 864000000000 WHERE id = (SELECT min(id) FROM log)");
    let (_, _, told) = found(&folder, &[], "growth");
    assert!(told.contains("a day"), "{told}");
}
