//! What sagas wait for: deadlines of rows and backoffs, in memory, on the monotonic clock.
//!
//! Nothing here is stored. A start, a takeover and the end of an outage begin all of them anew, so a laptop that slept or a store that
//! was away undoes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::message::{Envelope, Packet};
use crate::saga::engine::{self, Input, Phase, Progress, Run, Shape, Stage};
use crate::store::Partition;

/// What moves a saga without a message: an alarm, or an operator, whose request may belong to a trace.
pub(super) fn own_cause(saga: &Arc<str>, trace: Option<Arc<str>>, now: i64) -> Packet {
    let envelope = Envelope {
        id: format!("alarm/{saga}").into(),
        source: "alarm".into(),
        kind: "alarm".into(),
        key: saga.clone(),
        time: now,
        trace,
        correlation: saga.clone(),
        causation: Some(saga.clone()),
        actor: "system".into(),
        tenant: None,
        saga: None,
        answer_to: None,
        expected: None,
    };
    Packet::bare(envelope)
}

/// One alarm that went off.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    pub partition: Partition,
    pub saga: Arc<str>,
    pub input: Input,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deadline { row: u16, undoing: bool },
    Resend { row: u16, index: u32, attempt: u16 },
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Alarms {
    due: BTreeSet<(Duration, Arc<str>, What)>,
    deadlines: BTreeMap<Arc<str>, (Duration, What)>,
    partitions: BTreeMap<Arc<str>, Partition>,
}

impl Alarms {
    /// Sets the deadline of a saga's active row, in place of the one before.
    pub fn deadline(&mut self, partition: &Partition, saga: &Arc<str>, run: &Run, at: Duration) {
        self.no_deadline(saga);
        let what = What::Deadline { row: run.row, undoing: run.stage == Stage::Undoing };
        self.due.insert((at, saga.clone(), what.clone()));
        self.deadlines.insert(saga.clone(), (at, what));
        self.partitions.entry(saga.clone()).or_insert_with(|| partition.clone());
    }

    pub fn no_deadline(&mut self, saga: &Arc<str>) {
        if let Some((at, what)) = self.deadlines.remove(saga) {
            self.due.remove(&(at, saga.clone(), what));
        }
    }

    pub fn resend(&mut self, partition: &Partition, saga: &Arc<str>, row: u16, index: u32, attempt: u16, at: Duration) {
        self.due.insert((at, saga.clone(), What::Resend { row, index, attempt }));
        self.partitions.entry(saga.clone()).or_insert_with(|| partition.clone());
    }

    /// A saga has ended.
    pub fn forget(&mut self, saga: &Arc<str>) {
        self.no_deadline(saga);
        self.partitions.remove(saga);
    }

    /// Forgets every alarm of a partition.
    pub fn leave(&mut self, partition: &Partition) {
        self.partitions.retain(|_, of| of != partition);
        let stays = &self.partitions;
        self.due.retain(|(_, saga, _)| stays.contains_key(saga));
        self.deadlines.retain(|saga, _| stays.contains_key(saga));
    }

    /// Begins a running saga's alarms anew.
    pub fn again(&mut self, partition: &Partition, saga: &Arc<str>, run: &Run, shape: &Shape, now: Duration) {
        let row = usize::from(run.row).checked_sub(1).and_then(|row| shape.rows.get(row));
        let Some(row) = row.filter(|_| !run.stage.ended()) else { return };
        self.deadline(partition, saga, run, now + row.within);
        if run.stage == Stage::Running && row.phase == Phase::Then {
            for (child, index) in run.active().iter().zip(0..) {
                if child.step == Progress::Refused && child.step_attempt < engine::ATTEMPTS {
                    let at = now + engine::backoff(child.step_attempt);
                    self.resend(partition, saga, run.row, index, child.step_attempt, at);
                }
            }
        }
    }

    pub fn due(&self) -> Option<Duration> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Those that are due by now.
    pub fn take(&mut self, now: Duration, limit: usize) -> Vec<Alarm> {
        let mut taken = Vec::new();
        while taken.len() < limit && self.due.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, saga, what)) = self.due.pop_first() else { break };
            let Some(partition) = self.partitions.get(&saga).cloned() else { continue };
            let input = match what {
                What::Deadline { row, undoing } => {
                    self.deadlines.remove(&saga);
                    Input::Deadline { row, stage: if undoing { Stage::Undoing } else { Stage::Running } }
                }
                What::Resend { row, index, attempt } => Input::Resend { row, index, attempt },
            };
            taken.push(Alarm { partition, saga, input });
        }
        taken
    }
}
