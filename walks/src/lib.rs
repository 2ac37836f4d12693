//! Whole stories, from the first command to the last effect, in a world that is stepped by hand.
//!
//! [`asks`] writes commands the way a story tells them, [`look`] reads what became of them, and [`invariants()`] says what holds
//! whenever the world is at rest, whatever happened before. `tests/` has one file per story.

use std::time::Duration;

use seedwork::Context;
use seedwork::testing::World;

pub mod asks;
pub mod invariants;
pub mod look;

pub use asks::*;
pub use invariants::invariants;
pub use look::*;

/// Longer than any retry of an undisturbed story.
pub const HOUR: Duration = Duration::from_secs(3600);
/// Longer than all attempts and deadlines together.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The contexts of Alpes, new, with the settings that they have by default.
pub fn contexts() -> Vec<Context> {
    vec![campaign::context(campaign::Settings::default()), partner::context(), tracking::context()]
}

/// One process with one store and one partition of each context.
pub fn embedded(seed: u64) -> World {
    World::embedded(contexts, seed)
}

/// Two processes and a store for each context, four partitions of each, and a broker between them.
pub fn distributed(seed: u64) -> World {
    World::distributed(contexts, 4, seed)
}

/// The world in both shapes.
pub fn both(seed: u64) -> [World; 2] {
    [embedded(seed), distributed(seed)]
}

/// Lets the world come to rest: every saga has ended and every event was heard.
///
/// # Panics
/// When it does not within a day; the text says what is open.
#[track_caller]
pub fn rest(world: &mut World) {
    let settled = world.settle(DAY);
    let open: Vec<_> = world.sagas().into_iter().filter(|(_, record)| !record.run.stage.ended()).collect();
    assert!(settled, "the world does not come to rest: {open:#?}\n{:#?}\n{}", world.waiting(), world.describe());
}
