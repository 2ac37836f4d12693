//! Deadlines: a row before the pivot that is not answered in 15 minutes is undone, and what comes late changes nothing. They run on the
//! clock that stands still while the machine sleeps. The business is that of `parking/mod.rs`.
//!
//! `cargo run -p seedwork --example deadlines`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "saga.rs"]
mod parking;

use std::time::Duration;

use parking::business::Reserve;
use parking::{arrival, contexts, view};
use seedwork::message::Message;
use seedwork::testing::World;

pub fn main() {
    let mut world = World::distributed(contexts, 1, 1);
    world.hold(|envelope| &*envelope.kind == Reserve::KIND);
    let ticket = world.ask(&arrival("car-1", "place-1", 10));
    world.run(Duration::from_secs(1));
    world.advance(Duration::from_secs(10 * 60));
    world.sleep_machine(Duration::from_secs(8 * 3600));
    world.run(Duration::from_secs(1));
    assert_eq!(world.sagas()[0].1.run.stage.as_str(), "running", "a night asleep counts for nothing");
    world.advance(Duration::from_secs(6 * 60));
    world.run(Duration::from_secs(1));
    assert_eq!(world.sagas()[0].1.run.stage.as_str(), "undoing", "16 minutes awake do");
    world.release();
    assert!(world.settle(Duration::from_secs(3600)));
    let reason = world.outcome(ticket).expect("it has ended").reason.expect("it was undone");
    println!("undone at row {}: {}", reason.row, reason.refusal);
    assert_eq!((reason.row, &*reason.refusal.code), (2, "deadline"));
    assert_eq!(view(&world), "car-1 inside: false, 10 left\n", "the place that was reserved late is free again");
}
