//! What the log keeps: rows are dropped from its beginning, a few with each commit, and only those that are relayed and that nothing in
//! this store still has to take.

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
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keep_age: None, keep_bytes: None, not_yet: crate::inbox::NOT_YET }
    }
}

/// Rows that one commit drops at most: more than a full batch writes, so that dropping keeps up.
const CHUNK: usize = 2_000;
/// How long nothing is looked for when there was nothing to drop.
const PAUSE: Duration = Duration::from_secs(10);

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
        let mut drops = Vec::new();
        let mut dropped = 0;
        for index in 0..self.held.len() {
            let Some(free) = self.free(index)? else { continue };
            let Some(partition) = self.held.get(index).map(|held| held.partition.clone()) else { continue };
            let left = CHUNK.saturating_sub(dropped);
            let rows = self.store.oldest(&partition, left).map_err(crash)?;
            let mut last = None;
            for (place, written, bytes) in rows {
                let old = before.is_some_and(|before| written < before);
                if place > free || !(old || surplus > 0) {
                    break;
                }
                surplus = surplus.saturating_sub(bytes);
                (last, dropped) = (Some(place), dropped + 1);
            }
            drops.extend(last.map(|place| (partition, place)));
        }
        if drops.is_empty() {
            self.trim_due = now + PAUSE;
        }
        self.drops = drops;
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
                    Some(mark) if mark >= *sent => {}
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
