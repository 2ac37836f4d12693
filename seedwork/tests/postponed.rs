//! Messages that a context passes over cost it no commit of their own, and are none the less taken once and for good.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::time::Duration;

use ferry::harbour_v1::{FillPurse, TakeFare};
use ferry::{Known, contexts, crossing};
use seedwork::testing::{Faults, World};
use seedwork::view::Value;

const FARES: u64 = 40;
/// Well below the second for which a mark waits at most.
const FARES_TAKE: Duration = Duration::from_millis(10);

/// A harbour whose payer is rich, and a ferry that hears all its events and listens to confirmed crossings only.
fn world(seed: u64) -> World {
    let mut world = World::distributed(contexts, 1, seed);
    world.ask(&FillPurse { purse: "p-1".to_owned(), amount: 10_000 });
    world.run(Duration::from_secs(3));
    world
}

/// Each is an event that means nothing to the ferry.
fn take_fares(world: &mut World) {
    for n in 0..FARES {
        world.ask(&TakeFare { fare: format!("p-1~{n}"), amount: 10 });
        world.run(FARES_TAKE);
    }
}

/// How far the ferry has read the harbour's events, as its store has it, and how far there are any.
fn read_and_sent(world: &World) -> (Option<Value>, Option<Value>) {
    let place = |context: &str, sql: &str| {
        let stores = world.each_store(sql, &[]);
        let rows = stores.into_iter().find(|(of, _)| *of == context).map(|(_, rows)| rows).unwrap_or_default();
        rows.into_iter().next().and_then(|row| row.into_iter().next())
    };
    let topic = "SELECT id FROM name WHERE text = 'harbour.events'";
    (
        place("ferry", &format!("SELECT position FROM mark WHERE topic = ({topic})")),
        place("harbour", &format!("SELECT position FROM destination WHERE topic = ({topic})")),
    )
}

#[test]
fn events_that_are_passed_over_cost_no_commit_of_their_own() {
    let mut world = world(1);
    let before = world.commits();
    take_fares(&mut world);
    let fares = FARES;
    assert!(world.commits() - before <= fares + 2, "{} commits for {fares} fares", world.commits() - before);
    let (read, sent) = read_and_sent(&world);
    assert_ne!(read, sent, "the last is not written yet");
    world.run(Duration::from_secs(2));
    let (read, sent) = read_and_sent(&world);
    assert_eq!(read, sent, "but within a second it is, though nothing else happened");
    assert!(sent.is_some());
    let settled = world.commits();
    world.run(Duration::from_secs(10));
    assert_eq!(world.commits(), settled, "and only once");
}

#[test]
fn what_was_passed_over_goes_with_the_next_commit() {
    let mut world = world(2);
    take_fares(&mut world);
    assert_ne!(read_and_sent(&world).0, read_and_sent(&world).1);
    world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(FARES_TAKE);
    let (read, sent) = read_and_sent(&world);
    assert_eq!(read, sent);
}

#[test]
fn a_crash_before_that_loses_no_event_and_doubles_none() {
    for (seed, faults) in (10..40).zip([Faults::default(), Faults::all()].iter().cycle()) {
        let mut world = world(seed);
        world.set_faults(*faults);
        for n in 0..6 {
            world.ask(&TakeFare { fare: format!("p-1~{n}"), amount: 10 });
            world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann"]));
            world.run(FARES_TAKE * n);
            world.restart_all();
        }
        world.set_faults(Faults::default());
        assert!(world.settle(Duration::from_secs(3600)), "seed {seed}: {}", world.describe());
        // A last row that was lost on its way is sent once more when nothing has followed it for a minute.
        world.run(Duration::from_secs(300));
        for n in 0..6 {
            let known = world.state::<Known>("ferry", &format!("x-{n}")).map(|known| known.times);
            assert_eq!(known, Some(1), "seed {seed}, x-{n}: {}", ferry::view(&world));
        }
        let (read, sent) = read_and_sent(&world);
        assert_eq!(read, sent, "seed {seed}");
        assert!(world.readings().iter().all(|reading| reading.gaps.is_empty()), "seed {seed}");
    }
}
