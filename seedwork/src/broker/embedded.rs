//! The broker in process: its topics are the log in the same file, so a row is safe with it at its commit, and what is in memory is
//! only a short cut past the disk.

use std::collections::{BTreeMap, VecDeque};

use super::{Broker, Heard, Subscription, Taken};
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreResult};

/// Messages kept in memory; what comes beyond is read back from the log when its turn comes.
const MEMORY: usize = 10_000;

/// What one subscription has yet to hear of one route: from memory, then from the log.
#[derive(Default)]
struct Reader {
    number: u64,
    /// Routes whose rows must be read from the log.
    behind: BTreeMap<Route, Behind>,
}

/// Rows to be read from the log: after which place, and at least up to which. The last of them may be on their way to the disk yet.
#[derive(Clone, Copy)]
struct Behind {
    after: Place0,
    upto: Place0,
}

/// See the module's text.
pub struct Embedded {
    origins: Vec<Partition>,
    memory: usize,
    readers: BTreeMap<Subscription, Reader>,
    by_destination: BTreeMap<Destination, Vec<Subscription>>,
    queue: VecDeque<(Subscription, LogRow)>,
    /// Up to which place of its stream each partition's rows have been handed to their readers.
    handed: BTreeMap<Partition, Place>,
    /// Up to which place of a route its reader has taken rows in the batch that wrote them.
    taken: BTreeMap<Route, Place>,
}

impl Embedded {
    /// A broker for the streams of these partitions, all in one store.
    pub fn new(origins: Vec<Partition>) -> Embedded {
        Embedded::with_memory(origins, MEMORY)
    }

    /// The same with another bound for what is kept in memory (messages).
    pub fn with_memory(origins: Vec<Partition>, memory: usize) -> Embedded {
        Embedded {
            origins,
            memory,
            readers: BTreeMap::new(),
            by_destination: BTreeMap::new(),
            queue: VecDeque::new(),
            handed: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }
}

impl Embedded {
    /// Carries this partition's stream too.
    pub(super) fn add_origin(&mut self, origin: &Partition) {
        if !self.origins.contains(origin) {
            self.origins.push(origin.clone());
        }
    }

    /// Puts rows that have not been handed on before where their readers find them.
    fn hand(&mut self, rows: &[LogRow]) {
        for row in rows {
            match self.handed.get_mut(&row.route.from) {
                Some(handed) if *handed >= row.place => continue,
                Some(handed) => *handed = row.place,
                None => drop(self.handed.insert(row.route.from.clone(), row.place)),
            }
            if self.taken.get(&row.route).is_some_and(|taken| *taken >= row.place) {
                continue;
            }
            for subscription in self.by_destination.get(&row.route.to).map_or(&[][..], Vec::as_slice) {
                let Some(reader) = self.readers.get_mut(subscription) else { continue };
                match reader.behind.get_mut(&row.route) {
                    Some(behind) => behind.upto = Some(row.place),
                    None if self.queue.len() >= self.memory => {
                        let behind = Behind { after: row.predecessor, upto: Some(row.place) };
                        reader.behind.insert(row.route.clone(), behind);
                    }
                    None => self.queue.push_back((subscription.clone(), row.clone())),
                }
            }
        }
    }
}

impl Broker for Embedded {
    fn subscribe(&mut self, subscription: &Subscription, marks: &[(Route, Place)], store: &mut dyn Store) -> StoreResult<()> {
        self.unsubscribe(subscription);
        // Whoever takes a partition may write its rows again under the same places.
        self.handed.remove(&subscription.reader);
        self.taken.retain(|route, _| route.from != subscription.reader && route.to != subscription.to);
        let mut reader = Reader::default();
        for from in &self.origins {
            let route = Route { from: from.clone(), to: subscription.to.clone() };
            let mark = marks.iter().find(|(of, _)| *of == route).map(|(_, mark)| *mark);
            // A log of millions of rows is not searched for a route on which nothing is new.
            let last = store.last_sent(&route)?;
            if last > mark {
                reader.behind.insert(route, Behind { after: mark, upto: last });
            }
        }
        self.readers.insert(subscription.clone(), reader);
        self.by_destination.entry(subscription.to.clone()).or_default().push(subscription.clone());
        Ok(())
    }

    fn unsubscribe(&mut self, subscription: &Subscription) {
        self.readers.remove(subscription);
        if let Some(subscriptions) = self.by_destination.get_mut(&subscription.to) {
            subscriptions.retain(|other| other != subscription);
        }
        self.queue.retain(|(of, _)| of != subscription);
    }

    fn send(&mut self, rows: &[LogRow]) -> Taken {
        self.hand(rows);
        Taken::Already
    }

    fn ahead(&mut self, rows: &[LogRow]) -> bool {
        self.hand(rows);
        !self.queue.is_empty()
    }

    fn takes(&mut self, subscription: &Subscription, row: &LogRow) -> bool {
        let alone = self.by_destination.get(&row.route.to).is_some_and(|readers| readers.len() == 1);
        let reader = self.readers.get(subscription).filter(|reader| alone && !reader.behind.contains_key(&row.route));
        if reader.is_none() || !self.origins.contains(&row.route.from) {
            return false;
        }
        match self.taken.get_mut(&row.route) {
            Some(taken) => *taken = row.place,
            None => drop(self.taken.insert(row.route.clone(), row.place)),
        }
        true
    }

    fn hear(&mut self, limit: usize, store: &mut dyn Store, into: &mut Vec<Heard>) -> StoreResult<()> {
        let mut left = limit;
        while left > 0 {
            let Some((subscription, row)) = self.queue.pop_front() else { break };
            if let Some(reader) = self.readers.get_mut(&subscription) {
                reader.number += 1;
                into.push(Heard::Message(subscription, reader.number, row));
                left -= 1;
            }
        }
        // What is in memory of a route is older than what must be read of it, so the log comes after.
        if !self.queue.is_empty() {
            return Ok(());
        }
        for (subscription, reader) in &mut self.readers {
            let routes: Vec<Route> = reader.behind.keys().cloned().collect();
            for route in routes {
                if left == 0 {
                    break;
                }
                let Some(Behind { after, upto }) = reader.behind.get(&route).copied() else { continue };
                let rows = store.log_after(&route.from, after, Some(&route.to), left)?;
                let after = rows.last().map_or(after, |last| Some(last.place));
                if rows.len() < left && after >= upto {
                    reader.behind.remove(&route);
                } else {
                    reader.behind.insert(route, Behind { after, upto });
                }
                left -= rows.len();
                for row in rows {
                    reader.number += 1;
                    into.push(Heard::Message(subscription.clone(), reader.number, row));
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, _subscription: &Subscription, _upto: u64) {
        // The mark in the same file is the acknowledgement.
    }

    fn turn_back(&mut self, route: &Route, mark: Place0) {
        for subscription in self.by_destination.get(&route.to).map_or(&[][..], Vec::as_slice) {
            let Some(reader) = self.readers.get_mut(subscription) else { continue };
            // Another reader of the route may not be as far as the one that asks: it goes on where it is.
            let queued = || self.queue.iter().filter(|(of, row)| of == subscription && row.route == *route).map(|(_, row)| row);
            let first = queued().next().map(|row| row.predecessor);
            let before = reader.behind.get(route).copied();
            let after = [Some(mark), first, before.map(|before| before.after)].into_iter().flatten().min().flatten();
            let upto = queued().map(|row| row.place).max().max(before.and_then(|before| before.upto));
            reader.behind.insert(route.clone(), Behind { after, upto });
        }
        self.queue.retain(|(_, row)| row.route != *route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::contract::{self, Subject};

    /// So little memory that the suite goes through the log, too.
    struct Small(usize);

    impl Subject for Small {
        fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
            Box::new(Embedded::with_memory(origins.to_vec(), self.0))
        }
        fn again(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
            self.fresh(origins)
        }
    }

    /// The route of a partition that reads what it says on a topic, and an empty store.
    fn reads_itself(topic: &str) -> (Route, Subscription, crate::store::Sqlite) {
        let from = Partition { context: "lot".into(), number: 0 };
        let to = Destination { topic: topic.into(), partition: 0 };
        let mut store = crate::store::Sqlite::memory().unwrap();
        store.open(&crate::store::Schema { epoch: 1, ..Default::default() }).unwrap();
        (Route { from: from.clone(), to: to.clone() }, Subscription { reader: from, to }, store)
    }

    #[test]
    fn it_passes_the_suite_whatever_fits_into_its_memory() {
        for memory in [MEMORY, 16, 1, 0] {
            contract::check(&mut Small(memory));
        }
    }

    #[test]
    fn what_its_reader_takes_as_it_is_said_is_not_heard_again_but_by_whoever_begins_anew() {
        let (route, subscription, mut store) = reads_itself("lot.replies");
        let mut broker = Embedded::new(vec![route.from.clone()]);
        let row = |position, predecessor| LogRow {
            route: route.clone(),
            place: Place { epoch: 1, position },
            predecessor,
            raw: std::sync::Arc::from(&b"{}"[..]),
            packet: None,
            times: [0; 3],
        };
        let heard = |broker: &mut Embedded, store: &mut crate::store::Sqlite| {
            let mut heard = Vec::new();
            broker.hear(10, store, &mut heard).unwrap();
            heard.len()
        };
        let first = row(1, None);
        assert!(!broker.takes(&subscription, &first), "nobody reads here");
        broker.subscribe(&subscription, &[], &mut store).unwrap();
        assert!(broker.takes(&subscription, &first));
        assert!(!broker.ahead(std::slice::from_ref(&first)));
        broker.send(std::slice::from_ref(&first));
        assert_eq!(heard(&mut broker, &mut store), 0);
        assert!(broker.ahead(&[row(2, Some(first.place))]), "the next one was not taken");
        assert_eq!(heard(&mut broker, &mut store), 1);
        // Its commit failed, the partition was taken again, and another row has its place.
        broker.subscribe(&subscription, &[], &mut store).unwrap();
        assert!(broker.ahead(&[first]));
        assert_eq!(heard(&mut broker, &mut store), 1);
    }

    #[test]
    fn what_stands_behind_rows_that_must_be_read_from_the_log_is_not_taken_before_them() {
        let (route, subscription, mut store) = reads_itself("lot.replies");
        let mut broker = Embedded::new(vec![route.from.clone()]);
        broker.subscribe(&subscription, &[], &mut store).unwrap();
        broker.turn_back(&route, None);
        let raw = std::sync::Arc::from(&b"{}"[..]);
        let row = LogRow { route, place: Place { epoch: 1, position: 1 }, predecessor: None, raw, packet: None, times: [0; 3] };
        assert!(!broker.takes(&subscription, &row));
    }

    #[test]
    fn a_row_that_is_handed_on_as_its_commit_begins_is_heard_once_and_comes_again_to_whoever_begins_anew() {
        let (route, subscription, mut store) = reads_itself("lot.events");
        for memory in [MEMORY, 0] {
            let mut broker = Embedded::with_memory(vec![route.from.clone()], memory);
            broker.subscribe(&subscription, &[], &mut store).unwrap();
            let row = LogRow {
                route: route.clone(),
                place: Place { epoch: 1, position: 1 },
                predecessor: None,
                raw: std::sync::Arc::from(&b"{}"[..]),
                packet: None,
                times: [0; 3],
            };
            let mut heard = |broker: &mut Embedded| {
                let mut into = Vec::new();
                broker.hear(9, &mut store, &mut into).unwrap();
                into.len()
            };
            assert_eq!(broker.ahead(std::slice::from_ref(&row)), memory > 0);
            // Without memory it must be read from the log, where it is not yet: that is no reason to forget it.
            assert_eq!(heard(&mut broker), memory.min(1));
            assert_eq!(broker.readers[&subscription].behind.len(), 1 - memory.min(1));
            assert_eq!(broker.send(std::slice::from_ref(&row)), Taken::Already);
            assert_eq!(heard(&mut broker), 0, "the commit has ended: no second time");
            broker.subscribe(&subscription, &[], &mut reads_itself("lot.events").2).unwrap();
            assert_eq!(broker.ahead(&[row]), memory > 0, "its commit failed, and another row has its place");
        }
    }

    #[test]
    fn what_a_slow_consumer_leaves_in_memory_is_bounded() {
        let lot = Partition { context: "lot".into(), number: 0 };
        let to = Destination { topic: "lot.events".into(), partition: 0 };
        let mut store = crate::store::Sqlite::memory().unwrap();
        store.open(&crate::store::Schema::default()).unwrap();
        let mut broker = Embedded::with_memory(vec![lot.clone()], 100);
        for reader in ["shop", "garage"] {
            let reader = Partition { context: reader.into(), number: 0 };
            broker.subscribe(&Subscription { reader, to: to.clone() }, &[], &mut store).unwrap();
        }
        let route = Route { from: lot, to };
        let place = |position| Place { epoch: 1, position };
        for position in 1..=10_000 {
            let predecessor = (position > 1).then(|| place(position - 1));
            let row = LogRow {
                route: route.clone(),
                place: place(position),
                predecessor,
                raw: std::sync::Arc::from(&b"{}"[..]),
                packet: None,
                times: [0; 3],
            };
            broker.send(&[row]);
            assert!(broker.queue.len() <= 100, "{} in memory", broker.queue.len());
        }
    }
}
