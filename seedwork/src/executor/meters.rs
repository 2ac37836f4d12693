//! What an executor has done, measured: read by whoever shows it, without asking the owner.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Counters, Executor};
use crate::identity::SagaRecord;

/// Upper bounds of commit times, in microseconds.
pub const COMMIT_BOUNDS: &[u64] =
    &[250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];
/// Upper bounds of batches, in inputs.
pub const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// How many values were not above each bound, all of them, and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The upper bounds.
    pub bounds: &'static [u64],
    /// How many values fell between a bound and the one before it; the last counts those above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// One without values.
    pub fn new(bounds: &'static [u64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Takes a value in.
    pub fn observe(&mut self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Everything that is measured, at one moment.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The counters.
    pub counters: Counters,
    /// Inputs of each batch that was written.
    pub batches: Histogram,
    /// From the end of a batch's run until it was on the disk: microseconds.
    pub commits: Histogram,
    /// Sagas that ended, by context, name and how: `completed`, `undone`, or one of these `-with-exceptions`.
    pub ended: BTreeMap<(String, String, &'static str), u64>,
    /// Whether the store cannot be written, and the executor waits.
    pub paused: bool,
}

/// See the module's text. Its owner writes it once a commit.
#[derive(Debug)]
pub struct Meters(Mutex<Measured>);

impl Default for Meters {
    fn default() -> Meters {
        Meters(Mutex::new(Measured {
            counters: Counters::default(),
            batches: Histogram::new(BATCH_BOUNDS),
            commits: Histogram::new(COMMIT_BOUNDS),
            ended: BTreeMap::new(),
            paused: false,
        }))
    }
}

impl Meters {
    /// What was measured up to now.
    pub fn read(&self) -> Measured {
        self.change(|measured| measured.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Measured) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Executor {
    /// A batch is on the disk.
    pub(super) fn measure(&mut self, inputs: usize, took: Duration, ended: &[&SagaRecord]) {
        let counters = self.counters;
        self.meters.change(|measured| {
            measured.counters = counters;
            measured.batches.observe(u64::try_from(inputs).unwrap_or(u64::MAX));
            measured.commits.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            for record in ended {
                let key = (record.context.to_string(), record.name.to_string(), record.stage());
                *measured.ended.entry(key).or_default() += 1;
            }
        });
    }

    /// The executor waits for its store, or does so no more.
    pub(super) fn measure_pause(&mut self) {
        let (paused, counters) = (self.paused_until.is_some(), self.counters);
        self.meters.change(|measured| {
            measured.paused = paused;
            measured.counters = counters;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_once_below_its_bound() {
        let mut histogram = Histogram::new(&[1, 10]);
        [0, 1, 2, 10, 11, 500].into_iter().for_each(|value| histogram.observe(value));
        assert_eq!((histogram.counts.as_slice(), histogram.count(), histogram.sum), (&[2, 2, 2][..], 6, 524));
    }
}
