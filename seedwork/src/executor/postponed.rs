//! Batches of which nothing stays but marks that moved: their messages are not for this context.
//!
//! A commit for such a batch alone flushes the disk as any other does, and tells nobody anything. So its marks are written with the next
//! commit, or, when there is none for a second, with one of their own. Until then its messages are not acknowledged either: after a crash they
//! come again and are passed over again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::batch::Batch;
use super::{BATCH, Executor, Stop};
use crate::broker::Subscription;
use crate::store::Partition;

/// How long marks wait for a commit to go with.
const LONGEST: Duration = Duration::from_secs(1);

/// What waits for the next commit beside the marks, which stand in the partitions.
#[derive(Default)]
pub(super) struct Postponed {
    acknowledged: BTreeMap<Subscription, u64>,
    inputs: usize,
    /// When it waits no longer; none: nothing waits.
    due: Option<Duration>,
}

impl Postponed {
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// A subscription ends, or begins anew: its messages will come under other numbers.
    pub fn forget(&mut self, subscription: &Subscription) {
        self.acknowledged.remove(subscription);
    }

    /// The same for all that a partition reads.
    pub fn forget_reader(&mut self, reader: &Partition) {
        self.acknowledged.retain(|subscription, _| subscription.reader != *reader);
    }
}

impl Executor {
    /// Whether a batch that was run need not be written now. What it took is then settled by the next one that is.
    pub(super) fn postpone(&mut self, batch: &mut Batch, inputs: usize) -> bool {
        let now = self.clock.monotonic();
        let waits = !batch.acknowledged.is_empty()
            && batch.only_acknowledges()
            && self.drops.is_empty()
            && self.postponed.inputs + inputs <= BATCH
            && self.postponed.due.is_none_or(|due| now < due);
        if waits {
            self.postponed.due.get_or_insert(now + LONGEST);
            self.postponed.inputs += inputs;
            for (subscription, number) in std::mem::take(&mut batch.acknowledged) {
                self.postponed.acknowledged.insert(subscription, number);
            }
        }
        waits
    }

    /// What was postponed goes with this batch. Returns how many inputs that were.
    pub(super) fn catch_up(&mut self, batch: &mut Batch) -> usize {
        let Postponed { acknowledged, inputs, .. } = std::mem::take(&mut self.postponed);
        for (subscription, number) in &acknowledged {
            batch.acknowledge(subscription, *number);
        }
        inputs
    }

    /// Writes what was postponed, so that whoever opens the store next finds every mark.
    pub(super) fn write_postponed(&mut self) -> Result<(), Stop> {
        if self.postponed.due.is_some() && self.paused_until.is_none() {
            self.postponed.due = Some(Duration::ZERO);
            self.batch(Vec::new())?;
        }
        self.land()
    }
}
