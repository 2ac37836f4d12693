//! An owner in a few lines: a log in memory, a relay that sends again what it is told to, a reader with marks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use seedwork::broker::pulsar::Pulsar;
use seedwork::broker::{Broker, Foreign, Heard, Subscription};
use seedwork::inbox::{self, Seen};
use seedwork::store::{Destination, LogRow, Partition, Place, Route, Sqlite};

pub const EPOCH: u64 = 3;

pub fn lot(number: u16) -> Partition {
    Partition { context: "lot".into(), number }
}

pub fn to(topic: &str, partition: u16) -> Destination {
    Destination { topic: topic.into(), partition }
}

/// The row at a position, of so many bytes at least.
pub fn row(from: &Partition, to: &Destination, position: u64, bytes: usize) -> LogRow {
    let place = |position| Place { epoch: EPOCH, position };
    let filling = "x".repeat(bytes);
    let raw = format!(
        r#"{{"specversion":"1.0","id":"{from}/{position}","source":"lot","type":"lot.entered.v1","subject":"car-{position}","time":1,"Entered":{{"x":"{filling}"}}}}"#
    );
    LogRow {
        route: Route { from: from.clone(), to: to.clone() },
        place: place(position),
        predecessor: (position > 1).then(|| place(position - 1)),
        raw: raw.into_bytes().into(),
        packet: None,
        times: [0; 3],
    }
}

/// See the module's text.
pub struct Story {
    pub broker: Pulsar,
    store: Sqlite,
    /// What was committed on each route, and up to which position each row is safe.
    log: BTreeMap<Route, (Vec<LogRow>, u64)>,
    marks: BTreeMap<(Subscription, Route), Place>,
    pub taken: BTreeMap<Subscription, Vec<LogRow>>,
    pub foreign: Vec<Foreign>,
    pub duplicates: usize,
    pub failures: usize,
    /// Acknowledges what it hears.
    pub acknowledges: bool,
}

impl Story {
    pub fn of(broker: Pulsar) -> Story {
        Story {
            broker,
            store: Sqlite::memory().unwrap(),
            log: BTreeMap::new(),
            marks: BTreeMap::new(),
            taken: BTreeMap::new(),
            foreign: Vec::new(),
            duplicates: 0,
            failures: 0,
            acknowledges: true,
        }
    }

    pub fn subscribe(&mut self, reader: &str, to: &Destination) -> Subscription {
        let reader = Partition { context: reader.into(), number: to.partition };
        let subscription = Subscription { reader, to: to.clone() };
        self.broker.subscribe(&subscription, &[], &mut self.store).unwrap();
        subscription
    }

    /// The same of a process that has taken the partition.
    pub fn subscribe_under(&mut self, fence: u64, reader: &str, to: &Destination) -> Subscription {
        self.broker.took(&Partition { context: reader.into(), number: to.partition }, fence);
        self.subscribe(reader, to)
    }

    /// The store says how far the reader is with a route.
    pub fn mark(&mut self, reader: &Subscription, from: &Partition, position: u64) {
        let route = Route { from: from.clone(), to: reader.to.clone() };
        self.marks.insert((reader.clone(), route), Place { epoch: EPOCH, position });
    }

    /// Commits so many rows more and sends them.
    pub fn send(&mut self, from: &Partition, to: &Destination, count: u64) {
        let route = Route { from: from.clone(), to: to.clone() };
        let (rows, _) = self.log.entry(route).or_default();
        let first = rows.len() as u64 + 1;
        rows.extend((first..first + count).map(|position| row(from, to, position, 0)));
        let new = rows[first as usize - 1..].to_vec();
        self.broker.send(&new);
    }

    fn again(&mut self, route: &Route, after: u64) {
        let Some((rows, _)) = self.log.get(route) else { return };
        let rows: Vec<LogRow> = rows.iter().filter(|row| row.place.position > after).cloned().collect();
        self.broker.send(&rows);
    }

    /// Hears once, and says whether there was anything.
    pub fn hear(&mut self) -> bool {
        let mut heard = Vec::new();
        self.broker.hear(512, &mut self.store, &mut heard).unwrap();
        let any = !heard.is_empty();
        let mut settled = BTreeMap::new();
        for one in heard {
            match one {
                Heard::Message(subscription, number, row) => {
                    let mark = self.marks.get(&(subscription.clone(), row.route.clone())).copied();
                    match inbox::seen(&row, mark) {
                        Seen::Next => {
                            self.marks.insert((subscription.clone(), row.route.clone()), row.place);
                            self.taken.entry(subscription.clone()).or_default().push(row);
                        }
                        Seen::Duplicate => self.duplicates += 1,
                        Seen::Gap => {}
                    }
                    settled.insert(subscription, number);
                }
                Heard::Foreign(subscription, number, foreign) => {
                    self.foreign.push(foreign);
                    settled.insert(subscription, number);
                }
                Heard::Receipt(route, upto) => {
                    let (_, safe) = self.log.entry(route).or_default();
                    *safe = upto.position.max(*safe);
                }
                Heard::Failed(route) => {
                    self.failures += 1;
                    let after = self.log.get(&route).map_or(0, |(_, safe)| *safe);
                    self.again(&route, after);
                }
                Heard::Turn(route, mark) => self.again(&route, mark.map_or(0, |mark| mark.position)),
            }
        }
        if self.acknowledges {
            for (subscription, number) in settled {
                self.broker.acknowledge(&subscription, number);
            }
        }
        any
    }

    /// Hears until this is so, or fails after some time.
    pub fn until(&mut self, what: &str, mut so: impl FnMut(&Story) -> bool) -> Duration {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
            if !self.hear() {
                // The broker of `connect` wakes this thread.
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        begun.elapsed()
    }

    /// Whether everything that was committed on a route has its receipt.
    pub fn safe(&self, from: &Partition, to: &Destination) -> bool {
        let route = Route { from: from.clone(), to: to.clone() };
        self.log.get(&route).is_some_and(|(rows, safe)| rows.len() as u64 == *safe)
    }

    /// Everything committed for a reader was taken once, in order, whole.
    pub fn assert_all(&self, reader: &Subscription) {
        let taken = self.taken.get(reader).map_or(&[][..], Vec::as_slice);
        for (route, (rows, _)) in self.log.iter().filter(|(route, _)| route.to == reader.to) {
            let of: Vec<&LogRow> = taken.iter().filter(|row| row.route == *route).collect();
            assert!(of.len() == rows.len() && of.iter().zip(rows).all(|(taken, sent)| *taken == sent), "all of {route:?}");
        }
    }

    /// How many a reader has taken.
    pub fn count(&self, reader: &Subscription) -> usize {
        self.taken.get(reader).map_or(0, Vec::len)
    }
}
