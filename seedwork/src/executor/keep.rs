//! What the log keeps: rows are dropped from its beginning, a few with each commit, and only those that are relayed and that nothing in
//! this store still has to take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Executor, Stop, crash, topic};
use crate::message::Role;
use crate::store::{Partition, Place, Place0};

/// What an executor is told beside its contexts; the default keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How old a row of the log may become; none: as old as it likes.
    pub keep_age: Option<Duration>,
    /// How many bytes of messages the log keeps, about; none: all.
    pub keep_bytes: Option<u64>,
    /// How long a message may wait for what it names to be known.
    pub not_yet: Duration,
    /// How many messages a batch may take of those that it says itself; 0: each is taken when its commit has begun, or ended.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keep_age: None, keep_bytes: None, not_yet: crate::inbox::NOT_YET, at_once: super::BATCH }
    }
}

/// Rows that one commit drops at most: more than a full batch writes, so that dropping keeps up.
const CHUNK: usize = 2_000;
/// How long nothing is looked for when there was nothing to drop, and when there was a little.
const PAUSE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(1);

/// The rows of a partition up to this place are dropped with the next commit.
pub(super) type Drop = (Partition, Place);

impl Executor {
    /// The same executor with other limits.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Executor {
        self.limits = limits;
        self
    }

    /// Whether rows are ever dropped.
    pub(super) fn forgets(&self) -> bool {
        self.limits.keep_age.is_some() || self.limits.keep_bytes.is_some()
    }

    /// Looks for rows to drop, if it is time.
    pub(super) fn trim(&mut self, now: Duration) -> Result<(), Stop> {
        if !self.forgets() || now < self.trim_due || !self.drops.is_empty() {
            return Ok(());
        }
        let mut surplus = match self.limits.keep_bytes {
            None => 0,
            Some(most) => {
                let mut bytes = 0_u64;
                for held in &self.held {
                    bytes = bytes.saturating_add(self.store.log_bytes(&held.partition).map_err(crash)?);
                }
                bytes.saturating_sub(most)
            }
        };
        let before = self.limits.keep_age.and_then(|age| {
            let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            Some(self.clock.now().saturating_sub(age)).filter(|before| *before > 0)
        });
        // The oldest of all partitions go first, so none loses its history for another's sake.
        let mut candidates = Vec::new();
        for index in 0..self.held.len() {
            let Some(free) = self.free(index)? else { continue };
            let Some(held) = self.held.get(index) else { continue };
            let rows = self.store.oldest(&held.partition, CHUNK).map_err(crash)?;
            let rows = rows.into_iter().take_while(|(place, ..)| *place <= free);
            candidates.extend(rows.map(|(place, written, bytes)| (written, index, place, bytes)));
        }
        candidates.sort_unstable();
        let mut last: BTreeMap<usize, Place> = BTreeMap::new();
        let mut dropped = 0;
        for (written, index, place, bytes) in candidates.into_iter().take(CHUNK) {
            if surplus == 0 && before.is_none_or(|before| written >= before) {
                break;
            }
            surplus = surplus.saturating_sub(bytes);
            last.insert(index, place);
            dropped += 1;
        }
        let of = |(index, place): (usize, Place)| Some((self.held.get(index)?.partition.clone(), place));
        self.drops = last.into_iter().filter_map(of).collect();
        // What is full is followed by the next at once.
        self.trim_due = match dropped {
            0 => now + PAUSE,
            CHUNK => now,
            _ => now + SHORT,
        };
        Ok(())
    }

    /// Up to which place nothing in this store needs a partition's rows any more.
    fn free(&mut self, index: usize) -> Result<Place0, Stop> {
        let Some(held) = self.held.get(index) else { return Ok(None) };
        let Some(mut free) = held.relay.relayed() else { return Ok(None) };
        let marks = self.store.marks_on(&held.partition).map_err(crash)?;
        let Some(held) = self.held.get(index) else { return Ok(None) };
        for (to, sent) in &held.destinations {
            for reader in self.readers(&to.topic, to.partition) {
                let mark = marks.iter().find(|(of, route, _)| *of == reader && route.to == *to).map(|(.., mark)| *mark);
                match mark {
                    Some(mark) if mark >= sent.place => {}
                    Some(mark) => free = free.min(mark),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(free))
    }

    /// Who of this store's contexts reads a topic.
    fn readers(&self, of: &str, number: u16) -> Vec<Partition> {
        let reads = |context: &&crate::Context| {
            let own = [Role::Command, Role::Reply].iter().any(|role| *topic(context.name, *role) == *of);
            own || context.reads.iter().any(|other| *topic(other, Role::Event) == *of)
        };
        self.registry.contexts.iter().filter(reads).map(|context| Partition { context: context.name.into(), number }).collect()
    }
}
