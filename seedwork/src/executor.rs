//! Batches: many units of work, one commit. The only way anything happens.
//!
//! An [`Executor`] owns partitions of the contexts in one store. [`Executor::turn`] takes the inputs at hand (commands from outside,
//! messages, waiting messages that are due, alarms of sagas), runs each through its handler on the shared identity map, writes
//! everything with one commit, and only then answers and hands the log rows on. It has no thread and no clock of its own, so a test
//! steps it by hand; [`owner`] is the loop that drives it in a process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::{Broker, Foreign, Heard, Subscription};
use crate::clock::{Chance, Clock};
use crate::context::{Context, Registry};
use crate::identity::Identity;
use crate::inbox::{self, Lanes};
use crate::log::Relay;
use crate::message::Role;
use crate::store::{Destination, LogRow, Partition, Place, Route, Schema, Store, StoreError};

mod alarms;
mod answer;
mod batch;
mod epoch;
mod flight;
mod foreign;
mod held;
mod inputs;
mod keep;
mod meters;
mod operate;
pub mod owner;
mod postponed;
mod recover;
mod rest;
mod run;
mod say;
mod settle;
mod tap;
mod waiters;
mod write;

use alarms::Alarms;
pub use answer::{Answered, Ask, CommandRecord, First, Listener, Outcome};
use held::{Gap, Held, Mark};
pub use keep::Limits;
pub use meters::{Histogram, Measured, Meters};
pub use operate::{Decided, Decision, Letter, Operation, Reading, Undecided, letter_id};
pub use tap::Tap;

/// Inputs that one batch takes at most.
const BATCH: usize = 512;
/// How long the answer to a command's id is kept.
const KEEP_COMMANDS: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the executor waits after the store could not write.
const PAUSE: Duration = Duration::from_millis(500);

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
struct Input {
    arrival: Arrival,
    what: What,
}

/// Where and when an input was taken, and what its handler's chance comes from.
#[derive(Clone, Copy)]
struct Arrival {
    /// The place of its partition among those that are held.
    partition: usize,
    received: i64,
    seed: u64,
}

enum What {
    Ask(Ask),
    /// `admitted`: it has passed its mark in this batch, and is run again because something had to be fetched.
    Message {
        subscription: Subscription,
        number: u64,
        row: LogRow,
        admitted: bool,
    },
    Foreign {
        subscription: Subscription,
        number: u64,
        foreign: Foreign,
    },
    /// The number of a waiting message.
    Waiting(u64),
    Alarm(alarms::Alarm),
    Operation(Operation, operate::Reply),
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
    asks: VecDeque<(Ask, i64, u64)>,
    operations: VecDeque<(Operation, operate::Reply)>,
    heard: VecDeque<Heard>,
    postponed: postponed::Postponed,
    /// The batch whose commit is under way.
    flight: Option<flight::Flight>,
    /// A commit of unknown outcome that was met outside a turn.
    crashed: Option<Stop>,
    alarms: Alarms,
    /// The names of topics, made once.
    topics: BTreeMap<(&'static str, Role), Arc<str>>,
    waiters: waiters::Waiters,
    paused_until: Option<Duration>,
    /// After a crash that the process outlives: how long the store is left alone before the next time it is tried.
    backoff: Option<Duration>,
    /// Batches of one input: the one that the database refuses is among the next so many.
    cautious: usize,
    limits: Limits,
    /// When rows to drop are looked for next, and those that the next commit drops.
    trim_due: Duration,
    drops: Vec<keep::Drop>,
    /// When expired command ids are looked for next.
    forget_due: Duration,
    taps: Vec<Box<dyn Tap>>,
    meters: Arc<Meters>,
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
    /// Commands that were not begun, because whoever asked had gone.
    pub abandoned: u64,
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
        let contexts = registry.contexts.iter().map(Context::name).collect();
        let mut schema = Schema { epoch: settings.epoch, contexts, ..Schema::default() };
        for context in &registry.contexts {
            schema.states.extend(context.schema(settings.epoch).states);
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
            postponed: postponed::Postponed::default(),
            flight: None,
            crashed: None,
            alarms: Alarms::default(),
            topics: BTreeMap::new(),
            waiters: waiters::Waiters::default(),
            paused_until: None,
            backoff: None,
            cautious: 0,
            limits: Limits::default(),
            trim_due: Duration::ZERO,
            drops: Vec::new(),
            forget_due: Duration::ZERO,
            taps: Vec::new(),
            meters: Arc::default(),
            counters: Counters::default(),
        })
    }

    /// Takes a partition: raises its fence, reads its head, marks and waiting messages, begins the deadlines of its running sagas
    /// anew, and hears its topics.
    ///
    /// # Errors
    /// When the store cannot be read, or no context here has that name: then it does not hold the partition.
    pub fn take(&mut self, partition: &Partition) -> Result<(), StoreError> {
        // What is under way rests on what is in memory, which is forgotten now.
        if let Err(stop) = self.land() {
            let Stop::Crash(why) = &stop;
            let error = StoreError(why.clone());
            self.crashed = Some(stop);
            return Err(error);
        }
        let taken = self.take_held(partition, None);
        if taken.is_err() {
            self.drop_held(partition);
        }
        taken
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
        self.broker.took(partition, taken.fence);
        let ahead = self.ahead(partition, fence, &taken)?;
        let now = self.clock.monotonic();
        self.held.retain(|held| held.partition != *partition);
        self.held.push(Held {
            ahead,
            partition: partition.clone(),
            context,
            fence: taken.fence,
            epoch: taken.epoch,
            position: taken.head.map_or(0, |head| head.position),
            relay: Relay::new(partition, taken.relayed, taken.head, &taken.destinations, now),
            destinations: taken.destinations.into_iter().map(|(to, place)| (to, Mark { place, moved: false })).collect(),
            marks: taken.marks.iter().map(|(route, place)| (route.clone(), Mark { place: *place, moved: false })).collect(),
            lanes: Lanes::of(if ahead.is_none() { taken.waiting } else { Vec::new() }),
            gaps: BTreeMap::new(),
            paused: taken.paused.iter().cloned().collect(),
        });
        if ahead.is_some() {
            return Ok(());
        }
        for saga in taken.running {
            let live = self.load_saga(&saga)?;
            if let Some(live) = live {
                self.alarms.again(partition, &saga, &live.record.run, &live.shape, now);
            }
            self.identity.begin();
        }
        for to in self.hears(context, partition.number) {
            let subscription = Subscription { reader: partition.clone(), to };
            self.postponed.forget(&subscription);
            if taken.paused.contains(&subscription.to) {
                self.stop_reading(&subscription);
                continue;
            }
            self.heard.retain(|heard| heard.subscription() != Some(&subscription));
            let marks: Vec<(Route, Place)> =
                taken.marks.iter().filter(|(route, _)| route.to == subscription.to).cloned().collect();
            self.broker.subscribe(&subscription, &marks, &mut *self.store)?;
        }
        self.join(context, partition);
        Ok(())
    }

    /// Tells the broker of the routes from a partition to others of its context that are held here too.
    fn join(&mut self, context: usize, partition: &Partition) {
        let Some(name) = self.registry.contexts.get(context).map(|context| context.name) else { return };
        for reader in self.held.iter().filter(|held| held.context == context && held.partition != *partition) {
            for role in [Role::Command, Role::Reply] {
                let to = Destination { topic: topic(name, role), partition: reader.partition.number };
                let route = Route { from: partition.clone(), to };
                self.broker.joined(&route, reader.marks.get(&route).map(|mark| mark.place));
            }
        }
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
        self.asks.push_back((ask, now, seed));
    }

    /// Runs one batch of what is at hand, while the one before it is on its way to the disk. False when there was nothing.
    ///
    /// # Errors
    /// When the outcome of a commit is unknown, or the store can no longer be read.
    pub fn turn(&mut self) -> Result<bool, Stop> {
        if let Some(stop) = self.crashed.take() {
            return Err(stop);
        }
        let now = self.clock.monotonic();
        if self.paused_until.is_some_and(|until| now < until) {
            self.refuse("the store cannot write at the moment; try again");
            return Ok(false);
        }
        if self.paused_until.is_some() && !self.resume(now) {
            return Ok(false);
        }
        self.tick(now)?;
        if self.must_land(self.clock.now()) {
            self.land()?;
            return Ok(true);
        }
        self.trim(now)?;
        let inputs = self.inputs(now)?;
        let late = self.postponed.due().is_some_and(|due| due <= now);
        if !inputs.is_empty() || !self.drops.is_empty() || late {
            self.batch(inputs)?;
            return Ok(true);
        }
        let under_way = self.flight.is_some();
        self.land()?;
        Ok(under_way)
    }

    /// When there will be something to do without an input from outside: on the monotonic clock. None: never.
    pub fn due(&self) -> Option<Duration> {
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        if self.flight.is_some() || self.crashed.is_some() {
            return Some(now);
        }
        let waiting = self.held.iter().filter_map(|held| held.lanes.next_due()).min();
        let waiting = waiting.map(|due| now + Duration::from_micros(u64::try_from(due - wall).unwrap_or(0)));
        let gaps = self.held.iter().flat_map(|held| held.gaps.values()).map(|gap| gap.since + inbox::GAP).min();
        let relays = self.held.iter().filter_map(|held| held.relay.due()).min();
        let trim = self.forgets().then_some(self.trim_due);
        [waiting, gaps, relays, self.alarms.due(), self.postponed.due(), trim].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Duration) -> Result<(), Stop> {
        for held in &mut self.held {
            held.relay.tick(now, &mut *self.broker, &mut *self.store).map_err(crash)?;
            for (route, gap) in &mut held.gaps {
                if now.saturating_sub(gap.since) >= inbox::GAP {
                    gap.since = now;
                    self.counters.gap_alarms += 1;
                    let mark = held.marks.get(route).map(|mark| mark.place);
                    tracing::warn!(from = %route.from, topic = %route.to.topic, ?mark, "rows are missing: asking the producer to turn back");
                    self.broker.turn_back(route, mark);
                }
            }
        }
        if now >= self.forget_due {
            // A little at a time, soon again while there is more: a store that takes thousands a second must forget as many.
            let forgotten = self.store.forget_commands(self.clock.now()).map_err(crash)?;
            self.forget_due = now + if forgotten > 0 { Duration::from_millis(50) } else { Duration::from_secs(60) };
            self.forget_waiters(now);
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

impl Executor {
    /// Whether nothing is left to do but what time will bring.
    pub fn idle(&self) -> bool {
        self.flight.is_none() && self.asks.is_empty() && self.heard.is_empty() && self.operations.is_empty()
    }
}
