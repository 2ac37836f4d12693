//! Time, ids and chance, injected: nothing else in the workspace may ask the machine for them.
#![expect(clippy::disallowed_methods, reason = "the one place that asks the machine for time and randomness")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What time it is, twice: for people (may jump) and for waiting (only goes forward, and stands still while the machine sleeps).
pub trait Clock: Send {
    /// Wall time: microseconds since 1970, UTC.
    fn now(&self) -> i64;
    /// Time since some fixed moment, on a clock that neither jumps nor counts the machine's sleep.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        // Instant is CLOCK_MONOTONIC on Linux, which does not count suspension: a laptop that slept has not missed a deadline.
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A source of chance that a seed fixes. Fast, not for secrets.
#[derive(Debug)]
pub struct Chance(fastrand::Rng);

impl Chance {
    /// The same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Chance {
        Chance(fastrand::Rng::with_seed(seed))
    }

    /// Seeded from the operating system.
    ///
    /// # Errors
    /// When the operating system has no entropy to give.
    pub fn from_system() -> std::io::Result<Chance> {
        let seed = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Chance::seeded(seed))
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.u64(0..end) }
    }

    /// True once in `n` times on average; never when `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A UUID version 7 (RFC 9562 §5.7) of this moment: 48 bits of milliseconds, then chance. Ids made later sort later.
    pub fn uuid_v7(&mut self, now_micros: i64) -> uuid::Uuid {
        let millis = u64::try_from(now_micros / 1000).unwrap_or(0);
        let mut chance = [0; 10];
        self.0.fill(&mut chance);
        uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_later_sort_later_and_one_seed_gives_one_sequence() {
        let (mut one, mut two) = (Chance::seeded(7), Chance::seeded(7));
        let early = one.uuid_v7(1_000_000);
        assert_eq!(early, two.uuid_v7(1_000_000));
        assert!(early < one.uuid_v7(2_000_000));
        assert_eq!(early.get_version_num(), 7);
    }
}
