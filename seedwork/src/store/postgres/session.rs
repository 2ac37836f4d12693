//! A session with the server: statements, one by one or together in one round trip.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::task::{AbortHandle, yield_now};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::*;

/// Statements that stay prepared. The owner's are few; queries of doors may be many.
const PREPARED: usize = 256;

/// A statement and what is bound to it.
pub(super) struct Bound<'a> {
    pub sql: Cow<'a, str>,
    pub values: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
}

impl<'a> Bound<'a> {
    pub fn new(sql: impl Into<Cow<'a, str>>) -> Bound<'a> {
        Bound { sql: sql.into(), values: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, value: impl ToSql + Sync + Send + 'a) -> Bound<'a> {
        self.values.push(Box::new(value));
        self
    }
}

/// What became of statements that were sent together.
pub(super) enum Sent {
    /// Each has an answer, or the first one that was in error is the last.
    Answered(Vec<Result<Vec<Row>, Error>>),
    /// One could not be sent at all, so the COMMIT was not either.
    Unsent(Error),
}

/// A session with the server.
pub(super) struct Session {
    client: Client,
    prepared: BTreeMap<Box<str>, Statement>,
    connection: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    pub fn new(client: Client, connection: AbortHandle) -> Session {
        Session { client, prepared: BTreeMap::new(), connection }
    }

    /// Whether the connection is known to be gone, when what has arrived meanwhile has been read.
    pub async fn gone(&self) -> bool {
        // The first lets the runtime look at the socket, the second lets the connection read what is there.
        yield_now().await;
        yield_now().await;
        self.client.is_closed()
    }

    pub async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        self.prepared.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// Statements without parameters, whose rows do not matter.
    pub async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    pub async fn query(&mut self, bound: &Bound<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(&bound.sql).await?;
        query(&self.client, &statement, &bound.values).await
    }

    pub async fn prepare_all(&mut self, all: &[Bound<'_>]) -> Result<(), Error> {
        for bound in all {
            self.prepare(&bound.sql).await?;
        }
        Ok(())
    }

    /// Queries of one snapshot, in one round trip.
    pub async fn snapshot(&mut self, all: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        if all.len() == 1 {
            return self.queries(all).await;
        }
        self.prepare_all(all).await?;
        let words = ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", "COMMIT");
        match self.together(all, Some(words)).await? {
            Sent::Answered(answers) => {
                let mut rows = answers.into_iter().collect::<Result<Vec<_>, Error>>()?;
                rows.pop();
                Ok(rows.split_off(1))
            }
            Sent::Unsent(error) => Err(error),
        }
    }

    /// Queries in one round trip, each with its own answer.
    pub async fn queries(&mut self, all: &[Bound<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        match self.together(all, None).await? {
            Sent::Answered(answers) => answers.into_iter().collect(),
            Sent::Unsent(error) => Err(error),
        }
    }

    /// Sends all statements before the first is answered: one round trip, whatever they are. Within a transaction, its first and last
    /// words go along, and their answers stand first and last.
    ///
    /// The COMMIT is on its way while the statements before it run, so it is they that must fail when nothing may be written: the
    /// server takes a COMMIT after an error for a ROLLBACK.
    pub async fn together(&mut self, all: &[Bound<'_>], transaction: Option<(&str, &str)>) -> Result<Sent, Error> {
        let mut statements = Vec::with_capacity(all.len());
        for bound in all {
            statements.push(self.prepare(&bound.sql).await?);
        }
        let client = &self.client;
        let word = async |word: &str| client.batch_execute(word).await.map(|()| Vec::new());
        type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + 'a>>;
        let mut asked: Vec<Answer<'_>> = Vec::with_capacity(all.len() + 2);
        if let Some((begin, _)) = transaction {
            asked.push(Box::pin(word(begin)));
        }
        for (bound, statement) in all.iter().zip(&statements) {
            asked.push(Box::pin(query(client, statement, &bound.values)));
        }
        if let Some((_, end)) = transaction {
            asked.push(Box::pin(word(end)));
        }
        let mut answers: Vec<Option<Result<Vec<Row>, Error>>> = asked.iter().map(|_| None).collect();
        // A future sends when it is first polled, so they are polled in order. No answer can have come yet: an error now means that the
        // statement was not sent, and what follows it must not be either.
        let unsent = poll_fn(|context| {
            for (future, answer) in asked.iter_mut().zip(&mut answers) {
                match future.as_mut().poll(context) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(error)),
                    Poll::Ready(Ok(rows)) => *answer = Some(Ok(rows)),
                    Poll::Pending => {}
                }
            }
            Poll::Ready(None)
        })
        .await;
        if let Some(error) = unsent {
            if transaction.is_some() && !self.client.is_closed() {
                self.client.batch_execute("ROLLBACK").await?;
            }
            return Ok(Sent::Unsent(error));
        }
        // All of them are polled, for the connection stops reading when an answer waits that nobody takes.
        let mut all_answered = pin!(poll_fn(|context| {
            let mut pending = false;
            for (future, answer) in asked.iter_mut().zip(&mut answers) {
                if answer.is_none() {
                    match future.as_mut().poll(context) {
                        Poll::Ready(told) => *answer = Some(told),
                        Poll::Pending => pending = true,
                    }
                }
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        }));
        all_answered.as_mut().await;
        Ok(Sent::Answered(answers.into_iter().flatten().collect()))
    }
}

async fn query(client: &Client, statement: &Statement, values: &[Box<dyn ToSql + Sync + Send + '_>]) -> Result<Vec<Row>, Error> {
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    client.query(statement, &values).await
}

/// Durability is asserted, not hoped for.
pub(super) async fn durable(session: &mut Session) -> Result<(), String> {
    let asked = Bound::new(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply'
             ELSE 'on' END, false), current_setting('fsync'), current_setting('server_version_num')::bigint, pg_is_in_recovery()",
    );
    let rows = session.query(&asked).await.map_err(|error| trouble::words(&error))?;
    let row = rows.first().ok_or("no answer about its settings")?;
    let failed = |error: Error| trouble::words(&error);
    let (commit, fsync): (String, String) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    let (version, standby): (i64, bool) = (row.try_get(2).map_err(failed)?, row.try_get(3).map_err(failed)?);
    if version < 140_000 {
        return Err(format!("version {} is too old: 14 or newer is needed", version / 10_000));
    }
    if standby {
        return Err("this server is a standby, which takes no writes: name the primary".to_owned());
    }
    if fsync != "on" {
        return Err(
            "fsync is off, so what it acknowledges may be lost: set fsync = on in postgresql.conf and restart it".to_owned()
        );
    }
    if commit != "on" && commit != "remote_apply" {
        return Err(format!("synchronous_commit stays {commit:?} though \"on\" was asked for"));
    }
    Ok(())
}
