//! A new build beside an old one: a saga ends on the table that it started with, whoever carries it on; the new build's messages are read
//! by the old one's neighbours; and the old build takes nothing back.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(clippy::ptr_arg, reason = "the items of a list of String are &String")]

#[path = "../ferry/mod.rs"]
mod ferry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferry::harbour_v1::FillPurse;
use ferry::{Berth, Booking, Crossing, Fare, Known, crossing};
use seedwork::saga::Committed;
use seedwork::testing::{BrokerFaults, Faults, World};
use seedwork::{Context, Result, Saga, SagaRecord, UnitOfWork};

/// What the next build of the harbour says: a command with one field more, and a new one.
mod next {
    pub mod ferry {
        use apache_avro::AvroSchema;
        use serde::{Deserialize, Serialize};
        seedwork::messages! {
            context Ferry = "ferry", version 1;
            commands { TakeBerth "take-berth" by berth; FreeBerth "free-berth" by berth; }
            events {}
        }
        #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
        pub struct TakeBerth {
            pub berth: String,
            #[serde(default)]
            #[avro(default = r#""""#)]
            pub deck: String,
        }
        #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
        pub struct FreeBerth {
            pub berth: String,
        }
    }
    pub mod harbour {
        use apache_avro::AvroSchema;
        use serde::{Deserialize, Serialize};
        seedwork::messages! {
            context Harbour = "harbour", version 1;
            commands { AnnounceCrossing "announce" by crossing; }
            events {}
        }
        #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
        pub struct AnnounceCrossing {
            pub crossing: String,
        }
    }
}

fn on_deck(_: &Booking, berth: &String) -> next::ferry::TakeBerth {
    next::ferry::TakeBerth { berth: berth.clone(), deck: "upper".to_owned() }
}

fn off_deck(_: &Booking, berth: &String) -> next::ferry::FreeBerth {
    next::ferry::FreeBerth { berth: berth.clone() }
}

fn announce(booking: &Booking) -> next::harbour::AnnounceCrossing {
    next::harbour::AnnounceCrossing { crossing: booking.crossing.clone() }
}

/// The second version of the saga: one row more, and a step with more in it.
fn booking() -> Saga<Booking, Committed> {
    Saga::new("harbour.booking")
        .version(2)
        .undo_start(Booking::unbook)
        .each(Booking::berths)
        .step(on_deck)
        .undo(off_deck)
        .pivot(Booking::take_fare)
        .then(Booking::confirm)
        .then(announce)
}

fn announced(ask: next::harbour::AnnounceCrossing, work: &mut UnitOfWork<'_>) -> Result {
    let mut crossing = work.load::<Crossing>(&ask.crossing)?;
    if crossing.status == "announced" {
        return Ok(());
    }
    crossing.status = "announced".to_owned();
    work.save(crossing, ["announced".to_owned()])
}

/// The harbour of the next build, with the first version of its saga kept; the ferry is as it was.
fn next_build() -> Vec<Context> {
    let upgraded = |context: Context| match context.name() {
        "harbour" => context.command("harbour.saga", announced).saga(booking()),
        _ => context,
    };
    ferry::contexts().into_iter().map(upgraded).collect()
}

fn id(number: usize) -> String {
    format!("c-{number}")
}

/// All that a harbour and a ferry hold.
struct Found {
    /// By the crossing: the version of its saga's table.
    versions: BTreeMap<String, u32>,
    crossings: Vec<Crossing>,
    berths: Vec<Berth>,
    fares: Vec<Fare>,
    known: Vec<Known>,
}

/// Every crossing was booked once by a saga that ended as its own table says, paid once, boarded once, heard of once.
fn assert_whole(found: &Found, sagas: &[(String, SagaRecord)], booked: usize) {
    for (saga, record) in sagas {
        assert!(record.run.stage.ended() && !record.stuck, "{saga} has not ended: {:?}", record.run);
    }
    assert_eq!((sagas.len(), found.crossings.len(), found.fares.len()), (booked, booked, booked));
    for crossing in &found.crossings {
        let expected = if found.versions[&crossing.id] == 1 { "confirmed" } else { "announced" };
        assert_eq!(crossing.status, expected, "{} ends on the table of its own version", crossing.id);
    }
    assert_eq!(found.berths.len(), booked);
    assert!(found.berths.iter().all(|berth| berth.taken && berth.changes == 1), "{:?}", found.berths);
    assert_eq!(found.known.len(), booked);
    assert!(found.known.iter().all(|known| known.times == 1), "{:?}", found.known);
}

fn versions(sagas: &[(String, SagaRecord)]) -> BTreeMap<String, u32> {
    sagas.iter().map(|(saga, record)| (saga.split('~').next().unwrap_or_default().to_owned(), record.version)).collect()
}

fn in_world(world: &World) -> (Found, Vec<(String, SagaRecord)>) {
    let sagas = world.sagas();
    let found = Found {
        versions: versions(&sagas),
        crossings: world.states("harbour"),
        berths: world.states("ferry"),
        fares: world.states("harbour"),
        known: world.states("ferry"),
    };
    (found, sagas)
}

/// What makes the contexts of the present build: the next one's, once this is set.
fn builds() -> (Arc<AtomicBool>, impl Fn() -> Vec<Context>) {
    let newer = Arc::new(AtomicBool::new(false));
    let now = newer.clone();
    (newer, move || if now.load(Ordering::Relaxed) { next_build() } else { ferry::contexts() })
}

fn booked(world: &mut World, numbers: std::ops::Range<usize>) {
    for number in numbers {
        world.ask(&crossing(&id(number), "purse", &["ann"]));
    }
}

#[test]
fn in_one_process_a_saga_that_began_before_the_new_build_started_ends_as_it_began() {
    let (newer, make) = builds();
    let mut world = World::embedded(make, 1);
    world.ask(&FillPurse { purse: "purse".to_owned(), amount: 10_000 });
    world.run(Duration::from_secs(1));
    booked(&mut world, 0..10);
    while world.sagas().len() < 10 {
        assert!(world.step(Duration::MAX));
    }
    assert!(world.sagas().iter().all(|(_, record)| !record.run.stage.ended()), "they are on their way");
    newer.store(true, Ordering::Relaxed);
    world.restart_all();
    booked(&mut world, 10..20);
    assert!(world.settle(Duration::from_secs(3600)));
    let (found, sagas) = in_world(&world);
    assert_whole(&found, &sagas, 20);
    assert!((0..20).all(|number| found.versions[&id(number)] == if number < 10 { 1 } else { 2 }), "{:?}", found.versions);
}

#[test]
fn an_old_and_a_new_replica_side_by_side_end_every_saga_whatever_the_broker_does() {
    for seed in 0..10 {
        let (newer, make) = builds();
        let mut world = World::distributed(make, 4, seed);
        world.ask(&FillPurse { purse: "purse".to_owned(), amount: 10_000 });
        world.run(Duration::from_secs(1));
        world.hold(|envelope| &*envelope.kind == "ferry.take-berth.v1");
        booked(&mut world, 0..20);
        world.run(Duration::from_secs(1));
        newer.store(true, Ordering::Relaxed);
        // The second replica of the harbour, which is the first context.
        world.restart(1);
        world.release();
        let broker = BrokerFaults { duplicate: 5, late: 5, swap: 10, lose: 20, doubtful: 20, ..BrokerFaults::default() };
        world.set_faults(Faults { broker, ..Faults::default() });
        booked(&mut world, 20..60);
        world.run(Duration::from_secs(5));
        world.set_faults(Faults::default());
        assert!(world.settle(Duration::from_secs(3600)), "seed {seed}: {}", world.describe());
        let (found, sagas) = in_world(&world);
        assert_whole(&found, &sagas, 60);
        assert!((0..20).all(|number| found.versions[&id(number)] == 1), "{:?}", found.versions);
        let both: std::collections::BTreeSet<u32> = (20..60).map(|number| found.versions[&id(number)]).collect();
        assert_eq!(both.into_iter().collect::<Vec<_>>(), [1, 2], "seed {seed}: each replica starts its own build's");
    }
}

#[cfg(feature = "distributed")]
mod servers;
