//! A connection that is made anew when it is lost, driven by the thread that uses it.
//!
//! Each link has a runtime of its own that runs only while a call waits, on the caller's thread: no thread is handed anything, which
//! costs more than the server does for a small query.
#![expect(clippy::disallowed_methods, reason = "an adapter to the outside: its time, and a name that no other process has")]

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Error, NoTls};

use super::address::CONNECT;
use super::*;

/// How long a read goes on trying while the server is away, which a restart is.
const RETRY: Duration = Duration::from_secs(8);
/// Between two attempts, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The owner's, which writes; or its second one, which reads beside it and forgets old commands.
    Owner,
    /// Queries of doors: read-only, and none may take long.
    Reader,
    /// Makes and fills tables.
    Maker,
    /// Brings all rows of another store in one transaction.
    Mover,
    /// Keeps leases, which are short.
    Keeper,
}

impl Role {
    /// What a new session is told, before anything else.
    fn greeting(self) -> &'static str {
        match self {
            // An owner looks rows up by their keys alone. A plan that reads a whole table because it was small when the plan was made,
            // or because nobody has counted its rows lately, would stay and grow slower with it. So one plan does for each statement: a
            // new one for each batch took a sixth of a core at 450 sagas a second.
            Role::Owner => {
                "SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; SET enable_hashjoin = off;
                 SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off; SET lock_timeout = '10s';
                 SET statement_timeout = '25s'; SET idle_in_transaction_session_timeout = '30s'"
            }
            Role::Reader => "SET default_transaction_read_only = on; SET statement_timeout = '5s'; SET jit = off",
            Role::Keeper => {
                "SET default_transaction_isolation = 'read committed'; SET statement_timeout = '3s'; SET lock_timeout = '3s'"
            }
            Role::Maker | Role::Mover => {
                "SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = '60s'"
            }
        }
    }

    /// How long an answer may take. What has not come by then does not come: a server that hangs, a cable that is cut.
    fn patience(self) -> Duration {
        match self {
            Role::Owner | Role::Reader => Duration::from_secs(30),
            Role::Keeper => Duration::from_secs(4),
            Role::Maker => Duration::from_secs(3600),
            // All of its answers together: whether the server still lives, the connection itself finds out.
            Role::Mover => Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection: nothing was sent.
    Away(String),
    /// The connection was lost, or the answer did not come in time.
    Lost(String),
    /// The server says no, or its answer is not what was expected.
    Said(Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Away(why) | Trouble::Lost(why) => f.write_str(why),
            Trouble::Said(error) => f.write_str(&trouble::words(error)),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        if trouble::lost(&error) { Trouble::Lost(trouble::words(&error)) } else { Trouble::Said(error) }
    }
}

/// A name that no other process gives its sessions.
pub(super) fn name_of_its_own() -> StoreResult<Arc<str>> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| StoreError(format!("the machine gives no random bytes: {error}")))?;
    Ok(format!("alpes owner {:016x}", u64::from_le_bytes(bytes)).into())
}

/// See the module's text.
pub(super) struct Link {
    runtime: Option<Runtime>,
    address: Address,
    role: Role,
    session: Option<Session>,
    /// Counts the sessions: what is known of the one before need not be true any more.
    pub generation: u64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.session = None;
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would panic where a thread of another runtime happens to drop this.
            runtime.shutdown_background();
        }
    }
}

impl Link {
    /// # Errors
    /// When the operating system gives no event queue.
    pub fn new(address: &Address, role: Role, name: &str) -> StoreResult<Link> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError(format!("cannot wait for the network: {error}")))?;
        let mut address = address.clone();
        address.config.application_name(name);
        Ok(Link { runtime: Some(runtime), address, role, session: None, generation: 0 })
    }

    fn parts(&mut self) -> Result<(&Runtime, Wire<'_>), Trouble> {
        let Link { runtime, address, role, session, generation } = self;
        let runtime = runtime.as_ref().ok_or_else(|| Trouble::Away("the connection was given up".to_owned()))?;
        Ok((runtime, Wire { address, role: *role, session, generation }))
    }

    /// Makes sure that there is a connection, as far as can be told without asking the server: one attempt.
    pub fn ready(&mut self) -> Result<(), Trouble> {
        let (runtime, mut wire) = self.parts()?;
        runtime.block_on(async { wire.session().await.map(drop) })
    }

    /// Whether no connection can be had for a reason that ends by itself: one attempt.
    pub fn is_away(&mut self) -> bool {
        let Ok((runtime, wire)) = self.parts() else { return false };
        runtime.block_on(async {
            let Address { config, tls, .. } = wire.address;
            let greeted = async {
                match tls.clone() {
                    None => config.connect(NoTls).await.map(drop),
                    Some(tls) => config.connect(tls).await.map(drop),
                }
            };
            match timeout(CONNECT, greeted).await {
                Ok(Ok(())) => false,
                Ok(Err(error)) => trouble::passes(&error),
                Err(_) => true,
            }
        })
    }

    /// Does something once: on a connection that was there, or one that was made for it.
    pub fn once<T>(&mut self, work: impl AsyncFnOnce(&mut Session) -> Result<T, Error>) -> Result<T, Trouble> {
        let patience = self.role.patience();
        let (runtime, mut wire) = self.parts()?;
        runtime.block_on(async {
            let session = wire.session().await?;
            let done = patient(patience, work(session)).await;
            wire.settled(done)
        })
    }

    /// Does something that may be done twice, again and again for a while when the connection is lost or cannot be made.
    pub fn again<T>(&mut self, mut work: impl AsyncFnMut(&mut Session) -> Result<T, Error>) -> Result<T, Trouble> {
        let patience = self.role.patience();
        let (runtime, mut wire) = self.parts()?;
        runtime.block_on(async {
            let (until, mut wait) = (Instant::now() + RETRY, BACKOFF.0);
            loop {
                let done = match wire.session().await {
                    Ok(session) => {
                        let done = patient(patience, work(session)).await;
                        wire.settled(done)
                    }
                    Err(trouble) => Err(trouble),
                };
                match done {
                    Err(Trouble::Away(why) | Trouble::Lost(why)) if Instant::now() + wait < until => {
                        tracing::warn!(why, "trying again");
                        sleep(wait).await;
                        wait = (wait * 2).min(BACKOFF.1);
                    }
                    done => return done,
                }
            }
        })
    }
}

/// Bounds how long an answer may take.
async fn patient<T>(patience: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(Trouble::from),
        Err(_) => Err(Trouble::Lost(format!("no answer within {} s", patience.as_secs()))),
    }
}

/// What moves a connection's bytes, to its end.
async fn driven(connection: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(why = trouble::words(&error), "a connection to PostgreSQL has ended");
    }
}

/// A link but for its runtime.
struct Wire<'a> {
    address: &'a Address,
    role: Role,
    session: &'a mut Option<Session>,
    generation: &'a mut u64,
}

impl Wire<'_> {
    async fn session(&mut self) -> Result<&mut Session, Trouble> {
        if let Some(session) = &*self.session
            && session.gone().await
        {
            *self.session = None;
        }
        if self.session.is_none() {
            let made = timeout(CONNECT, self.connect()).await;
            let late =
                || format!("cannot connect to PostgreSQL, {}: no answer within {} s", self.address.shown, CONNECT.as_secs());
            *self.session = Some(made.map_err(|_| Trouble::Away(late()))?.map_err(Trouble::Away)?);
            *self.generation += 1;
        }
        self.session.as_mut().ok_or_else(|| Trouble::Away("no connection".to_owned()))
    }

    async fn connect(&self) -> Result<Session, String> {
        let failed = |error: Error| trouble::unreachable(&self.address.shown, &error);
        let Address { config, tls, .. } = self.address;
        let (client, connection) = match tls.clone() {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(driven(connection)))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls).await.map_err(failed)?;
                (client, tokio::spawn(driven(connection)))
            }
        };
        let mut session = Session::new(client, connection.abort_handle());
        session.run(self.role.greeting()).await.map_err(failed)?;
        if self.role == Role::Owner {
            session::durable(&mut session).await.map_err(|why| format!("PostgreSQL, {}: {why}", self.address.shown))?;
        }
        Ok(session)
    }

    /// A session whose answers are not known to have come in order any more is not used again.
    fn settled<T>(&mut self, done: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(Trouble::Away(_) | Trouble::Lost(_)) = &done {
            *self.session = None;
        }
        done
    }
}
