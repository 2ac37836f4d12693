//! The laws that every saga obeys, checked on one's own: each row refused, faulted, dead and late at each child, every action and undo
//! twice, the undo order exact. A test of a context is this one call. The business is that of `saga.rs`.
//!
//! `cargo run -p seedwork --example saga_laws`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "saga.rs"]
mod parking;

use parking::{arrival, contexts, view};
use seedwork::testing::{Case, assert_saga_laws};

pub fn main() {
    assert_saga_laws(&Case { contexts, saga: "parking.stay", start: |world| world.ask(&arrival("car-1", "place-1", 10)), view });
    println!("parking.stay obeys the laws");
}
