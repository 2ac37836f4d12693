//! The embedded store: one SQLite file (WAL, `synchronous=FULL`), one connection that writes, any number that read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params};

use super::*;
use committer::{Committer, Writer};
use session::Session;
// A log row's key is the stream's number, then the position: one B-tree in commit order, no second index.
use crate::log::history::POSITION_BITS;

mod checkpoint;
mod ddl;
mod keep;
mod load;
mod part;
mod readers;
mod receive;
mod session;
mod tables;
mod write;

pub use readers::Readers;

/// Frames of the WAL from which a commit has the file to itself: nobody reads beside it, so the whole WAL can be folded in and begin anew.
const WAL_FRAMES: u32 = 16_000;

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

/// See the module's text.
pub struct Sqlite {
    /// Writes; in memory it also reads.
    writer: Arc<Mutex<Session>>,
    committer: Committer,
    /// What a store in a file has beside it.
    beside: Option<Beside>,
}

/// Beside the connection that writes: one that reads while a commit is on its way to the disk, and the thread that folds the WAL in.
struct Beside {
    reader: Session,
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

/// The key of a log row, from its stream's number and its position there.
pub fn log_number(stream: i64, position: u64) -> i64 {
    (stream << POSITION_BITS) | number(position)
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

impl Sqlite {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened, is no database, is damaged, or the machine does not honour `synchronous=FULL`; the text says what to do.
    pub fn open(path: &Path) -> StoreResult<Sqlite> {
        let session = Session::open(path)?;
        let reader = session.beside(path)?;
        let checkpointer = checkpoint::Checkpointer::start(path);
        // Folding in with a commit of its own choice would make whoever waits for that commit wait for it, too.
        session.checkpoint_at(if checkpointer.is_some() { 4 * WAL_FRAMES } else { WAL_FRAMES })?;
        let writer = Arc::new(Mutex::new(session));
        let committer = Committer::start(writer.clone())?;
        Ok(Sqlite { writer, committer, beside: Some(Beside { reader, checkpointer }) })
    }

    /// A store in memory, for tests: one connection, and each commit ends before [`Store::start`] returns.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn memory() -> StoreResult<Sqlite> {
        let session = Session::with(Connection::open_in_memory().map_err(broken("cannot open a database in memory"))?, None)?;
        Ok(Sqlite { writer: Arc::new(Mutex::new(session)), committer: Committer::without_a_thread(), beside: None })
    }

    /// A statement past all that is kept here in memory: for tests of what damage does.
    pub(crate) fn damage(&mut self, sql: &str) -> rusqlite::Result<()> {
        self.writer().damage(sql)
    }

    /// The connection that writes, when no commit is under way any more.
    fn writer(&mut self) -> MutexGuard<'_, Session> {
        self.committer.settle();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has been committed, on the connection that does not wait for the one that writes.
    fn read<T>(&mut self, what: &str, read: impl FnOnce(&mut Session) -> rusqlite::Result<T>) -> StoreResult<T> {
        match &mut self.beside {
            Some(beside) => read(&mut beside.reader),
            None => read(&mut self.writer.lock().unwrap_or_else(PoisonError::into_inner)),
        }
        .map_err(broken(what))
    }

    fn end_reading(&mut self) -> Result<(), CommitError> {
        let ended = self.beside.as_mut().map_or(Ok(()), |beside| beside.reader.end_reading());
        ended.map_err(|error| classify(&error, false))
    }

    /// When the WAL is long: folds in what the thread beside has left of it, so that it begins anew. Nobody here reads now.
    fn fold(&mut self) {
        let Some(Beside { checkpointer: Some(checkpointer), .. }) = &self.beside else { return };
        if checkpointer.long() {
            checkpointer.anew();
            if let Err(error) = self.writer().fold() {
                tracing::debug!(%error, "the writer's checkpoint failed: it comes again");
            }
        }
    }

    fn written(&mut self, writes: &Writes) {
        if let Some(Beside { checkpointer: Some(checkpointer), .. }) = &mut self.beside {
            checkpointer.written(writes.log.len() + writes.states.len() + writes.sagas.len() + writes.commands.len());
        }
    }

    fn committed(&mut self, outcome: &Result<(), CommitError>) {
        match (&mut self.beside, outcome) {
            (Some(Beside { checkpointer: Some(checkpointer), .. }), Ok(())) => checkpointer.committed(),
            // Names that were given numbers in a transaction are gone with it.
            (None, Err(_)) => self.writer().forget_names(),
            (Some(_) | None, _) => {}
        }
    }
}

impl Store for Sqlite {
    fn open(&mut self, schema: &Schema) -> StoreResult<()> {
        self.writer().prepare(schema)?;
        if let Some(beside) = &mut self.beside {
            beside.reader.statements(schema);
        }
        Ok(())
    }

    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<Taken>> {
        let ended = self.end_reading().map_err(|error| StoreError(error.to_string()));
        self.committer.forget();
        let mut writer = self.writer();
        ended.and_then(|()| writer.taken(partition, held).map_err(broken("cannot take a partition")))
    }

    fn begin(&mut self) -> Result<(), CommitError> {
        let begun = self.beside.as_mut().map_or(Ok(()), |beside| beside.reader.begin_reading());
        begun.map_err(|error| classify(&error, false))
    }

    fn peek(&mut self, table: Table, id: &str) -> StoreResult<Peek> {
        self.read("cannot read", |session| session.row(table, id)).map(Peek::Known)
    }

    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
        self.read("cannot read", |session| wanted.iter().map(|(table, id)| session.row(*table, id)).collect())
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        self.end_reading()?;
        self.written(writes);
        let outcome = self.writer().commit(writes);
        self.committed(&outcome);
        self.fold();
        outcome
    }

    fn start(&mut self, writes: Arc<Writes>) {
        if let Err(error) = self.end_reading() {
            return self.committer.here(|| Err(error));
        }
        self.written(&writes);
        let long = |beside: &Beside| beside.checkpointer.as_ref().is_some_and(checkpoint::Checkpointer::long);
        if self.beside.as_ref().is_some_and(|beside| !long(beside)) {
            return self.committer.begin(writes);
        }
        let writer = &self.writer;
        self.committer.here(|| writer.lock().unwrap_or_else(PoisonError::into_inner).commit(&writes));
        self.fold();
    }

    fn finish(&mut self) -> Result<(), CommitError> {
        let outcome = self.committer.finish();
        self.committed(&outcome);
        outcome
    }

    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>> {
        self.read("cannot read the log", |session| session.log_rows(from, after, to, limit))
    }

    fn oldest(&mut self, from: &Partition, limit: usize) -> StoreResult<Vec<(Place, i64, u64)>> {
        self.read("cannot read the log", |session| session.oldest_rows(from, limit))
    }

    fn log_bytes(&mut self, from: &Partition) -> StoreResult<u64> {
        self.read("cannot read the log", |session| session.bytes_of_log(from))
    }

    fn marks_on(&mut self, from: &Partition) -> StoreResult<Vec<(Partition, Route, Place)>> {
        self.read("cannot read the marks", |session| session.marks_of_readers(from))
    }

    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0> {
        self.read("cannot read a destination", |session| session.last_sent(route))
    }

    fn waiting(&mut self, partition: &Partition, which: u64) -> StoreResult<Option<Waiting>> {
        self.read("cannot read a waiting message", |session| session.waiting(partition, which))
    }

    fn forget_commands(&mut self, now: i64) -> StoreResult<usize> {
        self.writer().forget_commands(now).map_err(broken("cannot forget old commands"))
    }
}
