//! A saga, told: its summary, its rows as they stand, and what would be undone.

use seedwork::message::{Direction, partition_key};
use seedwork::saga::PlanRow;
use seedwork::saga::engine::{Child, Entry, Move, Phase, Progress, Run, Shape, Stage};
use seedwork::{LogLine, SagaRecord};
use serde::Serialize;
use wire::values::Timestamp;

use super::Plan;
use crate::answer::Reason;

/// A saga in a list.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    id: &'a str,
    key: &'a str,
    name: &'a str,
    version: u32,
    context: &'a str,
    /// running, undoing, completed, undone, or stuck: then an operator must decide.
    status: &'static str,
    /// Where it stands, when it is stuck there.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    /// Whether its row has passed its deadline and still waits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    row: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    started: Timestamp,
    updated: Timestamp,
    actor: &'a str,
    command: &'a str,
    correlation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Why<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Signed<'a>>,
}

/// Why it turned round, and where.
#[derive(Serialize)]
struct Why<'a> {
    row: u16,
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(flatten)]
    refusal: Reason<'a>,
}

/// What an operator signed instead of an answer.
#[derive(Serialize)]
struct Signed<'a> {
    row: u16,
    index: u32,
    direction: Direction,
    reason: &'a str,
    actor: &'a str,
}

/// A saga, whole.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    plan: Vec<Row<'a>>,
    undo_if_failed_now: Vec<Undo>,
    /// What an operator may do now: retry, resolve, abort.
    possible: Vec<&'static str>,
    /// What it wrote down of the decision that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a [Entry]>,
    log: Vec<Shown<'a>>,
}

/// A row of the plan, as it stands.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    plan: &'a PlanRow,
    status: &'static str,
    /// Of a row that was reached: how many commands it has, and how far they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<usize>,
    #[serde(skip_serializing_if = "Counts::none")]
    steps: Counts,
    #[serde(skip_serializing_if = "Counts::none")]
    undos: Counts,
}

/// How many commands stand where.
#[derive(Default, Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "zero")]
    sent: usize,
    #[serde(skip_serializing_if = "zero")]
    done: usize,
    #[serde(skip_serializing_if = "zero")]
    refused: usize,
    #[serde(skip_serializing_if = "zero")]
    dead_letters: usize,
    #[serde(skip_serializing_if = "zero")]
    resolved: usize,
}

fn zero(count: &usize) -> bool {
    *count == 0
}

impl Counts {
    fn of(children: &[Child], progress: impl Fn(&Child) -> Progress) -> Counts {
        let mut counts = Counts::default();
        for child in children {
            match progress(child) {
                Progress::Unsent => {}
                Progress::Sent => counts.sent += 1,
                Progress::Done => counts.done += 1,
                Progress::Refused => counts.refused += 1,
                Progress::Dead => counts.dead_letters += 1,
                Progress::Resolved => counts.resolved += 1,
            }
        }
        counts
    }

    fn none(&self) -> bool {
        self.sent + self.done + self.refused + self.dead_letters + self.resolved == 0
    }
}

/// What would be sent for one row if the saga failed now, in this order.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Undo {
    row: u16,
    undo: &'static str,
    context: &'static str,
    children: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    at: Timestamp,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl<'a> Summary<'a> {
    pub fn of(id: &'a str, record: &'a SagaRecord, plan: Option<&Plan>) -> Summary<'a> {
        let run = &record.run;
        let step = |row: u16| command(plan?, row);
        let why = run.reason.as_ref().map(|reason| Why {
            row: reason.row,
            index: reason.index,
            step: step(reason.row),
            refusal: Reason::from(&reason.refusal),
        });
        let signed = run.exceptions.iter().map(|exception| Signed {
            row: exception.row,
            index: exception.index,
            direction: exception.direction,
            reason: &exception.reason,
            actor: &exception.actor,
        });
        Summary {
            id,
            key: partition_key(id),
            name: &record.name,
            version: record.version,
            context: &record.context,
            status: if record.stuck { "stuck" } else { run.stage.as_str() },
            stage: record.stuck.then(|| run.stage.as_str()),
            late: run.late,
            row: run.row,
            rows: plan.map(|plan| plan.rows.len()),
            started: Timestamp::saturating_from_micros(record.started),
            updated: Timestamp::saturating_from_micros(record.updated),
            actor: &record.actor,
            command: &record.command,
            correlation: &record.correlation,
            reason: why,
            exceptions: signed.collect(),
        }
    }
}

fn command(plan: &Plan, row: u16) -> Option<&'static str> {
    plan.rows.iter().find(|of_plan| of_plan.row == row)?.command
}

impl<'a> Told<'a> {
    pub fn of(
        id: &'a str,
        record: &'a SagaRecord,
        plan: Option<&'a Plan>,
        log: &'a [LogLine],
        did: Option<&'a [Entry]>,
    ) -> Told<'a> {
        let run = &record.run;
        let rows = plan.map_or(&[][..], |plan| plan.rows.as_slice());
        let row = |of_plan: &'a PlanRow| {
            let children = run.rows.get(usize::from(of_plan.row).wrapping_sub(1)).map(Vec::as_slice);
            Row {
                plan: of_plan,
                status: status(of_plan, run, children),
                children: children.map(<[Child]>::len),
                steps: Counts::of(children.unwrap_or_default(), |child| child.step),
                undos: Counts::of(children.unwrap_or_default(), |child| child.undo),
            }
        };
        Told {
            summary: Summary::of(id, record, plan),
            plan: rows.iter().map(row).collect(),
            undo_if_failed_now: undo_if_failed_now(rows, run),
            possible: run.possible(&Shape::of_plan(rows)).into_iter().map(Move::as_str).collect(),
            did,
            log: log.iter().map(|line| Shown { at: Timestamp::saturating_from_micros(line.at), entry: &line.entry }).collect(),
        }
    }
}

/// Where one row stands: done, running or remaining while the saga goes forward; when it goes back, undoing, undone, refused, done
/// (and still to be undone, or with nothing to undo) or not reached.
fn status(of_plan: &PlanRow, run: &Run, children: Option<&[Child]>) -> &'static str {
    let Some(children) = children else {
        return if run.stage == Stage::Running { "remaining" } else { "not reached" };
    };
    let back = matches!(run.stage, Stage::Undoing | Stage::Undone);
    let passed = |child: &Child| matches!(child.undo, Progress::Done | Progress::Resolved);
    let here = of_plan.row == run.row;
    match run.stage {
        Stage::Running if here => "running",
        Stage::Undoing if here => "undoing",
        _ if back && children.iter().any(passed) => "undone",
        _ if back && children.iter().any(|child| child.step == Progress::Refused) => "refused",
        _ if back && children.iter().all(|child| child.step == Progress::Sent) => "sent",
        _ => "done",
    }
}

/// The undos that would be sent, or are still to be, nearest first: of each row that has any, for each child that was sent and not
/// refused. Past the pivot there is no way back.
fn undo_if_failed_now(plan: &[PlanRow], run: &Run) -> Vec<Undo> {
    let phase = plan.iter().find(|row| row.row == run.row).map(|row| row.phase);
    let way_back = match run.stage {
        Stage::Running => matches!(phase, Some(Phase::Start | Phase::Step | Phase::Pivot)),
        Stage::Undoing => true,
        Stage::Completed | Stage::Undone => false,
    };
    if !way_back {
        return Vec::new();
    }
    let open = |child: &&Child| {
        !matches!(child.step, Progress::Unsent | Progress::Refused) && !matches!(child.undo, Progress::Done | Progress::Resolved)
    };
    let undo = |row: &PlanRow| {
        let children = run.rows.get(usize::from(row.row).checked_sub(1)?)?.iter().filter(open).count();
        Some(Undo { row: row.row, undo: row.undo?, context: row.context, children }).filter(|undo| undo.children > 0)
    };
    plan.iter().rev().filter(|row| row.row <= run.row).filter_map(undo).collect()
}

#[cfg(test)]
mod tests;
