//! Leases between two owners, on a real PostgreSQL.
#![expect(clippy::disallowed_methods, reason = "tests of what happens with time, between connections")]

use std::thread::sleep;
use std::time::Instant;

use super::super::super::contract::parts as lot;
use super::*;
use crate::testing::databases::Databases;

const CONTEXT: &str = "lot";

/// An owner as far as leases go: what it takes, it takes in its store.
#[derive(Clone)]
struct Replica {
    store: Arc<Mutex<Postgres>>,
    held: Arc<Mutex<BTreeMap<Partition, u64>>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replica {
    fn new(url: &str) -> Replica {
        let mut store = Postgres::connect(url).unwrap();
        store.open(&Schema { states: vec![StateTable::plain("lot_car")], epoch: lot::EPOCH, ..Schema::default() }).unwrap();
        Replica { store: Arc::new(Mutex::new(store)), held: Arc::default() }
    }

    fn numbers(&self) -> Vec<u16> {
        lock(&self.held).keys().map(|partition| partition.number).collect()
    }

    /// Commits with the fence under which it took a partition, or believes that it holds it.
    fn write(&self, number: u16) -> Result<(), CommitError> {
        let partition = Partition { context: CONTEXT.into(), number };
        let fence = lock(&self.held).get(&partition).copied().unwrap();
        let heads = vec![lot::head(&partition, fence, 0)];
        let commands = vec![lot::command("ask", 1)];
        lock(&self.store).commit(&Writes { heads, commands, ..Writes::default() })
    }
}

impl Holder for Replica {
    fn take(&self, partition: Partition, answer: Told<Result<(), StoreError>>) {
        let taken = lock(&self.store).take(&partition, None);
        answer(taken.map(|taken| {
            lock(&self.held).insert(partition, taken.unwrap().fence);
        }));
    }

    fn release(&self, partition: Partition, answer: Told<()>) {
        lock(&self.held).remove(&partition);
        answer(());
    }

    fn holding(&self, answer: Told<Vec<Partition>>) {
        answer(lock(&self.held).keys().cloned().collect());
    }
}

fn settings() -> LeaseSettings {
    LeaseSettings { lease: Duration::from_millis(800), heartbeat: Duration::from_millis(100), ..LeaseSettings::default() }
}

fn run(url: &str, name: &str, replica: &Replica) -> Leases {
    Leases::run(url, CONTEXT, name, 8, replica.clone(), settings()).unwrap()
}

/// Waits for something that a heartbeat or some will bring; how long it took.
fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// What DESIGN promises of a replica that was killed or stands still, with room for a session that must be ended and topics that must be
/// opened.
const PROMISED: Duration = Duration::from_secs(15);

#[test]
fn what_a_dead_replica_held_is_taken_as_soon_as_its_lease_is_over_whenever_others_look() {
    let settings = LeaseSettings::default();
    for phase in (0..settings.heartbeat.as_millis() as u64).step_by(10).map(Duration::from_millis) {
        // It dies right after its heartbeat, at zero; the others' next one is so much later.
        let mut look = phase;
        while look <= settings.lease {
            look += settings.next(Some(settings.lease - look));
        }
        assert!(look <= settings.lease + AFTER, "at {look:?}");
        assert!(look + Duration::from_secs(6) < PROMISED);
    }
    let living = settings.lease - settings.heartbeat;
    assert_eq!(settings.next(Some(living)), settings.heartbeat, "who lives makes nobody look more often");
    assert_eq!(settings.next(None), settings.heartbeat);
}

#[test]
fn partitions_are_shared_fairly_and_those_of_a_replica_that_stops_go_to_the_others_at_once() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let [a, b, c] = [(); 3].map(|()| Replica::new(&url));
    let first = run(&url, "a", &a);
    until("one replica takes all", || a.numbers() == [0, 1, 2, 3, 4, 5, 6, 7]);
    let second = run(&url, "b", &b);
    until("two take half each", || a.numbers().len() == 4 && b.numbers().len() == 4);
    let third = run(&url, "c", &c);
    until("three take three, three and two", || {
        let mut all = [a.numbers(), b.numbers(), c.numbers()].concat();
        let counts = [a.numbers().len(), b.numbers().len(), c.numbers().len()];
        all.sort_unstable();
        counts.iter().all(|count| (2..=3).contains(count)) && all == [0, 1, 2, 3, 4, 5, 6, 7]
    });
    // What was given up at a batch's end costs the giver nothing of the rest.
    for replica in [&a, &b, &c] {
        for number in replica.numbers() {
            assert_eq!(replica.write(number), Ok(()));
        }
    }
    assert_eq!(third.report().trouble, None);
    let before = a.numbers().len() + b.numbers().len();
    third.stop();
    assert!(c.numbers().is_empty() && before < 8);
    let took = until("the others take them", || a.numbers().len() + b.numbers().len() == 8);
    assert!(took < settings().lease, "freed leases were waited for: {took:?}");
    first.stop();
    until("the last takes all", || second.report().held == [0, 1, 2, 3, 4, 5, 6, 7]);
    second.stop();
}

#[test]
fn a_replica_that_stands_still_past_its_lease_can_write_nothing_and_finds_out() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let [still, other] = [(); 2].map(|()| Replica::new(&url));
    // Its heartbeats are made by hand, so that they can end.
    let mut table = Table::new(&url, CONTEXT, "still", 2, &settings()).unwrap();
    assert_eq!(table.beat().unwrap().mine, BTreeSet::from([0, 1]));
    for number in [0, 1] {
        still.take(Partition { context: CONTEXT.into(), number }, Box::new(|taken| taken.unwrap()));
        assert_eq!(still.write(number), Ok(()));
    }
    let leases = Leases::run(&url, CONTEXT, "other", 2, other.clone(), settings()).unwrap();
    let took = until("the other takes both when the leases have expired", || other.numbers() == [0, 1]);
    assert!(took > settings().lease / 2, "a lease that is held was taken: {took:?}");
    for number in [0, 1] {
        assert_eq!(still.write(number), Err(CommitError::Fenced(vec![Partition { context: CONTEXT.into(), number }])));
        assert_eq!(other.write(number), Ok(()));
    }
    assert_eq!(table.beat().unwrap().mine, BTreeSet::new());
    assert_eq!(table.beat().unwrap().share, 1, "but it lives again, and shares");
    leases.stop();
}

#[test]
fn an_older_build_takes_nothing_that_a_newer_one_has_held_and_says_so() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let [newer, older] = [(); 2].map(|()| Replica::new(&url));
    let present =
        Leases::run(&url, CONTEXT, "newer", 2, newer.clone(), LeaseSettings { format: FORMAT + 1, ..settings() }).unwrap();
    until("the newer build takes both", || newer.numbers() == [0, 1]);
    let past = run(&url, "older", &older);
    until("the older build takes what no newer one has held", || past.report().held == [2, 3, 4, 5]);
    present.stop();
    until("it says why it takes no more", || past.report().trouble.is_some_and(|why| why.contains("newer build (format 2)")));
    until("and the rest of what none has held", || past.report().held == [2, 3, 4, 5, 6, 7]);
    past.stop();
}

#[test]
fn what_the_owner_lost_is_taken_again_while_the_lease_is_held() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let replica = Replica::new(&url);
    let leases = Leases::run(&url, CONTEXT, "a", 1, replica.clone(), settings()).unwrap();
    until("it takes the partition", || replica.numbers() == [0]);
    lock(&replica.held).clear();
    until("it takes it again", || replica.numbers() == [0] && replica.write(0) == Ok(()));
    leases.stop();
}
