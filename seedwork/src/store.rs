//! The store's port: what an owner loads, and the one commit that a batch is.
//!
//! [`Writes`] is plain data, so each engine commits it in its own fastest way. Every adapter passes [`contract`].

use std::fmt;
use std::sync::Arc;

use crate::view::Value;

pub mod carry;
mod committer;
pub mod contract;
#[cfg(feature = "distributed")]
pub mod postgres;
pub mod sqlite;
mod writes;

#[cfg(feature = "distributed")]
pub use postgres::Postgres;
pub use sqlite::Sqlite;
pub use writes::*;

/// The format of what this build writes: raised with every new state version, saga version or message kind. A store that a newer
/// build wrote is refused.
pub const FORMAT: u32 = 1;

/// The table of a context's aggregates of one kind.
pub fn state_table(context: &str, kind: &str) -> String {
    format!("{context}_{kind}")
}

/// The tables that a deployment needs beside seedwork's own.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// State tables; a state's table index is its place here.
    pub states: Vec<StateTable>,
    /// The epoch of streams that begin now: greater than any before (milliseconds since 1970 do).
    pub epoch: u64,
    /// The contexts whose store it is. A database belongs to those for which it was opened first: never to two that know nothing of
    /// each other. None: whose it is, is not asked.
    pub contexts: Vec<&'static str>,
}

/// The view row of a stored state, from the version of its form and its JSON.
pub type StoredRow = Arc<dyn Fn(u32, &[u8]) -> Result<Vec<Value>, String> + Send + Sync>;

/// The table of a context's aggregates of one kind, and the columns of its view.
#[derive(Clone)]
pub struct StateTable {
    /// Its name, by [`state_table`].
    pub name: String,
    /// The view's columns and their types.
    pub columns: &'static [(&'static str, &'static str)],
    /// The view's indexes: a name and the columns.
    pub indexes: &'static [(&'static str, &'static str)],
    /// What fills the columns of states that were written without them.
    pub row: StoredRow,
}

impl StateTable {
    /// A table without a view.
    pub fn plain(name: impl Into<String>) -> StateTable {
        StateTable { name: name.into(), columns: &[], indexes: &[], row: Arc::new(|_, _| Ok(Vec::new())) }
    }
}

impl fmt::Debug for StateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.name, self.columns, self.indexes)
    }
}

/// One partition of one context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The context.
    pub context: Arc<str>,
    /// Its number, from 0.
    pub number: u16,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.context, self.number)
    }
}

/// A stream: what one partition publishes during one epoch, at positions 1, 2, 3 … without a hole, in commit order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Whose it is.
    pub partition: Partition,
    /// Minted when a store is created and at every restore; a later one is greater.
    pub epoch: u64,
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// `context.commands`, `context.events` or `context.replies`.
    pub topic: Arc<str>,
    /// The topic's partition.
    pub partition: u16,
}

/// A place in a partition's history: epochs in order, positions in order within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The position in it, from 1.
    pub position: u64,
}

/// A stream's rows on their way to one destination: where order holds and marks are kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// From which partition.
    pub from: Partition,
    /// To which destination.
    pub to: Destination,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    /// Whose stream, and where it goes.
    pub route: Route,
    /// Where it stands.
    pub place: Place,
    /// The row before it on the same route.
    pub predecessor: Option<Place>,
    /// The message's bytes.
    pub raw: Arc<[u8]>,
    /// Its envelope; none when it was read back from disk and not parsed yet.
    pub packet: Option<Arc<crate::message::Packet>>,
    /// When the input that caused it was received, its handler started, and its batch written: microseconds since 1970.
    pub times: [i64; 3],
}

/// Which table a row is loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// An aggregate's state; the index in [`Schema::states`].
    State(usize),
    /// A saga's run.
    Saga,
    /// A saga's state as it started.
    Start,
    /// A command's id and answer.
    Command,
}

/// A row as loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Raised by one with each write.
    pub version: u64,
    /// The version of the body's form.
    pub format: u32,
    /// JSON.
    pub body: Vec<u8>,
}

/// What the store knows of a row without going far.
#[derive(Clone, Debug, PartialEq)]
pub enum Peek {
    /// It is there, or not.
    Known(Option<Loaded>),
    /// It must be fetched first.
    Missing,
}

/// What a new owner reads when it takes a partition, after it has raised the fence.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The fence that its commits must carry.
    pub fence: u64,
    /// The last row written.
    pub head: Option<Place>,
    /// The epoch in which it writes.
    pub epoch: u64,
    /// Up to which row of this epoch every row has its receipt.
    pub relayed: Place0,
    /// The last row sent to each destination.
    pub destinations: Vec<(Destination, Place)>,
    /// The last row taken on each route.
    pub marks: Vec<(Route, Place)>,
    /// The waiting table, without the messages, in the order of arrival.
    pub waiting: Vec<WaitingHead>,
    /// The ids of the sagas that have not ended.
    pub running: Vec<Arc<str>>,
    /// What an operator has told it not to read.
    pub paused: Vec<Destination>,
}

/// A place, or before the first.
pub type Place0 = Option<Place>;

/// A waiting message, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingHead {
    /// Its number, in the order of arrival, unique in the partition.
    pub number: u64,
    /// Its lane.
    pub lane: Arc<str>,
    /// Attempts so far.
    pub attempts: u16,
    /// When it is due: wall time, microseconds since 1970. None: a dead letter, or queued behind one.
    pub due: Option<i64>,
    /// Whether it is a dead letter.
    pub dead: bool,
    /// Until when a message that named something unknown may wait, microseconds since 1970.
    pub not_yet: Option<i64>,
}

/// A message of the waiting table, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// All but the bytes.
    pub head: WaitingHead,
    /// The part of the topic that it came by: `commands`, `events` or `replies`.
    pub topic: Arc<str>,
    /// What it is, as far as it could be read.
    pub about: Option<About>,
    /// Why it waits, in words.
    pub reason: String,
    /// The message's bytes, as they came.
    pub raw: Arc<[u8]>,
    /// When it was moved here: microseconds since 1970.
    pub since: i64,
    /// Raised with each change: 1 when it was moved here.
    pub revision: u64,
}

/// What a waiting message is, for whoever looks for some.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Its `type`.
    pub kind: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// The context or edge that said it.
    pub source: Arc<str>,
    /// The saga that sent it, or that it answers.
    pub saga: Option<Arc<str>>,
}

impl About {
    pub(crate) fn of(envelope: &crate::message::Envelope) -> About {
        About {
            kind: envelope.kind.clone(),
            key: envelope.key.clone(),
            source: envelope.source.clone(),
            saga: envelope.saga.as_ref().map(|saga| saga.id.clone()),
        }
    }
}

/// Why a batch was not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The database refuses the data (a constraint, a size, a version): nothing was written, and would not be the second time.
    Refused(String),
    /// Another owner has taken these partitions: nothing was written.
    Fenced(Vec<Partition>),
    /// The database cannot write now (disk full, locked, away): nothing was written.
    Outage(String),
    /// Nobody knows whether it was written (connection lost, failed fsync).
    Unknown(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Refused(why) => write!(f, "the store refuses: {why}"),
            CommitError::Fenced(partitions) => {
                let list: Vec<String> = partitions.iter().map(Partition::to_string).collect();
                write!(f, "another owner has taken {}", list.join(", "))
            }
            CommitError::Outage(why) => write!(f, "the store cannot write now: {why}"),
            CommitError::Unknown(why) => write!(f, "the outcome of a commit is unknown: {why}"),
        }
    }
}

/// Why something could not be read or opened: a text that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// A result of the store's.
pub type StoreResult<T> = Result<T, StoreError>;

/// Where an owner keeps everything. One owner's thread uses it; queries read by other doors.
pub trait Store: Send {
    /// Makes or migrates the tables, and fills the columns of views that the states were written without.
    ///
    /// # Errors
    /// When a newer build wrote the store, or the store cannot be used; nothing was changed then.
    fn open(&mut self, schema: &Schema) -> StoreResult<()>;

    /// Takes a partition: raises its fence, then reads what its owner must know. An owner that begins anew says under which fence it
    /// held the partition: None, and nothing has changed, when another has taken it since.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<Taken>>;

    /// A batch begins: what it reads until [`Store::commit`] or [`Store::start`] may be read from one snapshot. It sees all that has
    /// been committed, and perhaps not what is being written meanwhile.
    ///
    /// # Errors
    /// As [`Store::commit`]; no batch has begun then.
    fn begin(&mut self) -> Result<(), CommitError>;

    /// A row, if it can be told without waiting.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn peek(&mut self, table: Table, id: &str) -> StoreResult<Peek>;

    /// Fetches rows that [`Store::peek`] said are missing, one query per table, all of them from one snapshot.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>>;

    /// Writes a batch, all or nothing, and returns when it is on the disk.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError>;

    /// Begins to write a batch beside the caller, who meanwhile runs the next. One more may be started behind it: it is written after it,
    /// and not at all if that one fails. [`Store::finish`] must follow for each before the next [`Store::commit`]; whoever takes partitions
    /// again does without the answers.
    fn start(&mut self, writes: Arc<Writes>);

    /// Returns when the batch that was started, the older one if there are two, is on the disk.
    ///
    /// # Errors
    /// As [`Store::commit`]; of one behind a failed one, any.
    fn finish(&mut self) -> Result<(), CommitError>;

    /// Rows of a partition's stream after a place, in order, at most `limit`; of one destination if it is given.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>>;

    /// The oldest rows of a partition's log, at most `limit`: where each stands, when it was written (microseconds since 1970), and its
    /// message's bytes.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn oldest(&mut self, from: &Partition, limit: usize) -> StoreResult<Vec<(Place, i64, u64)>>;

    /// About how many bytes of messages a partition's log holds, without reading it through.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn log_bytes(&mut self, from: &Partition) -> StoreResult<u64>;

    /// How far each reader of this store is with a partition's rows.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn marks_on(&mut self, from: &Partition) -> StoreResult<Vec<(Partition, Route, Place)>>;

    /// The last row that was ever sent on a route of this store's.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0>;

    /// A waiting message.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn waiting(&mut self, partition: &Partition, number: u64) -> StoreResult<Option<Waiting>>;

    /// Forgets commands' ids that have expired by this time, a few at a time, in the next commit or its own.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn forget_commands(&mut self, now: i64) -> StoreResult<usize>;
}
