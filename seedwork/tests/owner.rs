//! The owner's thread: what wakes it, how a partition is taken and given up while it runs, and how it outlives a store that goes away.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ferry::harbour_v1::FillPurse;
use ferry::{contexts, crossing};
use seedwork::broker::{Broker, Heard, Subscription, Taken};
use seedwork::clock::{Chance, Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{Ask, Executor, First, Listener, Outcome, Settings, Stop};
use seedwork::message::{Command, Envelope, Packet};
use seedwork::store::*;

const SOON: Duration = Duration::from_secs(20);

/// A store that can be away: what is under way then has an unknown outcome, and nothing can be read or taken.
struct Away {
    store: Arc<Mutex<Sqlite>>,
    away: Arc<AtomicBool>,
}

impl Away {
    fn there(&self) -> StoreResult<std::sync::MutexGuard<'_, Sqlite>> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError("the connection was lost".to_owned()));
        }
        Ok(self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn commits(&self) -> Result<std::sync::MutexGuard<'_, Sqlite>, CommitError> {
        self.there().map_err(|error| CommitError::Unknown(error.0))
    }
}

impl Store for Away {
    fn open(&mut self, schema: &Schema) -> StoreResult<()> {
        self.there()?.open(schema)
    }
    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<seedwork::store::Taken>> {
        self.there()?.take(partition, held)
    }
    fn begin(&mut self) -> Result<(), CommitError> {
        self.commits()?.begin()
    }
    fn peek(&mut self, table: Table, id: &str) -> StoreResult<Peek> {
        self.there()?.peek(table, id)
    }
    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
        self.there()?.fetch(wanted)
    }
    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        self.commits()?.commit(writes)
    }
    fn start(&mut self, writes: Arc<Writes>) {
        if let Ok(mut store) = self.there() {
            store.start(writes);
        }
    }
    fn finish(&mut self) -> Result<(), CommitError> {
        self.commits()?.finish()
    }
    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>> {
        self.there()?.log_after(from, after, to, limit)
    }
    fn oldest(&mut self, from: &Partition, limit: usize) -> StoreResult<Vec<(Place, i64, u64)>> {
        self.there()?.oldest(from, limit)
    }
    fn log_bytes(&mut self, from: &Partition) -> StoreResult<u64> {
        self.there()?.log_bytes(from)
    }
    fn marks_on(&mut self, from: &Partition) -> StoreResult<Vec<(Partition, Route, Place)>> {
        self.there()?.marks_on(from)
    }
    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0> {
        self.there()?.last_sent(route)
    }
    fn waiting(&mut self, partition: &Partition, number: u64) -> StoreResult<Option<Waiting>> {
        self.there()?.waiting(partition, number)
    }
    fn forget_commands(&mut self, now: i64) -> StoreResult<usize> {
        self.there()?.forget_commands(now)
    }
}

/// A broker that carries nothing, and says when it is asked.
#[derive(Default)]
struct Silent(Option<Sender<()>>);

impl Broker for Silent {
    fn subscribe(&mut self, _: &Subscription, _: &[(Route, Place)], _: &mut dyn Store) -> StoreResult<()> {
        Ok(())
    }
    fn unsubscribe(&mut self, _: &Subscription) {}
    fn send(&mut self, _: &[LogRow]) -> Taken {
        Taken::Later
    }
    fn hear(&mut self, _: usize, _: &mut dyn Store, _: &mut Vec<Heard>) -> StoreResult<()> {
        // The test may have ended.
        let _told = self.0.as_ref().map(|asked| asked.send(()));
        Ok(())
    }
    fn acknowledge(&mut self, _: &Subscription, _: u64) {}
    fn turn_back(&mut self, _: &Route, _: Place0) {}
}

fn harbour() -> Partition {
    Partition { context: "harbour".into(), number: 0 }
}

fn ferry() -> Partition {
    Partition { context: "ferry".into(), number: 0 }
}

/// An executor of both contexts, one partition each, over a store that can be away.
struct Rig {
    store: Arc<Mutex<Sqlite>>,
    away: Arc<AtomicBool>,
}

impl Rig {
    fn new() -> Rig {
        Rig { store: Arc::new(Mutex::new(Sqlite::memory().unwrap())), away: Arc::default() }
    }

    fn executor(&self, broker: Silent, clock: Box<dyn Clock>) -> Executor {
        let store = Box::new(Away { store: self.store.clone(), away: self.away.clone() });
        let settings = Settings { partitions: 1, epoch: 1 };
        let mut executor = Executor::new(contexts(), settings, store, Box::new(broker), clock, Chance::seeded(1)).unwrap();
        executor.take(&harbour()).unwrap();
        executor.take(&ferry()).unwrap();
        executor
    }

    fn start(&self, on_crash: OnCrash) -> Running {
        let (handle, thread) =
            Bell::default().start(self.executor(Silent::default(), Box::new(SystemClock::default())), on_crash).unwrap();
        Running { handle, thread }
    }
}

struct Running {
    handle: Handle,
    thread: JoinHandle<Result<(), Stop>>,
}

impl Running {
    fn ask(&self, id: &str) -> Option<First> {
        let (ask, heard) = fill(id);
        self.handle.ask(ask).unwrap();
        heard.recv_timeout(SOON).ok()
    }

    fn holding(&self) -> Vec<Partition> {
        let (sender, answer) = channel();
        self.handle.holding(Box::new(move |held| sender.send(held).unwrap())).unwrap();
        answer.recv_timeout(SOON).unwrap()
    }

    fn release(&self, partition: Partition) {
        let (sender, answer) = channel();
        self.handle.release(partition, Box::new(move || sender.send(()).unwrap())).unwrap();
        answer.recv_timeout(SOON).unwrap();
    }

    fn take(&self, partition: Partition) -> Result<(), StoreError> {
        let (sender, answer) = channel();
        self.handle.take(partition, Box::new(move |taken| sender.send(taken).unwrap())).unwrap();
        answer.recv_timeout(SOON).unwrap()
    }

    /// Asks until the store is back.
    fn ask_until_done(&self) {
        let clock = SystemClock::default();
        let until = clock.monotonic() + SOON;
        let mut first = None;
        for n in 0.. {
            first = self.ask(&format!("again-{n}"));
            if !matches!(first, Some(First::Unavailable(_))) || clock.monotonic() > until {
                break;
            }
        }
        assert!(matches!(first, Some(First::Done { .. })), "{first:?}");
    }

    fn stop(self) -> Result<(), Stop> {
        self.handle.stop();
        self.thread.join().unwrap()
    }
}

struct Ear(Sender<First>);

impl Listener for Ear {
    fn first(&mut self, first: &First) {
        // Whoever asked may have gone.
        let _heard = self.0.send(first.clone());
    }
    fn outcome(&mut self, _: &Outcome) {}
    fn waits(&self) -> bool {
        false
    }
}

fn ask<C: Command>(id: &str, command: &C) -> (Ask, Receiver<First>) {
    let (sender, heard) = channel();
    (
        Ask {
            packet: Packet::of(command, Envelope::asked(id, "test", "tester", 1)).unwrap(),
            hash: "h".into(),
            listener: Box::new(Ear(sender)),
        },
        heard,
    )
}

fn fill(id: &str) -> (Ask, Receiver<First>) {
    ask(id, &FillPurse { purse: "p-1".to_owned(), amount: 1 })
}

#[test]
fn a_bell_wakes_an_owner_that_sleeps() {
    let (asked, hears) = channel();
    let bell = Bell::default();
    let executor = Rig::new().executor(Silent(Some(asked)), Box::new(SystemClock::default()));
    let (handle, thread) = bell.clone().start(executor, OnCrash::End).unwrap();
    for _ in 0..100 {
        // It may look more than once before it sleeps; nothing but the bell wakes it then.
        while hears.recv_timeout(Duration::from_millis(5)).is_ok() {}
        bell.ring();
        hears.recv_timeout(SOON).expect("it listens when it is rung for");
    }
    let other = Rig::new().executor(Silent::default(), Box::new(SystemClock::default()));
    assert!(bell.start(other, OnCrash::End).is_err(), "a bell wakes one owner");
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_partition_is_given_up_and_taken_again_while_the_owner_runs() {
    let owner = Rig::new().start(OnCrash::Again);
    assert!(matches!(owner.ask("one"), Some(First::Done { .. })));
    owner.release(harbour());
    assert_eq!(owner.holding(), [ferry()]);
    let Some(First::Unavailable(why)) = owner.ask("two") else { panic!("nobody here may take it") };
    assert!(why.contains("elsewhere"), "{why}");
    owner.take(harbour()).unwrap();
    assert!(matches!(owner.ask("two"), Some(First::Done { .. })));
    assert!(owner.take(Partition { context: "moon".into(), number: 0 }).is_err());
    assert_eq!(owner.holding(), [ferry(), harbour()]);
    owner.stop().unwrap();
}

#[test]
fn an_owner_ends_at_a_crash_or_outlives_it_as_it_was_told() {
    for on_crash in [OnCrash::End, OnCrash::Again] {
        let rig = Rig::new();
        let owner = rig.start(on_crash);
        assert!(matches!(owner.ask("one"), Some(First::Done { .. })));
        rig.away.store(true, Ordering::SeqCst);
        let first = owner.ask("two");
        if on_crash == OnCrash::End {
            assert_eq!(first, None);
            assert!(matches!(owner.thread.join().unwrap(), Err(Stop::Crash(_))));
            continue;
        }
        assert!(matches!(first, Some(First::Unavailable(_))), "{first:?}");
        assert!(matches!(owner.ask("three"), Some(First::Unavailable(_))));
        rig.away.store(false, Ordering::SeqCst);
        owner.ask_until_done();
        assert_eq!(owner.holding(), [harbour(), ferry()]);
        owner.stop().unwrap();
    }
}

#[test]
fn an_owner_whose_store_is_away_can_be_stopped_and_gives_partitions_up() {
    let rig = Rig::new();
    let owner = rig.start(OnCrash::Again);
    rig.away.store(true, Ordering::SeqCst);
    assert!(matches!(owner.ask("one"), Some(First::Unavailable(_))));
    assert!(owner.take(harbour()).is_err(), "nothing can be taken now");
    owner.release(ferry());
    owner.stop().unwrap();
}

#[test]
fn what_another_has_taken_during_an_outage_is_let_go() {
    let rig = Rig::new();
    let owner = rig.start(OnCrash::Again);
    rig.away.store(true, Ordering::SeqCst);
    assert!(matches!(owner.ask("one"), Some(First::Unavailable(_))));
    rig.store.lock().unwrap().take(&ferry(), None).unwrap().unwrap();
    rig.away.store(false, Ordering::SeqCst);
    owner.ask_until_done();
    assert_eq!(owner.holding(), [harbour()]);
    owner.stop().unwrap();
}

/// A clock that is moved by hand, in seconds.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> i64 {
        1_700_000_000_000_000 + 1_000_000 * i64::try_from(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1 + self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn no_deadline_passes_and_no_attempt_counts_while_the_store_is_away() {
    let (rig, clock) = (Rig::new(), Hand::default());
    let mut executor = rig.executor(Silent::default(), Box::new(clock.clone()));
    let (booking, heard) = ask("one", &crossing("x-1", "p-1", &["ann"]));
    executor.ask(booking);
    while executor.turn().unwrap() {}
    assert!(matches!(heard.try_recv(), Ok(First::Done { saga: Some(_), .. })));
    // A deadline is 15 minutes: ten before the outage, an hour in it, ten after it.
    clock.0.store(600, Ordering::SeqCst);
    while executor.turn().unwrap() {}
    rig.away.store(true, Ordering::SeqCst);
    executor.ask(fill("two").0);
    let stop = executor.turn().unwrap_err();
    executor.outlive(&stop);
    for minute in 11..70 {
        clock.0.store(60 * minute, Ordering::SeqCst);
        assert_eq!(executor.turn(), Ok(false));
        assert!(executor.due().unwrap() <= executor.now() + Duration::from_secs(5), "it tries again soon");
    }
    rig.away.store(false, Ordering::SeqCst);
    let stage = |rig: &Rig| {
        let stages = seedwork::view::Read::select(&*rig.store.lock().unwrap(), "SELECT stage FROM saga", &[]).unwrap();
        stages[0][0].text().unwrap().to_owned()
    };
    clock.0.store(71 * 60, Ordering::SeqCst);
    while executor.turn().unwrap() {}
    clock.0.store(80 * 60, Ordering::SeqCst);
    while executor.turn().unwrap() {}
    assert_eq!(stage(&rig), "running", "the deadline begins anew when the store is back");
    clock.0.store(87 * 60, Ordering::SeqCst);
    while executor.turn().unwrap() {}
    assert_eq!(stage(&rig), "undoing", "and then it passes");
}
