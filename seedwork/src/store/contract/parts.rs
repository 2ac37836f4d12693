//! What the store's suite writes: a parking lot's cars.

use super::*;

pub(crate) const EPOCH: u64 = 1_700_000_000_000;

pub(crate) fn home() -> Partition {
    Partition { context: "lot".into(), number: 0 }
}

pub(super) fn other() -> Partition {
    Partition { context: "lot".into(), number: 1 }
}

pub(super) fn shop(partition: u16) -> Destination {
    Destination { topic: "shop.commands".into(), partition }
}

pub(super) fn route(from: &Partition, to: &Destination) -> Route {
    Route { from: from.clone(), to: to.clone() }
}

pub(super) fn at(position: u64) -> Place {
    Place { epoch: EPOCH, position }
}

/// An empty store with the tables of the suite.
pub(super) fn new(make: Maker<'_>) -> Box<dyn Subject> {
    opened(make(Make::New).expect("a new store can always be made"))
}

pub(super) fn opened(mut store: Box<dyn Subject>) -> Box<dyn Subject> {
    store.open(&schema()).expect("the store can be opened");
    store
}

/// The tables of the suite: a car's colour, as a state that was stored without it tells, is its version, behind a NUL.
pub(super) fn schema() -> Schema {
    let cars = StateTable {
        name: state_table("lot", "car"),
        columns: &[("colour", "TEXT"), ("size", "BIGINT")],
        indexes: &[("colours", "colour, id")],
        row: Arc::new(|_, body| {
            let body: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            Ok(vec![format!("\0 of version {}", body["version"]).into(), Value::Null])
        }),
    };
    Schema { states: vec![cars, StateTable::plain(state_table("lot", "place"))], epoch: EPOCH, ..Schema::default() }
}

pub(super) fn take(store: &mut dyn Subject, partition: &Partition) -> Taken {
    store.take(partition, None).expect("the store is there").expect("whoever names no fence takes it")
}

pub(super) fn commit(store: &mut dyn Subject, writes: Writes) {
    assert_eq!(store.commit(&writes), Ok(()));
}

pub(super) fn peek(store: &mut dyn Subject, table: Table, id: &str) -> Option<Loaded> {
    match store.peek(table, id).expect("the store is there") {
        Peek::Known(row) => row,
        Peek::Missing => store.fetch(&[(table, id.into())]).expect("the store is there").remove(0),
    }
}

pub(super) fn log_after(store: &mut dyn Subject, after: Place0, to: Option<&Destination>, limit: usize) -> Vec<LogRow> {
    store.log_after(&home(), after, to, limit).expect("the store is there")
}

pub(super) fn last_sent(store: &mut dyn Subject, to: &Destination) -> Place0 {
    store.last_sent(&route(&home(), to)).expect("the store is there")
}

pub(super) fn body(id: &str, version: u64) -> Vec<u8> {
    format!(r#"{{"id":"{id}","text":"señal ✓ \" \\","version":{version}}}"#).into_bytes()
}

pub(super) fn text(bytes: &[u8]) -> Value {
    Value::Text(String::from_utf8_lossy(bytes).into_owned())
}

pub(crate) fn head(partition: &Partition, fence: u64, position: u64) -> HeadWrite {
    HeadWrite { partition: partition.clone(), fence, epoch: EPOCH, position, relayed: 0 }
}

pub(crate) fn state(id: &str, version: u64) -> Writes {
    let write = StateWrite {
        table: 0,
        id: id.into(),
        version,
        format: 3,
        body: body(id, version),
        row: vec![Value::Null, Value::Null],
        before: None,
    };
    Writes { states: vec![write], ..Writes::default() }
}

pub(crate) fn saga(id: &str, version: u64, stage: &'static str) -> Writes {
    let write = SagaWrite {
        id: id.into(),
        partition: home(),
        version,
        stage: stage.into(),
        same_stage: false,
        body: body(id, version),
        start: (version == 1).then(|| body(id, 0)),
        log: vec![(version, body(id, 100 + version))],
    };
    Writes { sagas: vec![write], ..Writes::default() }
}

pub(crate) fn command(id: &str, expires: i64) -> CommandWrite {
    CommandWrite { id: id.into(), expires, body: body(id, 0) }
}

pub(super) fn waiting(number: u64, due: Option<i64>) -> Waiting {
    Waiting {
        head: WaitingHead { number, lane: format!("lane|{number}").into(), attempts: 2, due, dead: due.is_none(), not_yet: None },
        topic: "commands".into(),
        reason: "it is raining".to_owned(),
        raw: Arc::from([&b"{\xff\x00 not even text "[..], &number.to_le_bytes()].concat()),
        since: 17,
        about: Some(About { kind: "k".into(), key: "car-1".into(), source: "lot".into(), saga: None }),
        revision: 1,
    }
}

pub(super) fn log_row(position: u64, before: Option<u64>, to: &Destination) -> LogRow {
    LogRow {
        route: route(&home(), to),
        place: at(position),
        predecessor: before.map(at),
        raw: body("message", position).into(),
        packet: None,
        times: [1, 2, 3],
    }
}

pub(super) fn log_of(position: u64, to: &Destination) -> Writes {
    Writes { log: vec![log_row(position, None, to)], ..Writes::default() }
}

/// A batch with something of everything.
pub(super) fn whole(fence: u64) -> Writes {
    Writes {
        heads: vec![HeadWrite { relayed: 1, ..head(&home(), fence, 3) }],
        destinations: vec![(home(), shop(0), at(2)), (home(), shop(1), at(3))],
        marks: vec![(home(), route(&other(), &shop(0)), at(7))],
        states: state("car-1", 1).states,
        sagas: saga("car-1~a", 1, "running").sagas,
        log: vec![log_row(1, None, &shop(0)), log_row(2, Some(1), &shop(0)), log_row(3, None, &shop(1))],
        commands: vec![command("ask-1", 10)],
        waiting: vec![WaitingWrite::Put(home(), waiting(1, Some(5)))],
        operations: vec![decided()],
        pauses: vec![paused()],
        drops: Vec::new(),
        carried: false,
    }
}

/// All of [`whole`] is there, and nothing else; takes the partition to look.
pub(super) fn assert_whole(store: &mut dyn Subject) {
    assert_whole_but_fence(store);
    let taken = take(store, &home());
    assert_eq!((taken.head, taken.relayed, taken.epoch), (Some(at(3)), Some(at(1)), EPOCH));
    assert_eq!(taken.destinations, [(shop(0), at(2)), (shop(1), at(3))]);
    assert_eq!(taken.marks, [(route(&other(), &shop(0)), at(7))]);
    assert_eq!(taken.waiting, [waiting(1, Some(5)).head]);
    assert_eq!(taken.paused, [shop(0)]);
    assert_eq!(taken.running.iter().map(|id| &**id).collect::<Vec<_>>(), ["car-1~a"]);
}

/// The same, without taking the partition.
pub(super) fn assert_whole_but_fence(store: &mut dyn Subject) {
    assert_whole_but_fence_and_log(store, 3);
    let rows = [log_row(1, None, &shop(0)), log_row(2, Some(1), &shop(0)), log_row(3, None, &shop(1))];
    assert_eq!(log_after(store, None, None, 100), rows);
    assert_eq!(
        (last_sent(store, &shop(0)), last_sent(store, &shop(1)), last_sent(store, &shop(2))),
        (Some(at(2)), Some(at(3)), None)
    );
}

/// The same, when the log has gone on up to a position.
pub(super) fn assert_whole_but_fence_and_log(store: &mut dyn Subject, position: u64) {
    assert_eq!(peek(store, Table::State(0), "car-1"), Some(Loaded { version: 1, format: 3, body: body("car-1", 1) }));
    assert_eq!(peek(store, Table::Saga, "car-1~a").map(|row| (row.version, row.body)), Some((1, body("car-1~a", 1))));
    assert_eq!(peek(store, Table::Start, "car-1~a").map(|row| row.body), Some(body("car-1~a", 0)));
    assert_eq!(peek(store, Table::Command, "ask-1").map(|row| row.body), Some(body("ask-1", 0)));
    assert_eq!(store.waiting(&home(), 1), Ok(Some(waiting(1, Some(5)))));
    assert_eq!(store.waiting(&home(), 40), Ok(None));
    assert_eq!(log_after(store, None, None, 100).last().map(|row| row.place), Some(at(position)));
}

/// A partition that no longer reads a destination.
pub(super) fn paused() -> PauseWrite {
    PauseWrite { reader: home(), to: shop(0), pause: Some((3, "ann".into(), "the shop is shut".to_owned())) }
}

fn decided() -> OperationWrite {
    OperationWrite {
        partition: home(),
        at: 1,
        actor: "ann".into(),
        decision: "retry".into(),
        about: "car-1~a".to_owned(),
        reason: None,
        told: serde_json::json!({}),
    }
}
