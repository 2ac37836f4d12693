//! Pause and resume, resend and skip: what an operator decides on what is read and what is sent.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Decided};
use crate::broker::Subscription;
use crate::command::Refusal;
use crate::executor::batch::Batch;
use crate::executor::{Executor, Mark, Stop, crash, topic};
use crate::message::Role;
use crate::store::{Destination, Partition, PauseWrite, Place, Place0, Route};

/// One context's reading of one partition of a topic, as its owner knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The reader.
    pub reader: Partition,
    /// What it reads.
    pub to: Destination,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// What has happened and which command to run, when the broker holds rows of the reader's own stream that its store does not know: an
    /// older copy was restored, and nothing is read before an operator has begun a new epoch.
    pub behind: Option<String>,
    /// The routes on which rows are missing: the mark, and the row that it should have been moved to before.
    pub gaps: Vec<(Route, Place0, Place0)>,
}

impl Executor {
    /// Everything that its partitions read.
    pub fn readings(&self) -> Vec<Reading> {
        let of = |(place, held): (usize, &crate::executor::Held)| {
            let behind = self.says_behind(place);
            let reading = |to: Destination| {
                let gaps = held.gaps.iter().filter(|(route, _)| route.to == to);
                let gaps =
                    gaps.map(|(route, gap)| (route.clone(), held.marks.get(route).map(|mark| mark.place), gap.wants)).collect();
                Reading { reader: held.partition.clone(), paused: held.paused.contains(&to), to, behind: behind.clone(), gaps }
            };
            self.hears(held.context, held.partition.number).into_iter().map(reading).collect::<Vec<_>>()
        };
        self.held.iter().enumerate().flat_map(of).collect()
    }

    /// Whether an operator has paused the commands of this partition: those from outside are of the same topic.
    pub(in crate::executor) fn commands_paused(&self, partition: usize) -> bool {
        self.held.get(partition).filter(|held| !held.paused.is_empty()).is_some_and(|held| {
            let commands = topic(&held.partition.context, Role::Command);
            held.paused.iter().any(|to| to.topic == commands)
        })
    }

    pub(super) fn pause(
        &self,
        to: &Destination,
        pause: Option<(i64, Arc<str>, String)>,
        partition: usize,
        batch: &mut Batch,
    ) -> Answer {
        let unknown = || Refusal::unknown("subscription", &to.topic);
        let held = self.held.get(partition).ok_or_else(unknown)?;
        if !self.hears(held.context, held.partition.number).contains(to) {
            return Err(unknown().into());
        }
        match (held.paused.contains(to), &pause) {
            (true, Some(_)) => return Err(Refusal::conflict("already-paused", "it is paused already").into()),
            (false, None) => return Err(Refusal::conflict("not-paused", "it is read: nothing has paused it").into()),
            _ => {}
        }
        let reads = pause.is_none();
        batch.pauses.push(PauseWrite { reader: held.partition.clone(), to: to.clone(), pause });
        Ok(Decided::Reads(reads))
    }

    pub(super) fn resend(&mut self, route: &Route, after: Place, partition: usize, batch: &mut Batch) -> Result<Answer, Stop> {
        let unknown = Refusal::unknown("destination", &format!("{}/{}", route.to.topic, route.to.partition));
        let Some(held) = self.held.get(partition) else { return Ok(Err(unknown.into())) };
        let Some(last) = held.destinations.get(&route.to).map(|last| last.place) else { return Ok(Err(unknown.into())) };
        if last <= after {
            let why = format!("nothing was sent there after that: the last row is {}/{}", last.epoch, last.position);
            let details = serde_json::json!({"last": {"epoch": last.epoch, "position": last.position}});
            return Ok(Err(Refusal::conflict("nothing-to-send", why).with(details).into()));
        }
        let rows = self.store.log_after(&route.from, Some(after), Some(&route.to), 1).map_err(crash)?;
        let first = rows.first();
        // A row names its predecessor on its way, so a row that was dropped in between is seen.
        let dropped = first.is_none_or(|row| row.predecessor.is_some_and(|before| before > after));
        match first {
            Some(row) if !dropped => {
                batch.turned.push((route.clone(), after));
                Ok(Ok(Decided::Resent(row.place)))
            }
            _ => {
                let kept = first.map(|row| serde_json::json!({"epoch": row.place.epoch, "position": row.place.position}));
                let why = "rows after that have been dropped from the log and cannot be sent again; \
                           `first_kept` is the first that can";
                Ok(Err(Refusal::conflict("rows-dropped", why).with(serde_json::json!({"first_kept": kept})).into()))
            }
        }
    }

    pub(super) fn skip(&mut self, route: &Route, epoch: u64, partition: usize, batch: &mut Batch) -> Answer {
        let no_gap = || Refusal::conflict("no-gap", "no row is missing there: only a gap can be skipped");
        let held = self.held.get_mut(partition).ok_or_else(no_gap)?;
        let to = held.gaps.get(route).and_then(|gap| gap.wants).filter(|to| to.epoch == epoch).ok_or_else(no_gap)?;
        held.gaps.remove(route);
        let from = held.marks.insert(route.clone(), Mark { place: to, moved: true }).map(|mark| mark.place);
        batch.turned.push((route.clone(), to));
        Ok(Decided::Skipped { from, to })
    }

    /// What an operator's decision changes beside the store, once it is committed.
    pub(in crate::executor) fn after_operation(&mut self, turned: Vec<(Route, Place)>, pauses: &[PauseWrite], now: Duration) {
        let mut failed = None;
        for (route, after) in turned {
            self.broker.turn_back(&route, Some(after));
        }
        for PauseWrite { reader, to, pause } in pauses {
            let subscription = Subscription { reader: reader.clone(), to: to.clone() };
            let Some(held) = self.held.iter_mut().find(|held| held.partition == *reader) else { continue };
            if pause.is_some() {
                held.paused.insert(to.clone());
                self.stop_reading(&subscription);
            } else {
                held.paused.remove(to);
                let marks: Vec<(Route, Place)> = held
                    .marks
                    .iter()
                    .filter(|(route, _)| route.to == *to)
                    .map(|(route, mark)| (route.clone(), mark.place))
                    .collect();
                failed = self.broker.subscribe(&subscription, &marks, &mut *self.store).err();
            }
        }
        if let Some(error) = failed {
            tracing::error!(%error, "what an operator decided is kept and could not be carried out yet: beginning anew");
            self.paused_until = Some(now);
        }
    }

    /// No longer hears a destination; what was heard and not handled yet comes again when it is resumed.
    pub(in crate::executor) fn stop_reading(&mut self, subscription: &Subscription) {
        self.broker.unsubscribe(subscription);
        self.postponed.forget(subscription);
        self.heard.retain(|heard| heard.subscription() != Some(subscription));
        if let Some(held) = self.held.iter_mut().find(|held| held.partition == subscription.reader) {
            held.gaps.retain(|route, _| route.to != subscription.to);
        }
    }
}
