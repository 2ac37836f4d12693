//! What an owner has in memory: the batch's identity map, kept between batches under its fence.
//!
//! A map per table, ordered (so no hash of a client's id can be attacked, and World's traces are the same each time), bounded in
//! bytes: what the last batches did not use is forgotten first.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::{Registry, Shared};
use crate::saga::engine::{Entry, Run, Shape, Stage};
use crate::store::{Loaded, Peek, Store, StoreError, Table};

/// Bytes of stored bodies that may stay in memory; the structs that they became take about three times as much.
const BYTES: usize = 8 << 20;
/// Entries not used for this many batches are forgotten first.
const KEEP: u64 = 8;

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

/// Bytes of log lines beyond which a saga's record hands them to a row of their own: what moves often stays small.
const LOG_TAIL: usize = 2048;

impl SagaRecord {
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

/// A saga in memory.
#[derive(Clone)]
pub(crate) struct Live {
    pub version: u64,
    pub record: Arc<SagaRecord>,
    pub state: Shared,
    pub shape: Arc<Shape>,
    /// The state's JSON while it has not been written yet.
    pub start: Option<Arc<[u8]>>,
    /// The log's latest lines: JSON, joined by commas.
    pub tail: Vec<u8>,
}

impl Live {
    /// Adds lines to the log. Gives those before them, as a JSON array, when together they are too many for the record.
    ///
    /// # Errors
    /// When a line cannot be written as JSON.
    pub fn log(&mut self, at: i64, entries: &[Entry]) -> serde_json::Result<Option<Vec<u8>>> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: i64,
            #[serde(flatten)]
            entry: &'a Entry,
        }
        let before = self.tail.len();
        for entry in entries {
            if !self.tail.is_empty() {
                self.tail.push(b',');
            }
            serde_json::to_writer(&mut self.tail, &Line { at, entry })?;
        }
        if before == 0 || before == self.tail.len() || self.tail.len() <= LOG_TAIL {
            return Ok(None);
        }
        let rest = self.tail.split_off(before + 1);
        self.tail.truncate(before);
        let older = std::mem::replace(&mut self.tail, rest);
        Ok(Some([b"[", older.as_slice(), b"]"].concat()))
    }

    /// The record as it is stored, its log with it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = Vec::with_capacity(self.tail.len() + 768);
        serde_json::to_writer(&mut body, &*self.record)?;
        body.pop();
        body.extend_from_slice(b",\"log\":[");
        body.extend_from_slice(&self.tail);
        body.extend_from_slice(b"]}");
        Ok(body)
    }
}

struct Cached {
    value: Option<Shared>,
    version: u64,
    used: u64,
    bytes: usize,
    /// Changed by this batch: the version before it is one less.
    dirty: bool,
    /// The batch that changed it last.
    changed: u64,
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
    tables: Vec<BTreeMap<Box<str>, Cached>>,
    sagas: BTreeMap<Arc<str>, (Arc<Live>, u64)>,
    fetched: BTreeMap<(Table, Box<str>), Option<Loaded>>,
    /// What was read under another key than its unit's: another owner may change it, so it is looked up again in the next batch.
    foreign: Vec<(usize, Box<str>)>,
    batch: u64,
    bytes: usize,
}

impl Identity {
    pub fn new(tables: usize) -> Identity {
        Identity {
            tables: (0..tables).map(|_| BTreeMap::new()).collect(),
            sagas: BTreeMap::new(),
            fetched: BTreeMap::new(),
            foreign: Vec::new(),
            batch: 0,
            bytes: 0,
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

    /// Whether there is so much that the next batch forgets some: none of it may be on its way to the disk then.
    pub fn full(&self) -> bool {
        self.bytes > BYTES
    }

    /// Begins a batch; forgets what was not used lately when there is too much.
    pub fn begin(&mut self) {
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
            let oldest = self.batch.saturating_sub(KEEP);
            for table in &mut self.tables {
                table.retain(|_, cached| cached.used > oldest);
            }
            self.sagas.retain(|_, (_, used)| *used > oldest);
            let states: usize = self.tables.iter().flat_map(BTreeMap::values).map(|cached| cached.bytes).sum();
            self.bytes = states + self.sagas.values().map(|(live, _)| weight(live)).sum::<usize>();
            if self.bytes > BYTES {
                self.clear();
            }
        }
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
            None => Cached { value: None, version: 0, used: batch, bytes: id.len(), dirty: false, changed: 0 },
            Some(row) => {
                let value = (kind.parse)(row.format, &row.body).map_err(Trouble::Broken)?;
                Cached {
                    value: Some(value),
                    version: row.version,
                    used: batch,
                    bytes: id.len() + row.body.len(),
                    dirty: false,
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
                self.state(registry, store, table, id)?;
                Ok(self
                    .tables
                    .get(table)
                    .and_then(|of_table| of_table.get(id))
                    .map_or(0, |cached| cached.version - u64::from(cached.dirty)))
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
        let live = Arc::new(Live { version: row.version, record: Arc::new(record), state, shape, start: None, tail });
        self.bytes += weight(&live) + start.body.len();
        self.sagas.insert(id.into(), (live.clone(), batch));
        Ok(Some(live))
    }

    /// Takes over what a unit of work changed.
    pub fn merge(&mut self, changes: &[crate::work::Change], sagas: &[crate::work::SagaChange]) {
        let batch = self.batch;
        for change in changes {
            let bytes = change.id.len() + 256;
            let cached = Cached {
                value: Some(change.value.clone()),
                version: change.version,
                used: batch,
                bytes,
                dirty: true,
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
            }
        }
    }

    /// A saga that is in memory.
    pub fn live(&self, id: &str) -> Option<Arc<Live>> {
        self.sagas.get(id).map(|(live, _)| live.clone())
    }

    pub fn value(&self, table: usize, id: &str) -> Option<(&(dyn Any + Send + Sync), u64)> {
        let cached = self.tables.get(table)?.get(id)?;
        Some((&**cached.value.as_ref()?, cached.version))
    }
}

fn weight(live: &Live) -> usize {
    1024 + live.record.run.rows.iter().map(|row| row.len() * 16).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_a_record_no_longer_holds_are_handed_on_and_none_is_lost() {
        let shape = Arc::new(Shape { rows: Vec::new() });
        let (run, _) = crate::saga::engine::start(&shape);
        let record = SagaRecord {
            name: "ferry.crossing".into(),
            version: 1,
            context: "ferry".into(),
            correlation: "c".into(),
            actor: "local".into(),
            answer_to: None,
            command: "c".into(),
            started: 0,
            updated: 0,
            lines: 0,
            stuck: false,
            run,
            log: Vec::new(),
        };
        let record = Arc::new(record);
        let mut live = Live { version: 0, record, state: Arc::new(()), shape, start: None, tail: Vec::new() };
        let entry = |row| Entry { row, index: None, what: "sent".into(), detail: Some("x".repeat(300)), by: None, actor: None };
        let (mut rows, mut told) = (Vec::new(), Vec::new());
        for at in 0..20 {
            let entries: Vec<Entry> = (0..at % 4).map(|row| entry(u16::try_from(row).unwrap())).collect();
            told.extend(entries.iter().map(|entry| LogLine { at, entry: entry.clone() }));
            rows.extend(live.log(at, &entries).unwrap());
            let stored: SagaRecord = serde_json::from_slice(&live.body().unwrap()).unwrap();
            let older = rows.iter().flat_map(|row| serde_json::from_slice::<Vec<LogLine>>(row).unwrap());
            assert_eq!(older.chain(stored.log).collect::<Vec<_>>(), told);
        }
        assert!(rows.len() > 2 && live.tail.len() < 2 * LOG_TAIL, "{} rows, {} bytes", rows.len(), live.tail.len());
    }
}
