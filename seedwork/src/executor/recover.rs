//! Beginning anew: after an outage of the store, after a crash that the process outlives, and when a partition is given up.

use std::time::Duration;

use super::alarms::Alarms;
use super::postponed::Postponed;
use super::{Executor, PAUSE, Stop, Undecided, crash};
use crate::broker::Subscription;
use crate::store::{Partition, StoreError};

/// How long a crashed executor leaves its store alone at first; twice as long each time it is still away, up to so long.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(5);

impl Executor {
    /// After [`Stop::Crash`], where the process goes on: forgets everything, and takes its partitions again as a new owner does as soon
    /// as the store lets it. Until then nothing runs, so no attempt counts and no deadline passes, and whoever asks is told to try
    /// again. A partition that another has taken meanwhile is let go.
    pub fn outlive(&mut self, stop: &Stop) {
        let Stop::Crash(why) = stop;
        tracing::error!(why, "the store was lost: taking every partition again");
        if let Some(flight) = self.flight.take() {
            for (mut ask, _) in flight.batch.firsts {
                ask.listener.first(&super::First::Unavailable(UNKNOWN.to_owned()));
            }
            for (answer, _) in flight.batch.replies {
                answer(Err(Undecided::Unavailable(UNKNOWN.to_owned())));
            }
        }
        self.crashed = None;
        self.cautious = 0;
        self.forget();
        self.refuse(UNKNOWN);
        self.backoff = Some(BACKOFF);
        self.paused_until = Some(self.clock.monotonic() + BACKOFF);
        self.measure_pause();
    }

    /// Gives a partition up: what is under way is committed first, and nothing of it is in memory afterwards.
    pub fn release(&mut self, partition: &Partition) {
        if let Err(stop) = self.land() {
            // It is given up all the same: its next owner's fence keeps out what may still be on its way.
            self.crashed = Some(stop);
        }
        self.drop_held(partition);
        // Another owner will change what stands here under its keys.
        self.identity.clear();
    }

    /// No longer holds a partition.
    pub(super) fn drop_held(&mut self, partition: &Partition) {
        self.drops.retain(|(of, _)| of != partition);
        self.alarms.leave(partition);
        self.postponed.forget_reader(partition);
        self.heard.retain(|heard| heard.subscription().is_none_or(|subscription| subscription.reader != *partition));
        if let Some(index) = self.held.iter().position(|held| held.partition == *partition) {
            let held = self.held.remove(index);
            for to in self.hears(held.context, held.partition.number) {
                self.broker.unsubscribe(&Subscription { reader: held.partition.clone(), to });
            }
        }
    }

    /// After an outage: takes its partitions again, or goes on waiting when the store cannot even be told so.
    pub(super) fn resume(&mut self, now: Duration) -> bool {
        match self.begin_anew() {
            Ok(()) => {
                self.paused_until = None;
                self.backoff = None;
                self.measure_pause();
            }
            Err(error) => {
                tracing::error!(%error, "the store still cannot be used: waiting");
                self.backoff = self.backoff.map(|backoff| (backoff * 2).min(BACKOFF_MOST));
                self.paused_until = Some(now + self.backoff.unwrap_or(PAUSE));
                self.refuse("the store cannot be used at the moment; try again");
            }
        }
        self.paused_until.is_none()
    }

    pub(super) fn take_again(&mut self) -> Result<(), Stop> {
        self.begin_anew().map_err(crash)
    }

    /// Forgets everything in memory and takes its partitions again, as a new owner does.
    fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.forget();
        let partitions: Vec<(Partition, u64)> = self.held.iter().map(|held| (held.partition.clone(), held.fence)).collect();
        for (partition, fence) in partitions {
            self.take_held(&partition, Some(fence))?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.identity.clear();
        self.heard.clear();
        self.drops.clear();
        self.postponed = Postponed::default();
        self.alarms = Alarms::default();
    }

    /// Tells whoever has asked or decided something to try again later.
    pub(super) fn refuse(&mut self, why: &str) {
        for (mut ask, _, _) in self.asks.drain(..) {
            ask.listener.first(&super::First::Unavailable(why.to_owned()));
        }
        for (_, answer) in self.operations.drain(..) {
            answer(Err(Undecided::Unavailable(why.to_owned())));
        }
    }
}

/// What is told when a commit may have happened or not.
const UNKNOWN: &str = "the store was lost; whether this was done is not known: ask again, with the same id";
