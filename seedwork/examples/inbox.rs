//! The inbox: a message that breaks its handler waits and is tried again, and after eight attempts it is a dead letter. Only its lane
//! waits behind it; an operator replays it when the fault is mended. The business is that of `parking/mod.rs`.
//!
//! `cargo run -p seedwork --example inbox`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "saga.rs"]
mod parking;

use std::time::Duration;

use parking::{arrival, contexts, view};
use seedwork::Error;
use seedwork::executor::{Decision, Letter};
use seedwork::testing::{Instead, World};

pub fn main() {
    let mut world = World::embedded(contexts, 1);
    world.intercept(|envelope| match &*envelope.key {
        "place-1" => Instead::Answer(Error::fault("the barrier is broken")),
        _ => Instead::Handle,
    });
    world.ask(&arrival("car-1", "place-1", 10));
    world.ask(&arrival("car-2", "place-2", 10));
    world.run(Duration::from_secs(14 * 60));
    assert_eq!(view(&world), "car-1 inside: false, 10 left\ncar-2 inside: true, 7 left\ncar-2 has place-2\n", "other lanes flow");
    let waiting = world.waiting();
    let [(partition, letter)] = waiting.as_slice() else { panic!("one message waits: {waiting:?}") };
    println!("dead: {}, after {} attempts, lane {}: {}", letter.head.dead, letter.head.attempts, letter.head.lane, letter.reason);
    assert!(letter.head.dead, "nothing more is tried before somebody decides");

    world.intercept(|_| Instead::Handle);
    let letters = vec![Letter { number: letter.head.number, revision: None }];
    let replay = Decision::Replay { partition: partition.clone(), letters, reason: Some("the barrier is mended".to_owned()) };
    world.operate(&replay).expect("a dead letter can be replayed");
    assert!(world.settle(Duration::from_secs(60)));
    assert!(view(&world).contains("car-1 inside: true") && world.waiting().is_empty());
}
