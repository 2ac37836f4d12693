//! The executor: whatever is at hand becomes one batch, a batch is one commit, and only then anybody hears "yes". An input that says no
//! drops only its own changes. The business is that of `command_handler.rs`.
//!
//! `cargo run -p seedwork --example executor`

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "command_handler.rs"]
mod parking;

use std::time::Duration;

use parking::{Enter, contexts};
use seedwork::executor::First;
use seedwork::testing::World;

pub fn main() {
    let mut world = World::embedded(contexts, 1);
    let before = world.commits();
    let enter = |lot: usize, car: usize| Enter { lot: format!("lot-{lot}"), car: format!("car-{car}") };
    // Two places a lot, three cars for each: a third is refused, the others are not touched by that.
    let tickets: Vec<_> = (0..30).map(|n| world.ask(&enter(n % 10, n))).collect();
    assert!(tickets.iter().all(|ticket| world.first(*ticket).is_none()), "nobody hears anything before the commit");
    world.run(Duration::from_secs(1));
    let refused = tickets.iter().filter(|ticket| matches!(world.first(**ticket), Some(First::Refused(_)))).count();
    let commits = world.commits() - before;
    println!("30 commands, {refused} refused, {commits} commits");
    assert_eq!(refused, 10);
    assert!(commits < 10, "{commits} commits for 30 commands");
}
