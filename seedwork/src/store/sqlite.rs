//! The embedded store: one SQLite file (WAL, `synchronous=FULL`), one connection that writes, any number that read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params};

use super::*;

mod checkpoint;
mod ddl;
mod load;
mod readers;
mod write;

pub use readers::Readers;

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
    pub(crate) fn end(&mut self) -> rusqlite::Result<()> {
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
}

fn place(epoch: i64, position: i64) -> Place {
    Place { epoch: unsigned(epoch), position: unsigned(position) }
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
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::OutOfMemory)
            if !at_commit =>
        {
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
        self.end().map_err(broken("cannot end the batch before"))?;
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
