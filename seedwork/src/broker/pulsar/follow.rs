//! Follows topics from now on, beside whoever takes from them: readers that leave no subscription behind.
//!
//! Nothing is acknowledged and no place is kept. What came while a reader was broken is lost to it: it says that it was interrupted, and
//! whoever follows looks elsewhere for what it missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use pulsar::consumer::InitialPosition;
use pulsar::{Consumer, ConsumerOptions, TokioExecutor};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::reader::{Shared, is_of_the_message};
use super::settings::{Backoff, Settings, Trouble};
use super::{rows, runtime, topics};
use crate::clock::Chance;
use crate::store::{Destination, LogRow};

/// How long nothing may come before it is asked whether there is something.
const QUIET: Duration = Duration::from_secs(5);

/// What a follower hears.
#[derive(Debug)]
pub enum Followed {
    /// A row of somebody's stream. It may come twice.
    Row(LogRow),
    /// A reader was away: rows may have passed by.
    Interrupted,
}

/// Readers of every partition of some topics. Dropped, they leave.
pub struct Follower {
    reading: watch::Receiver<usize>,
    all: usize,
    runtime: Option<Runtime>,
}

impl Follower {
    /// Begins to follow topics, named without their partition. `hear` is called on a thread of the follower's own, and must not block.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        settings: Settings,
        topics: impl IntoIterator<Item = Arc<str>>,
        hear: impl Fn(Followed) + Send + Sync + 'static,
    ) -> Result<Follower, Trouble> {
        let mut chance = Chance::from_system().map_err(|error| Trouble::stays(format!("there is no chance: {error}")))?;
        let runtime = runtime()?;
        // No other process, and no earlier run of this one, has the name.
        let name = format!("follows-{:016x}", chance.bits());
        let shared = Arc::new(Shared::new(Arc::new(settings)));
        let (opened, reading) = watch::channel(0);
        let (opened, hear) = (Arc::new(opened), Arc::new(hear));
        let mut all = 0;
        for topic in topics {
            for partition in 0..shared.settings.partitions {
                let following = Following {
                    shared: shared.clone(),
                    to: Destination { topic: topic.clone(), partition },
                    name: name.clone(),
                    opened: opened.clone(),
                    hear: hear.clone(),
                };
                runtime.spawn(following.run(chance.bits()));
                all += 1;
            }
        }
        Ok(Follower { reading, all, runtime: Some(runtime) })
    }

    /// Returns when every partition is read: what is sent from now on is heard. It may never be, so it is waited for with a bound.
    pub async fn begun(&self) {
        let mut reading = self.reading.clone();
        // It ends with the follower, which is there.
        let _ = reading.wait_for(|reading| *reading == self.all).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One partition's reader.
struct Following<H> {
    shared: Arc<Shared>,
    to: Destination,
    name: String,
    opened: Arc<watch::Sender<usize>>,
    hear: Arc<H>,
}

impl<H: Fn(Followed) + Send + Sync> Following<H> {
    async fn run(self, seed: u64) {
        let (mut backoff, mut before) = (Backoff::new(seed), false);
        loop {
            match self.open().await {
                Ok((which, mut consumer)) => {
                    if before {
                        (self.hear)(Followed::Interrupted);
                    } else {
                        before = true;
                        self.opened.send_modify(|reading| *reading += 1);
                    }
                    let why = self.read(&mut consumer, &mut backoff).await;
                    tracing::warn!(topic = %self.to.topic, partition = self.to.partition, why, "following ended: beginning anew");
                    self.shared.broke(which).await;
                }
                Err(why) if backoff.is_first() => {
                    tracing::warn!(topic = %self.to.topic, partition = self.to.partition, why, "cannot follow: waiting for the broker");
                }
                Err(_) => {}
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn open(&self) -> Result<(u64, Consumer<Vec<u8>, TokioExecutor>), String> {
        let (which, client) = self.shared.get().await.map_err(|error| error.to_string())?;
        let options = ConsumerOptions { schema: self.shared.settings.schema(&self.to.topic), ..ConsumerOptions::default() };
        let options = options.with_initial_position(InitialPosition::Latest);
        match topics::browse(&client, &self.shared.settings.destination(&self.to), &self.name, options).await {
            Ok(consumer) => Ok((which, consumer)),
            Err(why) => {
                self.shared.broke(which).await;
                Err(why)
            }
        }
    }

    /// Reads until it breaks, or has missed something, and says why it did.
    async fn read(&self, consumer: &mut Consumer<Vec<u8>, TokioExecutor>, backoff: &mut Backoff) -> String {
        let mut last = match self.end(consumer).await {
            Ok(end) => end,
            Err(why) => return why,
        };
        let mut behind = false;
        loop {
            match tokio::time::timeout(QUIET, consumer.next()).await {
                Ok(Some(Ok(message))) => {
                    backoff.done();
                    behind = false;
                    let id = message.message_id();
                    last = last.max(Some((id.ledger_id, id.entry_id)));
                    let raw: Arc<[u8]> = message.payload.data.into();
                    if let Some(row) = rows::incoming(&self.to, &message.payload.metadata.properties, &raw) {
                        (self.hear)(Followed::Row(row));
                    }
                }
                Ok(Some(Err(error))) if is_of_the_message(&error) => {}
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(None) => return "the stream ended".to_owned(),
                // The crate connects again by itself, where the topic ends then; what was sent before that never comes.
                Err(_) => match self.end(consumer).await {
                    Ok(end) if end > last && behind => return "there are messages, and none comes".to_owned(),
                    Ok(end) => {
                        backoff.done();
                        behind = end > last;
                    }
                    Err(why) => return why,
                },
            }
        }
    }

    /// The ledger and entry of the topic's last message; none when there is no message.
    async fn end(&self, consumer: &mut Consumer<Vec<u8>, TokioExecutor>) -> Result<Option<(u64, u64)>, String> {
        let ends = tokio::time::timeout(self.shared.settings.patience, consumer.get_last_message_id()).await;
        let ends = ends.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        // No entry has the number -1, which has become the greatest.
        let end = ends.first().filter(|end| i64::try_from(end.entry_id).is_ok());
        Ok(end.map(|end| (end.ledger_id, end.entry_id)))
    }
}
