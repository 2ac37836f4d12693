//! One saga, for people: where it stands, row by row, and what happened.

use serde::Deserialize;

use super::Reason;
use crate::print::{self, Cell, Look, Table};

/// The lines of a log that are shown; JSON has all of them.
const LINES: usize = 60;

/// A saga, whole, as the server tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    pub summary: super::Summary,
    key: String,
    correlation: String,
    command: String,
    plan: Vec<Row>,
    undo_if_failed_now: Vec<Undo>,
    possible: Vec<String>,
    pub log: Vec<Line>,
}

/// A row of the plan.
#[derive(Debug, Deserialize)]
struct Row {
    row: u16,
    phase: String,
    context: Option<String>,
    command: Option<String>,
    undo: Option<String>,
    status: String,
    children: Option<usize>,
    #[serde(default)]
    steps: Counts,
    #[serde(default)]
    undos: Counts,
}

/// How many commands stand where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    sent: usize,
    done: usize,
    refused: usize,
    dead_letters: usize,
    resolved: usize,
}

/// What would be sent for one row if it failed now.
#[derive(Debug, Deserialize)]
struct Undo {
    row: u16,
    undo: String,
    children: usize,
}

/// A line of its log.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub at: String,
    pub row: u16,
    pub index: Option<u32>,
    pub what: String,
    pub detail: Option<String>,
    pub actor: Option<String>,
}

impl Counts {
    /// In words, what there is any of.
    fn told(&self) -> String {
        let all = [
            (self.sent, "sent"),
            (self.done, "done"),
            (self.refused, "refused"),
            (self.dead_letters, "dead letters"),
            (self.resolved, "resolved"),
        ];
        let told: Vec<String> =
            all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        told.join(", ")
    }
}

impl Line {
    /// As a row of a table.
    pub fn cells(&self) -> [Cell; 4] {
        let place = match self.index {
            Some(index) => format!("{}.{index}", self.row),
            None => self.row.to_string(),
        };
        [
            Cell::plain(print::moment(&self.at)),
            Cell::plain(if self.row == 0 { String::new() } else { place }).right(),
            Cell::of(&self.what, colour(&self.what)),
            Cell::plain(match (&self.detail, &self.actor) {
                (Some(detail), Some(actor)) => format!("{detail}, said {actor}"),
                (None, Some(actor)) => format!("by {actor}"),
                (detail, None) => detail.clone().unwrap_or_default(),
            }),
        ]
    }
}

/// How a state or an event of a row looks.
fn colour(what: &str) -> Look {
    match what {
        "done" | "completed" => Look::Good,
        "running" | "undoing" | "sent" | "undo-sent" => Look::Busy,
        "undone" | "refused" | "turned-round" | "resolved" | "retried" | "edited" | "replayed" | "discarded" => Look::Warn,
        "late" | "stuck" | "dead-letter" => Look::Bad,
        "remaining" | "not reached" => Look::Quiet,
        _ => Look::Plain,
    }
}

/// Prints it.
pub(super) fn print(saga: &Whole) {
    let summary = &saga.summary;
    let mut head = Table::default();
    let mut fact = |name: &str, value: Cell| head.row([Cell::quiet(name), value]);
    fact("saga", Cell::strong(&summary.id));
    fact("kind", Cell::plain(format!("{}, version {}", summary.name, summary.version)));
    fact("key", Cell::plain(&saga.key));
    fact("status", summary.status());
    fact("started", Cell::plain(format!("{} by {}", print::time(&summary.started), summary.actor)));
    fact("updated", Cell::plain(print::time(&summary.updated)));
    fact("command", Cell::plain(&saga.command));
    if saga.correlation != saga.command {
        fact("correlation", Cell::plain(&saga.correlation));
    }
    if let Some(Reason { step, code, message }) = &summary.reason {
        let at = step.as_ref().map_or(String::new(), |step| format!(", said {step}"));
        fact("why", Cell::of(format!("{code}: {message}{at}"), Look::Warn));
    }
    for exception in &summary.exceptions {
        let (row, index, direction) = (exception.row, exception.index, &exception.direction);
        let told = format!("row {row}.{index}, {direction}: {}, said {}", exception.reason, exception.actor);
        fact("exception", Cell::of(told, Look::Warn));
    }
    if !saga.possible.is_empty() {
        fact("possible", Cell::plain(saga.possible.join(", ")));
    }
    head.print();

    print::line("");
    let mut plan = Table::new(&["ROW", "PHASE", "COMMAND", "UNDO", "STATUS", "COMMANDS"]);
    for row in &saga.plan {
        let several = row.children.is_some_and(|children| children > 1);
        let (steps, undos) = (row.steps.told(), row.undos.told());
        let counts = match (several || row.steps.dead_letters + row.undos.dead_letters > 0, undos.is_empty()) {
            (false, _) => String::new(),
            (true, true) => steps,
            (true, false) => format!("{steps}; undo: {undos}"),
        };
        let started_by = || row.context.as_ref().map_or(String::new(), |context| format!("(in {context})"));
        plan.row([
            Cell::plain(row.row.to_string()).right(),
            Cell::plain(&row.phase),
            Cell::plain(row.command.clone().unwrap_or_else(started_by)),
            Cell::plain(row.undo.as_deref().unwrap_or("–")),
            Cell::of(&row.status, colour(&row.status)),
            Cell::plain(counts),
        ]);
    }
    plan.print();

    if !saga.undo_if_failed_now.is_empty() {
        print::line("\nIf it failed now, this would be undone, in this order:");
        let mut undos = Table::default();
        for undo in &saga.undo_if_failed_now {
            let times = if undo.children > 1 { format!("{} times", undo.children) } else { String::new() };
            undos.row([Cell::plain(format!("  row {}", undo.row)), Cell::plain(&undo.undo), Cell::quiet(times)]);
        }
        undos.print();
    }

    print::line("");
    let hidden = saga.log.len().saturating_sub(LINES);
    if hidden > 0 {
        print::line(&format!("… {hidden} earlier lines of its log; --json has them"));
    }
    let mut log = Table::new(&["TIME", "ROW", "WHAT", "DETAIL"]);
    for line in saga.log.iter().skip(hidden) {
        log.row(line.cells());
    }
    log.print();
}
