//! A store in PostgreSQL: one database a context, and as many owners as share its partitions.
//!
//! An owner has two connections. One writes: a batch is one round trip, whose statements are of a kind each (`UNNEST`), with its
//! `BEGIN` before and its `COMMIT` behind them; a statement fails when the fence or a version is not what it should be, and the server
//! takes a `COMMIT` after that for a `ROLLBACK`. The other reads meanwhile what the next batch misses.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::*;
use crate::log::history::POSITION_BITS;
use address::Address;
use committer::{Committer, Writer};
use link::{Link, Role, Trouble};
use names::{Named, Names};
use session::{Bound, Sent, Session};
use trouble::{At, Fate};

mod address;
mod ddl;
mod leases;
mod link;
mod load;
mod names;
mod readers;
mod receive;
mod session;
mod tables;
mod take;
mod tls;
mod trouble;
mod values;
mod write;

pub use leases::{Holder, Holding, LeaseReport, LeaseSettings, Leases, holders};
pub use readers::Readers;

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The key of a log row, from its stream's number and its position there.
fn log_number(stream: i64, position: u64) -> i64 {
    (stream << POSITION_BITS) | number(position)
}

fn broken(what: &str) -> impl FnOnce(Trouble) -> StoreError + '_ {
    move |trouble| StoreError(format!("{what}: {trouble}"))
}

/// Runs statements on a connection of their own: for tests, and for whoever makes databases.
///
/// # Errors
/// When the server cannot be reached, or refuses them.
pub fn statements(url: &str, sql: &str) -> StoreResult<()> {
    let mut link = Link::new(&Address::parse(url)?, Role::Maker, "alpes")?;
    link.once(async |session| session.run(sql).await).map_err(broken("a statement failed"))
}

/// Whether the server of a database cannot be reached, or says that it starts, stops or is full: what ends by itself. One attempt.
pub fn is_away(url: &str) -> bool {
    Address::parse(url).and_then(|address| Link::new(&address, Role::Maker, "alpes asks")).is_ok_and(|mut link| link.is_away())
}

/// See the module's text.
pub struct Postgres {
    address: Address,
    writer: Arc<Mutex<Owner>>,
    reader: Mutex<Link>,
    states: Vec<StateTable>,
    committer: Committer,
}

/// The connection that writes, and what it knows of the database.
struct Owner {
    link: Link,
    names: Names,
    states: Vec<StateTable>,
    /// The name of its sessions, by which the next owner ends them.
    holder: Arc<str>,
    epoch: u64,
    /// Fences that were raised when the connection was lost: perhaps they were.
    unheard: BTreeMap<Partition, u64>,
}

impl Postgres {
    /// A store in the database that a URL names: `postgres://user:password@host:port/database`. With `?sslmode=require` the connections
    /// are encrypted, with `?sslmode=verify-full` the server's certificate and name are checked too, with `verify-ca` the certificate
    /// alone. `&sslrootcert=/path/of/root.crt` names the authorities; with `verify-full` also `system`, those that the system trusts.
    ///
    /// # Errors
    /// When the URL cannot be read, the server cannot be reached or used, or does not promise to keep what it acknowledges; the text
    /// says what to do.
    pub fn connect(url: &str) -> StoreResult<Postgres> {
        let address = Address::parse(url)?;
        let holder = link::name_of_its_own()?;
        let mut link = Link::new(&address, Role::Owner, &holder)?;
        link.ready().map_err(|trouble| StoreError(trouble.to_string()))?;
        let reader = Link::new(&address, Role::Owner, "alpes reads")?;
        let owner = Owner { link, names: Names::default(), states: Vec::new(), holder, epoch: 1, unheard: BTreeMap::new() };
        let writer = Arc::new(Mutex::new(owner));
        let committer = Committer::start(writer.clone())?;
        Ok(Postgres { address, writer, reader: Mutex::new(reader), states: Vec::new(), committer })
    }

    /// The connection that writes, when no commit is under way any more.
    fn writer(&mut self) -> MutexGuard<'_, Owner> {
        self.committer.settle();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&mut self) -> &mut Link {
        self.reader.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    /// What is known of a session that is gone need not be true in the next.
    fn ready(&mut self) -> Result<(), Trouble> {
        self.link.ready()?;
        if self.names.generation != self.link.generation {
            self.names = Names::of_session(self.link.generation);
        }
        Ok(())
    }

    fn take(&mut self, partition: &Partition, held: Option<u64>) -> Result<Option<Taken>, Trouble> {
        self.ready()?;
        let unheard = held.is_some() && self.unheard.get(partition).copied() == held;
        let taking = take::Taking { partition, held, unheard, holder: &self.holder, epoch: self.epoch };
        let Owner { link, names, .. } = self;
        let taken = link.once(async |session| take::take(session, names, &taking).await);
        match (&taken, held) {
            (Err(_), Some(held)) => drop(self.unheard.insert(partition.clone(), held)),
            _ => drop(self.unheard.remove(partition)),
        }
        taken
    }

    fn commit_once(&mut self, writes: &Writes) -> Result<(), Fate> {
        let outage = |trouble: Trouble| Fate::Decided(CommitError::Outage(trouble.to_string()));
        self.ready().map_err(outage)?;
        let Owner { link, names, states, holder, .. } = self;
        // Until the round trip begins nothing is written but numbers of names.
        let said = |trouble: Trouble| match trouble {
            Trouble::Said(error) => trouble::fate(&error, At::Statement),
            Trouble::Away(why) | Trouble::Lost(why) => Fate::NotWritten(why),
        };
        let named = Named::by(writes);
        link.once(async |session| names.see(session, &named).await).map_err(said)?;
        let batch = write::Batch { writes, names, states, holder };
        let statements = batch.statements().map_err(Fate::Decided)?;
        link.once(async |session| session.prepare_all(&statements).await).map_err(said)?;
        let sent = link.once(async |session| session.together(&statements, Some(("BEGIN", "COMMIT"))).await);
        drop(statements);
        match sent {
            Ok(Sent::Answered(answers)) => {
                let last = answers.len().saturating_sub(1);
                let first = answers.into_iter().enumerate().find_map(|(place, answer)| Some((place, answer.err()?)));
                match first {
                    None => Ok(()),
                    Some((place, error)) => Err(self.fate(&error, if place == last { At::Commit } else { At::Statement })),
                }
            }
            Ok(Sent::Unsent(error)) if trouble::lost(&error) => Err(Fate::NotWritten(trouble::words(&error))),
            Ok(Sent::Unsent(error)) => Err(Fate::Decided(CommitError::Refused(trouble::words(&error)))),
            Err(trouble) => Err(Fate::Decided(CommitError::Unknown(trouble.to_string()))),
        }
    }

    /// What became of it, and who has fenced it.
    fn fate(&self, error: &tokio_postgres::Error, at: At) -> Fate {
        let Some(said) = error.as_db_error().filter(|said| said.code().code() == trouble::FENCED) else {
            return trouble::fate(error, at);
        };
        let numbers = said.detail().unwrap_or_default().split(',').filter_map(|number| number.parse().ok());
        Fate::Decided(CommitError::Fenced(numbers.filter_map(|id| self.names.partition_of(id).cloned()).collect()))
    }
}

impl Writer for Owner {
    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        if writes.is_empty() {
            return Ok(());
        }
        // A session that was ended before the COMMIT has written nothing. Another one may: if somebody has taken a partition meanwhile,
        // the fence says so.
        let once = self.commit_once(writes);
        let again = match once {
            Err(Fate::NotWritten(why)) => {
                tracing::warn!(why, "the session ended before a commit: once more, on another");
                self.commit_once(writes)
            }
            once => once,
        };
        again.map_err(|fate| match fate {
            Fate::Decided(error) => error,
            Fate::NotWritten(why) => CommitError::Outage(why),
        })
    }
}

impl Store for Postgres {
    fn open(&mut self, schema: &Schema) -> StoreResult<()> {
        ddl::open(&self.address, schema, ddl::STEPS)?;
        self.states.clone_from(&schema.states);
        let mut writer = self.writer();
        writer.states.clone_from(&schema.states);
        writer.epoch = schema.epoch;
        Ok(())
    }

    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<Taken>> {
        self.committer.forget();
        self.writer().take(partition, held).map_err(broken("cannot take a partition"))
    }

    fn begin(&mut self) -> Result<(), CommitError> {
        self.reader().ready().map_err(|trouble| CommitError::Outage(trouble.to_string()))
    }

    fn peek(&mut self, table: Table, _: &str) -> StoreResult<Peek> {
        match table {
            Table::State(table) if table >= self.states.len() => Err(StoreError(format!("there is no state table {table}"))),
            Table::State(_) | Table::Saga | Table::Start | Table::Command => Ok(Peek::Missing),
        }
    }

    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let reader = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
        load::fetch(reader, &self.states, wanted)
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        self.writer().commit(writes)
    }

    fn start(&mut self, writes: Arc<Writes>) {
        self.committer.begin(writes);
    }

    fn finish(&mut self) -> Result<(), CommitError> {
        self.committer.finish()
    }

    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>> {
        let read = self.reader().again(async |session| session.log_after(from, after, to, limit).await);
        read.map_err(broken("cannot read the log"))
    }

    fn oldest(&mut self, from: &Partition, limit: usize) -> StoreResult<Vec<(Place, i64, u64)>> {
        self.reader().again(async |session| session.oldest(from, limit).await).map_err(broken("cannot read the log"))
    }

    fn log_bytes(&mut self, from: &Partition) -> StoreResult<u64> {
        self.reader().again(async |session| session.log_bytes(from).await).map_err(broken("cannot read the log"))
    }

    fn marks_on(&mut self, from: &Partition) -> StoreResult<Vec<(Partition, Route, Place)>> {
        self.reader().again(async |session| session.marks_on(from).await).map_err(broken("cannot read the marks"))
    }

    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0> {
        self.reader().again(async |session| session.last_sent(route).await).map_err(broken("cannot read a destination"))
    }

    fn waiting(&mut self, partition: &Partition, which: u64) -> StoreResult<Option<Waiting>> {
        let read = self.reader().again(async |session| session.waiting(partition, which).await);
        read.map_err(broken("cannot read a waiting message"))
    }

    fn forget_commands(&mut self, now: i64) -> StoreResult<usize> {
        self.reader().again(async |session| session.forget_commands(now).await).map_err(broken("cannot forget old commands"))
    }
}
