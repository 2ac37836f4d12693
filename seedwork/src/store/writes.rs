//! What one batch writes, as plain data.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Destination, LogRow, Partition, Place, Route, Waiting, WaitingHead};
use crate::view::Value;

/// The head row of a partition, as a commit advances it.
#[derive(Clone, Debug)]
pub struct HeadWrite {
    /// Which partition.
    pub partition: Partition,
    /// The owner's fence: the commit is refused when it is not the head's.
    pub fence: u64,
    /// The epoch.
    pub epoch: u64,
    /// The last position written.
    pub position: u64,
    /// Up to which position of this epoch every row has its receipt.
    pub relayed: u64,
}

/// A state to write.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// The index in [`Schema::states`](super::Schema::states).
    pub table: usize,
    /// The aggregate's id.
    pub id: Box<str>,
    /// Its new version; 1 for a new one. The stored one must be one less.
    pub version: u64,
    /// The version of the body's form.
    pub format: u32,
    /// JSON.
    pub body: Vec<u8>,
    /// The values of its view's columns.
    pub row: Vec<Value>,
    /// Those of the version before, when they are known: a store need not write again what is the same.
    pub before: Option<Vec<Value>>,
}

/// A saga's run to write.
#[derive(Clone, Debug)]
pub struct SagaWrite {
    /// Its id.
    pub id: Arc<str>,
    /// The partition that it lives in.
    pub partition: Partition,
    /// Its new version; 1 for a new one.
    pub version: u64,
    /// [`SagaRecord::stage`](crate::SagaRecord::stage).
    pub stage: Cow<'static, str>,
    /// Whether the version before had the same stage. False when that is not known.
    pub same_stage: bool,
    /// JSON: the record.
    pub body: Vec<u8>,
    /// JSON of the state, when it is new.
    pub start: Option<Vec<u8>>,
    /// Lines of its log that its record no longer holds, as JSON arrays, and which such array each is, from 0.
    pub log: Vec<(u64, Vec<u8>)>,
}

/// A command's id, with what it was and what became of it.
#[derive(Clone, Debug)]
pub struct CommandWrite {
    /// The id.
    pub id: Box<str>,
    /// When it may be forgotten: microseconds since 1970.
    pub expires: i64,
    /// JSON.
    pub body: Vec<u8>,
}

/// A change of the waiting table.
#[derive(Clone, Debug)]
pub enum WaitingWrite {
    /// A message is moved there.
    Put(Partition, Waiting),
    /// It was tried again; head and reason change.
    Change(Partition, WaitingHead, String),
    /// An operator gave it other bytes; those that it came with are kept beside them.
    Edit(Partition, u64, Arc<[u8]>),
    /// It is settled.
    Remove(Partition, u64),
}

/// Whether a partition reads a destination.
#[derive(Clone, Debug)]
pub struct PauseWrite {
    /// The reader.
    pub reader: Partition,
    /// What it reads, or no longer does.
    pub to: Destination,
    /// Since when not (microseconds since 1970), by whom, and why; none: it reads.
    pub pause: Option<(i64, Arc<str>, String)>,
}

/// What an operator decided, as it is kept.
#[derive(Clone, Debug)]
pub struct OperationWrite {
    /// The partition that it was decided in.
    pub partition: Partition,
    /// When: microseconds since 1970.
    pub at: i64,
    /// Who decided.
    pub actor: Arc<str>,
    /// What: `retry`, `discard` …
    pub decision: Cow<'static, str>,
    /// The id of what it is about.
    pub about: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// JSON: what was done.
    pub told: serde_json::Value,
}

/// All that one batch changes.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The head of every partition touched.
    pub heads: Vec<HeadWrite>,
    /// The last row sent to each destination touched.
    pub destinations: Vec<(Partition, Destination, Place)>,
    /// The marks moved, by the partition that reads.
    pub marks: Vec<(Partition, Route, Place)>,
    /// States and view rows.
    pub states: Vec<StateWrite>,
    /// Sagas.
    pub sagas: Vec<SagaWrite>,
    /// Log rows, in order.
    pub log: Vec<LogRow>,
    /// Commands' ids and answers.
    pub commands: Vec<CommandWrite>,
    /// The waiting table.
    pub waiting: Vec<WaitingWrite>,
    /// What operators paused and resumed.
    pub pauses: Vec<PauseWrite>,
    /// Rows of the log that are dropped: those of a partition up to a place.
    pub drops: Vec<(Partition, Place)>,
    /// What operators decided.
    pub operations: Vec<OperationWrite>,
    /// The states and sagas come from another store ([`carry`](super::carry)): each is new here, whatever its version.
    pub carried: bool,
}

impl Writes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Writes { heads, destinations, marks, states, sagas, log, commands, waiting, pauses, drops, operations, carried: _ } =
            self;
        heads.is_empty()
            && destinations.is_empty()
            && marks.is_empty()
            && states.is_empty()
            && sagas.is_empty()
            && log.is_empty()
            && commands.is_empty()
            && waiting.is_empty()
            && pauses.is_empty()
            && drops.is_empty()
            && operations.is_empty()
    }
}
