//! A connection to the file, and what it knows of it: numbers of names, statements.

use super::*;

/// The number of a new store's first stream; later ones count down from here. A log row's key has 63 bits, of which the position takes 40.
const LAST_STREAM: i64 = 1 << 16;

/// The statements of one state table.
pub(super) struct Statements {
    pub name: String,
    pub select: String,
    pub insert: String,
    /// By the columns of the view that they set.
    pub update: BTreeMap<Box<[usize]>, String>,
    /// Of its view.
    pub columns: Vec<&'static str>,
    /// All rows after an id, in order.
    pub page: String,
}

/// A connection, and what it knows of the file.
pub(super) struct Session {
    pub db: Connection,
    path: Option<PathBuf>,
    pub states: Vec<Statements>,
    names: BTreeMap<Arc<str>, i64>,
    partitions: BTreeMap<Partition, i64>,
    texts: BTreeMap<i64, Arc<str>>,
    streams: BTreeMap<(i64, u64), i64>,
    pub epoch: u64,
}

/// A statement is planned when it is prepared, and not again for each limit that is bound to it: SQLite would, to see whether another plan
/// suits that one better, and it takes as long as the query itself.
pub(super) fn plan_once(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

impl Session {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> StoreResult<Session> {
        let shown = path.display();
        // One thread at a time uses a connection (it is Send, not Sync), so SQLite need not lock it with every call.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(broken(&format!("cannot open {shown}")))?;
        let mut session = Session::with(db, Some(path.to_owned())).map_err(|error| {
            StoreError(format!("{shown} cannot be used ({}). If the disk is full or read-only, mend that; if the file is damaged, restore a copy", error.0))
        })?;
        session.pragma("journal_mode", "WAL", "wal")?;
        session.pragma("synchronous", "FULL", "2")?;
        Ok(session)
    }

    /// Another that only reads, beside this one: it sees what has been committed.
    pub fn beside(&self, path: &Path) -> StoreResult<Session> {
        let mut session = Session::open(path)?;
        session.pragma("query_only", "1", "1")?;
        Ok(session)
    }

    pub fn with(db: Connection, path: Option<PathBuf>) -> StoreResult<Session> {
        db.set_prepared_statement_cache_capacity(256);
        let failed = || broken("cannot set it up");
        // Small: a commit after which a B-tree was rebalanced goes through the whole hash of cached pages. What is not here is in the
        // system's cache.
        for pragma in ["cache_size = -4096", "foreign_keys = ON", "busy_timeout = 5000"] {
            db.execute_batch(&format!("PRAGMA {pragma}")).map_err(failed())?;
        }
        plan_once(&db).map_err(failed())?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed())?;
        Ok(Session {
            db,
            path,
            states: Vec::new(),
            names: BTreeMap::new(),
            partitions: BTreeMap::new(),
            texts: BTreeMap::new(),
            streams: BTreeMap::new(),
            epoch: 1,
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

    pub fn name(&mut self, text: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(text) {
            return Ok(*id);
        }
        self.db.execute("INSERT INTO name (text) VALUES (?1) ON CONFLICT (text) DO NOTHING", [&**text])?;
        let id = self.db.query_row("SELECT id FROM name WHERE text = ?1", [&**text], |row| row.get(0))?;
        self.names.insert(text.clone(), id);
        self.texts.insert(id, text.clone());
        Ok(id)
    }

    /// The number of a name, if it has one yet.
    pub fn known(&mut self, text: &Arc<str>) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.names.get(text) {
            return Ok(Some(*id));
        }
        let id: Option<i64> = self.db.query_row("SELECT id FROM name WHERE text = ?1", [&**text], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.names.insert(text.clone(), id);
        }
        Ok(id)
    }

    pub fn known_partition(&mut self, partition: &Partition) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.partitions.get(partition) {
            return Ok(Some(*id));
        }
        let id = self.known(&partition.to_string().into())?;
        if let Some(id) = id {
            self.partitions.insert(partition.clone(), id);
        }
        Ok(id)
    }

    pub fn text(&mut self, id: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(text.clone());
        }
        let text: String = self.db.query_row("SELECT text FROM name WHERE id = ?1", [id], |row| row.get(0))?;
        let text: Arc<str> = text.into();
        self.texts.insert(id, text.clone());
        Ok(text)
    }

    pub fn partition_id(&mut self, partition: &Partition) -> rusqlite::Result<i64> {
        if let Some(id) = self.partitions.get(partition) {
            return Ok(*id);
        }
        let id = self.name(&partition.to_string().into())?;
        self.partitions.insert(partition.clone(), id);
        Ok(id)
    }

    pub fn damage(&mut self, sql: &str) -> rusqlite::Result<()> {
        self.db.execute_batch(sql)
    }

    /// Ends a batch that was begun and came to nothing.
    pub fn end(&mut self) -> rusqlite::Result<()> {
        if self.db.is_autocommit() {
            return Ok(());
        }
        self.forget_names();
        self.db.execute_batch("ROLLBACK")
    }

    /// Names and streams that were given numbers in a transaction are gone with it.
    pub fn forget_names(&mut self) {
        self.names.clear();
        self.partitions.clear();
        self.texts.clear();
        self.streams.clear();
    }

    pub fn stream(&mut self, partition: i64, epoch: u64) -> rusqlite::Result<i64> {
        if let Some(id) = self.streams.get(&(partition, epoch)) {
            return Ok(*id);
        }
        let key = params![partition, number(epoch)];
        // The log is one tree, stream by stream. Adding at its end costs half of what it costs before it, and whoever says something first
        // begins the stories and says most: its stream stands last, the next one before it.
        self.db.execute(
            "INSERT INTO stream (id, partition, epoch)
             SELECT CASE WHEN min(id) IS NULL THEN ?3 WHEN min(id) > ?3 / 2 THEN min(id) - 1 ELSE max(id) + 1 END, ?1, ?2
             FROM stream WHERE true ON CONFLICT (partition, epoch) DO NOTHING",
            params![partition, number(epoch), LAST_STREAM],
        )?;
        let id = self.db.query_row("SELECT id FROM stream WHERE partition = ?1 AND epoch = ?2", key, |row| row.get(0))?;
        self.streams.insert((partition, epoch), id);
        Ok(id)
    }

    /// Makes or migrates the tables, and the statements that use them.
    pub fn prepare(&mut self, schema: &Schema) -> StoreResult<()> {
        self.end().map_err(broken("cannot end the batch before"))?;
        ddl::migrate(&mut self.db, self.path.as_deref(), ddl::STEPS)?;
        tables::make(&mut self.db, schema)?;
        self.statements(schema);
        Ok(())
    }

    /// The statements that use the tables.
    pub fn statements(&mut self, schema: &Schema) {
        self.epoch = schema.epoch;
        self.states = schema.states.iter().map(tables::statements).collect();
    }

    /// One transaction for a batch's reads: each read of its own would lock and unlock the WAL (65 times a batch).
    pub fn begin_reading(&mut self) -> rusqlite::Result<()> {
        self.end_reading()?;
        self.db.prepare_cached("BEGIN")?.execute([]).map(drop)
    }

    pub fn end_reading(&mut self) -> rusqlite::Result<()> {
        if self.db.is_autocommit() {
            return Ok(());
        }
        self.db.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Folds the WAL in when a commit has made it so long (frames).
    pub fn checkpoint_at(&self, frames: u32) -> StoreResult<()> {
        self.db.pragma_update(None, "wal_autocheckpoint", frames).map_err(broken("cannot set it up"))
    }

    /// Folds the WAL in as far as nobody reads it.
    pub fn fold(&self) -> rusqlite::Result<()> {
        self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
}

impl Writer for Session {
    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        let begun = self.db.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        begun.map_err(|error| classify(&error, false))?;
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
        Ok(())
    }
}
