//! The same over a real PostgreSQL and a real Apache Pulsar, with leases: services in this process.
#![expect(clippy::disallowed_methods, reason = "servers take real time")]

use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use seedwork::broker::pulsar::{Edge, Pulsar, Settings as Broker};
use seedwork::clock::{Chance, Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{Executor, Settings, Stop};
use seedwork::log::partition_of;
use seedwork::message::{Command, Entry, Envelope, Packet, Role, topic_schema};
use seedwork::store::Postgres;
use seedwork::store::postgres::{LeaseSettings, Leases, Readers};
use seedwork::testing::databases::Databases;
use seedwork::testing::servers;
use seedwork::view::{Read, stored, table};
use seedwork::{Aggregate, store};

use super::*;

const PARTITIONS: u16 = 4;

/// Waits for something that takes a while on a machine that works.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a build says and hears: the tables of all messages.
fn tables(newer: bool) -> Vec<Entry> {
    let mut all = [ferry::harbour_v1::TABLE, ferry::ferry_v1::TABLE].concat();
    for entry in [next::harbour::TABLE, next::ferry::TABLE].concat().into_iter().filter(|_| newer) {
        all.retain(|known| known.kind != entry.kind);
        all.push(entry);
    }
    all
}

/// A namespace of its own on the broker.
fn broker() -> Option<Broker> {
    let (url, admin) = (servers::pulsar()?, servers::pulsar_admin()?);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let namespace = format!("upgrade{}", since.as_nanos());
    let made = ureq::put(format!("{admin}/admin/v2/namespaces/public/{namespace}")).send_empty().unwrap();
    assert_eq!(made.status(), 204);
    Some(Broker { namespace, admin: Some(admin), partitions: PARTITIONS, ..Broker::new(url, "edge") })
}

/// The broker's settings of a process of a build.
fn broker_of(broker: &Broker, name: &str, newer: bool) -> Broker {
    let tables = tables(newer);
    let mut settings = Broker { name: name.to_owned(), ..broker.clone() };
    for context in ["harbour", "ferry"] {
        for role in [Role::Command, Role::Event, Role::Reply] {
            let schema = topic_schema(context, role, &[&tables]).to_string();
            settings.schemas.insert(format!("{context}.{}", role.topic()).into(), schema.into());
        }
    }
    settings
}

/// A process of one context.
struct Service {
    handle: Handle,
    thread: JoinHandle<std::result::Result<(), Stop>>,
    leases: Leases,
}

impl Service {
    fn start(contexts: Vec<Context>, context: &str, url: &str, broker: Broker, newer: bool) -> Service {
        let clock = SystemClock::default();
        let settings = Settings { partitions: PARTITIONS, epoch: u64::try_from(clock.now() / 1000).unwrap() };
        let contexts = contexts.into_iter().filter(|known| known.name() == context).collect();
        let (bell, name) = (Bell::default(), broker.name.clone());
        let ring = bell.clone();
        let broker = Pulsar::connect(broker, move || ring.ring()).unwrap();
        let store = Postgres::connect(url).unwrap();
        let chance = Chance::from_system().unwrap();
        let executor = Executor::new(contexts, settings, Box::new(store), Box::new(broker), Box::new(clock), chance).unwrap();
        let (handle, thread) = bell.start(executor, OnCrash::Again).unwrap();
        let leases = LeaseSettings {
            lease: Duration::from_secs(3),
            heartbeat: Duration::from_millis(200),
            format: store::FORMAT + u32::from(newer),
            ..LeaseSettings::default()
        };
        let leases = Leases::run(url, context, &name, PARTITIONS, handle.clone(), leases).unwrap();
        Service { handle, thread, leases }
    }

    fn held(&self) -> Vec<u16> {
        self.leases.report().held
    }

    fn stop(self) {
        self.leases.stop();
        self.handle.stop();
        self.thread.join().unwrap().unwrap();
    }
}

/// Whoever asks, over the broker.
struct Customers {
    edge: Edge,
    runtime: tokio::runtime::Runtime,
}

impl Customers {
    fn ask<C: Command>(&self, id: &str, command: &C) {
        let envelope = Envelope { answer_to: Some(self.edge.answer_to().into()), ..Envelope::asked(id, "test", "tester", 1) };
        let packet = Packet::of(command, envelope).unwrap();
        self.runtime.block_on(self.edge.send("harbour", &packet, id)).unwrap();
    }

    fn book(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.ask(&format!("book-{number}"), &crossing(&id(number), "purse", &["ann"]));
        }
    }
}

fn all<A: Aggregate>(read: &Readers, context: &str) -> Vec<A> {
    let rows = read.select(&format!("SELECT version, format, body FROM {}", table::<A>(context)), &[]).unwrap();
    rows.iter().map(|row| stored::<A>(row).unwrap().value).collect()
}

fn sagas(read: &Readers) -> Vec<(String, SagaRecord)> {
    let rows = read.select("SELECT id, body FROM saga ORDER BY id", &[]).unwrap();
    let record = |row: Vec<seedwork::view::Value>| {
        (row[0].text().unwrap().to_owned(), serde_json::from_str(row[1].text().unwrap()).unwrap())
    };
    rows.into_iter().map(record).collect()
}

fn ended(read: &Readers) -> usize {
    sagas(read).iter().filter(|(_, record)| record.run.stage.ended()).count()
}

#[test]
fn an_old_and_a_new_replica_share_the_partitions_under_load_and_every_saga_ends_as_it_began() {
    let (Some(mut databases), Some(broker)) = (Databases::find(), broker()) else { return };
    let (harbour, docks) = (databases.make(), databases.make());
    let old = Service::start(ferry::contexts(), "harbour", &harbour, broker_of(&broker, "old", false), false);
    until("the old replica holds everything", || old.held() == [0, 1, 2, 3]);
    let edge = Edge::connect(broker_of(&broker, "edge", false), |_| ()).unwrap();
    let customers = Customers { edge, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() };
    let read = Readers::new(&harbour).unwrap();
    customers.ask("fill", &FillPurse { purse: "purse".to_owned(), amount: 10_000 });
    customers.book(0..40);
    // The ferry is not there yet, so each waits for its berth.
    until("forty sagas are on their way", || sagas(&read).len() == 40);

    let new = Service::start(next_build(), "harbour", &harbour, broker_of(&broker, "new", true), true);
    until("each has half", || old.held().len() == 2 && new.held().len() == 2);
    let moved: Vec<u16> = new.held();
    let moved = (0..40).filter(|number| moved.contains(&partition_of(&id(*number), PARTITIONS))).count();
    assert!((1..40).contains(&moved), "{moved} sagas of the old build go on under the new one");
    let docked = Service::start(ferry::contexts(), "ferry", &docks, broker_of(&broker, "ferry", false), false);
    customers.book(40..160);
    until("every saga has ended", || ended(&read) == 160);
    assert_eq!((old.held().len(), new.held().len()), (2, 2), "both were at it all the time");

    old.stop();
    until("the new replica holds everything", || new.held() == [0, 1, 2, 3]);
    customers.book(160..180);
    until("every saga has ended", || ended(&read) == 180);
    let docks = Readers::new(&docks).unwrap();
    until("every event was heard", || all::<Known>(&docks, "ferry").len() == 180);
    let sagas = sagas(&read);
    let found = Found {
        versions: versions(&sagas),
        crossings: all(&read, "harbour"),
        berths: all(&docks, "ferry"),
        fares: all(&read, "harbour"),
        known: all(&docks, "ferry"),
    };
    assert_whole(&found, &sagas, 180);
    let of = |numbers: std::ops::Range<usize>| {
        let versions: std::collections::BTreeSet<u32> = numbers.map(|number| found.versions[&id(number)]).collect();
        versions.into_iter().collect::<Vec<_>>()
    };
    assert_eq!((of(0..40), of(40..160), of(160..180)), (vec![1], vec![1, 2], vec![2]));

    // What the new build has held the old one does not take.
    let past = Service::start(ferry::contexts(), "harbour", &harbour, broker_of(&broker, "past", false), false);
    new.stop();
    until("the old build says why it takes nothing", || {
        past.leases.report().trouble.is_some_and(|why| why.contains("newer build"))
    });
    assert!(past.held().is_empty());
    past.stop();
    docked.stop();
}
