//! What is sent once and not kept: answers to whoever asked, and what is asked of a producer. Best effort: a queue that is full, a topic
//! that cannot be opened or a send that fails lose it, and whoever misses it asks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::outlet::{ENTRY, Outlet};
use super::settings::{Backoff, Settings};

/// Messages that may wait for one topic.
const WAITING: usize = 4_096;
/// Topics at a time: whoever asks may name any.
const TOPICS: usize = 256;
/// A topic to which nothing was said for so long is closed.
const IDLE: Duration = Duration::from_secs(120);

/// See the module's text.
pub(super) struct Post {
    settings: Arc<Settings>,
    runtime: Handle,
    topics: BTreeMap<String, mpsc::Sender<Vec<u8>>>,
    seed: u64,
}

impl Post {
    pub fn new(settings: Arc<Settings>, runtime: Handle, seed: u64) -> Post {
        Post { settings, runtime, topics: BTreeMap::new(), seed }
    }

    /// Sends to a topic, or loses it. Never waits.
    pub fn send(&mut self, topic: String, payload: Vec<u8>) {
        if self.topics.get(&topic).is_none_or(mpsc::Sender::is_closed) {
            if self.topics.len() >= TOPICS {
                self.topics.retain(|_, sender| !sender.is_closed());
            }
            if self.topics.len() >= TOPICS {
                tracing::warn!(topic, "too many topics to answer on: an answer is not sent");
                return;
            }
            let (sender, receiver) = mpsc::channel(WAITING);
            self.seed = self.seed.wrapping_add(1);
            let outlet = Outlet::new(self.settings.clone(), topic.clone(), self.seed);
            self.runtime.spawn(carry(outlet, receiver, Backoff::new(self.seed)));
            self.topics.insert(topic.clone(), sender);
        }
        if let Some(Err(error)) = self.topics.get(&topic).map(|sender| sender.try_send(payload)) {
            tracing::debug!(topic, %error, "an answer is not sent");
        }
    }
}

async fn carry(mut outlet: Outlet, mut receiver: mpsc::Receiver<Vec<u8>>, mut backoff: Backoff) {
    let mut payloads = Vec::new();
    while let Ok(1..) = tokio::time::timeout(IDLE, receiver.recv_many(&mut payloads, ENTRY)).await {
        let messages = payloads.drain(..).map(|payload| pulsar::producer::Message { payload, ..Default::default() }).collect();
        let sent = match outlet.try_open().await {
            Ok(()) => outlet.send(messages).await,
            Err(why) => Err(why),
        };
        match sent {
            Ok(()) => backoff.done(),
            Err(why) => {
                tracing::debug!(%why, "answers are not sent");
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}
