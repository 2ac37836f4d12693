//! World: every context in memory, stepped by hand, with faults. It ships with the library, for the tests of its users.
//!
//! The real executor, engine and SQLite adapter run in one thread on virtual time, in both shapes: *embedded* (one store, one
//! partition, a shared commit) and *distributed* (a store per context, several partitions, two replicas each, a simulated broker).
//! One seed twice gives the same trace. After FoundationDB's simulation (Zhou et al., SIGMOD 2021) and TigerBeetle's VOPR.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::aggregate::Aggregate;
use crate::broker::{Broker, Embedded, Loopback};
use crate::clock::{Chance, Clock};
use crate::command::Error;
use crate::context::{Context, Intercept};
use crate::executor::{Ask, Executor, First, Limits, Listener, Outcome, Settings, Stop};
use crate::identity::SagaRecord;
use crate::message::{Command, Envelope, Message, Packet};
use crate::store::{Partition, Sqlite, Waiting};
use crate::view::{Read, Value};

mod ask;
#[cfg(feature = "distributed")]
pub mod databases;
mod faulty;
mod laws;
mod leases;
mod look;
mod operate;
#[cfg(feature = "distributed")]
pub mod servers;
mod sim;

pub use ask::Ticket;
pub use faulty::{Plant, StoreFaults};
pub use laws::{Case, assert_saga_laws};
pub use sim::BrokerFaults;

use ask::Ears;
use faulty::Faulty;
use sim::Sim;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Virtual time: wall and monotonic, moved by hand.
#[derive(Clone, Debug)]
struct Virtual(Arc<Mutex<(i64, Duration)>>);

impl Clock for Virtual {
    fn now(&self) -> i64 {
        lock(&self.0).0
    }
    fn monotonic(&self) -> Duration {
        lock(&self.0).1
    }
}

/// Once in how many times each fault happens; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The store's.
    pub store: StoreFaults,
    /// The broker's (distributed shape only).
    pub broker: BrokerFaults,
    /// A partition is taken by the other replica while its owner still believes in it, once in so many steps (distributed only).
    pub lease_lost: u64,
    /// A partition is given up by its owner, and taken by the other replica, once in so many steps (distributed only).
    pub handed_over: u64,
    /// A process outlives the loss of its store instead of starting again, once in so many times (distributed only).
    pub outlived: u64,
}

impl Faults {
    /// A bad day: everything happens now and then.
    pub fn all() -> Faults {
        Faults {
            store: StoreFaults { crash: 40, missing: 3, outage: 60, refused: 80 },
            broker: BrokerFaults { lose: 20, doubtful: 20, duplicate: 10, late: 6, swap: 12, vanish: 60, astray: 5, unheard: 8 },
            lease_lost: 50,
            handed_over: 80,
            outlived: 2,
        }
    }
}

type Hook = Arc<dyn Fn(&Envelope) -> Intercept + Send + Sync>;

/// What a test answers in a handler's place.
pub enum Instead {
    /// The handler runs.
    Handle,
    /// The handler runs twice in one unit of work.
    Twice,
    /// The handler does not run; this is its answer.
    Answer(Error),
}

/// One process: an executor over a store that outlives it.
struct Node {
    store: Arc<Mutex<Sqlite>>,
    contexts: Vec<&'static str>,
    replica: usize,
    executor: Option<Executor>,
    partitions: Vec<Partition>,
}

/// See the module's text.
pub struct World {
    make: Box<dyn Fn() -> Vec<Context>>,
    partitions: u16,
    clock: Virtual,
    chance: Chance,
    nodes: Vec<Node>,
    sim: Option<Arc<Mutex<Sim>>>,
    /// Processes hand on what they say to themselves: in every second world.
    loopback: bool,
    faults: Arc<Mutex<Faults>>,
    plant: Arc<Mutex<Option<Plant>>>,
    hook: Arc<Mutex<Option<Hook>>>,
    /// None: whoever listens put its message on a topic itself.
    asked: Vec<Option<Packet>>,
    ears: Ears,
    limits: Limits,
    /// What a batch takes of what it says itself; none: drawn by chance at each start.
    at_once: Option<usize>,
    trace: String,
    keep_trace: bool,
    /// Restarts so far.
    pub restarts: u64,
}

impl World {
    /// One process, one store, one partition of each context, the embedded broker.
    ///
    /// # Panics
    /// When SQLite has no memory: a test cannot go on.
    pub fn embedded(make: impl Fn() -> Vec<Context> + 'static, seed: u64) -> World {
        let mut world = World::empty(Box::new(make), 1, seed);
        let contexts: Vec<&'static str> = (world.make)().iter().map(Context::name).collect();
        let partitions = contexts.iter().map(|context| Partition { context: (*context).into(), number: 0 }).collect();
        let store = memory();
        world.nodes.push(Node { store, contexts, replica: 0, executor: None, partitions });
        world.start_all();
        world
    }

    /// Two processes and a store for each context, several partitions, a simulated broker between them.
    ///
    /// # Panics
    /// When SQLite has no memory: a test cannot go on.
    pub fn distributed(make: impl Fn() -> Vec<Context> + 'static, partitions: u16, seed: u64) -> World {
        let mut world = World::empty(Box::new(make), partitions, seed);
        world.sim = Some(Arc::new(Mutex::new(Sim::new(seed, world.ears.clone()))));
        for context in (world.make)().iter().map(Context::name) {
            let store = memory();
            for replica in 0..2 {
                let own = (0..partitions).filter(|number| usize::from(*number) % 2 == replica);
                let partitions = own.map(|number| Partition { context: context.into(), number }).collect();
                world.nodes.push(Node { store: store.clone(), contexts: vec![context], replica, executor: None, partitions });
            }
        }
        world.start_all();
        world
    }

    fn empty(make: Box<dyn Fn() -> Vec<Context>>, partitions: u16, seed: u64) -> World {
        World {
            make,
            partitions,
            clock: Virtual(Arc::new(Mutex::new((1_767_225_600_000_000, Duration::from_secs(1))))),
            chance: Chance::seeded(seed),
            nodes: Vec::new(),
            sim: None,
            loopback: Chance::seeded(seed).one_in(2),
            faults: Arc::default(),
            plant: Arc::default(),
            hook: Arc::default(),
            asked: Vec::new(),
            ears: Ears::default(),
            limits: Limits::default(),
            at_once: None,
            trace: String::new(),
            keep_trace: false,
            restarts: 0,
        }
    }

    /// From now on these faults happen.
    pub fn set_faults(&mut self, faults: Faults) {
        *lock(&self.faults) = faults;
        if let Some(sim) = &self.sim {
            lock(sim).faults = faults.broker;
        }
    }

    /// Plants a bug in the machine, to see that the invariants find it.
    pub fn plant(&mut self, plant: Plant) {
        *lock(&self.plant) = Some(plant);
    }

    /// Puts something in front of every handler.
    pub fn intercept(&mut self, hook: impl Fn(&Envelope) -> Instead + Send + Sync + 'static) {
        let hook: Hook = Arc::new(move |envelope| match hook(envelope) {
            Instead::Handle => Intercept::Pass,
            Instead::Twice => Intercept::Twice,
            Instead::Answer(error) => Intercept::Answer(error),
        });
        *lock(&self.hook) = Some(hook);
    }

    /// From the next start of each process on these limits hold.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The broker keeps back a route from the first message that matches, until [`World::release`] (distributed shape only).
    pub fn hold(&mut self, matches: impl Fn(&Envelope) -> bool + Send + 'static) {
        if let Some(sim) = &self.sim {
            lock(sim).held = Some(Box::new(matches));
        }
    }

    /// The broker keeps nothing back any more.
    pub fn release(&mut self) {
        if let Some(sim) = &self.sim {
            lock(sim).held = None;
        }
    }

    /// Writes down every step from now on.
    pub fn keep_trace(&mut self) {
        self.keep_trace = true;
    }

    /// What has been written down.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
    }

    fn start(&mut self, index: usize) {
        let hook = self.hook.clone();
        let front: Hook = Arc::new(move |envelope| match &*lock(&hook) {
            Some(hook) => hook(envelope),
            None => Intercept::Pass,
        });
        let limits = Limits { at_once: self.at_once(), ..self.limits };
        let Some(node) = self.nodes.get_mut(index) else { return };
        let contexts: Vec<Context> = (self.make)()
            .into_iter()
            .filter(|context| node.contexts.contains(&context.name()))
            .map(|context| context.intercept(&front))
            .collect();
        let broker: Box<dyn Broker> = match &self.sim {
            Some(sim) if self.loopback => Box::new(Loopback::new(Box::new(sim::Door::new(sim.clone(), index)))),
            Some(sim) => Box::new(sim::Door::new(sim.clone(), index)),
            None => Box::new(Embedded::with_memory(node.partitions.clone(), 64)),
        };
        let store = Faulty::new(node.store.clone(), self.faults.clone(), self.plant.clone(), self.chance.bits());
        let epoch = u64::try_from(self.clock.now() / 1000).unwrap_or(1);
        let settings = Settings { partitions: self.partitions, epoch };
        let chance = Chance::seeded(self.chance.bits());
        let mut executor = Executor::new(contexts, settings, Box::new(store), broker, Box::new(self.clock.clone()), chance)
            .unwrap_or_else(|error| panic!("a store in memory opens: {error}"))
            .limited(limits);
        for partition in &node.partitions {
            executor.take(partition).unwrap_or_else(|error| panic!("a partition in memory can be taken: {error}"));
        }
        node.executor = Some(executor);
    }

    /// From now on a batch takes at most so many of the messages that it says itself; with 0 a test sees each step of a saga. Otherwise
    /// chance decides at each start of a process.
    pub fn set_at_once(&mut self, most: usize) {
        self.at_once = Some(most);
        for node in &mut self.nodes {
            let limits = Limits { at_once: most, ..self.limits };
            node.executor = node.executor.take().map(|executor| executor.limited(limits));
        }
    }

    /// How much a batch of a process that starts now takes of what it says itself: all, nothing, or a little.
    fn at_once(&mut self) -> usize {
        if let Some(at_once) = self.at_once {
            return at_once;
        }
        let some = usize::try_from(self.chance.below(8)).unwrap_or(0);
        match self.chance.below(3) {
            0 => 0,
            1 => some,
            _ => Limits::default().at_once,
        }
    }

    /// Kills a process and starts it again on the same store.
    pub fn restart(&mut self, node: usize) {
        self.restarts += 1;
        if let Some(node) = self.nodes.get_mut(node) {
            node.executor = None;
        }
        if let Some(sim) = &self.sim {
            lock(sim).gone(node);
        }
        self.start(node);
    }

    /// Kills and starts every process.
    pub fn restart_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.restart(node));
    }

    /// One step: a process, drawn by chance, runs a batch; when none has anything to do, time goes to the next alarm, at most
    /// `until`. False when nothing is left before that.
    pub fn step(&mut self, until: Duration) -> bool {
        self.move_leases();
        let first = usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap_or(0);
        for turn in 0..self.nodes.len() {
            let index = (first + turn) % self.nodes.len();
            let Some(executor) = self.nodes.get_mut(index).and_then(|node| node.executor.as_mut()) else { continue };
            match executor.turn() {
                Ok(false) => {}
                Ok(true) => {
                    let counters = executor.counters;
                    if self.keep_trace {
                        let _ = writeln!(self.trace, "{} {index} {counters:?}", lock(&self.clock.0).0);
                    }
                    return true;
                }
                Err(stop) => {
                    let Stop::Crash(why) = &stop;
                    if self.keep_trace {
                        let _ = writeln!(self.trace, "{} {index} crash: {why}", lock(&self.clock.0).0);
                    }
                    self.crashed(index, &stop);
                    return true;
                }
            }
        }
        let executors = self.nodes.iter().filter_map(|node| node.executor.as_ref());
        let due = executors.filter_map(Executor::due).min();
        let sim_due = self.sim.as_ref().and_then(|sim| lock(sim).due());
        let now = self.clock.monotonic();
        let next = match (due, sim_due) {
            (_, Some(0)) => now + Duration::from_millis(1),
            (Some(due), _) => due.max(now + Duration::from_millis(1)),
            (None, _) => return false,
        };
        if next > until {
            return false;
        }
        self.advance(next - now);
        true
    }

    /// Runs until nothing happens any more before this much virtual time has passed. Returns the steps taken.
    ///
    /// # Panics
    /// When a million steps did not suffice: something runs in circles.
    pub fn run(&mut self, time: Duration) -> u64 {
        let until = self.clock.monotonic() + time;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 1_000_000, "the world does not come to rest");
        }
        steps
    }

    /// Runs until every saga has ended (asking again what got no answer) or the virtual time is over. True when all have ended.
    pub fn settle(&mut self, time: Duration) -> bool {
        let until = self.clock.monotonic() + time;
        loop {
            self.run(Duration::from_secs(2));
            self.ask_unanswered_again();
            self.run(Duration::from_secs(1));
            if self.ears.answered() && self.sagas().iter().all(|(_, record)| record.run.stage.ended()) && self.quiet() {
                return true;
            }
            if self.clock.monotonic() > until {
                return false;
            }
            let next = self.nodes.iter().filter_map(|node| node.executor.as_ref()).filter_map(Executor::due).min();
            let now = self.clock.monotonic();
            if let Some(next) = next.filter(|next| *next > now && *next < until) {
                self.advance(next - now);
            } else {
                self.advance(Duration::from_millis(200));
            }
        }
    }

    fn quiet(&mut self) -> bool {
        self.waiting().iter().all(|(_, waiting)| waiting.head.dead)
            && self.nodes.iter().filter_map(|node| node.executor.as_ref()).all(Executor::idle)
            && self.sim.as_ref().is_none_or(|sim| lock(sim).due().is_none())
    }

    /// Time goes by, while the machine is awake.
    pub fn advance(&mut self, time: Duration) {
        let mut clock = lock(&self.clock.0);
        clock.0 += i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        clock.1 += time;
    }

    /// The machine sleeps: only wall time goes by.
    pub fn sleep_machine(&mut self, time: Duration) {
        lock(&self.clock.0).0 += i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    }
}

fn memory() -> Arc<Mutex<Sqlite>> {
    Arc::new(Mutex::new(Sqlite::memory().unwrap_or_else(|error| panic!("SQLite has memory: {error}"))))
}

#[allow(unused_imports)]
use Message as _;
