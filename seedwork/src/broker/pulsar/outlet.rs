//! A producer of one topic with a connection of its own, that is made anew after every failure.
//!
//! What the crate lacks is worked around here. It never sets TCP_NODELAY, so a producer that shares its connection waits for the other
//! end's delayed acknowledgement: each outlet has a client of its own and one entry under way. A send may hang for ever: it is given up
//! after some seconds, with its client. The crate would choose a partition without looking at the key: the topic is a partition's.

use std::sync::Arc;

use pulsar::message::proto;
use pulsar::{Producer, ProducerOptions, TokioExecutor};

use super::settings::{Backoff, Client, Settings};

/// Messages of one entry at most.
pub(super) const ENTRY: usize = 1_000;
/// Bytes of one entry at most, unless it is one message.
pub(super) const ENTRY_BYTES: usize = 1024 * 1024;

/// See the module's text.
pub(super) struct Outlet {
    settings: Arc<Settings>,
    topic: String,
    schema: Option<proto::Schema>,
    /// The subscription that must be there before anything is sent, so that a reader that was never started misses nothing.
    reader: Option<String>,
    open: Option<Open>,
    backoff: Backoff,
}

struct Open {
    producer: Producer<TokioExecutor>,
    /// Dropped with the producer: what hung in it is gone.
    _client: Client,
}

impl Outlet {
    pub fn new(settings: Arc<Settings>, topic: String, seed: u64) -> Outlet {
        Outlet { settings, topic, schema: None, reader: None, open: None, backoff: Backoff::new(seed) }
    }

    pub fn with_schema(mut self, schema: Option<proto::Schema>) -> Outlet {
        self.schema = schema;
        self
    }

    pub fn with_reader(mut self, reader: Option<String>) -> Outlet {
        self.reader = reader;
        self
    }

    /// Returns when there is a producer, however long that takes.
    pub async fn ready(&mut self) {
        while self.open.is_none() {
            match self.try_open().await {
                Ok(()) if self.backoff.is_first() => {}
                Ok(()) => {
                    self.backoff.done();
                    tracing::info!(topic = self.topic, "sending again");
                }
                Err(why) => {
                    if self.backoff.is_first() {
                        tracing::warn!(topic = self.topic, %why, "cannot send: waiting for the broker");
                    }
                    tokio::time::sleep(self.backoff.next()).await;
                }
            }
        }
    }

    /// Makes the producer if there is none.
    ///
    /// # Errors
    /// When the broker is away, or refuses.
    pub async fn try_open(&mut self) -> Result<(), String> {
        if self.open.is_none() {
            let opening = tokio::time::timeout(
                self.settings.patience,
                open(&self.settings, &self.topic, &self.schema, self.reader.as_deref()),
            );
            let opened = opening.await.map_err(|_| "no answer in time".to_owned())?;
            self.open = Some(opened.map_err(|error| error.to_string())?);
            // Once a process: it is durable.
            self.reader = None;
        }
        Ok(())
    }

    /// Sends messages as one entry and waits for its receipt. After an error nobody knows whether they arrived, and the next send goes
    /// through a new connection.
    ///
    /// # Errors
    /// When the broker refuses, goes away or says nothing for too long, or there is no producer.
    pub async fn send(&mut self, messages: Vec<pulsar::producer::Message>) -> Result<(), String> {
        // Taken out: whoever is dropped while it waits leaves no producer of unknown state behind.
        let Some(mut open) = self.open.take() else { return Err("there is no producer".to_owned()) };
        match tokio::time::timeout(self.settings.patience, send_entry(&mut open.producer, messages)).await {
            Ok(Ok(())) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no receipt within {:?}", self.settings.patience)),
        }
    }
}

async fn open(
    settings: &Settings,
    topic: &str,
    schema: &Option<proto::Schema>,
    reader: Option<&str>,
) -> Result<Open, pulsar::Error> {
    let client = settings.client().await?;
    if let Some(reader) = reader {
        super::reader::make_subscription(&client, topic, reader).await?;
    }
    let options = ProducerOptions {
        schema: schema.clone(),
        // Never reached: an entry is sent when it is flushed.
        batch_size: Some(u32::try_from(2 * ENTRY).unwrap_or(u32::MAX)),
        block_queue_if_full: true,
        ..ProducerOptions::default()
    };
    let producer = client.producer().with_topic(topic).with_options(options).build().await?;
    Ok(Open { producer, _client: client })
}

async fn send_entry(
    producer: &mut Producer<TokioExecutor>,
    messages: Vec<pulsar::producer::Message>,
) -> Result<(), pulsar::Error> {
    let mut receipts = Vec::with_capacity(messages.len());
    for message in messages {
        receipts.push(producer.send_non_blocking(message).await?);
    }
    producer.send_batch().await?;
    for receipt in receipts {
        receipt.await?;
    }
    Ok(())
}
