//! The engine: `(table, run, input) → (run, effects)`, nothing else. It knows no clock, no store and no message: effects hold
//! durations, answers come by row, index, direction and attempt.
//!
//! | row | refused | deadline passed | its command is a dead letter |
//! |---|---|---|---|
//! | before the pivot | undo what was sent | the same | wait for the operator; a sibling's refusal or an abort undoes at once |
//! | the pivot | undo all before it | keep waiting, alarm | stuck |
//! | after the pivot | send again with backoff, 10 times, then stuck | keep waiting, alarm | stuck |
//! | an undo | stuck | keep waiting, alarm | stuck |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Abort, Outcome, PlanRow};
use crate::command::Refusal;
use crate::message::Direction;

mod open;
mod packed;
mod run;

pub use open::{Closed, Move};

use run::{At, log, send_step};

/// Attempts of a row after the pivot before it is stuck: the first, and ten times again.
pub const ATTEMPTS: u16 = 11;

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
    /// As far as a plan tells: without the number of children.
    pub fn of_plan(plan: &[PlanRow]) -> Shape {
        let row = |row: &PlanRow| RowShape {
            phase: row.phase,
            children: 0,
            undo: row.undo.is_some(),
            within: Duration::from_secs(row.within_seconds),
        };
        Shape { rows: plan.iter().map(row).collect() }
    }

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
    /// Who signed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
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
    /// An operator did something with a command that is a dead letter; what becomes of it is answered later.
    Decided {
        /// Which row's command.
        row: u16,
        /// Which child's.
        index: u32,
        /// `edited` or `replayed`.
        did: std::borrow::Cow<'static, str>,
        /// In the operator's words.
        reason: Option<String>,
        /// Who.
        actor: std::sync::Arc<str>,
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
        /// Who signs it.
        actor: String,
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
    /// What happened: `started`, `sent`, `done`, `refused`, `dead-letter`, `edited`, `replayed`, `undo-sent`, `undone`, `late`, `resolved`, `ended` …
    pub what: std::borrow::Cow<'static, str>,
    /// More words, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The position of the answer that it was written for, in the stream of whoever answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<u64>,
    /// Who decided it, when an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<std::sync::Arc<str>>,
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
            run.step_answered(shape, At { row, index, attempt }, outcome, &mut effects);
        }
        Input::Answer { row, index, direction: Direction::Undo, attempt, outcome } => {
            run.undo_answered(shape, At { row, index, attempt }, outcome, &mut effects);
        }
        Input::Decided { row, index, did, reason, actor } => {
            if run.child(row, index).is_some() {
                let (index, actor) = (Some(index), Some(actor));
                effects.push(Effect::Log(Entry { row, index, what: did, detail: reason, by: None, actor }));
            }
        }
        Input::Deadline { row, stage } if row == run.row && stage == run.stage => run.deadline_passed(shape, &mut effects),
        Input::Deadline { .. } => {}
        Input::Resend { row, index, attempt } => {
            let waits = run.stage == Stage::Running && run.row == row;
            if let Some(child) = run.child(row, index).filter(|_| waits)
                && child.step == Progress::Refused
                && child.step_attempt == attempt
            {
                send_step(child, row, index, &mut effects);
            }
        }
        Input::Abort { reason } => {
            if run.abort_would(shape) == Abort::Undoing && run.stage == Stage::Running {
                let refusal = Refusal::conflict("aborted", reason);
                run.turn_round(shape, Reason { row: run.row, index: 0, refusal }, &mut effects);
            }
        }
        Input::Retry => run.retry(shape, &mut effects),
        Input::Resolve { happened, reason, actor } => run.resolve(shape, happened, reason, &actor, &mut effects),
    }
    (run, effects)
}

#[cfg(test)]
mod tests;
