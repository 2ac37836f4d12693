//! A store takes all rows of a context from another, or none.

use super::super::carry::{Bookmark, Carried, Received, Source, carry};
use super::parts::*;
use super::*;

/// Partitions of the deployment that the rows come to.
const PARTITIONS: u16 = 8;
const CARS: u64 = 2_500;

pub(super) fn check(make: Maker<'_>) {
    what_a_context_has_is_carried_to_the_partitions_of_its_keys(make);
    a_move_that_breaks_off_leaves_nothing_and_can_be_begun_again(make);
    what_is_in_use_takes_nothing(make);
}

fn lane_of(number: u64) -> Arc<str> {
    format!("car-{number}").into()
}

fn partition(number: u64) -> Partition {
    Partition { context: "lot".into(), number: crate::log::partition_of(&lane_of(number), PARTITIONS) }
}

fn waits(number: u64, due: Option<i64>) -> Waiting {
    let mut waiting = waiting(number, due);
    if let Some(about) = &mut waiting.about {
        about.key = lane_of(number);
    }
    waiting
}

fn record(id: &str, kind: &str) -> CommandWrite {
    let body = format!(r#"{{"hash":"h","kind":"{kind}","key":"car-1","received":1,"status":"done"}}"#);
    CommandWrite { id: id.into(), expires: 77, body: body.into_bytes() }
}

/// A store as an embedded deployment leaves it: everything in partition 0, more of it than one part has.
fn source() -> Sqlite {
    let mut store = Sqlite::memory().expect("there is memory");
    store.open(&schema()).expect("the store can be opened");
    let mut go = |writes: Writes| assert_eq!(store.commit(&writes), Ok(()));
    let of_shop = Partition { context: "shop".into(), number: 0 };
    for number in 1..=CARS {
        let mut writes = state(&lane_of(number), 1);
        writes.states[0].row = vec!["\0red".into(), Value::Null];
        writes.log = vec![log_row(number, (number > 1).then(|| number - 1), &shop(0))];
        go(writes);
    }
    let mut again = state("car-7", 2);
    again.states[0].row = vec!["blue".into(), 7.into()];
    go(again);
    for (version, stage) in [(1, "running"), (2, "running"), (3, "stuck")] {
        go(saga("car-1~a", version, stage));
    }
    go(saga("car-2~b", 1, "running"));
    go(saga("car-2~b", 2, "completed"));
    let elsewhere =
        saga("order-1~x", 1, "running").sagas.into_iter().map(|saga| SagaWrite { partition: of_shop.clone(), ..saga });
    go(Writes { sagas: elsewhere.collect(), ..Writes::default() });
    let puts = [(1, Some(5)), (3, None), (4, Some(i64::MAX))].map(|(number, due)| WaitingWrite::Put(home(), waits(number, due)));
    let elsewhere = WaitingWrite::Put(of_shop.clone(), waits(9, Some(1)));
    let edit = WaitingWrite::Edit(home(), 3, Arc::from(&b"mended"[..]));
    go(Writes { waiting: puts.into_iter().chain([elsewhere, edit]).collect(), ..Writes::default() });
    go(Writes { commands: vec![record("ask-1", "lot.enter.v1"), record("ask-2", "shop.buy.v1")], ..Writes::default() });
    let later = LogRow { place: Place { epoch: EPOCH + 5, position: 1 }, ..log_row(1, Some(CARS), &shop(0)) };
    go(Writes { log: vec![later.clone()], ..Writes::default() });
    let fence = store.take(&home(), None).expect("the store is there").expect("nobody has it").fence;
    let head = HeadWrite { epoch: EPOCH + 5, ..head(&home(), fence, 1) };
    let rest = Writes {
        heads: vec![head],
        destinations: vec![(home(), shop(0), later.place)],
        marks: vec![(home(), route(&of_shop, &Destination { topic: "lot.commands".into(), partition: 0 }), at(9))],
        operations: whole(fence).operations,
        ..Writes::default()
    };
    assert_eq!(store.commit(&rest), Ok(()));
    store
}

fn move_to(target: &mut dyn Subject, source: &mut dyn Source, moving: i64) -> StoreResult<Received> {
    carry(source, target, "lot", &schema(), PARTITIONS, moving)
}

fn what_a_context_has_is_carried_to_the_partitions_of_its_keys(make: Maker<'_>) {
    let (mut source, mut store) = (source(), new(make));
    let carried = Carried { states: CARS, sagas: 2, waiting: 3, commands: 1, log: CARS + 1 };
    assert_eq!(move_to(&mut *store, &mut source, 5), Ok(Received::Now(carried)));
    assert_eq!(move_to(&mut *store, &mut source, 5), Ok(Received::Before), "the same once more brings nothing twice");

    // What lies under a key is in its partition, as it was.
    assert_eq!(peek(&mut *store, Table::State(0), "car-7"), Some(Loaded { version: 2, format: 3, body: body("car-7", 2) }));
    let columns = store.select("SELECT colour FROM lot_car WHERE id = $1", &["car-7".into()]);
    let colour = columns.expect("the view can be read").concat().first().and_then(|colour| colour.text().map(str::to_owned));
    // PostgreSQL stores every character but NUL.
    let colour = colour.map(|colour| colour.replace('\0', "\u{fffd}"));
    assert_eq!(colour.as_deref(), Some("\u{fffd} of version 2"), "a view's columns are made from the state");
    assert_eq!(peek(&mut *store, Table::Saga, "car-1~a").map(|row| (row.version, row.body)), Some((3, body("car-1~a", 3))));
    assert_eq!(peek(&mut *store, Table::Start, "car-1~a").map(|row| row.body), Some(body("car-1~a", 0)));
    let lines = store.select("SELECT line, entries FROM saga_log WHERE saga = $1 ORDER BY line", &["car-1~a".into()]);
    let line = |number: u64| vec![Value::Integer(number.cast_signed()), text(&body("car-1~a", 100 + number))];
    assert_eq!(lines, Ok((1..=3).map(line).collect()), "all of a saga's log");
    assert_eq!(peek(&mut *store, Table::Saga, "order-1~x"), None, "what another context has stays there");
    assert_eq!(peek(&mut *store, Table::Command, "ask-1").map(|row| row.body), Some(record("ask-1", "lot.enter.v1").body));
    assert_eq!(peek(&mut *store, Table::Command, "ask-2"), None);
    for (number, due) in [(1, Some(5)), (4, Some(i64::MAX))] {
        assert_ne!(partition(number), home(), "its key lives elsewhere now");
        assert_eq!(store.waiting(&partition(number), number), Ok(Some(waits(number, due))), "due when it was due");
    }
    let edited = Waiting { raw: Arc::from(&b"mended"[..]), revision: 2, ..waits(3, None) };
    assert_eq!(store.waiting(&partition(3), 3), Ok(Some(edited)));
    let originals = store.select("SELECT number FROM waiting WHERE original IS NOT NULL", &[]);
    assert_eq!(originals, Ok(vec![vec![3.into()]]), "what it came with is kept beside an edit");

    // The streams and marks are as they were, and nothing of them is handed on again.
    let taken = take(&mut *store, &home());
    let last = Place { epoch: EPOCH + 5, position: 1 };
    assert_eq!((taken.head, taken.relayed, taken.epoch), (Some(last), Some(last), EPOCH + 5));
    assert_eq!(taken.destinations, [(shop(0), last)]);
    assert_eq!(taken.marks.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [at(9)]);
    let log = log_after(&mut *store, Some(at(CARS - 1)), None, 9);
    assert_eq!(
        log.iter().map(|row| (row.place, row.predecessor)).collect::<Vec<_>>(),
        [(at(CARS), Some(at(CARS - 1))), (last, Some(at(CARS)))]
    );
    assert_eq!(store.select("SELECT decision FROM operation", &[]), Ok(vec![vec!["retry".into()]]));

    // Whoever takes the partitions finds each saga and each message once.
    let (mut sagas, mut messages) = (Vec::new(), Vec::new());
    for number in 0..PARTITIONS {
        let taken = take(&mut *store, &Partition { number, ..home() });
        sagas.extend(taken.running.into_iter().map(|saga| (number, saga)));
        messages.extend(taken.waiting.into_iter().map(|waiting| (number, waiting.number)));
    }
    assert_eq!(sagas, [(partition(1).number, "car-1~a".into())]);
    messages.sort_by_key(|(_, number)| *number);
    assert_eq!(messages, [1, 3, 4].map(|number| (partition(number).number, number)));
    // And goes on with what is there.
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, Writes { heads: vec![HeadWrite { epoch: EPOCH + 5, ..head(&home(), fence, 1) }], ..state("car-7", 3) });
}

fn a_move_that_breaks_off_leaves_nothing_and_can_be_begun_again(make: Maker<'_>) {
    /// Reads so many parts, and then no more.
    struct Breaking(Sqlite, usize);
    impl Source for Breaking {
        fn part(&mut self, context: &str, after: &Bookmark) -> StoreResult<(Writes, Option<Bookmark>)> {
            self.1 = self.1.checked_sub(1).ok_or_else(|| StoreError("the disk burns".to_owned()))?;
            self.0.part(context, after)
        }
    }
    let mut store = new(make);
    let mut breaking = Breaking(source(), 3);
    assert_eq!(move_to(&mut *store, &mut breaking, 5), Err(StoreError("the disk burns".to_owned())));
    assert_eq!(peek(&mut *store, Table::State(0), "car-1"), None);
    breaking.1 = usize::MAX;
    assert!(matches!(move_to(&mut *store, &mut breaking, 5), Ok(Received::Now(Carried { states: CARS, .. }))));
}

fn what_is_in_use_takes_nothing(make: Maker<'_>) {
    let mut store = new(make);
    take(&mut *store, &home());
    let why = move_to(&mut *store, &mut source(), 5).expect_err("somebody has taken a partition").0;
    assert!(why.contains("in use") && why.contains("\"head\""), "{why}");
    assert_eq!(peek(&mut *store, Table::State(0), "car-1"), None);

    let mut store = new(make);
    assert!(move_to(&mut *store, &mut source(), 5).is_ok());
    let why = move_to(&mut *store, &mut source(), 6).expect_err("another move was there").0;
    assert!(why.contains("another move"), "{why}");
}
