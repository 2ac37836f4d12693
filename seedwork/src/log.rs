//! Streams, and the relay: how committed rows reach their destinations.
//!
//! The relay is part of the owner and never awaited by it. It hands rows on in order per route, from memory or, when behind, from the
//! log; the position up to which every row has its receipt is saved with the next commit, and the next owner starts there. After a
//! failed send it sends everything again from the first row without a receipt: the inbox drops what came twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::broker::{Broker, Taken};
use crate::message::partition_key;
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreResult};

pub mod history;

/// After this long without a row a route's last one is sent again, and after twice as long again, up to an hour: a duplicate, or the
/// discovery of a lost tail.
const IDLE: Duration = Duration::from_secs(60);
const IDLE_MOST: Duration = Duration::from_secs(3600);
/// Rows without a receipt that are kept in memory; beyond, the log is read.
const OUTSTANDING: usize = 10_000;
/// Rows read from the log at a time.
const CHUNK: usize = 1_000;

/// The partition of a key: Murmur3-32 (Appleby, seed 0) of the part before the first `~`, modulo the count.
pub fn partition_of(key: &str, partitions: u16) -> u16 {
    if partitions <= 1 {
        return 0;
    }
    let hash = murmur3_32(partition_key(key).as_bytes());
    u16::try_from(hash % u32::from(partitions)).unwrap_or(0)
}

/// MurmurHash3 x86 32-bit by Austin Appleby (public domain), seed 0.
fn murmur3_32(bytes: &[u8]) -> u32 {
    let mix = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut blocks = bytes.chunks_exact(4);
    let mut hash = 0_u32;
    for block in &mut blocks {
        let block = block.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        hash = (hash ^ mix(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = blocks.remainder().iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    hash ^= mix(tail);
    hash ^= u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(0);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The relay of one partition; see the module's text.
pub(crate) struct Relay {
    partition: Partition,
    /// Every row up to here has its receipt.
    relayed: Place0,
    /// The last row handed to the broker.
    handed: Place0,
    /// The last row committed.
    head: Place0,
    /// Rows handed on whose receipt, or an earlier row's, is missing.
    outstanding: VecDeque<(Place, Route, bool)>,
    last: BTreeMap<Route, Last>,
    /// Receipts of rows that have not been handed on yet: their reader took them in the batch that wrote them.
    early: BTreeMap<Route, Place>,
    /// The broker's topics are the log: there is no tail to lose.
    topic_is_log: bool,
}

/// The last row of a route, when it is sent again, and how long after that once more.
struct Last {
    place: Place,
    due: Duration,
    pause: Duration,
}

impl Relay {
    /// The relay of a partition that was just taken: its tails may have been lost under another owner.
    pub fn new(partition: &Partition, relayed: Place0, head: Place0, sent: &[(Destination, Place)], now: Duration) -> Relay {
        let last = sent.iter().map(|(to, place)| {
            let route = Route { from: partition.clone(), to: to.clone() };
            (route, Last { place: *place, due: now + IDLE, pause: IDLE })
        });
        Relay {
            partition: partition.clone(),
            relayed,
            handed: relayed,
            head,
            outstanding: VecDeque::new(),
            last: last.collect(),
            early: BTreeMap::new(),
            topic_is_log: false,
        }
    }

    /// Up to which place every row has its receipt.
    pub fn relayed(&self) -> Place0 {
        self.relayed
    }

    /// Rows of this partition that have just been committed.
    pub fn committed(&mut self, rows: &[LogRow], now: Duration, broker: &mut dyn Broker) {
        let behind = self.handed != self.head;
        if let Some(last) = rows.last() {
            self.head = Some(last.place);
        }
        if !behind && self.outstanding.len() < OUTSTANDING {
            self.hand(rows, now, broker);
        }
    }

    fn hand(&mut self, rows: &[LogRow], now: Duration, broker: &mut dyn Broker) {
        let Some(last) = rows.last() else { return };
        self.handed = Some(last.place);
        match broker.send(rows) {
            // Such a broker cannot lose a row of a committed log: nothing to watch.
            Taken::Already => {
                self.relayed = self.handed;
                self.topic_is_log = true;
                self.last.clear();
                self.early.clear();
            }
            Taken::Later => {
                let early = |row: &LogRow| self.early.get(&row.route).is_some_and(|upto| row.place <= *upto);
                self.outstanding.extend(rows.iter().map(|row| (row.place, row.route.clone(), early(row))));
                self.early.retain(|_, upto| *upto > last.place);
                self.drop_received();
                for row in rows {
                    self.last.insert(row.route.clone(), Last { place: row.place, due: now + IDLE, pause: IDLE });
                }
            }
        }
    }

    /// Catches up from the log; sends the last row of idle routes again.
    pub fn tick(&mut self, now: Duration, broker: &mut dyn Broker, store: &mut dyn Store) -> StoreResult<()> {
        while self.handed != self.head && self.outstanding.len() < OUTSTANDING {
            let rows = store.log_after(&self.partition, self.handed, None, CHUNK)?;
            if rows.is_empty() {
                self.handed = self.head;
            }
            self.hand(&rows, now, broker);
        }
        for (route, last) in &mut self.last {
            if now >= last.due {
                last.pause = (last.pause * 2).min(IDLE_MOST);
                last.due = now + last.pause;
                let before = Place { position: last.place.position.saturating_sub(1), ..last.place };
                broker.send(&store.log_after(&self.partition, Some(before), Some(&route.to), 1)?);
            }
        }
        Ok(())
    }

    /// When [`Relay::tick`] has something to do at the latest.
    pub fn due(&self) -> Option<Duration> {
        self.last.values().map(|last| last.due).min()
    }

    /// The broker has every row of this route up to this place.
    pub fn receipt(&mut self, route: &Route, upto: Place) {
        if Some(upto) > self.handed {
            self.early.insert(route.clone(), upto);
        }
        for (place, of, received) in &mut self.outstanding {
            *received |= of == route && *place <= upto;
        }
        self.drop_received();
    }

    fn drop_received(&mut self) {
        while let Some((place, _, true)) = self.outstanding.front() {
            self.relayed = Some(*place);
            self.outstanding.pop_front();
        }
    }

    /// A send failed, or a consumer misses rows: everything of this route after a place goes out again.
    pub fn again(&mut self, route: &Route, after: Place0, broker: &mut dyn Broker, store: &mut dyn Store) -> StoreResult<()> {
        let mut after = after;
        loop {
            let rows = store.log_after(&self.partition, after, Some(&route.to), CHUNK)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.place);
            let handed: Vec<LogRow> = rows.into_iter().filter(|row| Some(row.place) <= self.handed).collect();
            broker.send(&handed);
            if handed.len() < CHUNK {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_murmur3_32_with_seed_0() {
        // Published vectors of the reference implementation.
        for (text, hash) in [("", 0), ("test", 0xba6b_d213), ("Hello, world!", 0xc036_3e43), ("a", 0x3c25_69b2)] {
            assert_eq!(murmur3_32(text.as_bytes()), hash, "{text:?}");
        }
    }

    /// A broker that takes everything and says nothing.
    struct Silent;

    impl Broker for Silent {
        fn subscribe(&mut self, _: &crate::broker::Subscription, _: &[(Route, Place)], _: &mut dyn Store) -> StoreResult<()> {
            Ok(())
        }
        fn unsubscribe(&mut self, _: &crate::broker::Subscription) {}
        fn send(&mut self, _: &[LogRow]) -> Taken {
            Taken::Later
        }
        fn hear(&mut self, _: usize, _: &mut dyn Store, _: &mut Vec<crate::broker::Heard>) -> StoreResult<()> {
            Ok(())
        }
        fn acknowledge(&mut self, _: &crate::broker::Subscription, _: u64) {}
        fn turn_back(&mut self, _: &Route, _: Place0) {}
    }

    #[test]
    fn a_receipt_that_comes_before_its_row_is_handed_on_is_not_forgotten() {
        let lot = Partition { context: "lot".into(), number: 0 };
        let mut store = crate::store::Sqlite::memory().unwrap();
        store.open(&crate::store::Schema { epoch: 1, ..Default::default() }).unwrap();
        let fence = store.take(&lot, None).unwrap().unwrap().fence;
        let place = |position| Place { epoch: 1, position };
        let route = |topic: &str| Route { from: lot.clone(), to: Destination { topic: topic.into(), partition: 0 } };
        let row = |position: u64, topic: &str| LogRow {
            route: route(topic),
            place: place(position),
            predecessor: None,
            raw: std::sync::Arc::from(&b"{}"[..]),
            packet: None,
            times: [0; 3],
        };
        let many = OUTSTANDING as u64;
        let mut relay = Relay::new(&lot, None, None, &[], Duration::ZERO);
        let rows: Vec<LogRow> = (1..=many).map(|position| row(position, "lot.events")).collect();
        relay.committed(&rows, Duration::ZERO, &mut Silent);
        // Two more than it keeps in memory: it will read them from the log. The first was taken in the batch that wrote it.
        let last = [row(many + 1, "lot.replies"), row(many + 2, "lot.events")];
        let head = crate::store::HeadWrite { partition: lot.clone(), fence, epoch: 1, position: many + 2, relayed: 0 };
        let writes = crate::store::Writes { heads: vec![head], log: last.to_vec(), ..Default::default() };
        store.commit(&writes).unwrap();
        relay.committed(&last, Duration::ZERO, &mut Silent);
        relay.receipt(&route("lot.replies"), place(many + 1));
        assert_eq!(relay.relayed(), None);
        relay.receipt(&route("lot.events"), place(many));
        assert_eq!(relay.relayed(), Some(place(many)));
        relay.tick(Duration::ZERO, &mut Silent, &mut store).unwrap();
        assert_eq!(relay.relayed(), Some(place(many + 1)), "and the last is still without");
    }

    #[test]
    fn a_composed_id_lives_with_the_first_of_its_parts() {
        assert_eq!(partition_of("p-98765~c-12345", 8), partition_of("p-98765", 8));
        assert!((0..100).map(|n| partition_of(&format!("c-{n}"), 8)).any(|partition| partition == 7));
    }
}
