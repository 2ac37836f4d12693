//! `alpes subscriptions`: how far each context is with what it reads, and whether it reads at all.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use crate::client::{Ask, WHOLE, part, understood};
use crate::print::{self, Cell, Look, Table};
use crate::trouble::Trouble;

/// What can be asked about subscriptions.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List them: how far each is, and what waits there
    List(List),
    /// Let one take nothing more until it is resumed; nothing is lost meanwhile
    Pause(Pause),
    /// Let one go on
    Resume(Resume),
}

/// How they are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    ask: Ask,
}

/// Which one is paused, and why.
#[derive(Clone, Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    ask: Ask,
    /// Its id
    id: String,
    /// Why; kept with the decision
    #[arg(long)]
    reason: String,
}

/// Which one goes on, and perhaps why.
#[derive(Clone, Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    ask: Ask,
    /// Its id
    id: String,
    /// Why; kept with the decision
    #[arg(long)]
    reason: Option<String>,
}

/// A subscription, as the server tells it.
#[derive(Deserialize)]
struct Told {
    id: String,
    state: String,
    paused: Option<Paused>,
    lag: Lag,
    waiting: u64,
    dead_letters: u64,
    oldest_waiting: Option<String>,
}

#[derive(Deserialize)]
struct Paused {
    at: String,
    actor: String,
    reason: String,
}

#[derive(Deserialize)]
struct Lag {
    rows: u64,
    more: bool,
}

/// Does what is asked.
///
/// # Errors
/// When no server answers, or it says no.
pub fn run(asked: &Command) -> Result<(), Trouble> {
    match asked {
        Command::List(List { ask }) => {
            let (items, _) = ask.client()?.list("/v1/subscriptions", &[], WHOLE)?;
            if ask.json {
                print::items(&items);
                return Ok(());
            }
            let told = items.iter().map(|item| understood(item.get())).collect::<Result<Vec<Told>, _>>()?;
            table(&told).print_or("no subscription");
            Ok(())
        }
        Command::Pause(Pause { ask, id, reason }) => decide(ask, id, "pause", Some(reason)),
        Command::Resume(Resume { ask, id, reason }) => decide(ask, id, "resume", reason.as_deref()),
    }
}

fn decide(ask: &Ask, id: &str, verb: &str, reason: Option<&str>) -> Result<(), Trouble> {
    let answer = ask.client()?.post(&format!("/v1/subscriptions/{}/{verb}", part(id)), &json!({"reason": reason}))?;
    if ask.json {
        print::line(&answer);
    } else {
        table(&[understood(&answer)?]).print();
    }
    Ok(())
}

fn table(all: &[Told]) -> Table {
    let mut table = Table::new(&["ID", "STATE", "LAG", "WAITING", "DEAD", "OLDEST WAITING", "PAUSED"]);
    for told in all {
        let look = match &*told.state {
            "reading" => Look::Good,
            "paused" => Look::Warn,
            _ => Look::Bad,
        };
        let count = |count: u64, look: Look| Cell::of(count.to_string(), if count == 0 { Look::Quiet } else { look }).right();
        let lag = format!("{}{}", told.lag.rows, if told.lag.more { "+" } else { "" });
        let paused = told
            .paused
            .as_ref()
            .map_or(String::new(), |Paused { at, actor, reason }| format!("since {} by {actor}: {reason}", print::time(at)));
        table.row([
            Cell::strong(&told.id),
            Cell::of(&told.state, look),
            Cell::plain(lag).right(),
            count(told.waiting, Look::Plain),
            count(told.dead_letters, Look::Bad),
            Cell::plain(told.oldest_waiting.as_deref().map(print::time).unwrap_or_default()),
            Cell::plain(paused),
        ]);
    }
    table
}
