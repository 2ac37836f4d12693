//! What goes wrong between a store and a real PostgreSQL: two owners at once, answers that are lost, commits that come late, a server
//! that is killed under load.
#![cfg(feature = "distributed")]
#![expect(clippy::disallowed_methods, reason = "tests of what happens between threads and processes")]

use std::sync::Arc;
use std::time::Duration;

use seedwork::store::postgres::{Readers, statements};
use seedwork::store::*;
use seedwork::testing::databases::Databases;
use seedwork::view::{Read, Value};

mod proxy;
mod server;

use proxy::Proxy;
use server::Server;

const EPOCH: u64 = 1_700_000_000_000;

fn home() -> Partition {
    Partition { context: "lot".into(), number: 0 }
}

fn open(url: &str) -> Postgres {
    let mut store = Postgres::connect(url).unwrap();
    let columns = &[("colour", "TEXT"), ("size", "BIGINT")];
    let row = Arc::new(|_: u32, body: &[u8]| Ok(vec![String::from_utf8_lossy(body).into_owned().into(), Value::Null]));
    let cars = StateTable { name: "lot_car".to_owned(), columns, indexes: &[("colours", "colour, id")], row };
    store.open(&Schema { states: vec![cars], epoch: EPOCH, ..Schema::default() }).unwrap();
    store
}

fn take(store: &mut Postgres) -> Taken {
    store.take(&home(), None).unwrap().unwrap()
}

fn head(fence: u64, position: u64) -> HeadWrite {
    HeadWrite { partition: home(), fence, epoch: EPOCH, position, relayed: 0 }
}

fn car(id: &str, version: u64) -> StateWrite {
    let row = vec!["red".into(), Value::Integer(-1)];
    StateWrite { table: 0, id: id.into(), version, format: 1, body: format!("{version}").into_bytes(), row, before: None }
}

fn row(position: u64) -> LogRow {
    let to = Destination { topic: "lot.events".into(), partition: 0 };
    let before = (position > 1).then(|| Place { epoch: EPOCH, position: position - 1 });
    LogRow {
        route: Route { from: home(), to },
        place: Place { epoch: EPOCH, position },
        predecessor: before,
        raw: Arc::from(format!("{{\"position\":{position}}}").into_bytes()),
        packet: None,
        times: [1, 2, 3],
    }
}

/// An owner that has committed twice: all that a step needs is prepared, so the next is one round trip.
fn owner_of_two(url: &str) -> (Postgres, u64) {
    let mut store = open(url);
    let fence = take(&mut store).fence;
    for position in [1, 2] {
        assert_eq!(store.commit(&step(fence, position)), Ok(()));
    }
    (store, fence)
}

/// One row of the log, and one write of a car whose version is the position.
fn step(fence: u64, position: u64) -> Writes {
    Writes {
        heads: vec![head(fence, position)],
        states: vec![car("counter", position)],
        log: vec![row(position)],
        ..Writes::default()
    }
}

fn version(store: &mut Postgres, id: &str) -> Option<u64> {
    store.fetch(&[(Table::State(0), id.into())]).unwrap().remove(0).map(|loaded| loaded.version)
}

/// The log holds 1, 2, 3 … up to a position, once each.
fn assert_dense(store: &mut Postgres, upto: u64) {
    let rows = store.log_after(&home(), None, None, usize::MAX).unwrap();
    let positions: Vec<u64> = rows.iter().map(|row| row.place.position).collect();
    assert_eq!(positions, (1..=upto).collect::<Vec<_>>());
}

#[test]
fn of_two_owners_forced_at_once_one_wins_each_time_and_nothing_is_doubled() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    drop(open(&url));
    // Each takes the partition as often as it loses it, and counts what was acknowledged.
    let owner = |url: String| {
        let mut store = open(&url);
        let (mut done, mut unknown, mut takes) = (0_u64, 0_u64, 0);
        while takes < 12 {
            // The other one ends the session of whoever holds the partition, or has just taken it.
            let Ok(Some(taken)) = store.take(&home(), None) else { continue };
            takes += 1;
            let mut position = taken.head.map_or(0, |head| head.position);
            for _ in 0..50 {
                store.start(Arc::new(step(taken.fence, position + 1)));
                match store.finish() {
                    Ok(()) => (position, done) = (position + 1, done + 1),
                    Err(CommitError::Fenced(lost)) => {
                        assert_eq!(lost, [home()]);
                        break;
                    }
                    Err(CommitError::Unknown(_)) => {
                        unknown += 1;
                        break;
                    }
                    Err(CommitError::Outage(_)) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        (done, unknown)
    };
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || owner(url))
        })
        .collect();
    let told: Vec<(u64, u64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let (done, unknown) = (told[0].0 + told[1].0, told[0].1 + told[1].1);
    let mut store = open(&url);
    let last = version(&mut store, "counter").unwrap();
    assert!((done..=done + unknown).contains(&last), "{done} acknowledged, {unknown} unknown, {last} there");
    assert_dense(&mut store, last);
    assert!(told[0].0 > 0 && told[1].0 > 0, "both had their turn: {told:?}");
}

#[test]
fn when_the_answer_to_a_commit_is_lost_its_outcome_is_unknown_and_who_takes_again_finds_it() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let proxy = Proxy::before(&url);
    let (mut store, fence) = owner_of_two(&proxy.url);
    // The server commits, and its answers go nowhere.
    proxy.mute();
    store.start(Arc::new(step(fence, 3)));
    let mut direct = open(&url);
    wait_until(|| version(&mut direct, "counter") == Some(3));
    proxy.cut();
    assert!(matches!(store.finish(), Err(CommitError::Unknown(_))));
    let taken = store.take(&home(), Some(fence)).unwrap().unwrap();
    assert_eq!(taken.head.map(|head| head.position), Some(3));
    assert_eq!(store.commit(&step(taken.fence, 4)), Ok(()));
    assert_dense(&mut store, 4);
}

#[test]
fn a_commit_that_comes_late_fails_on_the_fence() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let proxy = Proxy::before(&url);
    let (mut store, fence) = owner_of_two(&proxy.url);
    proxy.hold();
    store.start(Arc::new(step(fence, 3)));
    proxy.wait_for_bytes();
    // Nobody ends the session of the stalled owner: the fence must do.
    statements(&url, "UPDATE head SET holder = NULL").unwrap();
    let mut other = open(&url);
    let taken = take(&mut other);
    assert_eq!(taken.head.map(|head| head.position), Some(2));
    proxy.release();
    assert_eq!(store.finish(), Err(CommitError::Fenced(vec![home()])));
    assert_eq!(version(&mut other, "counter"), Some(2));
    assert_eq!(other.commit(&step(taken.fence, 3)), Ok(()));
    assert_dense(&mut other, 3);
}

#[test]
fn a_new_owner_does_not_wait_for_one_that_stands_still_in_the_middle_of_a_commit() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let proxy = Proxy::before(&url);
    let (mut store, fence) = owner_of_two(&proxy.url);
    // The head is moved and locked, the COMMIT does not come.
    proxy.hold_after("COMMIT");
    store.start(Arc::new(step(fence, 3)));
    proxy.wait_for_bytes();
    wait_until(|| locked(&url));
    let begun = std::time::Instant::now();
    let mut other = open(&url);
    let taken = take(&mut other);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(taken.head.map(|head| head.position), Some(2));
    proxy.release();
    let lost = store.finish();
    assert!(matches!(lost, Err(CommitError::Fenced(_) | CommitError::Unknown(_))), "{lost:?}");
    assert_eq!(version(&mut other, "counter"), Some(2));
}

/// Whether somebody holds a lock on the head in an open transaction.
fn locked(url: &str) -> bool {
    let readers = Readers::new(url).unwrap();
    let sql = "SELECT count(*) FROM pg_locks WHERE relation = 'head'::regclass AND mode = 'RowExclusiveLock' AND granted";
    readers.select(sql, &[]).unwrap() != [[Value::Integer(0)]]
}

#[test]
fn what_postgresql_cannot_store_is_refused_in_an_input_and_stored_otherwise_in_a_reason() {
    let Some(mut databases) = Databases::find() else { return };
    let mut store = open(&databases.make());
    let fence = take(&mut store).fence;
    let refused = store.commit(&Writes { heads: vec![head(fence, 0)], states: vec![car("a\0b", 1)], ..Writes::default() });
    assert!(matches!(&refused, Err(CommitError::Refused(why)) if why.contains("22021")), "{refused:?}");
    let reason = "it holds a \0".to_owned();
    let about = About { kind: "k\0".into(), key: "a\0b".into(), source: "s".into(), saga: None };
    let head_of_it = WaitingHead { number: 1, lane: "a\0b|commands".into(), attempts: 8, due: None, dead: true, not_yet: None };
    let raw = Arc::from(&b"\0\xff"[..]);
    let letter = Waiting { head: head_of_it, topic: "commands".into(), about: Some(about), reason, raw, since: 1, revision: 1 };
    let waiting = vec![WaitingWrite::Put(home(), letter.clone())];
    assert_eq!(store.commit(&Writes { heads: vec![head(fence, 0)], waiting, ..Writes::default() }), Ok(()));
    let kept = store.waiting(&home(), 1).unwrap().unwrap();
    assert_eq!((kept.reason.as_str(), &*kept.head.lane, kept.raw), ("it holds a \u{fffd}", "a\u{fffd}b|commands", letter.raw));
    assert_eq!(store.commit(&step(fence, 1)), Ok(()), "the session goes on");
}

#[test]
fn a_store_commits_synchronously_whatever_the_database_is_set_to() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let (_, name) = url.rsplit_once('/').unwrap();
    databases.run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let store = open(&url);
    let told = store.select("SELECT current_setting('synchronous_commit')", &[]);
    assert_eq!(told, Ok(vec![vec!["on".into()]]));
    let readers = Readers::new(&url).unwrap();
    let others = readers.select("SELECT current_setting('synchronous_commit')", &[]);
    assert_eq!(others, Ok(vec![vec!["off".into()]]), "so it is the session that asks for it");
}

#[test]
fn a_server_that_does_not_sync_is_refused() {
    let Some(server) = Server::start("a_server_that_does_not_sync_is_refused", &["-c", "fsync=off"]) else { return };
    let why = Postgres::connect(&server.url).map(drop).unwrap_err();
    assert!(why.0.contains("fsync = on"), "{why}");
}

#[test]
fn readers_read_only_bound_their_queries_and_connect_again() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let mut store = open(&url);
    let fence = take(&mut store).fence;
    let readers = Readers::new(&url).unwrap();
    store.commit(&step(fence, 1)).unwrap();
    let counted = || readers.select("SELECT count(*), max(version) FROM lot_car WHERE colour = $1", &["red".into()]);
    assert_eq!(counted(), Ok(vec![vec![1.into(), 1.into()]]), "what was just committed is seen");
    let written = readers.select("INSERT INTO name (text) VALUES ('x') RETURNING id", &[]);
    assert!(written.is_err_and(|why| why.contains("read-only")));
    let slow = readers.select("SELECT count(*) FROM pg_sleep(20)", &[]);
    assert!(slow.is_err_and(|why| why.contains("timeout")));
    statements(&url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alpes queries'").unwrap();
    assert_eq!(counted(), Ok(vec![vec![1.into(), 1.into()]]), "a session that was ended is replaced");
    let many: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(counted)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(many.iter().all(Result::is_ok), "{many:?}");
}

#[test]
fn a_view_that_comes_later_is_filled_from_the_states_that_are_there() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let mut plain = Postgres::connect(&url).unwrap();
    plain.open(&Schema { states: vec![StateTable::plain("lot_car")], epoch: EPOCH, ..Schema::default() }).unwrap();
    let fence = take(&mut plain).fence;
    let states = (0..2001).map(|number| StateWrite { row: vec![], ..car(&format!("car-{number:04}"), 1) }).collect();
    plain.commit(&Writes { heads: vec![head(fence, 0)], states, ..Writes::default() }).unwrap();
    // The other build beside it goes on writing as it did.
    let later = open(&url);
    let filled = later.select("SELECT count(*) FROM lot_car WHERE colour = $1", &["1".into()]);
    assert_eq!(filled, Ok(vec![vec![2001.into()]]));
    let states = vec![StateWrite { row: vec![], ..car("car-9999", 1) }];
    assert_eq!(plain.commit(&Writes { heads: vec![head(fence, 0)], states, ..Writes::default() }), Ok(()));
}

#[test]
fn a_reader_of_a_sequence_skips_a_row_and_a_reader_of_the_log_does_not() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let mut store = open(&url);
    // The fault that we do not have: numbers are given before the commit, so a later one can be seen first.
    statements(&url, "CREATE TABLE outbox (id BIGINT GENERATED ALWAYS AS IDENTITY, text TEXT)").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let skipped = runtime.block_on(async {
        let connect = async || {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        };
        let (slow, fast, reader) = (connect().await, connect().await, connect().await);
        slow.batch_execute("BEGIN; INSERT INTO outbox (text) VALUES ('slow')").await.unwrap();
        fast.batch_execute("INSERT INTO outbox (text) VALUES ('fast')").await.unwrap();
        let mut seen = Vec::new();
        let mut last = 0_i64;
        for _ in 0..2 {
            for row in reader.query("SELECT id, text FROM outbox WHERE id > $1 ORDER BY id", &[&last]).await.unwrap() {
                last = row.get(0);
                seen.push(row.get::<_, String>(1));
            }
            slow.batch_execute("COMMIT").await.unwrap();
        }
        seen
    });
    assert_eq!(skipped, ["fast"], "the slow one is never read");
    // Ours: the owner gives positions in the order of its commits, and a commit that fails leaves no hole.
    let fence = take(&mut store).fence;
    let mut reader = open(&url);
    let follow = std::thread::spawn(move || {
        let mut seen: Vec<u64> = Vec::new();
        while seen.last() != Some(&200) {
            let after = seen.last().map(|last| Place { epoch: EPOCH, position: *last });
            seen.extend(reader.log_after(&home(), after, None, 7).unwrap().iter().map(|row| row.place.position));
        }
        seen
    });
    for position in 1..=200 {
        if position % 10 == 0 {
            let bad = Writes { states: vec![car("counter", 7777)], ..step(fence, position) };
            assert!(matches!(store.commit(&bad), Err(CommitError::Refused(_))));
        }
        store.start(Arc::new(step(fence, position)));
        assert_eq!(store.finish(), Ok(()));
    }
    assert_eq!(follow.join().unwrap(), (1..=200).collect::<Vec<u64>>());
}

#[test]
fn a_server_that_is_killed_under_load_loses_nothing_that_was_acknowledged_and_the_store_goes_on() {
    let Some(mut server) = Server::start("a_server_that_is_killed_under_load", &[]) else { return };
    let url = server.url.clone();
    let mut store = open(&url);
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = acknowledged.clone();
    let load = std::thread::spawn(move || {
        let mut troubles = 0;
        let mut taken = take(&mut store);
        let mut position = 0;
        while position < 3000 {
            store.start(Arc::new(step(taken.fence, position + 1)));
            // What the next batch misses is read meanwhile; while the server is away that is an error, and not for ever.
            let _read = store.fetch(&[(Table::State(0), "counter".into()), (Table::Command, "x".into())]);
            match store.finish() {
                Ok(()) => {
                    position += 1;
                    counter.store(position, std::sync::atomic::Ordering::SeqCst);
                }
                Err(CommitError::Unknown(_) | CommitError::Outage(_)) => {
                    troubles += 1;
                    let acknowledged = position;
                    let fence = taken.fence;
                    taken = loop {
                        match store.take(&home(), Some(fence)) {
                            Ok(taken) => break taken.expect("nobody else is there"),
                            Err(_) => std::thread::sleep(Duration::from_millis(50)),
                        }
                    };
                    position = taken.head.map_or(0, |head| head.position);
                    assert!(
                        (acknowledged..=acknowledged + 1).contains(&position),
                        "{acknowledged} acknowledged, {position} there"
                    );
                }
                Err(other) => panic!("{other}"),
            }
        }
        (store, troubles)
    });
    for kill in 1..=3_u64 {
        wait_until(|| acknowledged.load(std::sync::atomic::Ordering::SeqCst) > kill * 500);
        server.kill();
        server.start_again();
    }
    let (mut store, troubles) = load.join().unwrap();
    assert!(troubles > 0, "it was killed three times under load, and no commit met it");
    assert_eq!(version(&mut store, "counter"), Some(3000));
    assert_dense(&mut store, 3000);
}

fn wait_until(mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never");
        std::thread::sleep(Duration::from_millis(5));
    }
}
