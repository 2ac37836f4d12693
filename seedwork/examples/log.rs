//! The log: what a unit of work publishes stands there in the same commit, each row behind the one before to the same reader, and a
//! process that starts again goes on where the log says. The business is that of `parking/mod.rs`.
//!
//! `cargo run -p seedwork --example log`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "saga.rs"]
mod parking;

use std::time::Duration;

use parking::{arrival, contexts, view};
use seedwork::testing::World;

pub fn main() {
    let mut world = World::embedded(contexts, 1);
    world.ask(&arrival("car-1", "place-1", 10));
    // Killed after every step: what was committed is in the log, and is handed on after the start.
    while world.step(Duration::from_secs(60)) {
        world.restart_all();
    }
    println!("{} starts", world.restarts);
    assert_eq!(view(&world), "car-1 inside: true, 7 left\ncar-1 has place-1\n", "nothing lost, nothing doubled");
    let sql = "SELECT id, before_position FROM log ORDER BY id";
    let (_, rows) = world.each_store(sql, &[]).remove(0);
    for row in &rows {
        println!("row {:?} comes behind {:?}", row[0].integer(), row[1].integer());
    }
    assert_eq!(rows.len(), 6, "three commands and their answers");
    let behind = rows.iter().filter(|row| row[1].integer().is_some_and(|before| before < row[0].integer().unwrap_or_default()));
    assert_eq!(behind.count(), 4, "the first row to each of two readers has none before it");
}
