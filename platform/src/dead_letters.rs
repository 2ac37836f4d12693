//! `alpes dead-letters`: messages that broke their handler again and again, and what an operator decides about them.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::client::{Ask, part, understood};
use crate::print::{self, Cell, Look, Table};
use crate::trouble::Trouble;

mod decide;
mod edit;

/// What can be asked about dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List them
    List(List),
    /// Show one: why it is dead, its envelope and its body, and what waits behind it
    Show(Show),
    /// Change the body of one, in $VISUAL or $EDITOR, or from a file; it stays dead until it is replayed
    Edit(edit::Edit),
    /// Run them again: those that are named, or all that a filter finds
    Replay(decide::Replay),
    /// Drop them: those that are named, or all that a filter finds; a saga that sent one hears that it was refused
    Discard(decide::Discard),
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize)]
pub struct Filter {
    /// Only those that this context could not handle
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    /// Only messages of this kind, such as partner.register-enrolment.v1
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Only those about this key, such as a partner's id
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Only those of this lane
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    /// Only those that this saga sent
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<String>,
    /// Only those that failed with this text
    #[arg(long, value_name = "TEXT")]
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    failed_with: Option<String>,
}

/// Which are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    ask: Ask,
    #[command(flatten)]
    filter: Filter,
    /// The oldest first; without it the newest
    #[arg(long)]
    oldest: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which one is shown.
#[derive(Clone, Debug, Args)]
pub struct Show {
    #[command(flatten)]
    ask: Ask,
    /// Its id
    id: String,
}

/// A dead letter, as the server tells it.
#[derive(Debug, Deserialize)]
struct Told {
    id: String,
    revision: u64,
    state: String,
    context: String,
    topic: String,
    lane: String,
    kind: Option<String>,
    key: Option<String>,
    saga: Option<String>,
    attempts: u64,
    reason: String,
    since: String,
    #[serde(default)]
    edited: bool,
}

/// A dead letter, whole.
#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(flatten)]
    told: Told,
    envelope: Option<serde_json::Value>,
    body: Option<serde_json::Value>,
    unreadable: Option<String>,
    original: Option<String>,
    behind: Behind,
}

/// What waits behind it.
#[derive(Debug, Deserialize)]
struct Behind {
    count: u64,
}

/// Does what is asked.
///
/// # Errors
/// When no server answers, or it says no.
pub fn run(asked: &Command) -> Result<(), Trouble> {
    match asked {
        Command::List(list) => list.run(),
        Command::Show(show) => show.run(),
        Command::Edit(edit) => edit.run(),
        Command::Replay(replay) => replay.run(),
        Command::Discard(discard) => discard.run(),
    }
}

impl Filter {
    /// As parameters of a list.
    fn query(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("context", &self.context),
            ("kind", &self.kind),
            ("key", &self.key),
            ("lane", &self.lane),
            ("saga", &self.saga),
            ("reason", &self.failed_with),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

impl List {
    fn run(&self) -> Result<(), Trouble> {
        let client = self.ask.client()?;
        let mut query = self.filter.query();
        if self.oldest {
            query.push(("order", "oldest".to_owned()));
        }
        let (items, more) = client.list("/v1/dead-letters", &query, self.limit as usize)?;
        if self.ask.json {
            print::items(&items);
            return Ok(());
        }
        let mut table = Table::new(&["ID", "KIND", "KEY", "TRIED", "SINCE", "WHY"]);
        for item in &items {
            let letter: Told = understood(item.get())?;
            let edited = if letter.edited { " (edited)" } else { "" };
            table.row([
                Cell::strong(&letter.id),
                Cell::plain(format!("{}{edited}", letter.kind.as_deref().unwrap_or("unreadable"))),
                Cell::plain(letter.key.as_deref().unwrap_or("–")),
                Cell::plain(letter.attempts.to_string()).right(),
                Cell::plain(print::time(&letter.since)),
                Cell::of(&letter.reason, Look::Bad),
            ]);
        }
        table.print_or("no dead letter");
        if more {
            print::note("there are more: --limit says how many are listed");
        }
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Result<(), Trouble> {
        let client = self.ask.client()?;
        let text = client.get(&format!("/v1/dead-letters/{}", part(&self.id)))?;
        if self.ask.json {
            print::line(&text);
            return Ok(());
        }
        let Whole { told, envelope, body, unreadable, original, behind } = understood(&text)?;
        let mut table = Table::default();
        let mut fact = |name: &str, value: Cell| table.row([Cell::quiet(name), value]);
        fact("id", Cell::strong(&told.id));
        fact("state", Cell::of(&told.state, Look::Bad));
        fact("why", Cell::of(&told.reason, Look::Bad));
        fact("context", Cell::plain(&told.context));
        fact("topic", Cell::plain(&told.topic));
        fact("lane", Cell::plain(format!("{}, {} behind it", told.lane, behind.count)));
        for (name, value) in [("kind", &told.kind), ("key", &told.key), ("saga", &told.saga)] {
            if let Some(value) = value {
                fact(name, Cell::plain(value));
            }
        }
        fact("since", Cell::plain(format!("{}, tried {} times", print::time(&told.since), told.attempts)));
        let edited = if original.is_some() { " (edited; --json has it as it came)" } else { "" };
        fact("revision", Cell::plain(format!("{}{edited}", told.revision)));
        table.print();
        for (name, value) in [("Envelope", envelope), ("Body", body)] {
            if let Some(value) = value {
                print::line(&format!("\n{name}"));
                print::json(&value)?;
            }
        }
        if let Some(text) = unreadable {
            print::line("\nUnreadable");
            let mut table = Table::default();
            table.row([Cell::plain(text)]);
            table.print();
        }
        Ok(())
    }
}
