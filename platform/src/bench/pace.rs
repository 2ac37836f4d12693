//! Requests that are due at fixed times, whether or not those before them have been answered: what a server that falls behind makes them
//! wait is then counted, as it is not where each client asks when it has been answered.
#![expect(clippy::disallowed_methods, reason = "a timer that keeps to less than a millisecond, which the runtime's does not")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use tokio::sync::Semaphore;

/// So many requests a second, from now on. Dropped, its thread ends.
#[derive(Debug)]
pub struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Duration,
    rate: u32,
    /// Requests that are due and that nobody has taken.
    due: Semaphore,
    taken: AtomicU64,
    /// How many will have been due when it has ended.
    all: AtomicU64,
    ended: AtomicBool,
}

impl Pace {
    /// Begins, within a runtime.
    pub fn start(clock: &Arc<SystemClock>, rate: u32) -> Pace {
        let shared = Arc::new(Shared {
            started: clock.monotonic(),
            rate: rate.max(1),
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
            all: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(false),
        });
        let (clock, told) = (clock.clone(), shared.clone());
        tokio::task::spawn_blocking(move || told.run(&clock));
        Pace(shared)
    }

    /// Waits for a request that nobody has taken, and says when it was due; none: it has ended, and all that were due are taken.
    pub async fn next(&self) -> Option<Duration> {
        // It is never closed.
        self.0.due.acquire().await.ok()?.forget();
        let number = self.0.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.0.all.load(Ordering::Relaxed)).then(|| self.0.at(number))
    }

    /// No more are due from now on.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn at(&self, number: u64) -> Duration {
        self.started + Duration::from_secs(1).mul_f64(number as f64 / f64::from(self.rate))
    }

    fn run(&self, clock: &SystemClock) {
        let mut number = 0;
        while !self.ended.load(Ordering::Relaxed) {
            match self.at(number).checked_sub(clock.monotonic()) {
                Some(early) if !early.is_zero() => std::thread::sleep(early),
                _ => {
                    number += 1;
                    self.due.add_permits(1);
                }
            }
        }
        self.all.store(number, Ordering::Relaxed);
        // Whoever waits, or comes later, finds that all are taken.
        self.due.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_due_at_fixed_times_and_none_is_lost_when_it_ends() {
        let clock = Arc::new(SystemClock::default());
        let pace = Pace::start(&clock, 1000);
        let first = pace.next().await.unwrap();
        assert!(first <= clock.monotonic(), "not before its time");
        let second = pace.next().await.unwrap();
        assert_eq!(second - first, Duration::from_millis(1));
        // Whoever comes late is told when it would have been on time.
        while pace.0.due.available_permits() < 5 {
            tokio::task::yield_now().await;
        }
        pace.end();
        let mut more = Vec::new();
        while let Some(due) = pace.next().await {
            more.push(due);
        }
        assert!(more.len() >= 5, "{more:?}");
        let expected: Vec<_> = (2..).map(|number| first + Duration::from_millis(number)).take(more.len()).collect();
        assert_eq!(more, expected);
        assert_eq!(pace.next().await, None);
    }
}
