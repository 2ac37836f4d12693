//! A message counts once, in order; what cannot be handled now waits beside its lane, and parks only that.
//!
//! A consumer keeps one mark per route. At or below it is a duplicate; a message whose predecessor is not the mark is dropped, and the
//! relay sends again. A message that must wait is moved to the waiting table in the same commit that moves the mark; later ones of
//! its lane queue up behind it there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Chance;
use crate::message::{Envelope, Role};
use crate::store::{LogRow, Place0, WaitingHead};

/// Attempts of a message that faults before it is a dead letter.
pub const ATTEMPTS: u16 = 8;
/// How long a message may wait for what it names, when it is not said otherwise.
pub const NOT_YET: Duration = Duration::from_secs(30);
/// A gap that has not healed by itself after this long is an alarm, and asked for, again and again.
pub const GAP: Duration = Duration::from_secs(10);

/// What a mark says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The next one.
    Next,
    /// It was here before.
    Duplicate,
    /// Something before it is missing.
    Gap,
}

/// Compares a message with its route's mark.
pub fn seen(row: &LogRow, mark: Place0) -> Seen {
    if mark.is_some_and(|mark| row.place <= mark) {
        return Seen::Duplicate;
    }
    let new_epoch = row.predecessor.is_none_or(|before| before.epoch < row.place.epoch);
    let next = match (row.predecessor, mark) {
        (None, None) => true,
        (before, mark) if before == mark => true,
        // A restored store begins a new epoch and names the last row that it knows; the reader may be further than that.
        (before, Some(mark)) => new_epoch && mark.epoch < row.place.epoch && before <= Some(mark),
        // A route without a mark may begin with the first row of a later epoch: older ones were never sent on it.
        (Some(_), None) => new_epoch,
    };
    if next { Seen::Next } else { Seen::Gap }
}

/// The backoff before attempt `attempts + 1` of a message that faulted: 4 s doubled each time and up to a fifth of jitter, so that
/// eight attempts take about ten minutes.
pub fn backoff(attempts: u16, chance: &mut Chance) -> Duration {
    let base = Duration::from_secs(4 << attempts.saturating_sub(1).min(6));
    base + Duration::from_millis(chance.below(u64::try_from(base.as_millis() / 5).unwrap_or(0)))
}

/// The lane of a message: key and topic, and for a saga's command also the saga, so sagas that meet at one key never wait for each
/// other while an undo still queues behind its step.
pub fn lane(envelope: &Envelope, role: Role) -> Arc<str> {
    match (&envelope.saga, role) {
        (Some(saga), Role::Command) => format!("{}|{}|{}", role.topic(), envelope.key, saga.id).into(),
        _ => format!("{}|{}|{}", role.topic(), envelope.key, envelope.source).into(),
    }
}

/// The waiting table of one partition, without the messages.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<Arc<str>, VecDeque<u64>>,
    heads: BTreeMap<u64, WaitingHead>,
    due: BTreeSet<(i64, u64)>,
    next: u64,
}

impl Lanes {
    pub fn of(heads: Vec<WaitingHead>) -> Lanes {
        let mut lanes = Lanes::default();
        heads.into_iter().for_each(|head| lanes.put(head));
        lanes
    }

    /// A number for a new waiting message: its time of arrival in microseconds, or the next one, so that none is given twice, also
    /// after a start: an operator's id never means another message.
    pub fn mint(&mut self, now: i64) -> u64 {
        self.next = u64::try_from(now).unwrap_or(0).max(self.next + 1);
        self.next
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Whether a message of this lane must queue up.
    pub fn blocked(&self, lane: &str) -> bool {
        !self.lanes.is_empty() && self.lanes.contains_key(lane)
    }

    pub fn head(&self, number: u64) -> Option<&WaitingHead> {
        self.heads.get(&number)
    }

    pub fn heads(&self) -> impl Iterator<Item = &WaitingHead> {
        self.heads.values()
    }

    pub fn put(&mut self, head: WaitingHead) {
        self.next = self.next.max(head.number);
        let lane = self.lanes.entry(head.lane.clone()).or_default();
        lane.push_back(head.number);
        let first = lane.front() == Some(&head.number);
        if let Some(due) = head.due.filter(|_| first) {
            self.due.insert((due, head.number));
        }
        self.heads.insert(head.number, head);
    }

    /// The head of a waiting message changed: another attempt, another time, dead or not.
    pub fn change(&mut self, head: WaitingHead) {
        if let Some(old) = self.heads.get(&head.number) {
            if let Some(due) = old.due {
                self.due.remove(&(due, head.number));
            }
            let first = self.lanes.get(&head.lane).and_then(VecDeque::front) == Some(&head.number);
            if let Some(due) = head.due.filter(|_| first) {
                self.due.insert((due, head.number));
            }
            self.heads.insert(head.number, head);
        }
    }

    /// A waiting message is settled: the next of its lane may go.
    pub fn remove(&mut self, number: u64) {
        let Some(head) = self.heads.remove(&number) else { return };
        if let Some(due) = head.due {
            self.due.remove(&(due, number));
        }
        let Some(lane) = self.lanes.get_mut(&head.lane) else { return };
        lane.retain(|other| *other != number);
        match lane.front().copied() {
            None => drop(self.lanes.remove(&head.lane)),
            Some(next) => {
                if let Some(due) = self.heads.get(&next).and_then(|head| head.due) {
                    self.due.insert((due, next));
                }
            }
        }
    }

    /// The first messages of lanes that are due by now.
    pub fn due(&self, now: i64, limit: usize) -> Vec<u64> {
        self.due.iter().take_while(|(due, _)| *due <= now).take(limit).map(|(_, number)| *number).collect()
    }

    pub fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Destination, Partition, Place, Route};

    fn row(epoch: u64, position: u64, before: Option<(u64, u64)>) -> LogRow {
        LogRow {
            route: Route {
                from: Partition { context: "a".into(), number: 0 },
                to: Destination { topic: "b.commands".into(), partition: 0 },
            },
            place: Place { epoch, position },
            predecessor: before.map(|(epoch, position)| Place { epoch, position }),
            raw: Arc::from(&b""[..]),
            packet: None,
            times: [0; 3],
        }
    }

    fn at(epoch: u64, position: u64) -> Place0 {
        Some(Place { epoch, position })
    }

    #[test]
    fn a_mark_lets_through_exactly_the_next_row() {
        assert_eq!(seen(&row(1, 3, None), None), Seen::Next);
        assert_eq!(seen(&row(1, 7, Some((1, 3))), at(1, 3)), Seen::Next);
        assert_eq!(seen(&row(1, 3, None), at(1, 3)), Seen::Duplicate);
        assert_eq!(seen(&row(1, 2, None), at(1, 3)), Seen::Duplicate);
        assert_eq!(seen(&row(1, 9, Some((1, 7))), at(1, 3)), Seen::Gap);
        assert_eq!(seen(&row(1, 7, Some((1, 3))), None), Seen::Gap);
    }

    #[test]
    fn a_restored_store_goes_on_in_a_new_epoch_where_the_reader_is() {
        assert_eq!(seen(&row(2, 1, Some((1, 80))), at(1, 80)), Seen::Next);
        assert_eq!(seen(&row(2, 1, Some((1, 80))), at(1, 100)), Seen::Next, "the reader has seen what the old backup forgot");
        assert_eq!(seen(&row(2, 1, Some((1, 80))), at(1, 70)), Seen::Gap, "rows 71 to 80 come first");
        assert_eq!(seen(&row(1, 101, Some((1, 100))), at(2, 1)), Seen::Duplicate, "an old epoch does not come back");
        assert_eq!(seen(&row(2, 5, Some((2, 1))), at(1, 80)), Seen::Gap);
    }

    #[test]
    fn a_lane_lets_out_its_first_and_then_the_next() {
        let head =
            |number, lane: &str, due| WaitingHead { number, lane: lane.into(), attempts: 1, due, dead: false, not_yet: None };
        let mut lanes = Lanes::of(vec![head(1, "a", Some(10)), head(2, "a", Some(0)), head(3, "b", Some(20))]);
        assert!(lanes.blocked("a") && !lanes.blocked("c"));
        assert_eq!(lanes.due(5, 9), Vec::<u64>::new(), "the second waits for the first though it is due");
        assert_eq!(lanes.due(30, 9), vec![1, 3]);
        lanes.change(WaitingHead { dead: true, due: None, ..head(1, "a", None) });
        assert_eq!(lanes.due(30, 9), vec![3], "a dead letter parks its lane, no other");
        lanes.remove(1);
        assert_eq!(lanes.due(30, 9), vec![2, 3]);
        assert_eq!((lanes.mint(1), lanes.mint(70), lanes.mint(70)), (4, 70, 71));
    }

    #[test]
    fn eight_attempts_take_about_ten_minutes() {
        let mut chance = Chance::seeded(1);
        let total: Duration = (1..ATTEMPTS).map(|attempt| backoff(attempt, &mut chance)).sum();
        assert!((Duration::from_secs(480)..Duration::from_secs(660)).contains(&total), "{total:?}");
    }
}
