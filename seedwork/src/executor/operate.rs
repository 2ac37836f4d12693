//! What an operator decides: on sagas and on dead letters. Each decision is an input of a batch like any other, and is kept, with who
//! decided it and why, in the same commit.

use std::sync::Arc;

use super::batch::Batch;
use super::{Executor, Input, Stop};
use crate::command::Refusal;
use crate::log::partition_of;
use crate::saga::engine::Entry;
use crate::store::{OperationWrite, Partition};

mod letters;
mod sagas;

/// A decision, and who takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Who decides.
    pub actor: Arc<str>,
    /// What.
    pub decision: Decision,
}

/// What an operator may decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Sends the row of a saga again that is stuck or past its deadline.
    Retry {
        /// The context that runs it.
        context: Arc<str>,
        /// Its id.
        saga: Arc<str>,
        /// In the operator's words.
        reason: Option<String>,
    },
    /// Records what was found about the row of a saga that is stuck or past its deadline.
    Resolve {
        /// The context that runs it.
        context: Arc<str>,
        /// Its id.
        saga: Arc<str>,
        /// At the pivot, and only there: whether it happened.
        happened: Option<bool>,
        /// In the operator's words.
        reason: String,
    },
    /// Undoes a saga whose pivot has not been sent.
    Abort {
        /// The context that runs it.
        context: Arc<str>,
        /// Its id.
        saga: Arc<str>,
        /// In the operator's words.
        reason: String,
    },
    /// Runs a dead letter again, with its attempts counted anew.
    Replay {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
    },
    /// Drops a dead letter; the saga that sent it hears *refused*.
    Discard {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
        /// In the operator's words.
        reason: String,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// What a saga wrote down.
    Saga(Vec<Entry>),
    /// Nothing more to tell.
    Done,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecided {
    /// It cannot be done as things stand.
    Refused(Refusal),
    /// It cannot be taken now; it may be later.
    Unavailable(String),
}

/// What was done, or why not.
pub type Answer = Result<Decided, Undecided>;
/// Where the answer goes, after the commit that made it true. Called on the owner's thread: must not block.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Undecided {
        Undecided::Refused(refusal)
    }
}

impl Decision {
    /// `retry`, `resolve`, `abort`, `replay`, `discard`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Retry { .. } => "retry",
            Decision::Resolve { .. } => "resolve",
            Decision::Abort { .. } => "abort",
            Decision::Replay { .. } => "replay",
            Decision::Discard { .. } => "discard",
        }
    }

    fn about(&self) -> String {
        match self {
            Decision::Retry { saga, .. } | Decision::Resolve { saga, .. } | Decision::Abort { saga, .. } => saga.to_string(),
            Decision::Replay { partition, number } | Decision::Discard { partition, number, .. } => {
                format!("{}:{}:{number}", partition.context, partition.number)
            }
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Decision::Retry { reason, .. } => reason.as_deref(),
            Decision::Resolve { reason, .. } | Decision::Abort { reason, .. } | Decision::Discard { reason, .. } => Some(reason),
            Decision::Replay { .. } => None,
        }
    }
}

impl Operation {
    pub(super) fn is_for(&self, held: &super::Held, partitions: u16) -> bool {
        match &self.decision {
            Decision::Replay { partition, .. } | Decision::Discard { partition, .. } => held.partition == *partition,
            Decision::Retry { context, saga, .. }
            | Decision::Resolve { context, saga, .. }
            | Decision::Abort { context, saga, .. } => {
                held.partition.context == *context && held.partition.number == partition_of(saga, partitions)
            }
        }
    }
}

/// How far a decision got in this batch.
enum Step {
    Answer(Answer),
    /// Something must be fetched first.
    Again,
}

impl Executor {
    /// Takes an operator's decision into a batch of its own, or as the first input of one.
    pub fn operate(&mut self, operation: Operation, answer: Reply) {
        self.operations.push_back((operation, answer));
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
        let step = match &operation.decision {
            Decision::Retry { .. } | Decision::Resolve { .. } | Decision::Abort { .. } => {
                self.decide_saga(&operation, received, seed, partition, batch)
            }
            Decision::Replay { number, .. } => Step::Answer(self.replay(*number, received, partition, batch)),
            Decision::Discard { number, reason, .. } => {
                Step::Answer(self.discard(*number, reason, &operation.actor, received, partition, batch)?)
            }
        };
        let Step::Answer(result) = step else {
            return Ok(Some(Input::Operation { operation, received, seed, partition, answer }));
        };
        if let (Ok(decided), Some(held)) = (&result, self.held.get(partition)) {
            let (decision, about) = (operation.decision.as_str(), operation.decision.about());
            tracing::info!(actor = %operation.actor, decision, about, "an operator decided");
            batch.operations.push(OperationWrite {
                partition: held.partition.clone(),
                at: received,
                actor: operation.actor.clone(),
                decision,
                about,
                reason: operation.decision.reason().map(str::to_owned),
                told: decided.told(),
            });
        }
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
                let mark = held.marks.get(route).map(|mark| mark.place);
                let _ = write!(text, "\n    gap since {since:?} from {} on {} after {mark:?}", route.from, route.to.topic);
            }
        }
        text
    }
}

impl Decided {
    fn told(&self) -> serde_json::Value {
        match self {
            Decided::Saga(entries) => serde_json::json!({"log": entries}),
            Decided::Done => serde_json::json!({}),
        }
    }
}
