//! A saga: a stay in a car park reserves a place, takes the fee (the pivot: from here no way back), and opens the gate. A refusal
//! undoes what was done, in reverse. Handlers, aggregates and what each row sends are in `parking/mod.rs`.
//!
//! `cargo run -p seedwork --example saga`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(dead_code, reason = "other examples use this one's business")]

use std::time::Duration;

use seedwork::saga::Committed;
use seedwork::testing::World;
use seedwork::{Context, Saga};

#[path = "parking/mod.rs"]
pub mod business;
pub use business::{Stay, arrival, context, view};

/// The table.
pub fn stay() -> Saga<Stay, Committed> {
    Saga::new("parking.stay") // 1  the unit of work that starts it
        .undo_start(Stay::leave)
        .step(Stay::reserve)
        .undo(Stay::free) // 2
        .pivot(Stay::pay) // 3  from here no way back
        .then(Stay::open) // 4
}

/// The context.
pub fn contexts() -> Vec<Context> {
    vec![context().saga(stay())]
}

pub fn main() {
    let mut world = World::embedded(contexts, 1);
    for (car, place, money) in [("car-1", "place-1", 10), ("car-2", "place-2", 1), ("car-3", "place-1", 10)] {
        let ticket = world.ask(&arrival(car, place, money));
        assert!(world.settle(Duration::from_secs(60)));
        let outcome = world.outcome(ticket).expect("every saga ends");
        match outcome.reason {
            None => println!("{car}: completed"),
            Some(reason) => println!("{car}: undone at {}, {}", outcome.step.unwrap_or_default(), reason.refusal),
        }
    }
    assert_eq!(
        view(&world),
        "car-1 inside: true, 7 left\ncar-2 inside: false, 1 left\ncar-3 inside: false, 10 left\ncar-1 has place-1\n"
    );
}
