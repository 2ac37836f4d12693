//! What every store must do: the suite that each adapter runs, against the real server too.
//!
//! ```
//! use seedwork::store::{Sqlite, contract};
//! contract::check(&mut |make| match make {
//!     contract::Make::New => Some(Box::new(Sqlite::memory().unwrap())),
//!     contract::Make::Beside => None, // what is in memory has one connection and is gone with it
//! });
//! ```

use super::*;
use crate::log::history;
use crate::view::Read;

mod carried;
mod operating;
pub(super) mod parts;
mod started;

use parts::*;

/// Which store the suite wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A new one, empty.
    New,
    /// Another connection to the one that was last made new: beside the first, or after it is gone. None, and what needs it is left
    /// out, when there can be no other.
    Beside,
}

/// A store under test: what its owner uses, and a door for queries.
pub trait Subject: Store + Read + carry::Target {}
impl<S: Store + Read + carry::Target> Subject for S {}

/// Gives the suite what it wants.
pub type Maker<'a> = &'a mut dyn FnMut(Make) -> Option<Box<dyn Subject>>;

/// Runs the whole suite.
///
/// # Panics
/// At the first thing that the adapter does otherwise.
pub fn check(make: Maker<'_>) {
    a_new_partition_begins_empty_and_each_take_raises_its_fence(make);
    what_a_commit_wrote_is_read_back(make);
    a_refused_commit_writes_nothing_and_the_store_goes_on(make);
    a_batch_that_came_to_nothing_leaves_nothing_behind(make);
    started::check(make);
    a_second_owner_fences_the_first(make);
    a_batch_in_which_one_partition_is_fenced_writes_nothing_of_the_others(make);
    the_log_is_read_in_order_in_pieces_and_by_destination(make);
    a_later_epoch_comes_after_the_one_before(make);
    waiting_messages_are_put_changed_and_removed(make);
    operating::check(make);
    a_view_row_is_written_with_its_state(make);
    commands_are_kept_until_they_expire(make);
    what_peek_does_not_know_fetch_brings(make);
    another_connection_finds_all_of_it(make);
    carried::check(make);
}

fn a_new_partition_begins_empty_and_each_take_raises_its_fence(make: Maker<'_>) {
    let mut store = new(make);
    let first = take(&mut *store, &home());
    assert_eq!(
        (first.head, first.relayed, first.epoch),
        (None, None, EPOCH),
        "nothing was written, and the epoch is the schema's"
    );
    assert!(first.destinations.is_empty() && first.marks.is_empty() && first.waiting.is_empty() && first.running.is_empty());
    let second = take(&mut *store, &home());
    assert!(second.fence > first.fence, "a take raises the fence");
    assert!(take(&mut *store, &other()).fence > 0, "each partition has its own");
    let again = store.take(&home(), Some(second.fence)).expect("the store is there").expect("nobody took it in between");
    assert!(again.fence > second.fence, "an owner that begins anew is a new owner");
    assert!(store.take(&home(), Some(second.fence)).expect("the store is there").is_none(), "a stale fence takes nothing");
    commit(&mut *store, Writes { heads: vec![head(&home(), again.fence, 0)], ..state("car-1", 1) });
}

fn what_a_commit_wrote_is_read_back(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    assert_whole(&mut *store);
    let taken = take(&mut *store, &home());
    let writes = Writes {
        heads: vec![HeadWrite { relayed: 3, ..head(&home(), taken.fence, 4) }],
        destinations: vec![(home(), shop(1), at(4))],
        marks: vec![(home(), route(&other(), &shop(0)), at(9))],
        ..Writes::default()
    };
    commit(&mut *store, writes);
    let taken = take(&mut *store, &home());
    assert_eq!((taken.head, taken.relayed), (Some(at(4)), Some(at(3))), "the head has moved");
    assert_eq!(taken.destinations, [(shop(0), at(2)), (shop(1), at(4))], "one destination has moved, the other not");
    assert_eq!(taken.marks, [(route(&other(), &shop(0)), at(9))], "a mark is moved, not added");
    let elsewhere = take(&mut *store, &other());
    assert!(elsewhere.head.is_none() && elsewhere.marks.is_empty(), "what one partition knows is no other's");
}

fn a_refused_commit_writes_nothing_and_the_store_goes_on(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    let log = |positions: &[u64]| Writes {
        log: positions.iter().map(|position| log_row(*position, None, &shop(0))).collect(),
        ..Writes::default()
    };
    let put = |number| Writes { waiting: vec![WaitingWrite::Put(home(), waiting(number, Some(1)))], ..Writes::default() };
    let refused = [
        ("a new state that is there already", state("car-1", 1)),
        ("a state that was changed by somebody else", state("car-1", 3)),
        ("a state that was never there", state("car-9", 2)),
        ("a new saga that is there already", saga("car-1~a", 1, "running")),
        ("a saga that was changed by somebody else", saga("car-1~a", 3, "running")),
        ("a position that is taken", log(&[5, 2])),
        ("a position that is taken, among so many that several go into one statement", log(&[5, 6, 7, 8, 9, 10, 2, 11, 12, 13])),
        ("a waiting message's number that is taken", put(1)),
    ];
    for (what, bad) in refused {
        let good = state("car-2", 1);
        let writes = Writes {
            carried: false,
            operations: Vec::new(),
            pauses: Vec::new(),
            drops: Vec::new(),
            heads: vec![head(&home(), fence, 50)],
            states: good.states.into_iter().chain(bad.states).collect(),
            destinations: vec![(home(), shop(0), at(50))],
            marks: vec![(home(), route(&other(), &shop(0)), at(50))],
            commands: vec![command("late", 1)],
            sagas: saga("car-2~a", 1, "running").sagas.into_iter().chain(bad.sagas).collect(),
            log: [log_row(4, None, &Destination { topic: "new.events".into(), partition: 0 })]
                .into_iter()
                .chain(bad.log)
                .collect(),
            waiting: [WaitingWrite::Put(home(), waiting(40, None))].into_iter().chain(bad.waiting).collect(),
        };
        match store.commit(&writes) {
            Err(CommitError::Refused(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(peek(&mut *store, Table::State(0), "car-2"), None, "{what}: half a batch was written");
        assert_eq!(peek(&mut *store, Table::Saga, "car-2~a"), None, "{what}: half a batch was written");
        assert_eq!(peek(&mut *store, Table::Command, "late"), None, "{what}: half a batch was written");
        assert_whole_but_fence(&mut *store);
    }
    commit(
        &mut *store,
        Writes { heads: vec![head(&home(), fence, 4)], ..log_of(4, &Destination { topic: "new.events".into(), partition: 0 }) },
    );
    let rows = log_after(&mut *store, Some(at(3)), None, 9);
    assert_eq!(rows.iter().map(|row| &*row.route.to.topic).collect::<Vec<_>>(), ["new.events"], "the next commit is whole again");
}

fn a_batch_that_came_to_nothing_leaves_nothing_behind(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    // Nothing to commit: an empty commit ends it.
    assert_eq!(store.begin(), Ok(()));
    assert!(peek(&mut *store, Table::State(0), "car-1").is_some(), "what was committed is read within a batch");
    assert!(log_after(&mut *store, None, Some(&Destination { topic: "asked.events".into(), partition: 0 }), 9).is_empty());
    assert_eq!(store.commit(&Writes::default()), Ok(()));
    assert_whole_but_fence(&mut *store);
    // Refused: the next batch begins as if it had never been.
    assert_eq!(store.begin(), Ok(()));
    let refused = Writes { heads: vec![head(&home(), fence, 9)], ..state("car-1", 7) };
    assert!(matches!(store.commit(&refused), Err(CommitError::Refused(_))));
    assert_whole_but_fence(&mut *store);
    // Given up without a commit, as after a failure elsewhere: the owner takes its partitions again.
    assert_eq!(store.begin(), Ok(()));
    let fence = take(&mut *store, &home()).fence;
    assert_eq!(store.begin(), Ok(()));
    commit(
        &mut *store,
        Writes { heads: vec![head(&home(), fence, 4)], ..log_of(4, &Destination { topic: "asked.events".into(), partition: 0 }) },
    );
    assert_whole_but_fence_and_log(&mut *store, 4);
}

fn a_second_owner_fences_the_first(make: Maker<'_>) {
    let mut first = new(make);
    let old = take(&mut *first, &home()).fence;
    commit(&mut *first, whole(old));
    let fenced = |store: &mut dyn Subject| {
        let writes = Writes {
            heads: vec![head(&home(), old, 4)],
            marks: vec![(home(), route(&other(), &shop(0)), at(8))],
            ..state("car-2", 1)
        };
        assert_eq!(store.commit(&writes), Err(CommitError::Fenced(vec![home()])), "the first owner is told who fenced it");
        assert_eq!(peek(store, Table::State(0), "car-2"), None, "a fenced owner writes nothing");
    };
    match make(Make::Beside) {
        Some(second) => {
            let mut second = opened(second);
            let new = take(&mut *second, &home()).fence;
            fenced(&mut *first);
            assert!(first.take(&home(), Some(old)).expect("the store is there").is_none(), "nor does it take the partition back");
            commit(&mut *second, Writes { heads: vec![head(&home(), new, 4)], ..log_of(4, &shop(1)) });
        }
        None => {
            let new = take(&mut *first, &home()).fence;
            fenced(&mut *first);
            assert!(first.take(&home(), Some(old)).expect("the store is there").is_none(), "nor does it take the partition back");
            commit(&mut *first, Writes { heads: vec![head(&home(), new, 4)], ..log_of(4, &shop(1)) });
        }
    }
    assert_whole_but_fence_and_log(&mut *first, 4);
}

fn a_batch_in_which_one_partition_is_fenced_writes_nothing_of_the_others(make: Maker<'_>) {
    let mut store = new(make);
    let (kept, lost) = (take(&mut *store, &home()).fence, take(&mut *store, &other()).fence);
    take(&mut *store, &other());
    let heads = vec![head(&home(), kept, 1), head(&other(), lost, 1)];
    assert_eq!(store.commit(&Writes { heads, ..state("car-1", 1) }), Err(CommitError::Fenced(vec![other()])));
    assert_eq!(peek(&mut *store, Table::State(0), "car-1"), None);
    commit(&mut *store, Writes { heads: vec![head(&home(), kept, 1)], ..state("car-1", 1) });
    assert_eq!(take(&mut *store, &home()).head, Some(at(1)), "the rest, run again, is written");
}

fn the_log_is_read_in_order_in_pieces_and_by_destination(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let to = |position: u64| if position.is_multiple_of(3) { shop(1) } else { shop(0) };
    let rows: Vec<LogRow> = (1..=20)
        .map(|position| log_row(position, (1..position).rev().find(|before| to(*before) == to(position)), &to(position)))
        .collect();
    for (batch, count) in rows.chunks(7).zip([7, 14, 20]) {
        commit(&mut *store, Writes { heads: vec![head(&home(), fence, count)], log: batch.to_vec(), ..Writes::default() });
    }
    assert_eq!(log_after(&mut *store, None, None, 100), rows, "what was written, without the parsed envelope");
    let positions = |rows: Vec<LogRow>| rows.iter().map(|row| row.place.position).collect::<Vec<_>>();
    assert_eq!(positions(log_after(&mut *store, None, None, 3)), [1, 2, 3]);
    assert_eq!(positions(log_after(&mut *store, Some(at(18)), None, 100)), [19, 20]);
    assert_eq!(positions(log_after(&mut *store, Some(at(20)), None, 100)), [0_u64; 0]);
    assert_eq!(positions(log_after(&mut *store, None, Some(&shop(1)), 100)), [3, 6, 9, 12, 15, 18]);
    assert_eq!(positions(log_after(&mut *store, Some(at(6)), Some(&shop(1)), 2)), [9, 12]);
    let unknown = Destination { topic: "nowhere.events".into(), partition: 0 };
    assert_eq!(positions(log_after(&mut *store, None, Some(&unknown), 100)), [0_u64; 0]);
    assert!(store.log_after(&other(), None, None, 100).expect("the store is there").is_empty(), "a partition has its own log");
    let stream = &history::streams(&*store).expect("the store is there")[0];
    assert_eq!((&stream.partition, stream.epoch), (&home(), EPOCH));
    let past = history::after(&*store, stream, 6, &shop(0).topic, 4).expect("the store is there");
    let raws = |rows: &[LogRow]| rows.iter().map(|row| String::from_utf8_lossy(&row.raw).into_owned()).collect::<Vec<_>>();
    assert_eq!(
        past.iter().map(|past| past.raw.clone()).collect::<Vec<_>>(),
        raws(&rows[6..10]),
        "beside the owner the same is read"
    );
    assert_eq!(past.iter().map(|past| (past.place, past.written)).next(), Some((at(7), rows[6].times[2])));
    assert_eq!(history::after(&*store, stream, 0, "nowhere.events", 100), Ok(vec![]));
    for (position, next) in [(0, Some(1)), (19, Some(20)), (20, None)] {
        assert_eq!(history::next_kept(&*store, stream, position), Ok(next));
    }
}

fn a_later_epoch_comes_after_the_one_before(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    let later = |position| Place { epoch: EPOCH + 5, position };
    let row = |position, before: Place| LogRow {
        place: later(position),
        predecessor: Some(before),
        ..log_row(position, None, &shop(0))
    };
    let writes = Writes {
        heads: vec![HeadWrite { epoch: EPOCH + 5, relayed: 0, ..head(&home(), fence, 2) }],
        destinations: vec![(home(), shop(0), later(2))],
        log: vec![row(1, at(2)), row(2, later(1))],
        ..Writes::default()
    };
    commit(&mut *store, writes);
    let places = |rows: Vec<LogRow>| rows.iter().map(|row| (row.place.epoch, row.place.position)).collect::<Vec<_>>();
    let (old, new) = (EPOCH, EPOCH + 5);
    assert_eq!(places(log_after(&mut *store, None, None, 100)), [(old, 1), (old, 2), (old, 3), (new, 1), (new, 2)]);
    assert_eq!(places(log_after(&mut *store, Some(at(2)), None, 2)), [(old, 3), (new, 1)], "a limit counts over epochs");
    assert_eq!(places(log_after(&mut *store, Some(later(1)), None, 100)), [(new, 2)]);
    assert_eq!(places(log_after(&mut *store, None, Some(&shop(1)), 100)), [(old, 3)]);
    let streams = history::streams(&*store).expect("the store is there");
    assert_eq!(streams.iter().map(|stream| stream.epoch).collect::<Vec<_>>(), [old, new]);
    assert_eq!(
        log_after(&mut *store, Some(at(3)), None, 1)[0].predecessor,
        Some(at(2)),
        "a predecessor may be of an older epoch"
    );
    assert_eq!(last_sent(&mut *store, &shop(0)), Some(later(2)));
    let taken = take(&mut *store, &home());
    assert_eq!((taken.epoch, taken.head, taken.relayed), (new, Some(later(2)), None), "nothing of this epoch has its receipt");
}

fn waiting_messages_are_put_changed_and_removed(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let writes = |waiting| Writes { heads: vec![head(&home(), fence, 0)], waiting, ..Writes::default() };
    let all = [waiting(2, Some(200)), waiting(1, Some(100)), waiting(10, None)];
    commit(&mut *store, writes(all.iter().cloned().map(|one| WaitingWrite::Put(home(), one)).collect()));
    for one in &all {
        let stored = store.waiting(&home(), one.head.number).expect("the store is there");
        assert_eq!(stored.as_ref(), Some(one), "a waiting message is kept as it came, its bytes too");
    }
    let dead = WaitingHead { attempts: 8, due: None, dead: true, not_yet: Some(77), ..waiting(2, None).head };
    let change = WaitingWrite::Change(home(), dead.clone(), "the eighth time".to_owned());
    commit(&mut *store, writes(vec![change, WaitingWrite::Remove(home(), 1)]));
    let changed = store.waiting(&home(), 2).expect("the store is there").expect("it waits");
    assert_eq!((&changed.head, changed.reason.as_str(), &changed.raw), (&dead, "the eighth time", &waiting(2, None).raw));
    assert_eq!(changed.revision, 2, "a change raises the revision");
    assert_eq!(store.waiting(&home(), 1), Ok(None), "what is settled is gone");
    assert_eq!(store.waiting(&other(), 2), Ok(None), "a number counts in its partition");
    let heads: Vec<WaitingHead> = take(&mut *store, &home()).waiting;
    assert_eq!(heads, [dead, waiting(10, None).head], "in the order of arrival");
}

fn a_view_row_is_written_with_its_state(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    for (version, colour) in [(1, Value::Null), (2, "red".into()), (3, "blue, \"metallic\"".into())] {
        let mut writes = state("car-1", version);
        writes.states[0].row = vec![colour.clone(), (-7_i64).into()];
        commit(&mut *store, Writes { heads: vec![head(&home(), fence, 0)], ..writes });
        let rows = store.select("SELECT id, colour, size FROM lot_car WHERE id = $1", &["car-1".into()]);
        assert_eq!(rows, Ok(vec![vec!["car-1".into(), colour, (-7_i64).into()]]), "one row, as of version {version}");
    }
    assert!(store.select("SELECT nothing FROM nowhere", &[]).is_err(), "a query that cannot be run says so");
}

fn commands_are_kept_until_they_expire(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let go = |store: &mut dyn Subject, commands| {
        commit(store, Writes { heads: vec![head(&home(), fence, 0)], commands, ..Writes::default() })
    };
    go(&mut *store, (0..30).map(|n| command(&format!("ask-{n}"), n)).collect());
    go(&mut *store, vec![CommandWrite { body: body("later", 1), ..command("ask-3", 100) }]);
    assert_eq!(
        peek(&mut *store, Table::Command, "ask-3").map(|row| row.body),
        Some(body("later", 1)),
        "the answer replaces the question"
    );
    let mut forgotten = 0;
    for _ in 0..100 {
        forgotten += store.forget_commands(20).expect("the store is there");
    }
    assert_eq!(forgotten, 19, "those that expired before, but for the one that was kept longer");
    assert_eq!(peek(&mut *store, Table::Command, "ask-19"), None);
    assert!(peek(&mut *store, Table::Command, "ask-20").is_some() && peek(&mut *store, Table::Command, "ask-3").is_some());
}

fn what_peek_does_not_know_fetch_brings(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    let wanted: Vec<(Table, Box<str>)> = vec![
        (Table::State(0), "car-1".into()),
        (Table::State(1), "car-1".into()),
        (Table::Saga, "car-1~a".into()),
        (Table::Start, "car-1~a".into()),
        (Table::Command, "ask-1".into()),
        (Table::State(0), "no ' \" such; --".into()),
        (Table::State(0), "car-1".into()),
    ];
    let fetched = store.fetch(&wanted).expect("the store is there");
    let there: Vec<bool> = fetched.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, true, true, true, false, true], "one answer for each question, in order");
    for ((table, id), row) in wanted.iter().zip(&fetched) {
        match store.peek(*table, id).expect("the store is there") {
            Peek::Known(known) => assert_eq!(&known, row, "{table:?} {id}"),
            Peek::Missing => {}
        }
    }
    assert_eq!(fetched[0], Some(Loaded { version: 1, format: 3, body: body("car-1", 1) }));
    assert_eq!(store.fetch(&[]), Ok(vec![]));
}

fn another_connection_finds_all_of_it(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    drop(store);
    let Some(store) = make(Make::Beside) else { return };
    let mut store = opened(store);
    assert_whole(&mut *store);
    assert!(take(&mut *store, &home()).fence > fence);
}
