//! A broker between processes, in memory, that loses, doubles, delays and reorders.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::ask::Ears;
use super::lock;
use crate::broker::{Broker, Foreign, Heard, Subscription, Taken};
use crate::clock::Chance;
use crate::executor::Answered;
use crate::message::{Envelope, Packet};
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreResult};

/// Once in how many times each fault happens; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerFaults {
    /// A send fails.
    pub lose: u64,
    /// A send fails, but was taken.
    pub doubtful: u64,
    /// A delivery comes twice.
    pub duplicate: u64,
    /// A delivery or a receipt comes later.
    pub late: u64,
    /// Two deliveries change places.
    pub swap: u64,
    /// The broker gives a receipt and loses the message.
    pub vanish: u64,
    /// A command from an edge is put on a partition that is not its key's.
    pub astray: u64,
    /// An answer to an edge is lost.
    pub unheard: u64,
}

/// What lies on a topic.
#[derive(Clone)]
enum Carried {
    Row(LogRow),
    Foreign(Foreign),
}

#[derive(Default)]
struct Reader {
    node: usize,
    /// The topic's next message for it.
    next: usize,
    /// Everything before is acknowledged.
    acknowledged: usize,
    /// The number of a delivery and the topic's place behind it.
    delivered: VecDeque<(u64, usize)>,
    number: u64,
}

/// What is kept back.
type Matches = Box<dyn Fn(&Envelope) -> bool + Send>;

/// The broker itself.
pub(super) struct Sim {
    pub faults: BrokerFaults,
    pub held: Option<Matches>,
    chance: Chance,
    topics: BTreeMap<Destination, Vec<Carried>>,
    ears: Ears,
    readers: BTreeMap<Subscription, Reader>,
    /// What each process hears next that is no message.
    notices: BTreeMap<usize, VecDeque<Heard>>,
    /// Which process sent a route last: it hears of control messages.
    senders: BTreeMap<Route, usize>,
    /// What readers had acknowledged when their process went away.
    cursors: BTreeMap<Subscription, usize>,
}

impl Sim {
    pub fn new(seed: u64, ears: Ears) -> Sim {
        Sim {
            ears,
            faults: BrokerFaults::default(),
            held: None,
            chance: Chance::seeded(seed ^ 0x5bd1_e995),
            topics: BTreeMap::new(),
            readers: BTreeMap::new(),
            notices: BTreeMap::new(),
            senders: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    /// A process died: its subscriptions end where they were acknowledged.
    pub fn gone(&mut self, node: usize) {
        let gone: Vec<Subscription> =
            self.readers.iter().filter(|(_, reader)| reader.node == node).map(|(subscription, _)| subscription.clone()).collect();
        for subscription in gone {
            self.end(&subscription);
        }
        self.notices.remove(&node);
    }

    fn end(&mut self, subscription: &Subscription) {
        if let Some(reader) = self.readers.remove(subscription) {
            self.cursors.insert(subscription.clone(), reader.acknowledged);
        }
    }

    /// Some(0) when something is on its way.
    pub fn due(&self) -> Option<u64> {
        let messages = self.readers.iter().any(|(subscription, reader)| {
            let topic = self.topics.get(&subscription.to).map_or(&[][..], Vec::as_slice);
            topic.get(reader.next).is_some_and(|carried| !self.keeps(carried))
        });
        (messages || self.notices.values().any(|notices| !notices.is_empty())).then_some(0)
    }

    /// Puts a message on a topic as whoever is no owner does. Its id is its place there.
    pub fn put(&mut self, to: &Destination, raw: &[u8], hash: Option<Box<str>>) {
        // What is kept back is so on its own route: it holds up nobody else's.
        let next = self.readers.iter().filter(|(subscription, _)| subscription.to == *to).map(|(_, reader)| reader.next).max();
        let known = self.topics.get(to).map_or(&[][..], Vec::as_slice);
        let kept = (next.unwrap_or(0)..known.len()).find(|at| known.get(*at).is_some_and(|carried| self.keeps(carried)));
        let topic = self.topics.entry(to.clone()).or_default();
        let id = format!("{}:{}", to.partition, topic.len()).into();
        topic.insert(kept.unwrap_or(topic.len()), Carried::Foreign(Foreign { id, raw: raw.into(), hash }));
    }

    /// An edge sends a command: perhaps not at all, twice, or to a partition of so many that is not its key's.
    pub fn ask(&mut self, to: &Destination, partitions: u16, raw: &[u8], hash: &str) {
        let faults = self.faults;
        if self.chance.one_in(faults.lose) {
            return;
        }
        let mut to = to.clone();
        for _ in 0..=u32::from(self.chance.one_in(faults.duplicate)) {
            if self.chance.one_in(faults.astray) {
                to.partition = u16::try_from(self.chance.below(u64::from(partitions))).unwrap_or(0);
            }
            self.put(&to, raw, Some(hash.into()));
        }
    }

    fn keeps(&self, carried: &Carried) -> bool {
        let (Some(held), Carried::Row(row)) = (&self.held, carried) else { return false };
        Packet::parse(&row.raw, |_| None).is_ok_and(|packet| held(&packet.envelope))
    }
}

/// One process's door to the broker.
pub(super) struct Door {
    sim: Arc<Mutex<Sim>>,
    node: usize,
}

impl Door {
    pub fn new(sim: Arc<Mutex<Sim>>, node: usize) -> Door {
        Door { sim, node }
    }
}

impl Broker for Door {
    fn subscribe(&mut self, subscription: &Subscription, _marks: &[(Route, Place)], _store: &mut dyn Store) -> StoreResult<()> {
        let mut sim = lock(&self.sim);
        sim.end(subscription);
        let from = sim.cursors.get(subscription).copied().unwrap_or(0);
        let reader = Reader { node: self.node, next: from, acknowledged: from, ..Reader::default() };
        sim.readers.insert(subscription.clone(), reader);
        Ok(())
    }

    fn unsubscribe(&mut self, subscription: &Subscription) {
        let mut sim = lock(&self.sim);
        if sim.readers.get(subscription).is_some_and(|reader| reader.node == self.node) {
            sim.end(subscription);
        }
    }

    fn send(&mut self, rows: &[LogRow]) -> Taken {
        let mut sim = lock(&self.sim);
        let faults = sim.faults;
        for row in rows {
            sim.senders.insert(row.route.clone(), self.node);
            let mut row = row.clone();
            row.packet = None;
            let (route, place) = (row.route.clone(), row.place);
            let lost = sim.chance.one_in(faults.lose);
            let vanished = !lost && sim.chance.one_in(faults.vanish);
            let failed = lost || sim.chance.one_in(faults.doubtful);
            if !lost && !vanished {
                sim.topics.entry(route.to.clone()).or_default().push(Carried::Row(row));
            }
            let notice = if failed { Heard::Failed(route) } else { Heard::Receipt(route, place) };
            sim.notices.entry(self.node).or_default().push_back(notice);
        }
        Taken::Later
    }

    fn hear(&mut self, limit: usize, _store: &mut dyn Store, into: &mut Vec<Heard>) -> StoreResult<()> {
        let mut sim = lock(&self.sim);
        let sim = &mut *sim;
        let faults = sim.faults;
        let notices = sim.notices.entry(self.node).or_default();
        let mut kept = VecDeque::new();
        for notice in notices.drain(..) {
            // Receipts of one route count up to a place, so one that comes late is made up for by the next.
            if sim.chance.one_in(faults.late) { kept.push_back(notice) } else { into.push(notice) }
        }
        *notices = kept;
        let mine: Vec<Subscription> = sim
            .readers
            .iter()
            .filter(|(_, reader)| reader.node == self.node)
            .map(|(subscription, _)| subscription.clone())
            .collect();
        for subscription in mine {
            let first = into.len();
            while into.len() - first < limit {
                let Some(reader) = sim.readers.get(&subscription) else { break };
                let next = reader.next;
                let Some(carried) = sim.topics.get(&subscription.to).and_then(|topic| topic.get(next)).cloned() else { break };
                if sim.keeps(&carried) || sim.chance.one_in(faults.late) {
                    break;
                }
                let twice = sim.chance.one_in(faults.duplicate);
                let Some(reader) = sim.readers.get_mut(&subscription) else { break };
                reader.next += 1;
                for _ in 0..=u32::from(twice) {
                    reader.number += 1;
                    reader.delivered.push_back((reader.number, next + 1));
                    into.push(match carried.clone() {
                        Carried::Row(row) => Heard::Message(subscription.clone(), reader.number, row),
                        Carried::Foreign(foreign) => Heard::Foreign(subscription.clone(), reader.number, foreign),
                    });
                }
            }
            let messages = into.len() - first;
            if messages >= 2 && sim.chance.one_in(faults.swap) {
                let at = first + usize::try_from(sim.chance.below(messages as u64 - 1)).unwrap_or(0);
                into.swap(at, at + 1);
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, subscription: &Subscription, upto: u64) {
        let mut sim = lock(&self.sim);
        if let Some(reader) = sim.readers.get_mut(subscription).filter(|reader| reader.node == self.node) {
            while let Some((number, place)) = reader.delivered.front().copied() {
                if number > upto {
                    break;
                }
                reader.acknowledged = reader.acknowledged.max(place);
                reader.delivered.pop_front();
            }
        }
    }

    fn turn_back(&mut self, route: &Route, mark: Place0) {
        let mut sim = lock(&self.sim);
        // Control messages go to whoever owns the producing partition now; a process that does not will ignore them.
        let nodes: Vec<usize> = sim.readers.values().map(|reader| reader.node).collect();
        for node in nodes {
            sim.notices.entry(node).or_default().push_back(Heard::Turn(route.clone(), mark));
        }
    }

    fn last_sent(&mut self, partition: &Partition) -> StoreResult<Place0> {
        let sim = lock(&self.sim);
        let events = format!("{}.events", partition.context);
        let own = sim.topics.iter().filter(|(to, _)| *to.topic == *events).flat_map(|(_, carried)| carried);
        let of = |carried: &Carried| match carried {
            Carried::Row(row) if row.route.from == *partition => Some(row.place),
            Carried::Row(_) | Carried::Foreign(_) => None,
        };
        Ok(own.filter_map(of).max())
    }

    fn answer(&mut self, to: &str, answer: &Answered) {
        let mut sim = lock(&self.sim);
        let faults = sim.faults;
        if !sim.chance.one_in(faults.unheard) {
            sim.ears.hear(to, answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::contract::{self, Subject};

    /// A new process each time, as a restart in a world is.
    struct Simulated(Arc<Mutex<Sim>>, BrokerFaults);

    impl Subject for Simulated {
        fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
            let mut sim = Sim::new(11, Ears::default());
            sim.faults = self.1;
            self.0 = Arc::new(Mutex::new(sim));
            self.again(origins)
        }
        fn again(&mut self, _origins: &[Partition]) -> Box<dyn Broker> {
            lock(&self.0).gone(0);
            Box::new(Door::new(self.0.clone(), 0))
        }
        fn wait(&mut self, _times: u32) -> bool {
            lock(&self.0).due().is_some()
        }
    }

    #[test]
    fn without_faults_it_passes_the_suite_of_every_broker() {
        contract::check(&mut Simulated(Arc::new(Mutex::new(Sim::new(0, Ears::default()))), BrokerFaults::default()));
    }

    #[test]
    fn what_comes_late_or_twice_passes_it_too() {
        let faults = BrokerFaults { duplicate: 3, late: 4, ..BrokerFaults::default() };
        contract::check(&mut Simulated(Arc::new(Mutex::new(Sim::new(0, Ears::default()))), faults));
    }
}
