//! A file that is no store, a damaged one, one of a newer build, and one that another program holds.

use std::fs;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::load::{Load, prepare, verify};
use super::support::{Client, Folder, Server, alpes, ask, campaign, ended, until};

/// A data directory with a store that holds something, its server stopped.
fn kept() -> Folder {
    let folder = Folder::new();
    let server = Server::start(&folder);
    prepare(server.address);
    let load = Load::start(server.address, 4, "kept");
    load.reach(50);
    assert_eq!(server.stop().status.code(), Some(0));
    let asked = load.finish();
    assert!(asked.iter().any(|asked| asked.acknowledged));
    folder
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let folder = Folder::new();
    fs::create_dir_all(folder.data()).expect("a directory");
    let text = "these are the minutes of a meeting\n".repeat(1000);
    fs::write(folder.store(), &text).expect("a file");
    ended(alpes(&folder.data()), &folder).is_clear(&["alpes.db", "not a database"]);
    assert_eq!(fs::read_to_string(folder.store()).expect("it is there"), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    let folder = Folder::new();
    fs::create_dir_all(folder.data()).expect("a directory");
    let other = Connection::open(folder.store()).expect("a database");
    other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (7)").expect("it can be written");
    drop(other);
    ended(alpes(&folder.data()), &folder).is_clear(&["not one of Alpes", "data directory"]);
    let other = Connection::open(folder.store()).expect("a database");
    let tables: i64 = other.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("it can be read");
    assert_eq!(tables, 1);
}

#[test]
fn a_store_of_a_newer_build_is_refused() {
    let folder = kept();
    let store = Connection::open(folder.store()).expect("the store");
    let changed = store.execute("UPDATE meta SET value = 999 WHERE key = 'format'", []).expect("it can be written");
    assert_eq!(changed, 1);
    drop(store);
    ended(alpes(&folder.data()), &folder).is_clear(&["format 999", "newer build"]);
}

#[test]
fn a_damaged_store_is_told_and_a_copy_in_its_place_works() {
    let folder = kept();
    let copy = folder.path().join("copy.db");
    fs::copy(folder.store(), &copy).expect("a copy");
    let file = fs::OpenOptions::new().write(true).open(folder.store()).expect("the store");
    let length = file.metadata().expect("it has a length").len();
    // All but the first page, so that it still looks like a database.
    let damage = vec![0xd5; usize::try_from(length - 4096).expect("it is not that large")];
    file.write_all_at(&damage, 4096).expect("it can be written");
    drop(file);
    ended(alpes(&folder.data()), &folder).is_clear(&["alpes.db", "damaged"]);
    fs::copy(&copy, folder.store()).expect("the copy put back");
    assert_eq!(ask(Server::start(&folder).address, "GET", "/v1/campaigns", "").status, 200);
}

#[test]
fn a_store_that_another_program_holds_is_told_when_it_starts() {
    let folder = kept();
    let other = Connection::open(folder.store()).expect("the store");
    other.execute_batch("BEGIN EXCLUSIVE").expect("nobody else holds it");
    ended(alpes(&folder.data()), &folder).is_clear(&["alpes.db", "locked", "Another program holds the file"]);
    other.execute_batch("ROLLBACK").expect("it was begun");
    Server::start(&folder);
}

#[test]
fn while_another_program_holds_the_store_nothing_is_acknowledged_and_then_it_goes_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    prepare(server.address);
    let load = Load::start(server.address, 2, "before");
    load.reach(20);
    let mut asked = load.finish();
    let other = Connection::open(folder.store()).expect("the store");
    until("the lock is taken", || other.execute_batch("BEGIN EXCLUSIVE").ok());
    let mut client = Client::open(server.address).expect("it listens");
    let held = client.ask("POST", "/v1/campaigns", "", &campaign("c-held", "b-held", &["p-held"])).expect("an answer");
    assert_eq!(held.status, 503, "{held:?}");
    other.execute_batch("ROLLBACK").expect("it was begun");
    // The same request again, as a client does that was told to come later.
    until("it is taken", || {
        let again = client.ask("POST", "/v1/campaigns", "Prefer: wait=10\r\n", &campaign("c-held", "b-held", &["p-held"]));
        let again = again.expect("an answer");
        assert!([200, 201, 202, 503].contains(&again.status), "{again:?}");
        (again.status == 201).then_some(())
    });
    let load = Load::start(server.address, 2, "after");
    load.reach(20);
    asked.extend(load.finish());
    server.kill();
    verify(Server::start(&folder).address, &asked);
}
