//! A broker that is ahead of the store: an older copy of the store was restored.
//!
//! Whatever such a partition published next would stand at places where its readers have other rows already, and they would drop it as
//! duplicates. So it takes no input, and says so, until an operator begins a new epoch: there no place has ever been used.

use super::batch::Batch;
use super::operate::Answer;
use super::{Decided, Executor, Undecided};
use crate::command::Refusal;
use crate::store::{Partition, Place, Place0, StoreResult, Taken};

impl Executor {
    /// The last row of a partition that the broker holds, if the store that was just read does not know it.
    pub(super) fn ahead(&mut self, partition: &Partition, fence: Option<u64>, taken: &Taken) -> StoreResult<Place0> {
        let known = Place { epoch: taken.epoch, position: taken.head.map_or(0, |head| head.position) };
        let sent = match fence {
            None => self.broker.last_sent(partition)?,
            // It has not been another's since it was looked at.
            Some(_) => self.held.iter().find(|held| held.partition == *partition).and_then(|held| held.ahead),
        };
        let ahead = sent.filter(|sent| *sent > known);
        if let Some(sent) = ahead {
            tracing::error!(%partition, "{}", behind(partition, known, sent));
        }
        Ok(ahead)
    }

    /// What whoever asks for something of a partition that is behind its broker is told.
    pub(in crate::executor) fn says_behind(&self, partition: usize) -> Option<String> {
        let held = self.held.get(partition)?;
        Some(behind(&held.partition, Place { epoch: held.epoch, position: held.position }, held.ahead?))
    }

    /// Begins a new epoch with this batch's commit, after which the partition is read.
    pub(super) fn new_epoch(&mut self, ended: u64, received: i64, partition: usize, batch: &mut Batch) -> Answer {
        let gone = || Undecided::Unavailable("the partition has gone to another owner; try again".to_owned());
        let held = self.held.get_mut(partition).ok_or_else(gone)?;
        if held.epoch != ended {
            let why = format!("epoch {ended} is over already: this is {}", held.epoch);
            return Err(Refusal::conflict("epoch-ended", why).into());
        }
        let last = held.ahead.map_or(held.epoch, |ahead| ahead.epoch.max(held.epoch));
        held.epoch = u64::try_from(received / 1000).unwrap_or(0).max(last + 1);
        held.position = 0;
        batch.begun.push(held.partition.clone());
        Ok(Decided::Epoch(held.epoch))
    }

    /// A new epoch has begun: the partition is taken again, and now takes input.
    pub(super) fn begun(&mut self, begun: Vec<Partition>) {
        for partition in begun {
            let Some(fence) = self.held.iter().find(|held| held.partition == partition).map(|held| held.fence) else { continue };
            if let Err(error) = self.take_held(&partition, Some(fence)) {
                tracing::error!(%error, %partition, "a new epoch has begun and could not be carried out yet: beginning anew");
                self.paused_until = Some(self.clock.monotonic());
            }
        }
    }
}

fn behind(partition: &Partition, known: Place, sent: Place) -> String {
    let text = |place: Place| format!("{}/{}", place.epoch, place.position);
    format!(
        "{partition} takes no input: the broker has its rows up to {}, and its store only those up to {}, so an older copy of the store was \
         restored. To go on, begin a new epoch: alpes streams new-epoch {partition}/{} --reason WHY",
        text(sent),
        text(known),
        known.epoch
    )
}
