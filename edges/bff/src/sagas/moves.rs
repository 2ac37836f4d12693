//! Who waits for a saga to move is woken by the commit that moved it.
//!
//! The owner's end costs one look at an empty map while nobody waits. A partition that another process holds is written by nobody here, so
//! where there are replicas whoever waits looks again by itself ([`AGAIN`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seedwork::executor::Tap;
use seedwork::store::Writes;
use tokio::sync::watch;

/// Requests that wait for sagas at the same time; more are answered 503.
pub const WAITING_MAX: usize = 1024;
/// Between two looks at a saga that another process may have moved.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long is waited at most in a service behind an edge, which is patient for ten seconds and stops when its requests have ended.
pub(crate) const SERVICE_MAX: Duration = Duration::from_secs(5);

/// Sagas that somebody waits for: shared by the owner, the edge and whoever stops the server.
#[derive(Clone, Default)]
pub struct Moves(Arc<Mutex<Awaited>>);

#[derive(Default)]
struct Awaited {
    sagas: BTreeMap<Arc<str>, watch::Sender<()>>,
    waiting: usize,
    closed: bool,
}

impl Moves {
    /// The owner's end of it.
    pub fn tap(&self) -> Box<dyn Tap> {
        Box::new(Tapped(self.clone()))
    }

    /// Whoever waits is answered at once, and nobody waits any more: the server stops.
    pub fn close(&self) {
        let mut awaited = self.lock();
        awaited.closed = true;
        awaited.sagas.clear();
    }

    /// Requests that wait at the moment.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Waits for a saga to move, from now on. None: there is no room.
    pub(super) fn of(&self, saga: &str) -> Option<Awaiting> {
        let mut awaited = self.lock();
        if awaited.waiting == WAITING_MAX {
            return None;
        }
        awaited.waiting += 1;
        let id: Arc<str> = saga.into();
        let moved = match awaited.closed {
            true => watch::Sender::new(()).subscribe(),
            false => awaited.sagas.entry(id.clone()).or_default().subscribe(),
        };
        Some(Awaiting { moves: self.clone(), id, moved })
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits; its place is given up when it goes.
pub(super) struct Awaiting {
    moves: Moves,
    id: Arc<str>,
    moved: watch::Receiver<()>,
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It has moved since the last look.
    Moved,
    /// The time is over, or the server stops.
    Over,
}

impl Awaiting {
    /// Waits until the saga has moved since this was made or last answered so, or for so long.
    pub async fn moved(&mut self, longest: Duration) -> Woken {
        match tokio::time::timeout(longest, self.moved.changed()).await {
            Ok(Ok(())) => Woken::Moved,
            Ok(Err(_)) | Err(_) => Woken::Over,
        }
    }

    /// Whether the server stops.
    pub fn is_over(&self) -> bool {
        self.moved.has_changed().is_err()
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        let mut awaited = self.moves.lock();
        awaited.waiting -= 1;
        // This one still counts.
        if awaited.sagas.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            awaited.sagas.remove(&self.id);
        }
    }
}

struct Tapped(Moves);

impl Tap for Tapped {
    fn committed(&mut self, writes: &Writes) {
        let awaited = self.0.lock();
        if awaited.sagas.is_empty() {
            return;
        }
        for saga in &writes.sagas {
            if let Some(sender) = awaited.sagas.get(&saga.id) {
                sender.send_replace(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use seedwork::store::{Partition, SagaWrite};

    use super::*;

    fn written(id: &str) -> Writes {
        let partition = Partition { context: "campaign".into(), number: 0 };
        let (stage, body) = ("running".into(), b"{}".to_vec());
        let saga =
            SagaWrite { id: id.into(), partition, version: 2, stage, same_stage: true, body, start: None, log: Vec::new() };
        Writes { sagas: vec![saga], ..Writes::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_waits_for_the_saga_that_moved_is_woken_and_a_move_between_two_waits_is_not_missed() {
        let moves = Moves::default();
        let (mut first, mut other) = (moves.of("c-1~1").unwrap(), moves.of("c-2~1").unwrap());
        let mut tap = moves.tap();
        tap.committed(&written("c-1~1"));
        assert_eq!(first.moved(Duration::from_secs(60)).await, Woken::Moved);
        assert_eq!(other.moved(Duration::from_secs(60)).await, Woken::Over);
        assert_eq!(first.moved(Duration::from_secs(60)).await, Woken::Over, "once for each move");
        assert!(!first.is_over(), "the time was over, and the server goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_answers_whoever_waits_and_nobody_waits_after_it() {
        let moves = Moves::default();
        let mut waits = moves.of("c-1~1").unwrap();
        moves.close();
        let mut late = moves.of("c-1~1").unwrap();
        for one in [&mut waits, &mut late] {
            let ended = tokio::time::timeout(Duration::from_millis(1), one.moved(Duration::from_secs(60)));
            assert_eq!(ended.await, Ok(Woken::Over));
            assert!(one.is_over());
        }
    }

    #[test]
    fn places_are_bounded_and_given_up() {
        let moves = Moves::default();
        let all: Vec<_> = (0..WAITING_MAX).map(|number| moves.of(&format!("c-{}~1", number / 2)).unwrap()).collect();
        assert!(moves.of("c-1~1").is_none());
        drop(all);
        assert!(moves.lock().sagas.is_empty(), "nothing is remembered of who has gone");
        assert!(moves.of("c-1~1").is_some());
    }
}
