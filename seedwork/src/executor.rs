//! Batches: many units of work, one commit. The only way anything happens.
//!
//! An [`Executor`] owns partitions of the contexts in one store. [`Executor::turn`] takes the inputs at hand (commands from outside,
//! messages, waiting messages that are due, alarms of sagas), runs each through its handler on the shared identity map, writes
//! everything with one commit, and only then answers and hands the log rows on. It has no thread and no clock of its own, so a test
//! steps it by hand; [`owner`] is the loop that drives it in a process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::broker::{Broker, Heard, Subscription};
use crate::clock::{Chance, Clock};
use crate::command::Refusal;
use crate::context::{Context, Registry};
use crate::identity::{Identity, Trouble};
use crate::log::Relay;
use crate::inbox::{self, Lanes};
use crate::message::{Packet, Role};
use crate::saga::engine::{Exception, Reason};
use crate::store::{CommitError, Destination, LogRow, Partition, Place, Route, Schema, Store, StoreError, ViewSchema};

mod alarms;
mod operate;
pub mod owner;
mod run;
mod write;

use alarms::Alarms;
pub use operate::Operation;

/// Inputs that one batch takes at most.
const BATCH: usize = 512;
/// How long the answer to a command's id is kept.
const KEEP_COMMANDS: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the executor waits after the store could not write.
const PAUSE: Duration = Duration::from_millis(500);

/// A command from outside.
pub struct Ask {
    /// The command.
    pub packet: Packet,
    /// A hash of the body as it was sent: the same id with another body is refused.
    pub hash: Box<str>,
    /// Who waits for the answer.
    pub listener: Box<dyn Listener>,
}

/// Whoever waits for an answer. Called on the owner's thread: must not block.
pub trait Listener: Send {
    /// The first answer, after the commit that made it true.
    fn first(&mut self, first: &First);
    /// How the saga that the command started has ended. Called only if [`Listener::waits`] said so.
    fn outcome(&mut self, outcome: &Outcome);
    /// Whether the outcome is awaited too, asked after the first answer.
    fn waits(&self) -> bool;
}

/// The first answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// It is done; a saga may have been started, or asked to be undone.
    Done {
        /// That saga.
        saga: Option<Arc<str>>,
        /// What the handler adds: an object, or null.
        told: serde_json::Value,
    },
    /// The business says no.
    Refused(Refusal),
    /// It is durable, and waits for its turn.
    Waiting,
    /// This id was used for another body.
    Mismatch,
    /// It cannot be read as a command of this system.
    Invalid(String),
    /// It could not be taken now, and is not kept.
    Unavailable(String),
}

/// How a saga ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The saga.
    pub saga: Arc<str>,
    /// Completed (true) or undone.
    pub completed: bool,
    /// Why it was undone.
    pub reason: Option<Reason>,
    /// The command of the row at which it turned round.
    pub step: Option<&'static str>,
    /// What operators signed.
    pub exceptions: Vec<Exception>,
}

/// What became of a command, by its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The hash of its body.
    pub hash: Box<str>,
    /// Its `type`.
    pub kind: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// When it was received: microseconds since 1970.
    pub received: i64,
    /// `accepted`, `done`, `refused` or `dead-letter`.
    pub status: std::borrow::Cow<'static, str>,
    /// The saga that it started, or asked to be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<Arc<str>>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What the handler added to the answer.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub told: serde_json::Value,
}

impl CommandRecord {
    /// The first answer that this record stands for.
    fn first(&self) -> First {
        match (&self.refusal, &*self.status) {
            (Some(refusal), _) => First::Refused(refusal.clone()),
            (None, "done") => First::Done { saga: self.saga.clone(), told: self.told.clone() },
            (None, _) => First::Waiting,
        }
    }
}

/// Why the executor cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody knows what the store holds: forget everything and take the partitions again as a new owner does. Embedded, the
    /// process exits.
    Crash(String),
}

/// How an executor is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Partitions of every context.
    pub partitions: u16,
    /// The epoch of streams that begin now: milliseconds since 1970.
    pub epoch: u64,
}

/// One input of a batch.
enum Input {
    Ask { ask: Box<Ask>, received: i64, seed: u64, partition: usize },
    /// `admitted`: it has passed its mark in this batch, and is run again because something had to be fetched.
    Message { subscription: Subscription, number: u64, row: LogRow, received: i64, seed: u64, partition: usize, admitted: bool },
    Waiting { number: u64, received: i64, seed: u64, partition: usize },
    Alarm { alarm: alarms::Alarm, received: i64, seed: u64, partition: usize },
    Operation { operation: Operation, received: i64, seed: u64, partition: usize, answer: operate::Reply },
}

/// A partition that this executor owns.
struct Held {
    partition: Partition,
    context: usize,
    fence: u64,
    epoch: u64,
    position: u64,
    destinations: BTreeMap<Destination, Place>,
    marks: BTreeMap<Route, Place>,
    lanes: Lanes,
    /// Routes whose mark has been missing a row since when.
    gaps: BTreeMap<Route, Duration>,
    relay: Relay,
}

/// See the module's text.
pub struct Executor {
    registry: Registry,
    settings: Settings,
    store: Box<dyn Store>,
    broker: Box<dyn Broker>,
    clock: Box<dyn Clock>,
    chance: Chance,
    identity: Identity,
    held: Vec<Held>,
    /// Inputs that wait for the next batch: asks as they came.
    asks: VecDeque<(Box<Ask>, i64, u64)>,
    operations: VecDeque<(Operation, operate::Reply)>,
    heard: VecDeque<Heard>,
    alarms: Alarms,
    /// The names of topics, made once.
    topics: BTreeMap<(&'static str, Role), Arc<str>>,
    waiters: BTreeMap<Arc<str>, Vec<(Box<dyn Listener>, Duration)>>,
    paused_until: Option<Duration>,
    /// Batches of one input: the one that the database refuses is among the next so many.
    cautious: usize,
    forgotten: Duration,
    /// Counters since the start.
    pub counters: Counters,
}

/// What an executor has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits.
    pub commits: u64,
    /// Inputs settled.
    pub inputs: u64,
    /// Messages dropped because they had been here before.
    pub duplicates: u64,
    /// Messages dropped because one before them was missing.
    pub gaps: u64,
    /// Times a gap was not healed by itself.
    pub gap_alarms: u64,
    /// Messages moved to the waiting table.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Sagas ended.
    pub sagas_ended: u64,
}

impl Executor {
    /// An executor over a store, which is opened (made or migrated) for these contexts.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn new(
        contexts: Vec<Context>,
        settings: Settings,
        mut store: Box<dyn Store>,
        broker: Box<dyn Broker>,
        clock: Box<dyn Clock>,
        chance: Chance,
    ) -> Result<Executor, StoreError> {
        let registry = Registry::new(contexts);
        let mut schema = Schema { epoch: settings.epoch, ..Schema::default() };
        for kind in (0..registry.kinds.len()).filter_map(|table| registry.kind(table)) {
            schema.states.push(crate::store::state_table(kind.context, kind.name));
            if let Some(view) = &kind.view {
                schema.views.push(ViewSchema { table: view.table, create: view.create, columns: view.columns });
            }
        }
        store.open(&schema)?;
        let identity = Identity::new(registry.kinds.len());
        Ok(Executor {
            registry,
            settings,
            store,
            broker,
            clock,
            chance,
            identity,
            held: Vec::new(),
            asks: VecDeque::new(),
            operations: VecDeque::new(),
            heard: VecDeque::new(),
            alarms: Alarms::default(),
            topics: BTreeMap::new(),
            waiters: BTreeMap::new(),
            paused_until: None,
            cautious: 0,
            forgotten: Duration::ZERO,
            counters: Counters::default(),
        })
    }

    /// Takes a partition: raises its fence, reads its head, marks and waiting messages, begins the deadlines of its running sagas
    /// anew, and hears its topics.
    ///
    /// # Errors
    /// When the store cannot be read, or no context here has that name.
    pub fn take(&mut self, partition: &Partition) -> Result<(), StoreError> {
        self.take_held(partition, None)
    }

    fn take_held(&mut self, partition: &Partition, fence: Option<u64>) -> Result<(), StoreError> {
        let context = self
            .registry
            .context(&partition.context)
            .ok_or_else(|| StoreError(format!("no context {:?} runs here", partition.context)))?;
        // Another owner may have written since this one last held the partition: nothing in memory is true any more.
        self.identity.clear();
        let Some(taken) = self.store.take(partition, fence)? else {
            self.let_go(partition);
            return Ok(());
        };
        let now = self.clock.monotonic();
        self.held.retain(|held| held.partition != *partition);
        self.held.push(Held {
            partition: partition.clone(),
            context,
            fence: taken.fence,
            epoch: taken.epoch,
            position: taken.head.map_or(0, |head| head.position),
            relay: Relay::new(partition, taken.relayed, taken.head, &taken.destinations, now),
            destinations: taken.destinations.into_iter().collect(),
            marks: taken.marks.iter().cloned().collect(),
            lanes: Lanes::of(taken.waiting),
            gaps: BTreeMap::new(),
        });
        for saga in taken.running {
            let live = loop {
                match self.identity.saga(&self.registry, &mut *self.store, &saga) {
                    Ok(live) => break live,
                    Err(Trouble::Missing(table, id)) => {
                        let row = self.store.fetch(&[(table, id.clone())])?.pop().flatten();
                        self.identity.fetched((table, id), row);
                    }
                    Err(Trouble::Broken(why)) => return Err(StoreError(why)),
                }
            };
            if let Some(live) = live {
                self.alarms.again(partition, &saga, &live.record.run, &live.shape, now);
            }
            self.identity.begin();
        }
        for to in self.hears(context, partition.number) {
            let subscription = Subscription { reader: partition.clone(), to };
            self.heard.retain(|heard| !matches!(heard, Heard::Message(of, ..) if *of == subscription));
            let marks: Vec<(Route, Place)> =
                taken.marks.iter().filter(|(route, _)| route.to == subscription.to).cloned().collect();
            self.broker.subscribe(&subscription, &marks, &mut *self.store)?;
        }
        Ok(())
    }

    /// What a partition of a context reads: its commands and replies, and the events of the contexts that it listens to.
    fn hears(&self, context: usize, number: u16) -> Vec<Destination> {
        let Some(context) = self.registry.contexts.get(context) else { return Vec::new() };
        let own = [Role::Command, Role::Reply].map(|role| topic(context.name, role));
        let events = context.reads.iter().map(|other| topic(other, Role::Event));
        own.into_iter().chain(events).map(|topic| Destination { topic, partition: number }).collect()
    }

    /// Takes a command from outside into the next batch.
    pub fn ask(&mut self, ask: Ask) {
        let (now, seed) = (self.clock.now(), self.chance.bits());
        self.asks.push_back((Box::new(ask), now, seed));
    }

    /// Runs one batch of what is at hand. False when there was nothing.
    ///
    /// # Errors
    /// When the outcome of a commit is unknown, or the store can no longer be read.
    pub fn turn(&mut self) -> Result<bool, Stop> {
        let now = self.clock.monotonic();
        if self.paused_until.is_some_and(|until| now < until) {
            self.refuse_asks("the store cannot write at the moment; try again");
            return Ok(false);
        }
        if self.paused_until.take().is_some() {
            self.take_again()?;
        }
        self.tick(now)?;
        let inputs = self.inputs(now)?;
        if inputs.is_empty() {
            return Ok(false);
        }
        self.batch(inputs)?;
        Ok(true)
    }

    /// When there will be something to do without an input from outside: on the monotonic clock. None: never.
    pub fn due(&self) -> Option<Duration> {
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let waiting = self.held.iter().filter_map(|held| held.lanes.next_due()).min();
        let waiting = waiting.map(|due| now + Duration::from_micros(u64::try_from(due - wall).unwrap_or(0)));
        let gaps = self.held.iter().flat_map(|held| held.gaps.values()).map(|since| *since + inbox::GAP).min();
        let relays = self.held.iter().filter_map(|held| held.relay.due()).min();
        [waiting, gaps, relays, self.alarms.due(), self.paused_until].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Duration) -> Result<(), Stop> {
        for held in &mut self.held {
            held.relay.tick(now, &mut *self.broker, &mut *self.store).map_err(crash)?;
            for (route, since) in &mut held.gaps {
                if now.saturating_sub(*since) >= inbox::GAP {
                    *since = now;
                    self.counters.gap_alarms += 1;
                    let mark = held.marks.get(route).copied();
                    tracing::warn!(from = %route.from, topic = %route.to.topic, ?mark, "rows are missing: asking the producer to turn back");
                    self.broker.turn_back(route, mark);
                }
            }
        }
        if now.saturating_sub(self.forgotten) >= Duration::from_secs(60) {
            self.forgotten = now;
            self.store.forget_commands(self.clock.now()).map_err(crash)?;
            self.waiters.retain(|_, listeners| {
                listeners.retain(|(listener, since)| listener.waits() && now.saturating_sub(*since) < Duration::from_secs(600));
                !listeners.is_empty()
            });
        }
        Ok(())
    }

    /// The inputs at hand, bounded.
    fn inputs(&mut self, now: Duration) -> Result<Vec<Input>, Stop> {
        let limit = if self.cautious > 0 { 1 } else { BATCH };
        let received = self.clock.now();
        let mut inputs = Vec::new();
        while let Some((operation, answer)) = self.operations.pop_front() {
            let seed = self.chance.bits();
            match self.held.iter().position(|held| operation.is_for(held, self.settings.partitions)) {
                Some(partition) => inputs.push(Input::Operation { operation, received, seed, partition, answer }),
                None => answer(Err("no partition of this process holds it".to_owned())),
            }
        }
        for alarm in self.alarms.take(now, limit.saturating_sub(inputs.len())) {
            let seed = self.chance.bits();
            if let Some(partition) = self.held.iter().position(|held| held.partition == alarm.partition) {
                inputs.push(Input::Alarm { alarm, received, seed, partition });
            }
        }
        for partition in 0..self.held.len() {
            let left = limit.saturating_sub(inputs.len());
            for number in self.held[partition].lanes.due(received, left) {
                inputs.push(Input::Waiting { number, received, seed: self.chance.bits(), partition });
            }
        }
        // Messages go before new commands: what has begun is finished before more begins.
        let mut heard = std::mem::take(&mut self.heard);
        if heard.len() < limit {
            let mut more = Vec::new();
            self.broker.hear(BATCH, &mut *self.store, &mut more).map_err(crash)?;
            heard.extend(more);
        }
        while inputs.len() < limit {
            let Some(one) = heard.pop_front() else { break };
            match one {
                Heard::Message(subscription, number, row) => {
                    if let Some(partition) = self.held.iter().position(|held| held.partition == subscription.reader) {
                        let seed = self.chance.bits();
                        inputs.push(Input::Message { subscription, number, row, received, seed, partition, admitted: false });
                    }
                }
                Heard::Receipt(route, upto) => {
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        held.relay.receipt(&route, upto);
                    }
                }
                Heard::Failed(route) => {
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        let after = held.relay.relayed();
                        held.relay.again(&route, after, &mut *self.broker, &mut *self.store).map_err(crash)?;
                    }
                }
                Heard::Turn(route, mark) => {
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        held.relay.again(&route, mark, &mut *self.broker, &mut *self.store).map_err(crash)?;
                    }
                }
            }
        }
        self.heard = heard;
        while inputs.len() < limit {
            let Some((ask, received, seed)) = self.asks.pop_front() else { break };
            match self.addressee(&ask.packet) {
                Some(partition) => inputs.push(Input::Ask { ask, received, seed, partition }),
                None => {
                    let mut ask = ask;
                    let kind = &ask.packet.envelope.kind;
                    let known = self.registry.contexts.iter().any(|context| context.handlers.contains_key(&**kind));
                    let first = if known {
                        First::Unavailable(format!("the owner of {:?} is elsewhere; try again", ask.packet.envelope.key))
                    } else {
                        First::Invalid(format!("nobody here takes {kind}"))
                    };
                    ask.listener.first(&first);
                }
            }
        }
        Ok(inputs)
    }

    /// The held partition that a command from outside is for.
    fn addressee(&self, packet: &Packet) -> Option<usize> {
        let number = crate::log::partition_of(&packet.envelope.key, self.settings.partitions);
        self.held.iter().position(|held| {
            let context = self.registry.contexts.get(held.context);
            held.partition.number == number
                && context
                    .and_then(|context| context.handlers.get(&*packet.envelope.kind))
                    .is_some_and(|handler| handler.role == Role::Command)
        })
    }

    fn refuse_asks(&mut self, why: &str) {
        for (mut ask, _, _) in self.asks.drain(..) {
            ask.listener.first(&First::Unavailable(why.to_owned()));
        }
    }

    /// Forgets everything in memory and takes its partitions again, as a new owner does.
    fn take_again(&mut self) -> Result<(), Stop> {
        self.identity.clear();
        self.heard.clear();
        self.alarms = Alarms::default();
        let partitions: Vec<(Partition, u64)> = self.held.iter().map(|held| (held.partition.clone(), held.fence)).collect();
        for (partition, fence) in partitions {
            self.take_held(&partition, Some(fence)).map_err(crash)?;
        }
        Ok(())
    }
}

fn crash(error: StoreError) -> Stop {
    Stop::Crash(error.0)
}

fn topic(context: &str, role: Role) -> Arc<str> {
    format!("{context}.{}", role.topic()).into()
}

/// What a lost fence or an unwritable store leaves of a batch.
enum Lost {
    Again,
    Pause(String),
    Alone(String),
}

impl Executor {
    fn lost(&mut self, error: CommitError) -> Result<Lost, Stop> {
        match error {
            CommitError::Unknown(why) => Err(Stop::Crash(why)),
            CommitError::Outage(why) => Ok(Lost::Pause(why)),
            CommitError::Refused(why) => Ok(Lost::Alone(why)),
            CommitError::Fenced(partitions) => {
                partitions.iter().for_each(|partition| self.let_go(partition));
                Ok(Lost::Again)
            }
        }
    }

    /// Gives up a partition that another owner has taken.
    fn let_go(&mut self, partition: &Partition) {
        tracing::warn!(%partition, "another owner has taken this partition");
        if let Some(index) = self.held.iter().position(|held| held.partition == *partition) {
            let held = self.held.remove(index);
            for to in self.hears(held.context, held.partition.number) {
                self.broker.unsubscribe(&Subscription { reader: held.partition.clone(), to });
            }
        }
    }

    /// What it holds and waits for, in words: for a failed test and a puzzled operator.
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{:?}, paused {:?}, heard {}, asks {}", self.counters, self.paused_until, self.heard.len(), self.asks.len());
        for held in &self.held {
            let _ = write!(text, "\n  {} fence {} at {}/{}", held.partition, held.fence, held.epoch, held.position);
            let _ = write!(text, ", relayed {:?}, due {:?}", held.relay.relayed(), held.relay.due());
            for (route, since) in &held.gaps {
                let mark = held.marks.get(route);
                let _ = write!(text, "\n    gap since {since:?} from {} on {} after {mark:?}", route.from, route.to.topic);
            }
        }
        text
    }

    /// Which partitions it owns.
    pub fn partitions(&self) -> Vec<Partition> {
        self.held.iter().map(|held| held.partition.clone()).collect()
    }

    /// Whether nothing is left to do but what time will bring.
    pub fn idle(&self) -> bool {
        self.asks.is_empty() && self.heard.is_empty() && self.operations.is_empty()
    }
}
