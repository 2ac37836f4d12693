//! A partition that an executor owns, as it has it in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Executor;
use crate::inbox::Lanes;
use crate::log::Relay;
use crate::store::{Destination, Partition, Place, Place0, Route};

/// Rows that a route misses.
pub(super) struct Gap {
    pub since: Duration,
    /// The row that the first one that came names as its predecessor.
    pub wants: Place0,
}

/// The last row taken on a route, or sent to a destination, and whether this batch did that.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub place: Place,
    pub moved: bool,
}

/// A partition that this executor owns.
pub(super) struct Held {
    pub partition: Partition,
    pub context: usize,
    pub fence: u64,
    pub epoch: u64,
    pub position: u64,
    pub destinations: BTreeMap<Destination, Mark>,
    pub marks: BTreeMap<Route, Mark>,
    pub lanes: Lanes,
    /// Routes whose mark misses rows.
    pub gaps: BTreeMap<Route, Gap>,
    /// What an operator has told it not to read.
    pub paused: BTreeSet<Destination>,
    pub relay: Relay,
    /// The last row of it that the broker holds, when the store does not know it: then it takes no input.
    pub ahead: Place0,
}

impl Held {
    /// The id of the row at its position.
    pub fn row_id(&self) -> Arc<str> {
        let context = &*self.partition.context;
        // Each message has one, and the formatting machinery takes several times as long.
        let mut id = String::with_capacity(context.len() + 48);
        id.push_str(context);
        for number in [u64::from(self.partition.number), self.epoch, self.position] {
            id.push('/');
            id.push_str(itoa::Buffer::new().format(number));
        }
        id.into()
    }
}

impl Executor {
    /// Which partitions it owns.
    pub fn partitions(&self) -> Vec<Partition> {
        self.held.iter().map(|held| held.partition.clone()).collect()
    }
}
