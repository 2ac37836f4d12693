//! The engine: `(table, run, input) → (run, effects)`, nothing else. It knows no clock, no store and no message: effects hold
//! durations, answers come by row, index, direction and attempt.
//!
//! | row | refused | deadline passed | its command is a dead letter |
//! |---|---|---|---|
//! | before the pivot | undo what was sent | the same | wait for the operator; a sibling's refusal or an abort undoes at once |
//! | the pivot | undo all before it | keep waiting, alarm | stuck |
//! | after the pivot | send again, 10 times, then stuck | keep waiting, alarm | stuck |
//! | an undo | stuck | keep waiting, alarm | stuck |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Abort, Outcome};
use crate::command::Refusal;
use crate::message::Direction;

mod packed;

/// Attempts of a row after the pivot before it is stuck.
pub const ATTEMPTS: u16 = 10;

/// A row's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The unit of work that started the saga.
    Start,
    /// Compensatable.
    Step,
    /// The point of no return.
    Pivot,
    /// Retriable.
    Then,
}

/// What the engine must know of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Its phase.
    pub phase: Phase,
    /// Children: 1, or the length of the fan-out's list.
    pub children: u32,
    /// Whether there is something to undo.
    pub undo: bool,
    /// Its deadline.
    pub within: Duration,
}

/// The table of one saga, its fan-outs counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Row 1 first.
    pub rows: Vec<RowShape>,
}

impl Shape {
    fn row(&self, row: u16) -> Option<&RowShape> {
        self.rows.get(usize::from(row).checked_sub(1)?)
    }
}

/// How far one command of one child is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Not sent.
    #[default]
    Unsent,
    /// Sent, not answered.
    Sent,
    /// Done.
    Done,
    /// Refused, by the latest attempt.
    Refused,
    /// A dead letter.
    Dead,
    /// An operator recorded what was found.
    Resolved,
}

/// One child of a row: its step and its undo, each with the number of its latest attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// The step.
    pub step: Progress,
    /// Attempts of the step so far.
    pub step_attempt: u16,
    /// The undo.
    pub undo: Progress,
    /// Attempts of the undo so far.
    pub undo_attempt: u16,
}

/// Where the whole saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Going forward.
    Running,
    /// Going back.
    Undoing,
    /// All rows happened.
    Completed,
    /// All that happened was undone.
    Undone,
}

impl Stage {
    /// Completed or undone.
    pub fn ended(self) -> bool {
        matches!(self, Stage::Completed | Stage::Undone)
    }

    /// `running`, `undoing`, `completed` or `undone`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Running => "running",
            Stage::Undoing => "undoing",
            Stage::Completed => "completed",
            Stage::Undone => "undone",
        }
    }
}

/// Why a saga is being undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The row at which it turned round.
    pub row: u16,
    /// The child of that row.
    pub index: u32,
    /// The refusal; `deadline` and `aborted` are codes of the engine's own.
    pub refusal: Refusal,
}

/// What an operator signed instead of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// The row.
    pub row: u16,
    /// The child.
    pub index: u32,
    /// Step or undo.
    pub direction: Direction,
    /// In the operator's words.
    pub reason: String,
}

/// The folded log of one saga: one stored row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Where it stands.
    pub stage: Stage,
    /// The row that is being done, or undone.
    pub row: u16,
    /// The children of each row reached, row 1 first.
    #[serde(with = "packed")]
    pub rows: Vec<Vec<Child>>,
    /// Whether the row has passed its deadline and still waits.
    #[serde(default)]
    pub late: bool,
    /// Why it is being undone, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What operators signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// What may move a saga.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A command was settled.
    Answer {
        /// Which row's command.
        row: u16,
        /// Which child's.
        index: u32,
        /// Its step or its undo.
        direction: Direction,
        /// Which attempt.
        attempt: u16,
        /// What became of it.
        outcome: Outcome,
    },
    /// The active row's deadline passed.
    Deadline {
        /// The row that it was set for.
        row: u16,
        /// The stage in which it was set.
        stage: Stage,
    },
    /// The backoff of a refused row after the pivot is over.
    Resend {
        /// The row.
        row: u16,
        /// The child.
        index: u32,
        /// The attempt that was refused.
        attempt: u16,
    },
    /// Somebody with the right to do so wants it undone.
    Abort {
        /// In their words.
        reason: String,
    },
    /// An operator sends the row again.
    Retry,
    /// An operator records what was found.
    Resolve {
        /// At the pivot: whether it happened.
        happened: bool,
        /// In the operator's words.
        reason: String,
    },
}

/// What the executor must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this command.
    Send {
        /// The row.
        row: u16,
        /// The child.
        index: u32,
        /// Step or undo.
        direction: Direction,
        /// Its number.
        attempt: u16,
    },
    /// Begin the active row's deadline anew.
    Deadline(Duration),
    /// The active row has no deadline any more.
    NoDeadline,
    /// After this long, give [`Input::Resend`].
    Resend {
        /// The row.
        row: u16,
        /// The child.
        index: u32,
        /// The refused attempt.
        attempt: u16,
        /// How long to wait.
        after: Duration,
    },
    /// Write this down.
    Log(Entry),
    /// It has ended; `run.stage` says how.
    Ended,
}

/// One line of a saga's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The row.
    pub row: u16,
    /// The child; none when the line is about the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// What happened: `started`, `sent`, `done`, `refused`, `dead-letter`, `undo-sent`, `undone`, `late`, `resolved`, `ended` …
    pub what: std::borrow::Cow<'static, str>,
    /// More words, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

fn log(row: u16, index: impl Into<Option<u32>>, what: &'static str, detail: impl Into<Option<String>>) -> Effect {
    Effect::Log(Entry { row, index: index.into(), what: what.into(), detail: detail.into() })
}

/// The backoff before attempt `attempt + 1` of a refused row after the pivot: 1 s, doubled each time, 5 minutes at most.
pub fn backoff(attempt: u16) -> Duration {
    Duration::from_secs(1_u64 << attempt.saturating_sub(1).min(9)).min(Duration::from_secs(300))
}

/// The run of a saga that has just been started, and its first effects.
pub fn start(shape: &Shape) -> (Run, Vec<Effect>) {
    let started = Child { step: Progress::Done, step_attempt: 1, ..Child::default() };
    let mut run =
        Run { stage: Stage::Running, row: 1, rows: vec![vec![started]], late: false, reason: None, exceptions: Vec::new() };
    let mut effects = vec![log(1, None, "started", None)];
    run.forward(shape, &mut effects);
    (run, effects)
}

/// Moves a saga by one input. An input that no longer matters changes nothing.
pub fn step(shape: &Shape, mut run: Run, input: Input) -> (Run, Vec<Effect>) {
    let mut effects = Vec::new();
    match input {
        Input::Answer { row, index, direction: Direction::Do, attempt, outcome } => {
            run.step_answered(shape, row, index, attempt, outcome, &mut effects);
        }
        Input::Answer { row, index, direction: Direction::Undo, attempt, outcome } => {
            run.undo_answered(shape, row, index, attempt, outcome, &mut effects);
        }
        Input::Deadline { row, stage } if row == run.row && stage == run.stage => run.deadline_passed(shape, &mut effects),
        Input::Deadline { .. } => {}
        Input::Resend { row, index, attempt } => {
            let waits = run.stage == Stage::Running && run.row == row;
            if let Some(child) = run.child(row, index).filter(|_| waits) {
                if child.step == Progress::Refused && child.step_attempt == attempt {
                    send_step(child, row, index, &mut effects);
                }
            }
        }
        Input::Abort { reason } => {
            if run.abort_would(shape) == Abort::Undoing && run.stage == Stage::Running {
                let refusal = Refusal::conflict("aborted", reason);
                run.turn_round(shape, Reason { row: run.row, index: 0, refusal }, &mut effects);
            }
        }
        Input::Retry => run.retry(shape, &mut effects),
        Input::Resolve { happened, reason } => run.resolve(shape, happened, reason, &mut effects),
    }
    (run, effects)
}

fn send_step(child: &mut Child, row: u16, index: u32, effects: &mut Vec<Effect>) {
    child.step = Progress::Sent;
    child.step_attempt = child.step_attempt.saturating_add(1);
    effects.push(Effect::Send { row, index, direction: Direction::Do, attempt: child.step_attempt });
}

fn send_undo(child: &mut Child, row: u16, index: u32, effects: &mut Vec<Effect>) {
    child.undo = Progress::Sent;
    child.undo_attempt = child.undo_attempt.saturating_add(1);
    effects.push(Effect::Send { row, index, direction: Direction::Undo, attempt: child.undo_attempt });
}

impl Run {
    fn child(&mut self, row: u16, index: u32) -> Option<&mut Child> {
        self.rows.get_mut(usize::from(row).checked_sub(1)?)?.get_mut(index as usize)
    }

    /// The children of the active row.
    pub fn active(&self) -> &[Child] {
        usize::from(self.row).checked_sub(1).and_then(|row| self.rows.get(row)).map_or(&[], Vec::as_slice)
    }

    fn active_mut(&mut self) -> &mut [Child] {
        usize::from(self.row).checked_sub(1).and_then(|row| self.rows.get_mut(row)).map_or(&mut [], Vec::as_mut_slice)
    }

    /// What an abort would answer now.
    pub fn abort_would(&self, shape: &Shape) -> Abort {
        match self.stage {
            Stage::Completed | Stage::Undone => Abort::Ended,
            Stage::Undoing => Abort::Undoing,
            Stage::Running => match shape.row(self.row).map(|row| row.phase) {
                Some(Phase::Start | Phase::Step) => Abort::Undoing,
                Some(Phase::Pivot | Phase::Then) | None => Abort::TooLate,
            },
        }
    }

    /// Whether nothing more is sent for the active row until an operator decides.
    pub fn stuck(&self, shape: &Shape) -> bool {
        match (self.stage, shape.row(self.row).map(|row| row.phase)) {
            (Stage::Running, Some(Phase::Pivot)) => self.active().iter().any(|child| child.step == Progress::Dead),
            (Stage::Running, Some(Phase::Then)) => self.active().iter().any(|child| {
                child.step == Progress::Dead || (child.step == Progress::Refused && child.step_attempt >= ATTEMPTS)
            }),
            (Stage::Undoing, _) => {
                self.active().iter().any(|child| matches!(child.undo, Progress::Refused | Progress::Dead))
                    || self.rows.iter().flatten().any(|child| child.step == Progress::Dead)
            }
            _ => false,
        }
    }

    /// Whether a row before the pivot waits for an operator to decide on a dead letter.
    pub fn waits_for_dead_letter(&self) -> bool {
        self.stage == Stage::Running && self.active().iter().any(|child| child.step == Progress::Dead)
    }

    fn forward(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        loop {
            let settled = self.active().iter().all(|child| matches!(child.step, Progress::Done | Progress::Resolved));
            if !settled {
                return;
            }
            self.late = false;
            let Some(next) = shape.row(self.row + 1) else {
                self.stage = Stage::Completed;
                effects.extend([log(self.row, None, "completed", None), Effect::NoDeadline, Effect::Ended]);
                return;
            };
            self.row += 1;
            let row = self.row;
            let mut children = vec![Child::default(); next.children as usize];
            for (child, index) in children.iter_mut().zip(0..) {
                send_step(child, row, index, effects);
            }
            self.rows.push(children);
            effects.extend([log(row, None, "sent", None), Effect::Deadline(next.within)]);
        }
    }

    fn turn_round(&mut self, shape: &Shape, reason: Reason, effects: &mut Vec<Effect>) {
        effects.push(log(reason.row, reason.index, "turned-round", reason.refusal.to_string()));
        self.stage = Stage::Undoing;
        self.reason = Some(reason);
        self.undo_row(shape, effects);
    }

    /// Sends the undos of the active row, or of the nearest row below it that has any.
    fn undo_row(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        self.late = false;
        while self.row > 0 {
            let row = self.row;
            if let Some(of_row) = shape.row(row).filter(|of_row| of_row.undo) {
                let mut sent = false;
                for (child, index) in self.active_mut().iter_mut().zip(0..) {
                    if !matches!(child.step, Progress::Unsent | Progress::Refused) {
                        send_undo(child, row, index, effects);
                        sent = true;
                    }
                }
                if sent {
                    effects.extend([log(row, None, "undo-sent", None), Effect::Deadline(of_row.within)]);
                    return;
                }
            }
            self.row -= 1;
        }
        // A step that is still a dead letter was undone behind it only if it was decided first, so none is left here.
        self.stage = Stage::Undone;
        effects.extend([log(0, None, "undone", None), Effect::NoDeadline, Effect::Ended]);
    }

    fn back(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        let settled =
            self.active().iter().all(|child| matches!(child.undo, Progress::Unsent | Progress::Done | Progress::Resolved));
        if self.stage == Stage::Undoing && settled {
            self.row -= 1;
            self.undo_row(shape, effects);
        }
    }

    fn step_answered(
        &mut self,
        shape: &Shape,
        row: u16,
        index: u32,
        attempt: u16,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let active = self.stage == Stage::Running && self.row == row;
        let phase = shape.row(row).map(|row| row.phase);
        let Some(child) = self.child(row, index) else { return };
        let latest = attempt == child.step_attempt && matches!(child.step, Progress::Sent | Progress::Dead);
        match outcome {
            Outcome::Done if child.step == Progress::Done => {}
            Outcome::Done => {
                // Done of any attempt counts: a later one would have found nothing to do.
                let was_dead = child.step == Progress::Dead;
                child.step = Progress::Done;
                effects.push(log(row, index, "done", None));
                if active {
                    self.deadline_again(shape, was_dead, effects);
                    self.forward(shape, effects);
                }
            }
            Outcome::Refused(_) | Outcome::Dead if !latest => {}
            Outcome::Refused(refusal) => {
                let was_dead = child.step == Progress::Dead;
                child.step = Progress::Refused;
                effects.push(log(row, index, "refused", refusal.to_string()));
                match phase.filter(|_| active) {
                    Some(Phase::Step | Phase::Pivot) => self.turn_round(shape, Reason { row, index, refusal }, effects),
                    Some(Phase::Then) if attempt < ATTEMPTS => {
                        effects.push(Effect::Resend { row, index, attempt, after: backoff(attempt) });
                        self.deadline_again(shape, was_dead, effects);
                    }
                    Some(Phase::Then) => effects.push(log(row, index, "stuck", None)),
                    Some(Phase::Start) | None => {}
                }
            }
            Outcome::Dead => {
                child.step = Progress::Dead;
                effects.push(log(row, index, "dead-letter", None));
                if active {
                    effects.push(Effect::NoDeadline);
                }
            }
        }
    }

    fn undo_answered(
        &mut self,
        shape: &Shape,
        row: u16,
        index: u32,
        attempt: u16,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let active = self.stage == Stage::Undoing && self.row == row;
        let Some(child) = self.child(row, index) else { return };
        let latest = attempt == child.undo_attempt && matches!(child.undo, Progress::Sent | Progress::Dead);
        match outcome {
            Outcome::Done if child.undo == Progress::Done => {}
            Outcome::Done => {
                let was_dead = child.undo == Progress::Dead;
                child.undo = Progress::Done;
                effects.push(log(row, index, "undone", None));
                if active {
                    self.deadline_again(shape, was_dead, effects);
                    self.back(shape, effects);
                }
            }
            Outcome::Refused(_) | Outcome::Dead if !latest => {}
            Outcome::Refused(refusal) => {
                child.undo = Progress::Refused;
                effects.push(log(row, index, "stuck", refusal.to_string()));
            }
            Outcome::Dead => {
                child.undo = Progress::Dead;
                effects.push(log(row, index, "stuck", "the undo is a dead letter".to_owned()));
            }
        }
    }

    /// A row's deadline stands still while a child of it is a dead letter, and begins anew when that is decided.
    fn deadline_again(&self, shape: &Shape, was_dead: bool, effects: &mut Vec<Effect>) {
        let dead = self.active().iter().any(|child| child.step == Progress::Dead || child.undo == Progress::Dead);
        if let Some(row) = shape.row(self.row).filter(|_| was_dead && !dead) {
            effects.push(Effect::Deadline(row.within));
        }
    }

    fn deadline_passed(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        if self.stage.ended() || self.active().iter().any(|child| child.step == Progress::Dead || child.undo == Progress::Dead) {
            return;
        }
        let phase = shape.row(self.row).map(|row| row.phase);
        if self.stage == Stage::Running && phase == Some(Phase::Step) {
            let waits = self.active().iter().position(|child| child.step == Progress::Sent).unwrap_or(0);
            let refusal = Refusal::conflict("deadline", format!("row {} did not end in time", self.row));
            let index = u32::try_from(waits).unwrap_or(u32::MAX);
            self.turn_round(shape, Reason { row: self.row, index, refusal }, effects);
        } else {
            self.late = true;
            effects.push(log(self.row, None, "late", "still waiting: at and after the pivot, and in an undo, nothing times out".to_owned()));
        }
    }

    fn open_to_operator(&self, shape: &Shape) -> bool {
        let before_pivot = self.stage == Stage::Running && shape.row(self.row).is_some_and(|row| row.phase == Phase::Step);
        !self.stage.ended() && !before_pivot && (self.late || self.stuck(shape))
    }

    fn retry(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        if !self.open_to_operator(shape) {
            return;
        }
        let (row, stage) = (self.row, self.stage);
        let before = effects.len();
        for (child, index) in self.active_mut().iter_mut().zip(0..) {
            match stage {
                Stage::Running if matches!(child.step, Progress::Sent | Progress::Refused) => send_step(child, row, index, effects),
                Stage::Undoing if matches!(child.undo, Progress::Sent | Progress::Refused) => send_undo(child, row, index, effects),
                _ => {}
            }
        }
        if let Some(of_row) = shape.row(row).filter(|_| effects.len() > before) {
            self.late = false;
            effects.extend([log(row, None, "retried", None), Effect::Deadline(of_row.within)]);
        }
    }

    fn resolve(&mut self, shape: &Shape, happened: bool, reason: String, effects: &mut Vec<Effect>) {
        // While a command is a dead letter only its replay or discard decides, or it would run after all.
        let dead = self.active().iter().any(|child| child.step == Progress::Dead || child.undo == Progress::Dead);
        if dead || !self.open_to_operator(shape) {
            return;
        }
        let (row, stage) = (self.row, self.stage);
        let pivot = stage == Stage::Running && shape.row(row).is_some_and(|row| row.phase == Phase::Pivot);
        let direction = if stage == Stage::Undoing { Direction::Undo } else { Direction::Do };
        let mut exceptions = Vec::new();
        for (child, index) in self.active_mut().iter_mut().zip(0..) {
            let progress = if stage == Stage::Undoing { &mut child.undo } else { &mut child.step };
            if matches!(progress, Progress::Sent | Progress::Refused) {
                *progress = if pivot && !happened { Progress::Refused } else { Progress::Resolved };
                exceptions.push(Exception { row, index, direction, reason: reason.clone() });
            }
        }
        self.exceptions.extend(exceptions);
        effects.push(log(row, None, "resolved", reason.clone()));
        if pivot && !happened {
            let refusal = Refusal::conflict("resolved", reason);
            self.turn_round(shape, Reason { row, index: 0, refusal }, effects);
        } else if stage == Stage::Undoing {
            self.back(shape, effects);
        } else {
            self.forward(shape, effects);
        }
    }
}

#[cfg(test)]
mod tests;
