//! A tap: what looks on as batches are committed, beside the broker and without a mark of its own.

use super::Executor;
use crate::store::{Partition, Place, Writes};

/// Hears of what is written as soon as it is on the disk, on the owner's thread: it must not block, nor do much. Rows that it misses while
/// nobody listens it reads from the log ([`history`](crate::log::history)).
pub trait Tap: Send {
    /// What one commit has written; its log rows are in order.
    fn committed(&mut self, writes: &Writes);
}

impl Executor {
    /// Adds a tap, which hears of every commit from now on.
    pub fn tap(&mut self, tap: Box<dyn Tap>) {
        self.taps.push(tap);
    }

    /// The last place written in each partition that it owns, in the order of partitions; position 0: nothing in this epoch yet.
    pub fn heads(&self) -> Vec<(Partition, Place)> {
        let head = |held: &super::Held| (held.partition.clone(), Place { epoch: held.epoch, position: held.position });
        let mut heads: Vec<_> = self.held.iter().map(head).collect();
        heads.sort();
        heads
    }
}
