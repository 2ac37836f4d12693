//! What the broker's suite works with: producers over a log in memory, and readers that keep marks.

use std::collections::BTreeMap;

use super::*;
use crate::inbox::{self, Seen};
use crate::store::{HeadWrite, Schema, Sqlite, Writes};

const EPOCH: u64 = 3;
const TOPIC: &str = "lot.events";

/// A producer.
pub(super) fn lot(number: u16) -> Partition {
    Partition { context: "lot".into(), number }
}

/// A destination.
pub(super) fn cars(partition: u16) -> Destination {
    Destination { topic: TOPIC.into(), partition }
}

fn origins() -> Vec<Partition> {
    vec![lot(0), lot(1)]
}

/// A reader of one destination, as an owner is one.
struct Reader {
    subscription: Subscription,
    marks: BTreeMap<Route, Place>,
    taken: Vec<LogRow>,
    /// It drops what comes beyond so many, as if it had died.
    limit: usize,
    heard: usize,
    gaps: usize,
    number: u64,
}

/// One producing and reading process, its store, and the broker.
pub(super) struct Rig {
    store: Sqlite,
    broker: Option<Box<dyn Broker>>,
    fences: BTreeMap<Partition, u64>,
    positions: BTreeMap<Partition, u64>,
    last: BTreeMap<Route, Place>,
    receipts: BTreeMap<Route, Place>,
    readers: Vec<Reader>,
}

impl Rig {
    pub fn fresh(subject: &mut dyn Subject) -> Rig {
        let mut store = Sqlite::memory().expect("SQLite has memory");
        store.open(&Schema { epoch: EPOCH, ..Schema::default() }).expect("a store in memory opens");
        let take = |partition: Partition| {
            let taken = store.take(&partition, None).expect("the store is there").expect("nobody else is");
            (partition, taken.fence)
        };
        let fences = origins().into_iter().map(take).collect();
        Rig {
            store,
            broker: Some(subject.fresh(&origins())),
            fences,
            positions: BTreeMap::new(),
            last: BTreeMap::new(),
            receipts: BTreeMap::new(),
            readers: Vec::new(),
        }
    }

    fn broker(&mut self) -> &mut dyn Broker {
        &mut **self.broker.as_mut().expect("a broker")
    }

    /// A new reader: its place among the readers.
    pub fn subscribe(&mut self, context: &str, to: &Destination) -> usize {
        let reader = Partition { context: context.into(), number: to.partition };
        let subscription = Subscription { reader, to: to.clone() };
        let (marks, taken) = (BTreeMap::new(), Vec::new());
        self.readers.push(Reader { subscription, marks, taken, limit: usize::MAX, heard: 0, gaps: 0, number: 0 });
        self.resubscribe(self.readers.len() - 1);
        self.readers.len() - 1
    }

    pub fn resubscribe(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        reader.number = 0;
        let marks: Vec<(Route, Place)> = reader.marks.iter().map(|(route, mark)| (route.clone(), *mark)).collect();
        let broker = self.broker.as_mut().expect("a broker");
        broker.subscribe(&reader.subscription, &marks, &mut self.store).expect("one can subscribe");
    }

    pub fn unsubscribe(&mut self, reader: usize) {
        let subscription = self.readers[reader].subscription.clone();
        self.broker().unsubscribe(&subscription);
    }

    /// From now on this reader drops what comes when it has taken so many.
    pub fn take_only(&mut self, reader: usize, limit: usize) {
        self.readers[reader].limit = limit;
    }

    fn commit(&mut self, from: &Partition, to: &Destination, count: usize) -> Vec<LogRow> {
        let route = Route { from: from.clone(), to: to.clone() };
        let position = self.positions.entry(from.clone()).or_default();
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            *position += 1;
            let place = Place { epoch: EPOCH, position: *position };
            let raw = format!(
                r#"{{"id":"{from}/{position}","source":"lot","type":"lot.entered.v1","subject":"car-{position}","time":1,"Entered":{{}}}}"#
            );
            let predecessor = self.last.insert(route.clone(), place);
            rows.push(LogRow {
                route: route.clone(),
                place,
                predecessor,
                raw: raw.into_bytes().into(),
                packet: None,
                times: [1, 2, 3],
            });
        }
        let head = HeadWrite { partition: from.clone(), fence: self.fences[from], epoch: EPOCH, position: *position, relayed: 0 };
        let destinations = self.last.get(&route).map(|place| (from.clone(), to.clone(), *place)).into_iter().collect();
        let writes = Writes { heads: vec![head], destinations, log: rows.clone(), ..Writes::default() };
        assert_eq!(self.store.commit(&writes), Ok(()));
        rows
    }

    /// Commits rows and sends them.
    pub fn send(&mut self, from: &Partition, to: &Destination, count: usize) {
        let rows = self.commit(from, to, count);
        self.relay(&rows);
    }

    /// Commits a row that the broker never gets.
    pub fn lose(&mut self, from: &Partition, to: &Destination) {
        self.commit(from, to, 1);
    }

    fn relay(&mut self, rows: &[LogRow]) {
        if self.broker().send(rows) == Taken::Already {
            for row in rows {
                self.receipts.insert(row.route.clone(), row.place);
            }
        }
    }

    /// Sends a route's rows after a place again, as the relay does.
    fn again(&mut self, route: &Route, after: Place0) {
        let rows = self.store.log_after(&route.from, after, Some(&route.to), usize::MAX >> 1).expect("the store is there");
        self.relay(&rows);
    }

    /// Hears once, at most about so many messages; returns whether there was anything.
    pub fn hear(&mut self, limit: usize) -> bool {
        let mut heard = Vec::new();
        let broker = self.broker.as_mut().expect("a broker");
        broker.hear(limit, &mut self.store, &mut heard).expect("one can hear");
        let messages = heard.iter().filter(|one| matches!(one, Heard::Message(..))).count();
        assert!(messages <= 2 * limit * self.readers.len().max(1), "{messages} messages, where about {limit} were asked for");
        let any = !heard.is_empty();
        for one in heard {
            match one {
                Heard::Message(subscription, number, row) => self.message(&subscription, number, row),
                Heard::Foreign(subscription, ..) => panic!("nobody sent a foreign message to {subscription:?}"),
                Heard::Receipt(route, upto) => {
                    let known = self.receipts.entry(route).or_insert(upto);
                    *known = upto.max(*known);
                }
                Heard::Failed(route) => self.again(&route, self.receipts.get(&route).copied()),
                Heard::Turn(route, mark) => self.again(&route, mark),
            }
        }
        any
    }

    fn message(&mut self, subscription: &Subscription, number: u64, row: LogRow) {
        assert_eq!(row.route.to, subscription.to, "a message of the destination that was subscribed to");
        let Some(reader) = self.readers.iter_mut().find(|reader| reader.subscription == *subscription) else {
            panic!("a message for {subscription:?}, which nobody made");
        };
        assert!(number > reader.number, "numbers rise: {number} after {}", reader.number);
        (reader.number, reader.heard) = (number, reader.heard + 1);
        if reader.taken.len() >= reader.limit {
            return;
        }
        match inbox::seen(&row, reader.marks.get(&row.route).copied()) {
            Seen::Next => {
                reader.marks.insert(row.route.clone(), row.place);
                reader.taken.push(row);
            }
            Seen::Duplicate => {}
            Seen::Gap => reader.gaps += 1,
        }
        self.broker().acknowledge(subscription, number);
    }

    /// Hears until nothing comes any more.
    pub fn pump(&mut self, subject: &mut dyn Subject) {
        let mut quiet = 0;
        for _ in 0..100_000 {
            if self.hear(50) {
                quiet = 0;
            } else {
                quiet += 1;
                if !subject.wait(quiet) {
                    return;
                }
            }
        }
        panic!("there is always more to hear");
    }

    /// The reader asks the producer to turn back to its mark.
    pub fn turn_back(&mut self, reader: usize, from: &Partition) {
        let route = Route { from: from.clone(), to: self.readers[reader].subscription.to.clone() };
        let mark = self.readers[reader].marks.get(&route).copied();
        self.broker().turn_back(&route, mark);
    }

    /// The process dies and begins anew: its readers know their marks, its relay sends again what has no receipt.
    pub fn restart(&mut self, subject: &mut dyn Subject) {
        self.broker = None;
        self.broker = Some(subject.again(&origins()));
        (0..self.readers.len()).for_each(|reader| self.resubscribe(reader));
        let routes: Vec<Route> = self.last.keys().cloned().collect();
        for route in routes {
            self.again(&route, self.receipts.get(&route).copied());
        }
    }

    /// What a reader took from a partition: the positions.
    pub fn taken(&self, reader: usize, from: &Partition) -> Vec<u64> {
        self.readers[reader].taken.iter().filter(|row| row.route.from == *from).map(|row| row.place.position).collect()
    }

    pub fn heard(&self, reader: usize) -> usize {
        self.readers[reader].heard
    }

    pub fn gaps(&self, reader: usize) -> usize {
        self.readers[reader].gaps
    }

    pub fn has_receipts(&self, route: &Route) -> bool {
        self.last.get(route) == self.receipts.get(route)
    }

    /// A hole before which so many rows are: nothing was taken past it, and it was seen. A broker that reads the log itself may have
    /// closed it without being asked: then all is there.
    pub fn assert_hole(&mut self, reader: usize, from: &Partition, before: usize, all: usize) {
        if self.taken(reader, from).len() == all {
            return self.assert_all(reader, from, all);
        }
        assert_eq!(self.taken(reader, from).len(), before, "nothing is taken past a hole");
        assert!(self.gaps(reader) > 0, "the hole is seen");
    }

    /// A reader took every row that was committed for it, once, in order, whole; so many.
    pub fn assert_all(&mut self, reader: usize, from: &Partition, count: usize) {
        let to = self.readers[reader].subscription.to.clone();
        let sent = self.store.log_after(from, None, Some(&to), usize::MAX >> 1).expect("the store is there");
        let taken: Vec<LogRow> = self.readers[reader].taken.iter().filter(|row| row.route.from == *from).cloned().collect();
        let taken: Vec<LogRow> = taken.into_iter().map(|row| LogRow { packet: None, times: [1, 2, 3], ..row }).collect();
        assert_eq!(taken.len(), count, "reader {reader} of {to:?} from {from}");
        assert_eq!(taken, sent, "reader {reader} of {to:?} from {from}");
    }
}
