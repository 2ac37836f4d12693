//! One context's rows carried from one store to another: read in parts, written all or nothing.
//!
//! What is carried has come to rest ([`Executor::run_out`](crate::executor::Executor::run_out)): every row of the log was taken by whoever
//! reads it. So the streams and marks are carried as they are, and the new store goes on in them; what lies under a key (sagas, waiting
//! messages) goes to the partition that the key has in the new deployment. A partition that the old store had not begins a stream of its
//! own when it is first taken.

use super::*;
use crate::log::partition_of;

/// About how many bytes of bodies and messages one part has; a part has one row at least.
pub(super) const PART_BYTES: usize = 4 << 20;
/// Rows of one part.
pub(super) const PART_ROWS: usize = 1_000;

/// Where in a context's rows a part ended. The default is before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// Which kind of rows, in the order in which they are read.
    pub(super) section: usize,
    /// Which of several tables or streams of that kind.
    pub(super) table: usize,
    /// The key of the last row that was read, as a number or as a text.
    pub(super) number: i64,
    pub(super) text: String,
}

/// How many rows were carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Aggregates.
    pub states: u64,
    /// Sagas.
    pub sagas: u64,
    /// Messages of the waiting table, dead letters among them.
    pub waiting: u64,
    /// Commands' ids with their answers.
    pub commands: u64,
    /// Rows of the log.
    pub log: u64,
}

/// What became of an attempt to write all rows of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// All of them are written.
    Now(Carried),
    /// The same move had brought them before, and nothing was written now.
    Before,
}

/// A store whose rows can be read from end to end. Nobody writes it meanwhile.
pub trait Source {
    /// The next rows of a context, and where they end; none when those were all. Views' columns are left out: they are a function of the
    /// state. The store was opened with the tables of this context.
    ///
    /// # Errors
    /// When the store is away or broken.
    fn part(&mut self, context: &str, after: &Bookmark) -> StoreResult<(Writes, Option<Bookmark>)>;
}

/// What gives the next part, until there is none.
pub type Parts<'a> = dyn FnMut() -> StoreResult<Option<Writes>> + 'a;

/// A store that takes all rows of a context from another.
pub trait Target {
    /// Writes all parts, all or nothing, and remembers the number of the move that brought them, which is positive. Nobody takes a
    /// partition of the store meanwhile. The fences of its heads begin anew.
    ///
    /// # Errors
    /// When it holds something that another move brought, or that was written here; when it is away or refuses a row; or when a part
    /// cannot be read. Nothing was written then.
    fn receive(&mut self, moving: i64, parts: &mut Parts<'_>) -> StoreResult<Received>;
}

/// Carries all rows of a context to a store of a deployment with so many partitions. Both are open with the tables of this context alone.
///
/// # Errors
/// As [`Source::part`] and [`Target::receive`]; or when a state or a command cannot be read.
pub fn carry(
    source: &mut dyn Source,
    target: &mut dyn Target,
    context: &str,
    schema: &Schema,
    partitions: u16,
    moving: i64,
) -> StoreResult<Received> {
    let mut next = Some(Bookmark::default());
    target.receive(moving, &mut || {
        let Some(after) = next.take() else { return Ok(None) };
        let (part, end) = source.part(context, &after)?;
        next = end;
        placed(part, context, schema, partitions).map(Some)
    })
}

/// A part as the new deployment has it: its rows in the partitions of their keys, and views' columns with the states.
fn placed(mut part: Writes, context: &str, schema: &Schema, partitions: u16) -> StoreResult<Writes> {
    part.carried = true;
    for state in &mut part.states {
        let table =
            schema.states.get(state.table).ok_or_else(|| StoreError(format!("there is no state table {}", state.table)))?;
        let row = (table.row)(state.format, &state.body);
        state.row = row.map_err(|why| StoreError(format!("{} {:?} cannot be read: {why}", table.name, state.id)))?;
    }
    for saga in &mut part.sagas {
        saga.partition.number = partition_of(&saga.id, partitions);
    }
    let mut number = 0;
    for write in &mut part.waiting {
        match write {
            WaitingWrite::Put(partition, waiting) => {
                number = waiting_key(waiting).map_or(0, |key| partition_of(&key, partitions));
                partition.number = number;
            }
            // It follows the message that was edited.
            WaitingWrite::Edit(partition, ..) => partition.number = number,
            WaitingWrite::Change(..) | WaitingWrite::Remove(..) => {}
        }
    }
    let mut commands = Vec::with_capacity(part.commands.len());
    for command in std::mem::take(&mut part.commands) {
        let record: crate::executor::CommandRecord = serde_json::from_slice(&command.body)
            .map_err(|error| StoreError(format!("the record of command {:?} cannot be read: {error}", command.id)))?;
        // One table of the old store has those of all contexts.
        if record.kind.split_once('.').is_some_and(|(of, _)| of == context) {
            commands.push(command);
        }
    }
    part.commands = commands;
    Ok(part)
}

/// The key of a waiting message. One that could not be read as a whole may still name it; one that does not has no key.
fn waiting_key(waiting: &Waiting) -> Option<Arc<str>> {
    if let Some(about) = &waiting.about {
        return Some(about.key.clone());
    }
    let envelope: serde_json::Value = serde_json::from_slice(&waiting.raw).ok()?;
    envelope.get("subject").and_then(serde_json::Value::as_str).map(Arc::from)
}

impl Carried {
    pub(super) fn count(&mut self, part: &Writes) {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        self.states += count(part.states.len());
        self.sagas += count(part.sagas.len());
        self.waiting += count(part.waiting.iter().filter(|waiting| matches!(waiting, WaitingWrite::Put(..))).count());
        self.commands += count(part.commands.len());
        self.log += count(part.log.len());
    }
}

/// Where a store keeps the number of the move that brought its rows, beside its format.
pub(super) const MOVED: &str = "moved";
/// Tables that are empty in a store in which nothing has happened yet, beside those of states.
pub(super) const TABLES: [&str; 9] = ["head", "destination", "mark", "log", "saga", "command", "waiting", "pause", "operation"];

/// Whether rows may be written into a store; false when this very move has done so before.
pub(super) fn may_receive(moving: i64, moved: Option<i64>, full: Option<&str>) -> StoreResult<bool> {
    let anew = "make it anew, empty, and move again";
    match (moved, full) {
        (Some(before), _) if before == moving => Ok(false),
        (Some(_), _) => Err(StoreError(format!("it holds what another move has brought: {anew}"))),
        (None, Some(table)) => Err(StoreError(format!("it is in use already (something is in its table {table:?}): {anew}"))),
        (None, None) => Ok(true),
    }
}
