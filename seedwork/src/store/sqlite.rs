//! The embedded store: one SQLite file (WAL, `synchronous=FULL`), one connection that writes, any number that read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params};

use super::*;
use crate::view::Read;

mod checkpoint;
mod ddl;

/// The bytes are UTF-8 JSON that this process wrote or checked; SQLite is told so without another look at them.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The statements of one state or view table.
struct Statements {
    select: String,
    insert: String,
    update: String,
}

/// See the module's text.
pub struct Sqlite {
    db: Connection,
    path: Option<PathBuf>,
    states: Vec<Statements>,
    views: Vec<String>,
    names: BTreeMap<Arc<str>, i64>,
    partitions: BTreeMap<Partition, i64>,
    texts: BTreeMap<i64, Arc<str>>,
    streams: BTreeMap<(i64, u64), i64>,
    epoch: u64,
    checkpointer: Option<checkpoint::Checkpointer>,
}

fn broken(what: &str) -> impl FnOnce(rusqlite::Error) -> StoreError + '_ {
    move |error| StoreError(format!("{what}: {error}"))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A log row's key: the stream's number, then the position. One B-tree in commit order, no second index.
const POSITION_BITS: u32 = 40;

impl Sqlite {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened, is no database, is damaged, or the machine does not honour `synchronous=FULL`; the text says what to do.
    pub fn open(path: &Path) -> StoreResult<Sqlite> {
        let shown = path.display();
        // One thread at a time uses a connection (it is Send, not Sync), so SQLite need not lock it with every call.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(broken(&format!("cannot open {shown}")))?;
        let mut store = Sqlite::with(db, Some(path.to_owned())).map_err(|error| {
            StoreError(format!("{shown} cannot be used ({}). If the disk is full or read-only, mend that; if the file is damaged, restore a copy", error.0))
        })?;
        store.pragma("journal_mode", "WAL", "wal")?;
        store.pragma("synchronous", "FULL", "2")?;
        store.checkpointer = checkpoint::Checkpointer::start(path);
        Ok(store)
    }

    /// A store in memory, for tests.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn memory() -> StoreResult<Sqlite> {
        Sqlite::with(Connection::open_in_memory().map_err(broken("cannot open a database in memory"))?, None)
    }

    fn with(db: Connection, path: Option<PathBuf>) -> StoreResult<Sqlite> {
        db.set_prepared_statement_cache_capacity(256);
        let failed = || broken("cannot set it up");
        // The checkpointer beside keeps up; this is where the writer folds in the rest, and the WAL begins anew.
        for pragma in ["cache_size = -16384", "wal_autocheckpoint = 8000", "foreign_keys = ON", "busy_timeout = 5000"] {
            db.execute_batch(&format!("PRAGMA {pragma}")).map_err(failed())?;
        }
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed())?;
        Ok(Sqlite {
            db,
            path,
            states: Vec::new(),
            views: Vec::new(),
            names: BTreeMap::new(),
            partitions: BTreeMap::new(),
            texts: BTreeMap::new(),
            streams: BTreeMap::new(),
            epoch: 1,
            checkpointer: None,
        })
    }

    /// Sets a pragma and asks whether it holds: durability is asserted, not hoped for.
    fn pragma(&mut self, name: &str, value: &str, expected: &str) -> StoreResult<()> {
        let failed = || broken("cannot make the store durable");
        self.db.pragma_update(None, name, value).map_err(failed())?;
        let text: String = self
            .db
            .pragma_query_value(None, name, |row| {
                Ok(match row.get_ref(0)? {
                    ValueRef::Integer(number) => number.to_string(),
                    other => String::from_utf8_lossy(other.as_bytes().unwrap_or_default()).into_owned(),
                })
            })
            .map_err(failed())?;
        if text.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(StoreError(format!("PRAGMA {name} is {text:?} though {value} was asked for: this file system cannot hold the store")))
    }

    fn name(&mut self, text: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(text) {
            return Ok(*id);
        }
        self.db.execute("INSERT INTO name (text) VALUES (?1) ON CONFLICT (text) DO NOTHING", [&**text])?;
        let id = self.db.query_row("SELECT id FROM name WHERE text = ?1", [&**text], |row| row.get(0))?;
        self.names.insert(text.clone(), id);
        self.texts.insert(id, text.clone());
        Ok(id)
    }

    fn text(&mut self, id: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(text.clone());
        }
        let text: String = self.db.query_row("SELECT text FROM name WHERE id = ?1", [id], |row| row.get(0))?;
        let text: Arc<str> = text.into();
        self.texts.insert(id, text.clone());
        Ok(text)
    }

    fn partition_id(&mut self, partition: &Partition) -> rusqlite::Result<i64> {
        if let Some(id) = self.partitions.get(partition) {
            return Ok(*id);
        }
        let id = self.name(&partition.to_string().into())?;
        self.partitions.insert(partition.clone(), id);
        Ok(id)
    }

    /// Ends a batch that was begun and came to nothing.
    fn end(&mut self) -> rusqlite::Result<()> {
        if self.db.is_autocommit() {
            return Ok(());
        }
        self.forget_names();
        self.db.execute_batch("ROLLBACK")
    }

    /// Names and streams that were given numbers in a transaction are gone with it.
    fn forget_names(&mut self) {
        self.names.clear();
        self.partitions.clear();
        self.texts.clear();
        self.streams.clear();
    }

    fn stream(&mut self, partition: i64, epoch: u64) -> rusqlite::Result<i64> {
        if let Some(id) = self.streams.get(&(partition, epoch)) {
            return Ok(*id);
        }
        let key = params![partition, number(epoch)];
        self.db.execute("INSERT INTO stream (partition, epoch) VALUES (?1, ?2) ON CONFLICT DO NOTHING", key)?;
        let id = self.db.query_row("SELECT id FROM stream WHERE partition = ?1 AND epoch = ?2", key, |row| row.get(0))?;
        self.streams.insert((partition, epoch), id);
        Ok(id)
    }

    fn destinations(&mut self, partition: i64) -> rusqlite::Result<Vec<(Destination, Place)>> {
        let mut statement =
            self.db.prepare("SELECT topic, number, epoch, position FROM destination WHERE partition = ?1 ORDER BY 1, 2")?;
        let rows = statement
            .query_map([partition], |row| Ok((row.get(0)?, row.get(1)?, place(row.get(2)?, row.get(3)?))))?
            .collect::<rusqlite::Result<Vec<(i64, u16, Place)>>>()?;
        drop(statement);
        rows.into_iter().map(|(topic, partition, place)| Ok((Destination { topic: self.text(topic)?, partition }, place))).collect()
    }

    fn marks(&mut self, partition: i64) -> rusqlite::Result<Vec<(Route, Place)>> {
        let mut statement =
            self.db.prepare("SELECT origin, topic, number, epoch, position FROM mark WHERE partition = ?1 ORDER BY 1, 2, 3")?;
        let rows = statement
            .query_map([partition], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, place(row.get(3)?, row.get(4)?)))
            })?
            .collect::<rusqlite::Result<Vec<(i64, i64, u16, Place)>>>()?;
        drop(statement);
        let mut marks = Vec::with_capacity(rows.len());
        for (origin, topic, partition, place) in rows {
            let to = Destination { topic: self.text(topic)?, partition };
            marks.push((Route { from: partition_of(&self.text(origin)?), to }, place));
        }
        Ok(marks)
    }

    fn taken(&mut self, partition: &Partition, held: Option<u64>) -> rusqlite::Result<Option<Taken>> {
        let id = self.partition_id(partition)?;
        let raised = self.db.execute(
            "INSERT INTO head (partition, fence, epoch, position, relayed) VALUES (?1, 1, ?2, 0, 0)
             ON CONFLICT (partition) DO UPDATE SET fence = fence + 1 WHERE ?3 IS NULL OR fence = ?3",
            params![id, number(self.epoch), held.map(number)],
        )?;
        if raised == 0 {
            return Ok(None);
        }
        let (fence, epoch, position, relayed): (i64, i64, i64, i64) = self.db.query_row(
            "SELECT fence, epoch, position, relayed FROM head WHERE partition = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let some = |position| (position > 0).then(|| place(epoch, position));
        let mut statement = self.db.prepare(
            "SELECT number, lane, attempts, due, dead, not_yet FROM waiting WHERE partition = ?1 ORDER BY number",
        )?;
        let waiting = statement.query_map([id], waiting_head)?.collect::<rusqlite::Result<_>>()?;
        drop(statement);
        let mut statement =
            self.db.prepare("SELECT id FROM saga WHERE stage IN ('running', 'undoing') AND partition = ?1 ORDER BY id")?;
        let running = statement.query_map([id], |row| row.get::<_, Arc<str>>(0))?.collect::<rusqlite::Result<_>>()?;
        drop(statement);
        let (destinations, marks) = (self.destinations(id)?, self.marks(id)?);
        Ok(Some(Taken {
            fence: unsigned(fence),
            head: some(position),
            epoch: unsigned(epoch),
            relayed: some(relayed),
            destinations,
            marks,
            waiting,
            running,
        }))
    }

    fn write(&mut self, writes: &Writes) -> rusqlite::Result<Vec<Partition>> {
        let mut fenced = Vec::new();
        for head in &writes.heads {
            let id = self.partition_id(&head.partition)?;
            let changed = self
                .db
                .prepare_cached("UPDATE head SET epoch = ?2, position = ?3, relayed = ?4 WHERE partition = ?1 AND fence = ?5")?
                .execute(params![id, number(head.epoch), number(head.position), number(head.relayed), number(head.fence)])?;
            if changed == 0 {
                fenced.push(head.partition.clone());
            }
        }
        if !fenced.is_empty() {
            return Ok(fenced);
        }
        for write in &writes.states {
            self.write_state(write)?;
        }
        for write in &writes.sagas {
            self.write_saga(write)?;
        }
        let mut last: Option<(Partition, u64, i64)> = None;
        for row in &writes.log {
            let stream = match &last {
                Some((partition, epoch, stream)) if *partition == row.route.from && *epoch == row.place.epoch => *stream,
                _ => {
                    let partition = self.partition_id(&row.route.from)?;
                    let stream = self.stream(partition, row.place.epoch)?;
                    last = Some((row.route.from.clone(), row.place.epoch, stream));
                    stream
                }
            };
            let topic = self.name(&row.route.to.topic)?;
            let before = row.predecessor.map(|place| (number(place.epoch), number(place.position)));
            self.db
                .prepare_cached(
                    "INSERT INTO log (id, topic, number, before_epoch, before_position, raw, received, started, written)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    (stream << POSITION_BITS) | number(row.place.position),
                    topic,
                    row.route.to.partition,
                    before.map(|before| before.0),
                    before.map(|before| before.1),
                    Text(&row.raw),
                    row.times[0],
                    row.times[1],
                    row.times[2],
                ])?;
        }
        for (partition, destination, place) in &writes.destinations {
            let (partition, topic) = (self.partition_id(partition)?, self.name(&destination.topic)?);
            self.db
                .prepare_cached(
                    "INSERT INTO destination (partition, topic, number, epoch, position) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (partition, topic, number) DO UPDATE SET epoch = ?4, position = ?5",
                )?
                .execute(params![partition, topic, destination.partition, number(place.epoch), number(place.position)])?;
        }
        for (reader, route, place) in &writes.marks {
            let (reader, origin) = (self.partition_id(reader)?, self.partition_id(&route.from)?);
            let topic = self.name(&route.to.topic)?;
            self.db
                .prepare_cached(
                    "INSERT INTO mark (partition, origin, topic, number, epoch, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (partition, origin, topic, number) DO UPDATE SET epoch = ?5, position = ?6",
                )?
                .execute(params![reader, origin, topic, route.to.partition, number(place.epoch), number(place.position)])?;
        }
        for write in &writes.commands {
            self.db
                .prepare_cached(
                    "INSERT INTO command (id, expires, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT (id) DO UPDATE SET expires = ?2, body = ?3",
                )?
                .execute(params![write.id, write.expires, Text(&write.body)])?;
        }
        for write in &writes.waiting {
            self.write_waiting(write)?;
        }
        Ok(fenced)
    }

    fn write_state(&mut self, write: &StateWrite) -> rusqlite::Result<()> {
        let Some(statements) = self.states.get(write.table) else { return Err(rusqlite::Error::InvalidQuery) };
        let (version, body) = (number(write.version), Text(&write.body));
        let changed = if write.version == 1 {
            self.db.prepare_cached(&statements.insert)?.execute(params![write.id, version, write.format, body])?
        } else {
            self.db.prepare_cached(&statements.update)?.execute(params![write.id, version, write.format, body])?
        };
        if changed == 0 {
            return Err(conflict(&write.id));
        }
        if let Some((table, row)) = &write.view {
            let Some(upsert) = self.views.get(*table) else { return Err(rusqlite::Error::InvalidQuery) };
            self.db.prepare_cached(upsert)?.execute(rusqlite::params_from_iter(row))?;
        }
        Ok(())
    }

    fn write_saga(&mut self, write: &SagaWrite) -> rusqlite::Result<()> {
        let partition = self.partition_id(&write.partition)?;
        let row = params![write.id, number(write.version), write.stage, Text(&write.body), partition];
        let changed = if write.version == 1 {
            self.db
                .prepare_cached("INSERT INTO saga (id, version, stage, body, partition) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(row)?
        } else {
            self.db
                .prepare_cached("UPDATE saga SET version = ?2, stage = ?3, body = ?4 WHERE id = ?1 AND version = ?2 - 1 AND partition = ?5")?
                .execute(row)?
        };
        if changed == 0 {
            return Err(conflict(&write.id));
        }
        if let Some(start) = &write.start {
            self.db
                .prepare_cached("INSERT INTO start (id, body) VALUES (?1, ?2)")?
                .execute(params![write.id, Text(start)])?;
        }
        if let Some((line, entries)) = &write.log {
            self.db
                .prepare_cached("INSERT INTO saga_log (saga, line, entries) VALUES (?1, ?2, ?3)")?
                .execute(params![write.id, number(*line), Text(entries)])?;
        }
        Ok(())
    }

    fn write_waiting(&mut self, write: &WaitingWrite) -> rusqlite::Result<()> {
        match write {
            WaitingWrite::Put(partition, waiting) => {
                let (partition, topic) = (self.partition_id(partition)?, self.name(&waiting.topic)?);
                let head = &waiting.head;
                self.db
                    .prepare_cached(
                        "INSERT INTO waiting (partition, number, lane, attempts, due, dead, not_yet, topic, reason, raw, since)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    )?
                    .execute(params![
                        partition,
                        number(head.number),
                        head.lane,
                        head.attempts,
                        head.due,
                        head.dead,
                        head.not_yet,
                        topic,
                        waiting.reason,
                        &*waiting.raw,
                        waiting.since
                    ])?;
            }
            WaitingWrite::Change(partition, head, reason) => {
                let partition = self.partition_id(partition)?;
                self.db
                    .prepare_cached(
                        "UPDATE waiting SET attempts = ?3, due = ?4, dead = ?5, not_yet = ?6, reason = ?7
                         WHERE partition = ?1 AND number = ?2",
                    )?
                    .execute(params![
                        partition,
                        number(head.number),
                        head.attempts,
                        head.due,
                        head.dead,
                        head.not_yet,
                        reason
                    ])?;
            }
            WaitingWrite::Remove(partition, which) => {
                let partition = self.partition_id(partition)?;
                self.db
                    .prepare_cached("DELETE FROM waiting WHERE partition = ?1 AND number = ?2")?
                    .execute(params![partition, number(*which)])?;
            }
        }
        Ok(())
    }

    fn log_rows(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> rusqlite::Result<Vec<LogRow>> {
        let partition = self.partition_id(from)?;
        let topic = to.map(|to| self.name(&to.topic)).transpose()?;
        let after_epoch = after.map_or(0, |after| number(after.epoch));
        let streams = self
            .db
            .prepare_cached("SELECT id, epoch FROM stream WHERE partition = ?1 AND epoch >= ?2 ORDER BY epoch")?
            .query_map(params![partition, after_epoch], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
        let mut rows = Vec::new();
        for (stream, epoch) in streams {
            let first = match after {
                Some(after) if number(after.epoch) == epoch => number(after.position),
                _ => 0,
            };
            let mut statement = self.db.prepare_cached(
                "SELECT id, topic, number, before_epoch, before_position, raw, received, started, written FROM log
                 WHERE id > ?1 AND id < ?2 AND (?3 IS NULL OR (topic = ?3 AND number = ?4)) ORDER BY id LIMIT ?5",
            )?;
            let left = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
            let found = statement
                .query_map(
                    params![
                        (stream << POSITION_BITS) | first,
                        (stream + 1) << POSITION_BITS,
                        topic,
                        to.map(|to| to.partition),
                        left
                    ],
                    |row| {
                        let id: i64 = row.get(0)?;
                        let before: Option<i64> = row.get(3)?;
                        let before_position: Option<i64> = row.get(4)?;
                        Ok((
                            row.get::<_, i64>(1)?,
                            row.get::<_, u16>(2)?,
                            id & ((1 << POSITION_BITS) - 1),
                            before.zip(before_position),
                            Arc::<[u8]>::from(row.get_ref(5)?.as_bytes()?),
                            [row.get(6)?, row.get(7)?, row.get(8)?],
                        ))
                    },
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            drop(statement);
            for (topic, partition, position, before, raw, times) in found {
                rows.push(LogRow {
                    route: Route { from: from.clone(), to: Destination { topic: self.text(topic)?, partition } },
                    place: place(epoch, position),
                    predecessor: before.map(|(epoch, position)| place(epoch, position)),
                    raw,
                    packet: None,
                    times,
                });
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    fn row(&mut self, table: Table, id: &str) -> rusqlite::Result<Option<Loaded>> {
        let sql = match table {
            Table::State(table) => match self.states.get(table) {
                Some(statements) => statements.select.as_str(),
                None => return Err(rusqlite::Error::InvalidQuery),
            },
            Table::Saga => "SELECT version, 1, body FROM saga WHERE id = ?1",
            Table::Start => "SELECT 1, 1, body FROM start WHERE id = ?1",
            Table::Command => "SELECT 1, 1, body FROM command WHERE id = ?1",
        };
        self.db
            .prepare_cached(sql)?
            .query_row([id], |row| {
                Ok(Loaded { version: unsigned(row.get(0)?), format: row.get(1)?, body: row.get_ref(2)?.as_bytes()?.to_vec() })
            })
            .optional()
    }
}

fn place(epoch: i64, position: i64) -> Place {
    Place { epoch: unsigned(epoch), position: unsigned(position) }
}

fn partition_of(text: &str) -> Partition {
    let (context, number) = text.rsplit_once('/').unwrap_or((text, "0"));
    Partition { context: context.into(), number: number.parse().unwrap_or(0) }
}

fn waiting_head(row: &rusqlite::Row<'_>) -> rusqlite::Result<WaitingHead> {
    Ok(WaitingHead {
        number: unsigned(row.get(0)?),
        lane: row.get(1)?,
        attempts: row.get(2)?,
        due: row.get(3)?,
        dead: row.get(4)?,
        not_yet: row.get(5)?,
    })
}

fn conflict(id: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error { code: ErrorCode::ConstraintViolation, extended_code: 19 };
    rusqlite::Error::SqliteFailure(code, Some(format!("{id:?} was changed by somebody else")))
}

/// What an error means when nothing was committed (`before`), or at the commit itself.
fn classify(error: &rusqlite::Error, at_commit: bool) -> CommitError {
    let why = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) | None if !at_commit => {
            CommitError::Refused(why)
        }
        Some(ErrorCode::DiskFull) => CommitError::Outage(format!("{why}: make room on the disk; nothing accepted was lost")),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            CommitError::Outage(format!("{why}: another program holds the file; stop it"))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::OutOfMemory) if !at_commit => {
            CommitError::Outage(why)
        }
        // A failed write before the commit has written nothing; a failed fsync may have written everything.
        Some(ErrorCode::SystemIoFailure) if !at_commit => CommitError::Outage(why),
        _ => CommitError::Unknown(why),
    }
}

impl Store for Sqlite {
    fn open(&mut self, schema: &Schema) -> StoreResult<()> {
        self.epoch = schema.epoch;
        ddl::migrate(&mut self.db, self.path.as_deref(), ddl::STEPS)?;
        ddl::tables(&mut self.db, schema).map_err(broken("cannot make the tables"))?;
        self.states = schema
            .states
            .iter()
            .map(|table| Statements {
                select: format!("SELECT version, format, body FROM {table} WHERE id = ?1"),
                insert: format!("INSERT INTO {table} (id, version, format, body) VALUES (?1, ?2, ?3, ?4)"),
                update: format!("UPDATE {table} SET version = ?2, format = ?3, body = ?4 WHERE id = ?1 AND version = ?2 - 1"),
            })
            .collect();
        self.views = schema.views.iter().map(ddl::upsert).collect();
        Ok(())
    }

    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<Taken>> {
        self.end().map_err(broken("cannot end the batch before"))?;
        self.taken(partition, held).map_err(broken("cannot take a partition"))
    }

    fn begin(&mut self) -> Result<(), CommitError> {
        // One transaction for the batch's reads and writes: each read of its own would lock and unlock the WAL (65 times a batch).
        if !self.db.is_autocommit() {
            return Ok(());
        }
        let mut begin = self.db.prepare_cached("BEGIN IMMEDIATE").map_err(|error| classify(&error, false))?;
        begin.execute([]).map(drop).map_err(|error| classify(&error, false))
    }

    fn peek(&mut self, table: Table, id: &str) -> StoreResult<Peek> {
        self.row(table, id).map(Peek::Known).map_err(broken("cannot read"))
    }

    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
        wanted.iter().map(|(table, id)| self.row(*table, id).map_err(broken("cannot read"))).collect()
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        self.begin()?;
        match self.write(writes) {
            Ok(fenced) if fenced.is_empty() => {}
            other => {
                self.forget_names();
                self.db.execute_batch("ROLLBACK").map_err(|error| CommitError::Unknown(error.to_string()))?;
                return Err(match other {
                    Ok(fenced) => CommitError::Fenced(fenced),
                    Err(error) => classify(&error, false),
                });
            }
        }
        let committed = self.db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = committed {
            self.forget_names();
            let told = classify(&error, true);
            if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
                return Err(CommitError::Unknown(error.to_string()));
            }
            return Err(told);
        }
        if let Some(checkpointer) = self.checkpointer.as_mut().filter(|_| !writes.heads.is_empty()) {
            checkpointer.committed();
        }
        Ok(())
    }

    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>> {
        self.log_rows(from, after, to, limit).map_err(broken("cannot read the log"))
    }

    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0> {
        let failed = || broken("cannot read a destination");
        let partition = self.partition_id(&route.from).map_err(failed())?;
        let topic = self.name(&route.to.topic).map_err(failed())?;
        self.db
            .query_row(
                "SELECT epoch, position FROM destination WHERE partition = ?1 AND topic = ?2 AND number = ?3",
                params![partition, topic, route.to.partition],
                |row| Ok(place(row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(failed())
    }

    fn waiting(&mut self, partition: &Partition, which: u64) -> StoreResult<Option<Waiting>> {
        let failed = || broken("cannot read a waiting message");
        let id = self.partition_id(partition).map_err(failed())?;
        let found = self
            .db
            .prepare_cached(
                "SELECT number, lane, attempts, due, dead, not_yet, topic, reason, raw, since FROM waiting
                 WHERE partition = ?1 AND number = ?2",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![id, number(which)], |row| {
                        let raw = Arc::<[u8]>::from(row.get_ref(8)?.as_bytes()?);
                        Ok((waiting_head(row)?, row.get::<_, i64>(6)?, row.get::<_, String>(7)?, raw, row.get::<_, i64>(9)?))
                    })
                    .optional()
            })
            .map_err(failed())?;
        let Some((head, topic, reason, raw, since)) = found else { return Ok(None) };
        Ok(Some(Waiting { head, topic: self.text(topic).map_err(failed())?, reason, raw, since }))
    }

    fn forget_commands(&mut self, now: i64) -> StoreResult<usize> {
        // Oldest first, a few at a time: they lie at the table's beginning.
        self.db
            .prepare_cached(
                "DELETE FROM command WHERE rowid IN (SELECT rowid FROM command ORDER BY rowid LIMIT 500) AND expires < ?1",
            )
            .and_then(|mut statement| statement.execute([now]))
            .map_err(broken("cannot forget old commands"))
    }
}

fn select(db: &Connection, sql: &str, parameters: &[Value]) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = db.prepare_cached(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(number) => Value::Integer(number),
                    ValueRef::Text(text) | ValueRef::Blob(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Null | ValueRef::Real(_) => Value::Null,
                })
            })
            .collect()
    })?;
    rows.collect()
}

impl Read for Sqlite {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        select(&self.db, sql, parameters).map_err(|error| error.to_string())
    }
}

/// Connections that only read, beside the one that writes: each sees the last commit. Opened as they are needed, kept, bounded.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of this file, which a [`Sqlite`] has opened before.
    pub fn new(path: &Path) -> Readers {
        Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -2048")?;
        Ok(db)
    }
}

impl Read for Readers {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match kept {
            Some(db) => db,
            None => self.open().map_err(|error| format!("cannot open {} to read: {error}", self.path.display()))?,
        };
        let rows = select(&db, sql, parameters).map_err(|error| error.to_string());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_ok() && idle.len() < 8 {
            idle.push(db);
        }
        rows
    }
}
