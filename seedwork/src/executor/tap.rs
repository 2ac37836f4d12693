//! A tap: what looks on as rows are committed, beside the broker and without a mark of its own.

use super::Executor;
use crate::store::{LogRow, Partition, Place};

/// Hears of rows as soon as they are on the disk, on the owner's thread: it must not block, nor do much. What it misses while nobody
/// listens it reads from the log ([`history`](crate::log::history)).
pub trait Tap: Send {
    /// The log rows of one commit, in order.
    fn committed(&mut self, rows: &[LogRow]);
}

impl Executor {
    /// Sets the tap that hears of every commit from now on.
    pub fn tap(&mut self, tap: Box<dyn Tap>) {
        self.tap = Some(tap);
    }

    /// The last place written in each partition that it owns, in the order of partitions; position 0: nothing in this epoch yet.
    pub fn heads(&self) -> Vec<(Partition, Place)> {
        let head = |held: &super::Held| (held.partition.clone(), Place { epoch: held.epoch, position: held.position });
        let mut heads: Vec<_> = self.held.iter().map(head).collect();
        heads.sort();
        heads
    }
}
