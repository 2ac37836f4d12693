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
    let hash = murmur3_32(partition_key(key).as_bytes());
    u16::try_from(hash % u32::from(partitions.max(1))).unwrap_or(0)
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
            }
            Taken::Later => {
                self.outstanding.extend(rows.iter().map(|row| (row.place, row.route.clone(), false)));
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
        for (place, of, received) in &mut self.outstanding {
            *received |= of == route && *place <= upto;
        }
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

    #[test]
    fn a_composed_id_lives_with_the_first_of_its_parts() {
        assert_eq!(partition_of("p-98765~c-12345", 8), partition_of("p-98765", 8));
        assert!((0..100).map(|n| partition_of(&format!("c-{n}"), 8)).any(|partition| partition == 7));
    }
}
