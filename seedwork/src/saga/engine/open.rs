//! What an operator may do to a saga where it stands, and if not, why not.

use super::{Child, Phase, Progress, Run, Shape, Stage};
use crate::saga::Abort;

/// What an operator may ask of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Send the row again.
    Retry,
    /// Record what was found.
    Resolve,
    /// Undo it.
    Abort,
}

impl Move {
    /// All of them.
    pub const ALL: [Move; 3] = [Move::Retry, Move::Resolve, Move::Abort];

    /// `retry`, `resolve` or `abort`.
    pub fn as_str(self) -> &'static str {
        match self {
            Move::Retry => "retry",
            Move::Resolve => "resolve",
            Move::Abort => "abort",
        }
    }
}

/// Why a saga is not open to a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It has ended.
    Ended,
    /// It is being undone already.
    Undoing,
    /// The pivot's command has been sent: there is no way back.
    TooLate,
    /// Its row is neither stuck nor past its deadline.
    InTime,
    /// A command is a dead letter: only its replay or discard decides.
    DeadLetter,
}

impl Closed {
    /// Stable, kebab-case.
    pub fn code(self) -> &'static str {
        match self {
            Closed::Ended => "saga-ended",
            Closed::Undoing => "saga-undoing",
            Closed::TooLate => "too-late",
            Closed::InTime => "not-stuck",
            Closed::DeadLetter => "dead-letter-undecided",
        }
    }

    /// A sentence for people.
    pub fn why(self) -> &'static str {
        match self {
            Closed::Ended => "the saga has ended",
            Closed::Undoing => "the saga is being undone already",
            Closed::TooLate => "the command of the pivot has been sent: there is no way back from there",
            Closed::InTime => "the row is neither stuck nor past its deadline: it goes on by itself",
            Closed::DeadLetter => "a command of the row is a dead letter: replay or discard that",
        }
    }
}

impl Child {
    /// Whether a retry sends its command again.
    pub(super) fn may_be_sent_again(&self, stage: Stage) -> bool {
        let open = |progress| matches!(progress, Progress::Sent | Progress::Refused);
        match stage {
            Stage::Running => open(self.step),
            // An undo behind a dead letter waits for that, not for another attempt.
            Stage::Undoing => open(self.undo) && self.step != Progress::Dead,
            Stage::Completed | Stage::Undone => false,
        }
    }
}

impl Run {
    /// Whether an operator may do this now.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, shape: &Shape, what: Move) -> Result<(), Closed> {
        if self.stage.ended() {
            return Err(Closed::Ended);
        }
        if what == Move::Abort {
            return match (self.abort_would(shape), self.stage) {
                (Abort::Undoing, Stage::Running) => Ok(()),
                (Abort::TooLate, _) => Err(Closed::TooLate),
                (Abort::Undoing | Abort::Ended, _) => Err(Closed::Undoing),
            };
        }
        let before_pivot = self.stage == Stage::Running && shape.row(self.row).is_some_and(|row| row.phase == Phase::Step);
        let waits = self.late || self.row_stuck(shape);
        match what {
            Move::Resolve if self.dead() => Err(Closed::DeadLetter),
            Move::Retry if self.dead() && !self.active().iter().any(|child| child.may_be_sent_again(self.stage)) => {
                Err(Closed::DeadLetter)
            }
            _ if before_pivot || !waits => Err(Closed::InTime),
            _ => Ok(()),
        }
    }

    /// All that an operator may do now.
    pub fn possible(&self, shape: &Shape) -> Vec<Move> {
        Move::ALL.into_iter().filter(|what| self.allows(shape, *what).is_ok()).collect()
    }

    /// Whether the active row is the pivot, going forward: there a resolve says whether it happened.
    pub fn at_pivot(&self, shape: &Shape) -> bool {
        self.stage == Stage::Running && shape.row(self.row).is_some_and(|row| row.phase == Phase::Pivot)
    }
}
