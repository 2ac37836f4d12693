//! How a run moves: forward row by row, turned round, and back row by row.

use super::{ATTEMPTS, Child, Effect, Entry, Exception, Move, Phase, Progress, Reason, Run, Shape, Stage, backoff};
use crate::command::Refusal;
use crate::message::Direction;
use crate::saga::{Abort, Outcome};

pub(super) fn log(row: u16, index: impl Into<Option<u32>>, what: &'static str, detail: impl Into<Option<String>>) -> Effect {
    Effect::Log(Entry { row, index: index.into(), what: what.into(), detail: detail.into(), by: None, actor: None })
}

pub(super) fn send_step(child: &mut Child, row: u16, index: u32, effects: &mut Vec<Effect>) {
    child.step = Progress::Sent;
    child.step_attempt = child.step_attempt.saturating_add(1);
    effects.push(Effect::Send { row, index, direction: Direction::Do, attempt: child.step_attempt });
}

fn send_undo(child: &mut Child, row: u16, index: u32, effects: &mut Vec<Effect>) {
    child.undo = Progress::Sent;
    child.undo_attempt = child.undo_attempt.saturating_add(1);
    effects.push(Effect::Send { row, index, direction: Direction::Undo, attempt: child.undo_attempt });
}

/// Which command an answer is about.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub row: u16,
    pub index: u32,
    pub attempt: u16,
}

/// What an answer means to a command that is so far.
enum Settled {
    /// Nothing: it came twice, or is about an attempt that no longer counts.
    Nothing,
    /// It is so now.
    Done,
    /// The latest attempt was refused.
    Refused(Refusal),
    /// It, or an earlier attempt that it queues behind, is a dead letter.
    Dead,
    /// The dead letter was an earlier attempt, and has been discarded: the latest goes on.
    Freed,
}

impl Settled {
    fn of(outcome: Outcome, progress: Progress, latest: bool) -> Settled {
        match (outcome, progress) {
            (Outcome::Done, Progress::Done | Progress::Unsent) => Settled::Nothing,
            (Outcome::Done, _) => Settled::Done,
            (Outcome::Refused(refusal), Progress::Sent | Progress::Dead) if latest => Settled::Refused(refusal),
            (Outcome::Refused(_), Progress::Dead) => Settled::Freed,
            // A retried command stands in the lane behind its earlier attempts, so a dead letter of any of them holds it up. One that was
            // replayed may be a dead letter once more.
            (Outcome::Dead, Progress::Sent | Progress::Dead) => Settled::Dead,
            (Outcome::Refused(_) | Outcome::Dead, _) => Settled::Nothing,
        }
    }
}

impl Run {
    pub(super) fn child(&mut self, row: u16, index: u32) -> Option<&mut Child> {
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

    /// Whether an operator must decide before this saga can end: nothing more is sent for the active row until then, or a step
    /// whose undo has been sent is a dead letter.
    pub fn stuck(&self, shape: &Shape) -> bool {
        let undo_waits = |child: &Child| child.step == Progress::Dead && child.undo != Progress::Unsent;
        self.row_stuck(shape) || (self.stage == Stage::Undoing && self.rows.iter().flatten().any(undo_waits))
    }

    pub(super) fn row_stuck(&self, shape: &Shape) -> bool {
        let refused_too_often = |child: &Child| child.step == Progress::Refused && child.step_attempt >= ATTEMPTS;
        match (self.stage, shape.row(self.row).map(|row| row.phase)) {
            (Stage::Running, Some(Phase::Pivot)) => self.active().iter().any(|child| child.step == Progress::Dead),
            (Stage::Running, Some(Phase::Then)) => {
                self.active().iter().any(|child| child.step == Progress::Dead || refused_too_often(child))
            }
            (Stage::Undoing, _) => self.active().iter().any(|child| matches!(child.undo, Progress::Refused | Progress::Dead)),
            _ => false,
        }
    }

    /// Whether a command of the active row is a dead letter: then only its replay or discard decides, or it would run after all.
    pub(super) fn dead(&self) -> bool {
        self.active().iter().any(|child| child.step == Progress::Dead || child.undo == Progress::Dead)
    }

    /// Whether a row before the pivot waits for an operator to decide on a dead letter.
    pub fn waits_for_dead_letter(&self) -> bool {
        self.stage == Stage::Running && self.active().iter().any(|child| child.step == Progress::Dead)
    }

    pub(super) fn forward(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
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

    pub(super) fn turn_round(&mut self, shape: &Shape, reason: Reason, effects: &mut Vec<Effect>) {
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
        // An undo is handled behind its step, so no step is a dead letter here but one that leaves nothing to undo.
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

    pub(super) fn step_answered(&mut self, shape: &Shape, at: At, outcome: Outcome, effects: &mut Vec<Effect>) {
        let At { row, index, attempt } = at;
        let active = self.stage == Stage::Running && self.row == row;
        let phase = shape.row(row).map(|row| row.phase);
        let Some(child) = self.child(row, index) else { return };
        let was_dead = child.step == Progress::Dead;
        match (Settled::of(outcome, child.step, attempt == child.step_attempt), phase) {
            (Settled::Nothing, _) => {}
            (Settled::Done, _) => {
                // Done of any attempt counts: a later one would have found nothing to do.
                child.step = Progress::Done;
                effects.push(log(row, index, "done", None));
                self.deadline_again(shape, row, was_dead, effects);
                if active {
                    self.forward(shape, effects);
                }
            }
            (Settled::Refused(refusal), phase) => {
                child.step = Progress::Refused;
                effects.push(log(row, index, "refused", refusal.to_string()));
                match phase.filter(|_| active) {
                    Some(Phase::Step | Phase::Pivot) => self.turn_round(shape, Reason { row, index, refusal }, effects),
                    Some(Phase::Then) if attempt < ATTEMPTS => {
                        effects.push(Effect::Resend { row, index, attempt, after: backoff(attempt) });
                        self.deadline_again(shape, row, was_dead, effects);
                    }
                    Some(Phase::Then) => {
                        effects.push(log(row, index, "stuck", None));
                        self.deadline_again(shape, row, was_dead, effects);
                    }
                    Some(Phase::Start) | None => self.deadline_again(shape, row, was_dead, effects),
                }
            }
            (Settled::Freed, _) => {
                child.step = Progress::Sent;
                effects.push(log(row, index, "discarded", None));
                self.deadline_again(shape, row, was_dead, effects);
            }
            (Settled::Dead, _) => {
                child.step = Progress::Dead;
                effects.push(log(row, index, "dead-letter", None));
                if self.row == row && !self.stage.ended() {
                    effects.push(Effect::NoDeadline);
                }
            }
        }
    }

    pub(super) fn undo_answered(&mut self, shape: &Shape, at: At, outcome: Outcome, effects: &mut Vec<Effect>) {
        let At { row, index, attempt } = at;
        let active = self.stage == Stage::Undoing && self.row == row;
        let Some(child) = self.child(row, index) else { return };
        let was_dead = child.undo == Progress::Dead;
        match Settled::of(outcome, child.undo, attempt == child.undo_attempt) {
            Settled::Nothing => {}
            Settled::Done => {
                child.undo = Progress::Done;
                effects.push(log(row, index, "undone", None));
                if active {
                    self.deadline_again(shape, row, was_dead, effects);
                    self.back(shape, effects);
                }
            }
            Settled::Refused(refusal) => {
                child.undo = Progress::Refused;
                effects.push(log(row, index, "stuck", refusal.to_string()));
                self.deadline_again(shape, row, was_dead, effects);
            }
            Settled::Freed => {
                child.undo = Progress::Sent;
                effects.push(log(row, index, "discarded", None));
                self.deadline_again(shape, row, was_dead, effects);
            }
            Settled::Dead => {
                child.undo = Progress::Dead;
                effects.push(log(row, index, "stuck", "the undo is a dead letter".to_owned()));
                if active {
                    effects.push(Effect::NoDeadline);
                }
            }
        }
    }

    /// The active row's deadline stands still while a command of it is a dead letter, and begins anew when that is decided.
    fn deadline_again(&mut self, shape: &Shape, row: u16, was_dead: bool, effects: &mut Vec<Effect>) {
        if !was_dead || self.row != row || self.stage.ended() || self.dead() {
            return;
        }
        if let Some(of_row) = shape.row(row) {
            self.late = false;
            effects.push(Effect::Deadline(of_row.within));
        }
    }

    pub(super) fn deadline_passed(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        if self.stage.ended() || self.dead() {
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
            effects.push(log(
                self.row,
                None,
                "late",
                "still waiting: at and after the pivot, and in an undo, nothing times out".to_owned(),
            ));
        }
    }

    pub(super) fn retry(&mut self, shape: &Shape, effects: &mut Vec<Effect>) {
        if self.allows(shape, Move::Retry).is_err() {
            return;
        }
        let (row, stage) = (self.row, self.stage);
        let before = effects.len();
        for (child, index) in self.active_mut().iter_mut().zip(0..).filter(|(child, _)| child.may_be_sent_again(stage)) {
            match stage {
                Stage::Undoing => send_undo(child, row, index, effects),
                _ => send_step(child, row, index, effects),
            }
        }
        if let Some(of_row) = shape.row(row).filter(|_| effects.len() > before) {
            self.late = false;
            effects.extend([log(row, None, "retried", None), Effect::Deadline(of_row.within)]);
        }
    }

    pub(super) fn resolve(&mut self, shape: &Shape, happened: bool, reason: String, actor: &str, effects: &mut Vec<Effect>) {
        if self.allows(shape, Move::Resolve).is_err() {
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
                exceptions.push(Exception { row, index, direction, reason: reason.clone(), actor: actor.to_owned() });
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
