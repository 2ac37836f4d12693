//! What the store takes on the disk, and how fast that grows.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

/// How far apart looks are kept …
const APART: Duration = Duration::from_secs(60);
/// … and how many: a day's.
const KEPT: usize = 24 * 60;

/// The files of the store, and what they took.
pub(crate) struct Disk {
    files: Vec<PathBuf>,
    looks: Mutex<VecDeque<(Duration, u64)>>,
}

/// Looks at the disk of what it is given every minute, for as long as that is there: growth is known though nobody asks.
pub(crate) async fn watch<T>(of: Weak<T>, look: impl Fn(&T)) {
    let mut pace = tokio::time::interval(APART);
    loop {
        pace.tick().await;
        let Some(of) = of.upgrade() else { return };
        look(&of);
    }
}

impl Disk {
    pub fn new(files: Vec<PathBuf>) -> Disk {
        Disk { files, looks: Mutex::default() }
    }

    /// Bytes now, and bytes a day that they grow by: over the last day, or since the first look. A file that is not there takes none.
    pub fn look(&self, now: Duration) -> (u64, f64) {
        let bytes = self.files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        (bytes, self.growth(now, bytes))
    }

    fn growth(&self, now: Duration, bytes: u64) -> f64 {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= APART) {
            looks.push_back((now, bytes));
            if looks.len() > KEPT {
                looks.pop_front();
            }
        }
        let Some((at, before)) = looks.front() else { return 0.0 };
        let seconds = now.saturating_sub(*at).as_secs_f64();
        if seconds < APART.as_secs_f64() { 0.0 } else { (bytes as f64 - *before as f64) / seconds * 86_400.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_every_minute_until_it_is_gone() {
        let disk = std::sync::Arc::new(Disk::new(vec![]));
        let minutes = std::sync::atomic::AtomicU32::new(0);
        let watching = tokio::spawn(watch(std::sync::Arc::downgrade(&disk), move |disk: &Disk| {
            disk.look(APART * minutes.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }));
        tokio::time::sleep(Duration::from_secs(150)).await;
        assert_eq!(disk.looks.lock().unwrap().len(), 3, "at once, after one minute, after two");
        drop(disk);
        watching.await.unwrap();
    }

    #[test]
    fn growth_is_what_a_day_would_bring_and_looks_are_bounded() {
        let disk = Disk::new(vec![]);
        let at = Duration::from_secs;
        assert_eq!(disk.growth(at(0), 1000), 0.0);
        assert_eq!(disk.growth(at(10), 5000), 0.0, "too short to tell");
        assert_eq!(disk.growth(at(60), 1100), 144_000.0);
        for minute in 2..5_000 {
            disk.growth(at(60 * minute), 1000);
        }
        assert!(disk.looks.lock().unwrap().len() <= KEPT);
    }
}
