//! PostgreSQL passes the store's suite, and says clearly what is wrong with a server that it cannot use.
#![cfg(feature = "distributed")]
#![expect(clippy::disallowed_methods, reason = "several open one database at once")]

use seedwork::store::contract::{self, Make};
use seedwork::store::{Postgres, Schema, StateTable, Store, StoreError};
use seedwork::testing::databases::Databases;

#[test]
fn a_store_in_postgresql_passes_the_suite() {
    let Some(mut databases) = Databases::find() else { return };
    let mut url = String::new();
    contract::check(&mut |make| {
        if make == Make::New {
            url = databases.make();
        }
        Some(Box::new(Postgres::connect(&url).unwrap()))
    });
}

fn open(url: &str) -> Result<Postgres, StoreError> {
    open_for(url, &[])
}

fn open_for(url: &str, contexts: &[&'static str]) -> Result<Postgres, StoreError> {
    let mut store = Postgres::connect(url)?;
    store.open(&Schema { states: vec![StateTable::plain("lot_car")], epoch: 1, contexts: contexts.to_vec() })?;
    Ok(store)
}

fn refusal(url: &str) -> String {
    match open(url) {
        Ok(_) => panic!("it was opened"),
        Err(StoreError(why)) => why,
    }
}

#[test]
fn a_database_of_a_newer_build_or_of_somebody_else_is_refused_and_left_alone() {
    let Some(mut databases) = Databases::find() else { return };
    let newer = databases.make();
    drop(open(&newer).unwrap());
    seedwork::store::postgres::statements(&newer, "UPDATE meta SET value = 99 WHERE key = 'format'").unwrap();
    let why = refusal(&newer);
    assert!(why.contains("format 99") && why.contains("newer build"), "{why}");
    let theirs = databases.make();
    seedwork::store::postgres::statements(&theirs, "CREATE TABLE theirs (x BIGINT)").unwrap();
    let why = refusal(&theirs);
    assert!(why.contains("not one of Alpes") && why.contains("theirs"), "{why}");
    seedwork::store::postgres::statements(&theirs, "DROP TABLE theirs; CREATE TABLE head (x BIGINT)").unwrap();
}

#[test]
fn a_database_belongs_to_the_contexts_that_opened_it_first_and_is_refused_to_all_others() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    drop(open_for(&url, &["lot", "yard"]).unwrap());
    drop(open_for(&url, &["yard", "lot"]).unwrap());
    for others in [&["toll"][..], &["lot"], &["lot", "toll", "yard"]] {
        let why = open_for(&url, others).err().unwrap().0;
        assert!(why.contains("belongs to lot, yard") && why.contains("one of its own"), "{why}");
    }
    drop(open(&url).unwrap());
}

#[test]
fn of_several_contexts_that_open_a_new_database_at_once_one_has_it() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let openers = ["lot", "yard", "toll", "gate"].map(|context| {
        let url = url.clone();
        std::thread::Builder::new().spawn(move || open_for(&url, &[context]).map(drop)).unwrap()
    });
    let opened = openers.into_iter().map(|opener| opener.join().unwrap());
    let refused: Vec<String> = opened.filter_map(|opened| opened.err().map(|error| error.0)).collect();
    assert_eq!(refused.iter().filter(|why| why.contains("belongs to")).count(), 3, "{refused:?}");
}

#[test]
fn what_cannot_be_reached_is_named_with_what_to_do_and_without_the_password() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let (server, _) = url.rsplit_once('/').unwrap();
    let at = server.rsplit_once('@').unwrap().1;
    for (url, part) in [
        (format!("{server}/nowhere"), "createdb"),
        (format!("postgres://stranger:secret@{at}/postgres"), "stranger"),
        ("postgres://u:secret@127.0.0.1:1/postgres".to_owned(), "is the server there"),
        (format!("{server}/postgres?sslmode=require"), "TLS"),
        ("mysql://u:secret@127.0.0.1/x".to_owned(), "write postgres://"),
        ("postgres:///x".to_owned(), "names no host"),
    ] {
        let why = refusal(&url);
        assert!(why.contains(part) && !why.contains("secret"), "{url}: {why}");
    }
}

#[test]
fn many_processes_open_one_database_at_once() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::Builder::new().spawn(move || open(&url).map(drop)).unwrap()
        })
        .collect();
    for opener in openers {
        opener.join().unwrap().unwrap();
    }
}
