//! A consumer of one subscription, that is made anew whenever it ends.
//!
//! The subscription is called like the reading context, is durable, and of the kind *Failover*: whoever took the partition under a higher
//! fence comes before whoever had it, at once, also when that one is stopped and its connection stands. An *Exclusive* consumer would be
//! turned away until the broker gives the other one up, which takes twice its keep-alive of 30 s.
//!
//! Room bounds what waits for the owner, in messages and bytes; what the broker may send unasked is bounded by the flow permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use pulsar::consumer::{InitialPosition, Message};
use pulsar::error::{ConnectionError, ConsumerError};
use pulsar::message::proto::MessageIdData;
use pulsar::{Consumer, ConsumerOptions, SubType, TokioExecutor};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;

use super::hub::{Delivered, Hub, What};
use super::rows;
use super::settings::{Backoff, Client, Settings};
use crate::broker::{Foreign, Subscription};

/// Messages that the broker may send before they are asked for. The crate asks for more when half of it is gone; as its acknowledgements
/// wait for the other end's (no TCP_NODELAY), there must be enough for some 40 ms.
const PERMITS: u32 = 256;
/// Messages that the crate holds for us beside that.
const QUEUE: u32 = 16;
/// What may wait for the owner: a message weighs 1 and another 1 for each 4 KiB.
const ROOM: u32 = 4_096;
const WEIGHT: usize = 4 * 1024;
/// How long nothing may come before it is asked whether there is something.
const QUIET: Duration = Duration::from_secs(30);

/// The client of all consumers, made anew when it broke.
pub(super) struct Shared {
    pub settings: Arc<Settings>,
    client: Mutex<Option<(u64, Client)>>,
    made: AtomicU64,
}

impl Shared {
    pub fn new(settings: Arc<Settings>) -> Shared {
        Shared { settings, client: Mutex::new(None), made: AtomicU64::new(0) }
    }

    pub async fn get(&self) -> Result<(u64, Client), pulsar::Error> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = (self.made.fetch_add(1, Ordering::Relaxed), self.settings.client().await?);
        Ok(client.insert(made).clone())
    }

    /// This client did not do: the next one is another. What still lives through it goes on.
    pub async fn broke(&self, which: u64) {
        let mut client = self.client.lock().await;
        if client.as_ref().is_some_and(|(made, _)| *made == which) {
            *client = None;
        }
    }
}

/// What the owner's side holds of a consumer.
pub(super) struct Reader {
    pub consumer: u64,
    /// Up to which entry all is settled.
    pub settled: watch::Sender<Option<MessageIdData>>,
    pub task: JoinHandle<()>,
}

/// What a consumer needs.
pub(super) struct Order {
    pub consumer: u64,
    pub subscription: Subscription,
    /// The fence under which the reader holds its partition.
    pub fence: u64,
    /// The consumer of the same subscription before this one.
    pub before: Option<JoinHandle<()>>,
}

/// Starts a consumer.
pub(super) fn start(shared: Arc<Shared>, hub: Arc<Hub>, order: Order) -> Reader {
    let (settled, settles) = watch::channel(None);
    let consumer = order.consumer;
    let task = tokio::spawn(run(shared, hub, order, settles));
    Reader { consumer, settled, task }
}

async fn run(shared: Arc<Shared>, hub: Arc<Hub>, mut order: Order, mut settles: watch::Receiver<Option<MessageIdData>>) {
    // It must have left, or the broker would choose between the two.
    if let Some(before) = order.before.take() {
        drop(tokio::time::timeout(shared.settings.patience, before).await);
    }
    let mut backoff = Backoff::new(order.consumer);
    let room = Arc::new(Semaphore::new(ROOM as usize));
    let mut last = None;
    loop {
        let opened = tokio::select! {
            opened = open(&shared, &order) => opened,
            () = given_up(&mut settles) => return,
        };
        let (which, mut consumer) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                if backoff.is_first() {
                    tracing::warn!(topic = %order.subscription.to.topic, partition = order.subscription.to.partition, %why,
                        "cannot read: waiting for the broker");
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => continue,
                    () = given_up(&mut settles) => return,
                }
            }
        };
        let mut reading = Reading { hub: &hub, order: &order, room: &room, last: &mut last, backoff: &mut backoff };
        match reading.read(&mut consumer, &mut settles, shared.settings.patience).await {
            Ended::GivenUp => {
                drop(tokio::time::timeout(shared.settings.patience, consumer.close()).await);
                return;
            }
            Ended::Broken(why) => {
                if backoff.is_first() {
                    tracing::warn!(topic = %order.subscription.to.topic, partition = order.subscription.to.partition, %why,
                        "reading ended: beginning anew");
                }
                shared.broke(which).await;
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Returns when the owner no longer wants it.
async fn given_up(settles: &mut watch::Receiver<Option<MessageIdData>>) {
    while settles.changed().await.is_ok() {}
}

async fn open(shared: &Shared, order: &Order) -> Result<(u64, Consumer<Vec<u8>, TokioExecutor>), String> {
    let (which, client) = shared.get().await.map_err(|error| error.to_string())?;
    let to = &order.subscription.to;
    let options = ConsumerOptions {
        durable: Some(true),
        schema: shared.settings.schema(&to.topic),
        receiver_queue_size: Some(QUEUE),
        initial_position: InitialPosition::Earliest,
        priority_level: Some(priority(order.fence)),
        ..ConsumerOptions::default()
    };
    let building = client
        .consumer()
        .with_topic(shared.settings.destination(to))
        .with_subscription(&*order.subscription.reader.context)
        .with_subscription_type(SubType::Failover)
        .with_consumer_name(&shared.settings.name)
        .with_batch_size(PERMITS)
        .with_options(options)
        .build();
    match tokio::time::timeout(2 * shared.settings.patience, building).await {
        Ok(Ok(consumer)) => Ok((which, consumer)),
        Ok(Err(error)) => {
            shared.broke(which).await;
            Err(error.to_string())
        }
        Err(_) => {
            shared.broke(which).await;
            Err("no answer in time".to_owned())
        }
    }
}

/// The broker prefers the lowest.
pub(super) fn priority(fence: u64) -> i32 {
    i32::MAX - i32::try_from(fence).unwrap_or(i32::MAX).max(1)
}

enum Ended {
    GivenUp,
    Broken(String),
}

/// One consumer's life.
struct Reading<'a> {
    hub: &'a Hub,
    order: &'a Order,
    room: &'a Arc<Semaphore>,
    /// The last message that came, also by an earlier consumer.
    last: &'a mut Option<MessageIdData>,
    backoff: &'a mut Backoff,
}

impl Reading<'_> {
    async fn read(
        &mut self,
        consumer: &mut Consumer<Vec<u8>, TokioExecutor>,
        settles: &mut watch::Receiver<Option<MessageIdData>>,
        patience: Duration,
    ) -> Ended {
        let topic = consumer.topics().pop().unwrap_or_default();
        // What the topic's end was when nothing had come for a while.
        let mut quiet: Option<MessageIdData> = None;
        let mut waits: Option<Delivered> = None;
        let mut undecoded = 0;
        loop {
            tokio::select! {
                biased;
                settled = settles.changed() => {
                    let Ok(()) = settled else { return Ended::GivenUp };
                    let upto = settles.borrow_and_update().clone();
                    if let Some(upto) = upto
                        && let Err(error) = consumer.cumulative_ack_with_id(&topic, upto).await
                    {
                        return Ended::Broken(error.to_string());
                    }
                }
                permit = self.room.acquire_many(waits.as_ref().map_or(0, |one| one.weight)), if waits.is_some() => {
                    if let (Ok(permit), Some(one)) = (permit, waits.take()) {
                        permit.forget();
                        self.hub.message(one);
                    }
                }
                next = tokio::time::timeout(QUIET, consumer.next()), if waits.is_none() => match next {
                    Ok(Some(Ok(message))) => {
                        self.backoff.done();
                        (quiet, undecoded) = (None, 0);
                        *self.last = Some(message.message_id().clone());
                        waits = Some(delivered(message, self.order, self.room));
                    }
                    Ok(Some(Err(error))) if is_of_the_message(&error) => {
                        undecoded += 1;
                        waits = Some(unreadable(&error, self.order, self.room, self.last.as_ref(), undecoded));
                    }
                    Ok(Some(Err(error))) => return Ended::Broken(error.to_string()),
                    Ok(None) => return Ended::Broken("the stream ended".to_owned()),
                    Err(_) => match tokio::time::timeout(patience, consumer.get_last_message_id()).await {
                        // The topic grows and nothing comes: the broker has lost sight of this consumer.
                        Ok(Ok(ends)) if quiet.is_some() && quiet.as_ref() != ends.first() => {
                            return Ended::Broken("there are messages, and none comes".to_owned());
                        }
                        Ok(Ok(ends)) => {
                            self.backoff.done();
                            quiet = ends.into_iter().next();
                        }
                        Ok(Err(error)) => return Ended::Broken(error.to_string()),
                        Err(_) => return Ended::Broken("no answer in time".to_owned()),
                    },
                },
            }
        }
    }
}

/// Whether it was this message that the crate could not decode: reading it once more would end as this time.
pub(super) fn is_of_the_message(error: &pulsar::Error) -> bool {
    matches!(error, pulsar::Error::Connection(ConnectionError::Decoding(_)) | pulsar::Error::Consumer(ConsumerError::Io(_)))
}

fn delivered(message: Message<Vec<u8>>, order: &Order, room: &Arc<Semaphore>) -> Delivered {
    let id = message.message_id().clone();
    let index = id.batch_index.unwrap_or(0);
    let last = message.message_id.batch_size.is_none_or(|size| index + 1 >= size);
    let raw: Arc<[u8]> = message.payload.data.into();
    let metadata = message.payload.metadata;
    let what = match rows::incoming(&order.subscription.to, &metadata.properties, &raw) {
        Some(row) => What::Row(row),
        None => {
            // With the time of its sending, so that a server that was set up anew and counts from the beginning gives other ids.
            let id = format!("{}:{}:{index}:{}", id.ledger_id, id.entry_id, metadata.publish_time).into();
            let hash = rows::property(&metadata.properties, rows::HASH).filter(|hash| hash.len() <= rows::LONGEST).map(Box::from);
            What::Foreign(Foreign { id, raw: raw.clone(), hash })
        }
    };
    Delivered { consumer: order.consumer, what, id, last, weight: weight(raw.len()), room: room.clone() }
}

/// What the crate could not take apart (a compression that it does not know, a batch that is none) is said in words, so that it becomes a
/// dead letter and not a silence. Its own id is not known: it is told by what came before it.
fn unreadable(
    error: &pulsar::Error,
    order: &Order,
    room: &Arc<Semaphore>,
    last: Option<&MessageIdData>,
    number: u32,
) -> Delivered {
    let before = last.cloned().unwrap_or_default();
    let id = format!("{}:{}:after:{number}", before.ledger_id, before.entry_id).into();
    let raw: Arc<[u8]> = format!("a message that cannot be taken apart: {error}").into_bytes().into();
    let weight = weight(raw.len());
    let what = What::Foreign(Foreign { id, raw, hash: None });
    Delivered { consumer: order.consumer, what, id: before, last: false, weight, room: room.clone() }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / WEIGHT).unwrap_or(ROOM).min(ROOM)
}

/// Makes a durable subscription at the topic's beginning, unless it is there.
pub(super) async fn make_subscription(client: &Client, topic: &str, reader: &str) -> Result<(), pulsar::Error> {
    let options = ConsumerOptions {
        durable: Some(true),
        initial_position: InitialPosition::Earliest,
        // Behind everybody: it takes nothing from whoever reads.
        priority_level: Some(i32::MAX),
        ..ConsumerOptions::default()
    };
    let mut consumer: Consumer<Vec<u8>, TokioExecutor> = client
        .consumer()
        .with_topic(topic)
        .with_subscription(reader)
        .with_subscription_type(SubType::Failover)
        .with_consumer_name("sender")
        .with_batch_size(1)
        .with_options(options)
        .build()
        .await?;
    consumer.close().await
}
