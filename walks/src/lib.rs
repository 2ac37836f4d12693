//! Whole stories, from the first command to the last effect: in a world that is stepped by hand, and over real servers.
//!
//! [`asks`] writes commands the way a story tells them, [`look`] reads what became of them, and [`invariants()`] says what holds
//! whenever all is at rest, whatever happened before. A story of [`stories`] is told to any [`Alpes`]: to a [`World`] in both of its shapes
//! here (`tests/stories.rs`), and over HTTP ([`http`]) to one process with its store in a directory
//! (`platform/tests/server/stories.rs`) and to processes over PostgreSQL and Pulsar (`platform/tests/distributed/stories.rs`).
//!
//! What is told to a `World` only, because it is about what only a `World` can do: bad days (faults that a seed draws), the laws of sagas
//! and the troubles of machines (handlers that break on command, time that is turned on, clocks that sleep), drafts (a broker that keeps
//! one message back; before the pivot an operator's pause does that over HTTP too, [`drafts`]), and golden plans. What real
//! processes and servers suffer is in `platform/tests` and in `scripts/soak`.

use std::time::Duration;

use seedwork::Context;
use seedwork::testing::World;

mod alpes;
pub mod asks;
pub mod drafts;
pub mod http;
pub mod invariants;
pub mod look;
pub mod stories;

pub use alpes::Alpes;
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
pub fn rest(world: &mut impl Alpes) {
    world.rest();
}
