//! What an operator decides: on sagas, on dead letters, on what is read and sent. Each decision is an input of a batch like any other, and is kept, with who
//! decided it and why, in the same commit.

use std::sync::Arc;

use super::batch::Batch;
use super::{Arrival, Executor, Stop};
use crate::command::Refusal;
use crate::log::partition_of;
use crate::saga::engine::Entry;
use crate::store::{Destination, OperationWrite, Partition, Place, Place0, Route};

mod letters;
mod sagas;
mod streams;

pub use letters::Letter;
use letters::{Fate, did};
pub use streams::Reading;

/// A decision, and who takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Who decides.
    pub actor: Arc<str>,
    /// The W3C trace context in which it was asked: what follows from the decision belongs to it.
    pub trace: Option<Arc<str>>,
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
    /// Runs dead letters again, with their attempts counted anew.
    Replay {
        /// Where they wait.
        partition: Partition,
        /// Which.
        letters: Vec<Letter>,
        /// In the operator's words.
        reason: Option<String>,
    },
    /// Drops dead letters; the saga that sent one hears *refused*.
    Discard {
        /// Where they wait.
        partition: Partition,
        /// Which.
        letters: Vec<Letter>,
        /// In the operator's words.
        reason: String,
    },
    /// Stops the reading of a destination, also after a start, until it is resumed.
    Pause {
        /// The reader.
        reader: Partition,
        /// What it reads.
        to: Destination,
        /// In the operator's words.
        reason: String,
    },
    /// Goes on reading where it stopped.
    Resume {
        /// The reader.
        reader: Partition,
        /// What it reads.
        to: Destination,
        /// In the operator's words.
        reason: Option<String>,
    },
    /// Sends rows of a stream again; who has taken them before drops them.
    Resend {
        /// Whose rows, and where they go.
        route: Route,
        /// After which of them.
        after: Place,
        /// In the operator's words.
        reason: Option<String>,
    },
    /// Moves a reader's mark over rows that it misses: they are lost to it.
    Skip {
        /// The reader.
        reader: Partition,
        /// Whose rows are missing, on which way.
        route: Route,
        /// In which epoch.
        epoch: u64,
        /// In the operator's words.
        reason: String,
    },
    /// Begins a new epoch of a partition's stream: after an older copy of its store was restored, so that no place in it is used twice.
    NewEpoch {
        /// Whose.
        partition: Partition,
        /// The epoch that it ends.
        epoch: u64,
        /// In the operator's words.
        reason: String,
    },
    /// Gives a dead letter another body; it stays a dead letter until it is replayed.
    Edit {
        /// Where it waits.
        partition: Partition,
        /// Which.
        letter: Letter,
        /// JSON: a body of its kind, for its key.
        body: Vec<u8>,
        /// In the operator's words.
        reason: Option<String>,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// What a saga wrote down.
    Saga(Vec<Entry>),
    /// Which dead letters were decided on, and which were not as they had been seen.
    Letters {
        /// Their numbers.
        done: Vec<u64>,
        /// Numbers, and what is the case instead.
        changed: Vec<(u64, Refusal)>,
    },
    /// Whether a destination is read now.
    Reads(bool),
    /// The first row that is sent again.
    Resent(Place),
    /// The epoch that has begun.
    Epoch(u64),
    /// A mark was moved.
    Skipped {
        /// From here; none: nothing had been taken.
        from: Place0,
        /// To here.
        to: Place,
    },
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecided {
    /// It cannot be done as things stand.
    Refused(Refusal),
    /// It cannot be taken now; it may be later.
    Unavailable(String),
    /// It is about this partition, which this process does not hold: whoever does may take it.
    Elsewhere(Partition),
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
    /// `retry`, `resolve`, `abort`, `replay`, `discard`, `edit`, `pause`, `resume`, `resend`, `skip`, `new-epoch`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Retry { .. } => "retry",
            Decision::Resolve { .. } => "resolve",
            Decision::Abort { .. } => "abort",
            Decision::Replay { .. } => "replay",
            Decision::Discard { .. } => "discard",
            Decision::Edit { .. } => "edit",
            Decision::Pause { .. } => "pause",
            Decision::Resume { .. } => "resume",
            Decision::Resend { .. } => "resend",
            Decision::Skip { .. } => "skip",
            Decision::NewEpoch { .. } => "new-epoch",
        }
    }

    fn about(&self) -> String {
        match self {
            Decision::Retry { saga, .. } | Decision::Resolve { saga, .. } | Decision::Abort { saga, .. } => saga.to_string(),
            Decision::Replay { partition, letters, .. } | Decision::Discard { partition, letters, .. } => {
                match letters.as_slice() {
                    [letter] => letter_id(partition, letter.number),
                    _ => partition.to_string(),
                }
            }
            Decision::Edit { partition, letter, .. } => letter_id(partition, letter.number),
            Decision::Pause { reader, to, .. } | Decision::Resume { reader, to, .. } => {
                format!("{}:{}:{}", reader.context, reader.number, to.topic)
            }
            Decision::Resend { route, after, .. } => format!("{}/{}", route.from, after.epoch),
            Decision::Skip { route, epoch, .. } => format!("{}/{epoch}", route.from),
            Decision::NewEpoch { partition, epoch, .. } => format!("{partition}/{epoch}"),
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Decision::Retry { reason, .. }
            | Decision::Replay { reason, .. }
            | Decision::Edit { reason, .. }
            | Decision::Resume { reason, .. }
            | Decision::Resend { reason, .. } => reason.as_deref(),
            Decision::Resolve { reason, .. }
            | Decision::Abort { reason, .. }
            | Decision::Discard { reason, .. }
            | Decision::Pause { reason, .. }
            | Decision::Skip { reason, .. }
            | Decision::NewEpoch { reason, .. } => Some(reason),
        }
    }
}

impl Operation {
    pub(super) fn begins_epoch(&self) -> bool {
        matches!(self.decision, Decision::NewEpoch { .. })
    }

    /// The partition whose owner takes it.
    pub(super) fn partition(&self, partitions: u16) -> Partition {
        match &self.decision {
            Decision::Replay { partition, .. }
            | Decision::Discard { partition, .. }
            | Decision::Edit { partition, .. }
            | Decision::NewEpoch { partition, .. } => partition.clone(),
            Decision::Pause { reader, .. } | Decision::Resume { reader, .. } | Decision::Skip { reader, .. } => reader.clone(),
            Decision::Resend { route, .. } => route.from.clone(),
            Decision::Retry { context, saga, .. }
            | Decision::Resolve { context, saga, .. }
            | Decision::Abort { context, saga, .. } => {
                Partition { context: context.clone(), number: partition_of(saga, partitions) }
            }
        }
    }
}

/// A dead letter's id, as the outside knows it.
pub fn letter_id(partition: &Partition, number: u64) -> String {
    format!("{}:{}:{number}", partition.context, partition.number)
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

    /// Whether it holds what a decision is about.
    pub(crate) fn decides(&self, operation: &Operation) -> bool {
        let partition = operation.partition(self.settings.partitions);
        self.held.iter().any(|held| held.partition == partition)
    }

    pub(super) fn operation_input(
        &mut self,
        operation: Operation,
        answer: Reply,
        arrival: Arrival,
        batch: &mut Batch,
    ) -> std::result::Result<Option<(Operation, Reply)>, Stop> {
        let Arrival { partition, received, .. } = arrival;
        let step = match &operation.decision {
            Decision::Retry { .. } | Decision::Resolve { .. } | Decision::Abort { .. } => {
                self.decide_saga(&operation, arrival, batch)
            }
            Decision::Replay { letters, reason, .. } => {
                self.decide_letters(letters, Fate::Replay(reason.as_deref()), &operation.actor, arrival, batch)?
            }
            Decision::Discard { letters, reason, .. } => {
                self.decide_letters(letters, Fate::Discard(reason), &operation.actor, arrival, batch)?
            }
            Decision::Edit { letter, body, reason, .. } => {
                let did = did("edited", &operation.actor, reason.as_deref());
                self.edit(*letter, body, did, arrival, batch)?
            }
            Decision::Pause { to, reason, .. } => {
                Step::Answer(self.pause(to, Some((received, operation.actor.clone(), reason.clone())), partition, batch))
            }
            Decision::Resume { to, .. } => Step::Answer(self.pause(to, None, partition, batch)),
            Decision::Resend { route, after, .. } => Step::Answer(self.resend(route, *after, partition, batch)?),
            Decision::Skip { route, epoch, .. } => Step::Answer(self.skip(route, *epoch, partition, batch)),
            Decision::NewEpoch { epoch, .. } => Step::Answer(self.new_epoch(*epoch, received, partition, batch)),
        };
        let Step::Answer(result) = step else {
            return Ok(Some((operation, answer)));
        };
        if let (Ok(decided), Some(held)) = (&result, self.held.get(partition))
            && decided.anything()
        {
            let (decision, about) = (operation.decision.as_str(), operation.decision.about());
            tracing::info!(actor = %operation.actor, decision, about, "an operator decided");
            batch.operations.push(OperationWrite {
                partition: held.partition.clone(),
                at: received,
                actor: operation.actor.clone(),
                decision: decision.into(),
                about,
                reason: operation.decision.reason().map(str::to_owned),
                told: decided.told(&held.partition),
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
            for (route, gap) in &held.gaps {
                let (mark, since) = (held.marks.get(route).map(|mark| mark.place), gap.since);
                let _ = write!(text, "\n    gap since {since:?} from {} on {} after {mark:?}", route.from, route.to.topic);
            }
        }
        text
    }
}

impl Decided {
    /// Whether anything was changed.
    fn anything(&self) -> bool {
        !matches!(self, Decided::Letters { done, .. } if done.is_empty())
    }

    fn told(&self, partition: &Partition) -> serde_json::Value {
        match self {
            Decided::Saga(entries) => serde_json::json!({"log": entries}),
            Decided::Letters { done, .. } => {
                let ids: Vec<String> = done.iter().map(|number| letter_id(partition, *number)).collect();
                serde_json::json!({"letters": ids})
            }
            Decided::Reads(reads) => serde_json::json!({"reads": reads}),
            Decided::Epoch(epoch) => serde_json::json!({"epoch": epoch}),
            Decided::Resent(first) => serde_json::json!({"first": first.position}),
            Decided::Skipped { from, to } => {
                let place = |place: &Place| serde_json::json!({"epoch": place.epoch, "position": place.position});
                serde_json::json!({"from": from.as_ref().map(place), "to": place(to)})
            }
        }
    }
}
