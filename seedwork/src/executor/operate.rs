//! What an operator decides: on dead letters and on sagas. Each decision is an input of a batch like any other.

use std::sync::Arc;

use super::batch::{Batch, Verdict};
use super::run::own_cause;
use super::{Executor, Input, Stop, crash};
use crate::command::Refusal;
use crate::log::partition_of;
use crate::message::Packet;
use crate::saga::Outcome;
use crate::saga::engine::Input as Move;
use crate::store::{Partition, WaitingHead};

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Runs a dead letter again, with its attempts counted anew.
    Replay {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
    },
    /// Drops a waiting message; the saga that sent it hears *refused*.
    Discard {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
        /// In the operator's words.
        reason: String,
    },
    /// Moves a saga: retry, resolve or abort.
    Saga {
        /// The context that runs it.
        context: String,
        /// Its id.
        saga: String,
        /// What to do.
        input: Move,
    },
}

/// Where the answer goes: what was done, or why not.
pub type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Operation {
    pub(super) fn is_for(&self, held: &super::Held, partitions: u16) -> bool {
        match self {
            Operation::Replay { partition, .. } | Operation::Discard { partition, .. } => held.partition == *partition,
            Operation::Saga { context, saga, .. } => {
                *held.partition.context == **context && held.partition.number == partition_of(saga, partitions)
            }
        }
    }
}

impl Executor {
    /// Takes an operator's decision into the next batch.
    pub fn operate(&mut self, operation: Operation, answer: Reply) {
        self.operations.push_back((operation, answer));
    }

    /// The waiting messages of its partitions, dead letters included, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&mut self) -> Result<Vec<(Partition, crate::store::Waiting)>, crate::store::StoreError> {
        let mut all = Vec::new();
        for held in &self.held {
            let numbers: Vec<u64> = held.lanes.heads().map(|head| head.number).collect();
            for number in numbers {
                if let Some(waiting) = self.store.waiting(&held.partition, number)? {
                    all.push((held.partition.clone(), waiting));
                }
            }
        }
        Ok(all)
    }

    pub(super) fn operation_input(
        &mut self,
        operation: Operation,
        received: i64,
        seed: u64,
        partition: usize,
        answer: Reply,
        batch: &mut Batch,
    ) -> std::result::Result<Option<Input>, Stop> {
        let nothing = |number: u64| Err(format!("nothing waits under number {number}"));
        let result = match &operation {
            Operation::Replay { number, .. } => match self.held.get(partition).and_then(|held| held.lanes.head(*number)).cloned()
            {
                None => nothing(*number),
                Some(head) => {
                    let again = WaitingHead { attempts: 0, due: Some(received), dead: false, not_yet: None, ..head };
                    self.change_waiting(partition, again, "replayed by an operator".to_owned(), batch);
                    Ok(())
                }
            },
            Operation::Discard { number, reason, .. } => {
                let waiting = match self.held.get(partition) {
                    Some(held) if held.lanes.head(*number).is_some() => {
                        self.store.waiting(&held.partition, *number).map_err(crash)?
                    }
                    _ => None,
                };
                match waiting {
                    None => nothing(*number),
                    Some(waiting) => {
                        if let Ok(packet) = Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)) {
                            let refusal = Refusal::conflict("discarded", reason);
                            let packet = Arc::new(packet);
                            self.answer_saga(partition, &packet, Outcome::Refused(refusal.clone()), received, batch);
                            if let Ok(Some(mut record)) = self.record(&packet.envelope.id, batch) {
                                record.status = "refused".into();
                                record.refusal = Some(refusal);
                                batch.commands.insert(packet.envelope.id.clone(), record);
                            }
                        }
                        self.remove_waiting(partition, *number, batch);
                        Ok(())
                    }
                }
            }
            Operation::Saga { saga, input, .. } => {
                let packet = Arc::new(own_cause(&Arc::from(saga.as_str()), received));
                match self.with_work(partition, &packet, received, seed, |work| work.move_saga(saga, input.clone())) {
                    Err(missing) => {
                        self.miss(partition, &packet.envelope, missing, batch);
                        return Ok(Some(Input::Operation { operation, received, seed, partition, answer }));
                    }
                    Ok((Verdict::Done, changes)) if changes.sagas.is_empty() => {
                        Err("the saga is not in a state in which this can be done".to_owned())
                    }
                    Ok((Verdict::Done, changes)) => {
                        self.apply(changes, partition, &packet, received, batch);
                        Ok(())
                    }
                    Ok((Verdict::Unknown(..), _)) => Err(format!("no saga {saga:?} is known")),
                    Ok((Verdict::Refused(refusal), _)) => Err(refusal.to_string()),
                    Ok((Verdict::Invalid(why) | Verdict::Fault(why), _)) => Err(why),
                }
            }
        };
        batch.replies.push((answer, result));
        Ok(None)
    }

    /// What it holds and waits for, in words: for a failed test and a puzzled operator.
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text =
            format!("{:?}, paused {:?}, heard {}, asks {}", self.counters, self.paused_until, self.heard.len(), self.asks.len());
        for held in &self.held {
            let _ = write!(text, "\n  {} fence {} at {}/{}", held.partition, held.fence, held.epoch, held.position);
            let _ = write!(text, ", relayed {:?}, due {:?}", held.relay.relayed(), held.relay.due());
            for (route, since) in &held.gaps {
                let mark = held.marks.get(route);
                let _ = write!(text, "\n    gap since {since:?} from {} on {} after {mark:?}", route.from, route.to.topic);
            }
        }
        text
    }
}
