//! What an owner has in memory: the batch's identity map, kept between batches under its fence.
//!
//! A map per table, bounded in bytes so that it stays close to the processor: what the last batches did not use is forgotten first, and
//! read again when it is asked for.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::{Registry, Shared};
use crate::saga::engine::{Entry, Run, Stage};
use crate::store::{Loaded, Peek, Store, StoreError, Table};

mod live;
mod map;

pub(crate) use live::Live;
use map::Map;

/// Bytes of stored bodies that may stay in memory; the structs that they became take about three times as much.
const BYTES: usize = 2 << 20;
/// Entries not used for this many batches are forgotten first.
const KEEP: u64 = 8;
/// The batch that begins and the one whose commit may be under way: what they used is not forgotten before that has ended.
const UNDER_WAY: u64 = 2;

/// A saga's row of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SagaRecord {
    /// The name of its table.
    pub name: Arc<str>,
    /// The version of its table.
    pub version: u32,
    /// The context that runs it.
    pub context: Arc<str>,
    /// The id of the story's first command.
    pub correlation: Arc<str>,
    /// Who asked.
    pub actor: Arc<str>,
    /// Where the outcome is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_to: Option<Arc<str>>,
    /// The id of the command that started it.
    pub command: Arc<str>,
    /// The W3C trace context of that command: what moves the saga without a message belongs to its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
    /// When it started: microseconds since 1970.
    pub started: i64,
    /// When it last moved: microseconds since 1970.
    pub updated: i64,
    /// Rows of `saga_log` that hold the older lines of its log.
    pub lines: u64,
    /// Whether an operator must decide.
    #[serde(default)]
    pub stuck: bool,
    /// The folded log.
    pub run: Run,
    /// The log's latest lines. Written beside it, where they stand as JSON already.
    #[serde(default, skip_serializing)]
    pub log: Vec<LogLine>,
}

/// A line of a saga's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When: microseconds since 1970, UTC.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

impl SagaRecord {
    /// The same saga, further on.
    pub(crate) fn at(&self, run: Run) -> SagaRecord {
        SagaRecord {
            name: self.name.clone(),
            version: self.version,
            context: self.context.clone(),
            correlation: self.correlation.clone(),
            actor: self.actor.clone(),
            answer_to: self.answer_to.clone(),
            command: self.command.clone(),
            trace: self.trace.clone(),
            started: self.started,
            updated: self.updated,
            lines: self.lines,
            stuck: self.stuck,
            run,
            log: Vec::new(),
        }
    }

    /// Where it stands, for whoever looks for some: `running`, `undoing`, `stuck`, `completed`, `undone`, and the last two with
    /// `-with-exceptions` when an operator signed some.
    pub fn stage(&self) -> &'static str {
        match (self.run.stage, self.stuck, self.run.exceptions.is_empty()) {
            (Stage::Completed, _, false) => "completed-with-exceptions",
            (Stage::Undone, _, false) => "undone-with-exceptions",
            (Stage::Running | Stage::Undoing, true, _) => "stuck",
            (stage, ..) => stage.as_str(),
        }
    }
}

struct Cached {
    value: Option<Shared>,
    version: u64,
    used: u64,
    bytes: usize,
    /// Changed by this batch: the version before it is one less.
    dirty: bool,
    /// What it was before this batch changed it.
    before: Option<Shared>,
    /// The batch that changed it last.
    changed: u64,
}

/// A state in memory, and what it was before the batch that runs.
pub(crate) struct Known<'a> {
    pub value: &'a (dyn Any + Send + Sync),
    pub version: u64,
    pub before: Option<&'a (dyn Any + Send + Sync)>,
}

/// Why something is not in memory.
#[derive(Debug)]
pub(crate) enum Trouble {
    Missing(Table, Box<str>),
    Broken(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Broken(error.0)
    }
}

/// See the module's text.
pub(crate) struct Identity {
    tables: Vec<Map<Box<str>, Cached>>,
    sagas: Map<Arc<str>, (Arc<Live>, u64)>,
    fetched: BTreeMap<(Table, Box<str>), Option<Loaded>>,
    /// What was read under another key than its unit's: another owner may change it, so it is looked up again in the next batch.
    foreign: Vec<(usize, Box<str>)>,
    batch: u64,
    bytes: usize,
    /// The last batches use more than may stay.
    full: bool,
}

impl Identity {
    pub fn new(tables: usize) -> Identity {
        Identity {
            tables: (0..tables).map(|_| Map::default()).collect(),
            sagas: Map::default(),
            fetched: BTreeMap::new(),
            foreign: Vec::new(),
            batch: 0,
            bytes: 0,
            full: false,
        }
    }

    /// Forgets everything: after a crash, a lost fence, a refused commit.
    pub fn clear(&mut self) {
        *self = Identity::new(self.tables.len());
    }

    /// The number of the batch that runs, or ran last.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// Whether there is so much that the next batch forgets all of it: none of it may be on its way to the disk then.
    pub fn full(&self) -> bool {
        self.full
    }

    /// The batch that was begun has changed nothing and is not written: the next one has its number.
    pub fn take_back(&mut self) {
        self.batch -= 1;
    }

    /// Begins a batch; forgets what was not used lately when there is too much.
    pub fn begin(&mut self) {
        if self.full {
            self.clear();
        }
        self.batch += 1;
        self.fetched.clear();
        for (table, id) in std::mem::take(&mut self.foreign) {
            let Some(of_table) = self.tables.get_mut(table) else { continue };
            // What the batch before this one changed may not be readable yet.
            if of_table.get(&id).is_some_and(|cached| cached.changed + 1 < self.batch)
                && let Some(cached) = of_table.remove(&id)
            {
                self.bytes = self.bytes.saturating_sub(cached.bytes);
            }
        }
        if self.bytes > BYTES {
            self.forget(KEEP);
            if self.bytes > BYTES / 2 {
                self.forget(UNDER_WAY);
            }
            self.full = self.bytes > BYTES;
        }
    }

    /// Forgets what was not used for so many batches.
    fn forget(&mut self, batches: u64) {
        let oldest = self.batch.saturating_sub(batches);
        let mut bytes = 0;
        for table in &mut self.tables {
            table.retain(|cached| {
                let keep = cached.used > oldest;
                bytes += if keep { cached.bytes } else { 0 };
                keep
            });
        }
        self.sagas.retain(|(live, used)| {
            let keep = *used > oldest;
            bytes += if keep { weight(live) } else { 0 };
            keep
        });
        self.bytes = bytes;
    }

    /// What a fetch brought, for the next run.
    pub fn fetched(&mut self, wanted: (Table, Box<str>), row: Option<Loaded>) {
        self.fetched.insert(wanted, row);
    }

    fn row(&mut self, store: &mut dyn Store, table: Table, id: &str) -> Result<Option<Loaded>, Trouble> {
        if !self.fetched.is_empty()
            && let Some(row) = self.fetched.remove(&(table, Box::from(id)))
        {
            return Ok(row);
        }
        match store.peek(table, id)? {
            Peek::Known(row) => Ok(row),
            Peek::Missing => Err(Trouble::Missing(table, id.into())),
        }
    }

    pub fn state(
        &mut self,
        registry: &Registry,
        store: &mut dyn Store,
        table: usize,
        id: &str,
    ) -> Result<Option<Shared>, Trouble> {
        let batch = self.batch;
        if let Some(cached) = self.tables.get_mut(table).and_then(|of_table| of_table.get_mut(id)) {
            cached.used = batch;
            return Ok(cached.value.clone());
        }
        let row = self.row(store, Table::State(table), id)?;
        let kind = registry.kind(table).ok_or_else(|| Trouble::Broken(format!("there is no state table {table}")))?;
        let cached = match row {
            None => Cached { value: None, version: 0, used: batch, bytes: id.len(), dirty: false, before: None, changed: 0 },
            Some(row) => {
                let value = (kind.parse)(row.format, &row.body).map_err(Trouble::Broken)?;
                Cached {
                    value: Some(value),
                    version: row.version,
                    used: batch,
                    bytes: id.len() + row.body.len(),
                    dirty: false,
                    before: None,
                    changed: 0,
                }
            }
        };
        let value = cached.value.clone();
        self.put(table, id.into(), cached);
        Ok(value)
    }

    fn put(&mut self, table: usize, id: Box<str>, cached: Cached) {
        self.bytes += cached.bytes;
        if let Some(of_table) = self.tables.get_mut(table)
            && let Some(old) = of_table.insert(id, cached)
        {
            self.bytes = self.bytes.saturating_sub(old.bytes);
        }
    }

    /// Says that a state is kept for this batch only.
    pub fn borrowed(&mut self, table: usize, id: &str) {
        self.foreign.push((table, id.into()));
    }

    pub fn version(&mut self, registry: &Registry, store: &mut dyn Store, table: Table, id: &str) -> Result<u64, Trouble> {
        match table {
            Table::State(table) => {
                let stored = |cached: &Cached| cached.version - u64::from(cached.dirty);
                if let Some(cached) = self.tables.get_mut(table).and_then(|of_table| of_table.get_mut(id)) {
                    cached.used = self.batch;
                    return Ok(stored(cached));
                }
                self.state(registry, store, table, id)?;
                Ok(self.tables.get(table).and_then(|of_table| of_table.get(id)).map_or(0, stored))
            }
            Table::Saga => Ok(self.saga(registry, store, id)?.map_or(0, |live| live.version)),
            Table::Start | Table::Command => Ok(self.row(store, table, id)?.map_or(0, |row| row.version)),
        }
    }

    /// A row that is read once and not kept: a command's id.
    pub fn once(&mut self, store: &mut dyn Store, table: Table, id: &str) -> Result<Option<Loaded>, Trouble> {
        self.row(store, table, id)
    }

    pub fn saga(&mut self, registry: &Registry, store: &mut dyn Store, id: &str) -> Result<Option<Arc<Live>>, Trouble> {
        let batch = self.batch;
        if let Some((live, used)) = self.sagas.get_mut(id) {
            *used = batch;
            return Ok(Some(live.clone()));
        }
        let Some(row) = self.row(store, Table::Saga, id)? else { return Ok(None) };
        // The second row may be missing too: keep the first for the next run.
        let start = match self.row(store, Table::Start, id) {
            Ok(start) => start,
            Err(trouble) => {
                self.fetched((Table::Saga, id.into()), Some(row));
                return Err(trouble);
            }
        };
        let start = start.ok_or_else(|| Trouble::Broken(format!("saga {id:?} has no state")))?;
        let broken = |error: serde_json::Error| Trouble::Broken(format!("saga {id:?} cannot be read: {error}"));
        let mut record: SagaRecord = serde_json::from_slice(&row.body).map_err(broken)?;
        let definition = registry
            .context(&record.context)
            .and_then(|context| registry.saga(context, &record.name, record.version))
            .ok_or_else(|| {
                Trouble::Broken(format!("this build has no version {} of the saga {}", record.version, record.name))
            })?;
        let state = (definition.read)(&start.body).map_err(broken)?;
        let shape = Arc::new((definition.shape)(&*state));
        let mut tail = serde_json::to_vec(&std::mem::take(&mut record.log)).map_err(broken)?;
        tail.pop();
        tail.drain(..1);
        let stage = record.stage();
        let live = Arc::new(Live {
            version: row.version,
            record: Arc::new(record),
            state,
            shape,
            start: None,
            tail,
            stage: Some(stage),
        });
        self.bytes += weight(&live) + start.body.len();
        self.sagas.insert(id.into(), (live.clone(), batch));
        Ok(Some(live))
    }

    /// Takes over what a unit of work changed.
    pub fn merge(&mut self, changes: &[crate::work::Change], sagas: &[crate::work::SagaChange]) {
        let batch = self.batch;
        for change in changes {
            let bytes = change.id.len() + 256;
            let old = self.tables.get_mut(change.table).and_then(|of_table| of_table.get_mut(&*change.id));
            let before = old.and_then(|old| if old.dirty { old.before.take() } else { old.value.take() });
            let cached = Cached {
                value: Some(change.value.clone()),
                version: change.version,
                used: batch,
                bytes,
                dirty: true,
                before,
                changed: batch,
            };
            self.put(change.table, change.id.clone(), cached);
        }
        for change in sagas {
            self.keep_saga(change.id.clone(), change.live.clone());
        }
    }

    pub fn keep_saga(&mut self, id: Arc<str>, live: Arc<Live>) {
        self.bytes += weight(&live);
        if let Some((old, _)) = self.sagas.insert(id, (live, self.batch)) {
            self.bytes = self.bytes.saturating_sub(weight(&old));
        }
    }

    /// A saga that ended in that batch is not needed again, unless a later one has.
    pub fn forget_saga(&mut self, id: &str, batch: u64) {
        if self.sagas.get(id).is_some_and(|(_, used)| *used <= batch)
            && let Some((old, _)) = self.sagas.remove(id)
        {
            self.bytes = self.bytes.saturating_sub(weight(&old));
        }
    }

    /// The batch has been run: what it changed is what the next one builds on.
    pub fn sealed<'a>(&mut self, states: impl Iterator<Item = &'a (usize, Box<str>)>) {
        for (table, id) in states {
            if let Some(cached) = self.tables.get_mut(*table).and_then(|of_table| of_table.get_mut(id)) {
                cached.dirty = false;
                cached.before = None;
            }
        }
    }

    /// A saga that is in memory, to be changed there.
    pub fn live_mut(&mut self, id: &str) -> Option<&mut Live> {
        self.sagas.get_mut(id).map(|(live, _)| Arc::make_mut(live))
    }

    /// A saga that is in memory.
    pub fn live(&self, id: &str) -> Option<Arc<Live>> {
        self.sagas.get(id).map(|(live, _)| live.clone())
    }

    pub fn value(&self, table: usize, id: &str) -> Option<Known<'_>> {
        let cached = self.tables.get(table)?.get(id)?;
        Some(Known { value: &**cached.value.as_ref()?, version: cached.version, before: cached.before.as_deref() })
    }
}

fn weight(live: &Live) -> usize {
    1024 + live.record.run.rows.iter().map(|row| row.len() * 16).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_commit_under_way_changed_is_kept_over_a_batch_that_was_taken_back() {
        let mut identity = Identity::new(1);
        identity.begin();
        let changed = identity.batch();
        let cached = Cached { value: None, version: 1, used: changed, bytes: 1, dirty: false, before: None, changed };
        identity.put(0, "car-1".into(), cached);
        let mut known_after = |taken_back: bool| {
            identity.begin();
            identity.borrowed(0, "car-1");
            if taken_back {
                identity.take_back();
            }
            identity.begin();
            identity.tables[0].get_mut("car-1").is_some()
        };
        assert!(known_after(true), "it may not be readable yet");
        assert!(!known_after(false));
    }
}
