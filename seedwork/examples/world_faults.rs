//! A world with everything that can go wrong: several processes, lost and doubled messages, crashes in commits, stolen leases. What
//! must hold in the end, holds for every seed; and one seed twice gives the same trace. The business is that of `saga.rs`.
//!
//! `cargo run -p seedwork --example world_faults -- 100`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "saga.rs"]
mod parking;

use std::time::Duration;

use parking::{arrival, contexts, view};
use seedwork::testing::{Faults, World};

/// A bad day of ten cars that want five places; gives the trace.
fn bad_day(seed: u64) -> String {
    let mut world = World::distributed(contexts, 4, seed);
    world.keep_trace();
    world.set_faults(Faults::all());
    for n in 0..10 {
        world.ask(&arrival(&format!("car-{n}"), &format!("place-{}", n % 5), if n == 3 { 0 } else { 10 }));
        world.run(Duration::from_millis(3));
    }
    world.run(Duration::from_secs(60));
    world.set_faults(Faults::default());
    assert!(world.settle(Duration::from_secs(8 * 3600)), "seed {seed}: every saga ends\n{}", world.describe());
    let text = view(&world);
    let count = |what: &str| text.matches(what).count();
    assert_eq!(
        count("inside: true, 7 left"),
        count(" has place-"),
        "seed {seed}: whoever paid is inside and has a place\n{text}"
    );
    assert_eq!(
        count("inside: false, 10 left") + count("inside: false, 0 left") + count(" has place-"),
        10,
        "seed {seed}:\n{text}"
    );
    world.trace().to_owned()
}

pub fn main() {
    let seeds = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    for seed in 0..seeds {
        bad_day(seed);
    }
    assert_eq!(bad_day(7), bad_day(7), "a failure can be looked at again");
    println!("{seeds} bad days, nothing lost and nothing doubled");
}
