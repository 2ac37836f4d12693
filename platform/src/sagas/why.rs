//! Why a saga is where it is: its messages, each below what caused it, and where the time went.

use serde::Deserialize;

use crate::print::{self, Cell, Look, Table};

/// A story, as the server tells it.
#[derive(Deserialize)]
pub(super) struct Why {
    saga: String,
    complete: bool,
    spent: Spent,
    path: Vec<String>,
    messages: Vec<Message>,
}

/// Microseconds.
#[derive(Deserialize)]
struct Spent {
    waiting_us: u64,
    queued_us: u64,
    handling_us: u64,
}

/// A message of the story.
#[derive(Deserialize)]
struct Message {
    id: String,
    depth: usize,
    kind: Option<String>,
    key: Option<String>,
    row: Option<u16>,
    index: Option<u32>,
    received: Option<String>,
    spent: Option<Spent>,
}

fn milliseconds(microseconds: u64) -> String {
    format!("{:.1} ms", microseconds as f64 / 1000.0)
}

/// Prints it. What lies on the way from the first cause to what was said last stands out.
pub(super) fn print(why: &Why) {
    let mut table = Table::new(&["RECEIVED", "MESSAGE", "KEY", "ROW", "ON ITS WAY", "IN LINE", "HANDLED"]);
    for message in &why.messages {
        let on_path = why.path.contains(&message.id);
        let kind = message.kind.as_deref().unwrap_or(&message.id);
        let row = match (message.row, message.index) {
            (Some(row), Some(index)) => format!("{row}.{index}"),
            _ => String::new(),
        };
        let spent = |of: fn(&Spent) -> u64| {
            Cell::plain(message.spent.as_ref().map(|spent| milliseconds(of(spent))).unwrap_or_default()).right()
        };
        table.row([
            Cell::plain(message.received.as_deref().map(print::moment).unwrap_or_default()),
            Cell::of(format!("{}{kind}", "  ".repeat(message.depth)), if on_path { Look::Strong } else { Look::Plain }),
            Cell::plain(message.key.as_deref().unwrap_or_default()),
            Cell::plain(row).right(),
            spent(|spent| spent.waiting_us),
            spent(|spent| spent.queued_us),
            spent(|spent| spent.handling_us),
        ]);
    }
    table.print();
    let Spent { waiting_us, queued_us, handling_us } = &why.spent;
    print::line(&format!(
        "\n{}: {} on the way, {} in line, {} in handlers and commits, along the way to what was said last",
        why.saga,
        milliseconds(*waiting_us),
        milliseconds(*queued_us),
        milliseconds(*handling_us)
    ));
    if !why.complete {
        print::note(
            "not all of it may have been found: the log no longer keeps the rest, it is too long, or what an event caused may stand further behind it than was looked",
        );
    }
}
