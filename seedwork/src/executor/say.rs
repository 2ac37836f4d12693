//! What a batch says becomes rows of the log, and what it says to partitions that it covers itself it takes at once.
//!
//! Such a row is written by the same commit as all that comes of it, and its reader's mark with them: all of it is there after a crash, or
//! nothing. Nothing is answered or sent before that commit, as without this; but a saga whose steps lie in one store costs the flushes of
//! one batch, not of one for each step. What stands behind something that has not been taken yet waits for its turn, as ever.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::held::Held;
use super::{Arrival, Executor, Input, Stop, What};
use crate::broker::{OWN, Subscription};
use crate::inbox::{self, Seen};
use crate::message::Role;
use crate::store::{LogRow, Place, Route};

impl Executor {
    /// Makes rows of what the inputs that have just been run have said. Returns those that this batch takes too.
    pub(super) fn say(&mut self, batch: &mut Batch) -> Result<Vec<Input>, Stop> {
        let now = self.clock.now();
        let mut inputs = Vec::with_capacity(batch.sent.len());
        // What is taken here and has not been run yet has not moved its mark.
        let mut upto = BTreeMap::new();
        batch.rows.reserve(batch.sent.len());
        for outgo in std::mem::take(&mut batch.sent) {
            let row = self.log_row(&outgo, now)?;
            if let Some((partition, subscription)) = self.takes(&row, &upto, batch) {
                batch.taken += 1;
                upto.insert(row.route.clone(), row.place);
                let arrival = Arrival { partition, received: now, seed: self.chance.bits() };
                let what = What::Message { subscription, number: OWN, row: row.clone(), admitted: false };
                inputs.push(Input { arrival, what });
            }
            batch.rows.push((outgo.partition, row));
        }
        Ok(inputs)
    }

    /// Who takes a row in the batch that says it: its one reader, held here, that has taken everything before it on its route.
    fn takes(&mut self, row: &LogRow, upto: &BTreeMap<Route, Place>, batch: &Batch) -> Option<(usize, Subscription)> {
        if batch.alone || batch.taken >= self.limits.at_once {
            return None;
        }
        let to = &row.route.to;
        if Role::of_topic(&to.topic) == Role::Event {
            return None;
        }
        let (context, _) = to.topic.rsplit_once('.')?;
        let reads = |held: &Held| held.partition.number == to.partition && *held.partition.context == *context;
        let partition = self.held.iter().position(reads)?;
        let held = self.held.get(partition)?;
        let mark = upto.get(&row.route).copied().or_else(|| held.marks.get(&row.route).map(|mark| mark.place));
        if held.ahead.is_some() || inbox::seen(row, mark) != Seen::Next {
            return None;
        }
        let subscription = Subscription { reader: held.partition.clone(), to: to.clone() };
        self.broker.takes(&subscription, row).then_some((partition, subscription))
    }
}
