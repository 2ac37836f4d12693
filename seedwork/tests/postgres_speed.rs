//! How long a batch takes in PostgreSQL: `ALPES_TEST_MEASURE=1 cargo test -p seedwork --features distributed --test postgres_speed --
//! --nocapture`.
#![cfg(feature = "distributed")]

use std::sync::Arc;

use seedwork::clock::{Clock, SystemClock};
use seedwork::store::*;
use seedwork::testing::databases::Databases;

const EPOCH: u64 = 1_700_000_000_000;
const INPUTS: u64 = 64;
const BATCHES: u64 = 400;

fn home() -> Partition {
    Partition { context: "lot".into(), number: 0 }
}

/// What 64 inputs of sagas write: a state, a saga and two log rows each.
fn batch(fence: u64, number: u64) -> Writes {
    let body = |what: &str| format!("{{\"{what}\":\"{}\"}}", "x".repeat(300)).into_bytes();
    let version = number + 1;
    let ids = 0..INPUTS;
    let states = ids.clone().map(|id| StateWrite {
        table: 0,
        id: format!("car-{id:04}").into(),
        version,
        format: 1,
        body: body("car"),
        row: Vec::new(),
        before: None,
    });
    let sagas = ids.clone().map(|id| SagaWrite {
        id: format!("car-{id:04}~s").into(),
        partition: home(),
        version,
        stage: "running".into(),
        same_stage: false,
        body: body("saga"),
        start: (version == 1).then(|| body("start")),
        log: Vec::new(),
    });
    let first = number * 2 * INPUTS;
    let to = Destination { topic: "lot.commands".into(), partition: 0 };
    let log = (1..=2 * INPUTS).map(|offset| LogRow {
        route: Route { from: home(), to: to.clone() },
        place: Place { epoch: EPOCH, position: first + offset },
        predecessor: None,
        raw: body("message").into(),
        packet: None,
        times: [1, 2, 3],
    });
    let last = Place { epoch: EPOCH, position: first + 2 * INPUTS };
    Writes {
        heads: vec![HeadWrite { partition: home(), fence, epoch: EPOCH, position: last.position, relayed: first }],
        destinations: vec![(home(), to.clone(), last)],
        marks: vec![(home(), Route { from: home(), to: to.clone() }, last)],
        states: states.collect(),
        sagas: sagas.collect(),
        log: log.collect(),
        ..Writes::default()
    }
}

#[test]
fn a_batch_of_64_inputs() {
    if std::env::var_os("ALPES_TEST_MEASURE").is_none() {
        return eprintln!("SKIPPED: figures of the store, with ALPES_TEST_MEASURE=1");
    }
    let Some(mut databases) = Databases::find() else { return };
    let mut store = Postgres::connect(&databases.make()).unwrap();
    store.open(&Schema { states: vec![StateTable::plain("lot_car")], epoch: EPOCH, ..Schema::default() }).unwrap();
    let fence = store.take(&home(), None).unwrap().unwrap().fence;
    let clock = SystemClock::default();
    let wanted: Vec<(Table, Box<str>)> = (0..INPUTS).map(|id| (Table::State(0), format!("car-{id:04}").into())).collect();
    let (mut commits, mut reads) = (Vec::new(), Vec::new());
    for number in 0..BATCHES {
        let writes = Arc::new(batch(fence, number));
        let begun = clock.monotonic();
        store.commit(&writes).unwrap();
        commits.push(clock.monotonic() - begun);
        let begun = clock.monotonic();
        store.begin().unwrap();
        store.fetch(&wanted).unwrap();
        reads.push(clock.monotonic() - begun);
    }
    let empty: Vec<_> = (0..BATCHES)
        .map(|_| {
            let heads = vec![HeadWrite { partition: home(), fence, epoch: EPOCH, position: BATCHES * 2 * INPUTS, relayed: 0 }];
            let begun = clock.monotonic();
            store.commit(&Writes { heads, ..Writes::default() }).unwrap();
            clock.monotonic() - begun
        })
        .collect();
    for (what, mut times) in
        [("a commit of 64 inputs, 257 rows", commits), ("a fetch of 64 states", reads), ("a head alone", empty)]
    {
        times.sort();
        let at = |part: usize| times[times.len() * part / 100];
        eprintln!("{what}: median {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    }
}
