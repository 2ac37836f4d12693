//! What an operator decides about a saga: sent to the server, which keeps who decided and why.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::One;
use super::show::Whole;
use crate::client::{part, understood};
use crate::print::{self, Cell, Table};
use crate::trouble::Trouble;

/// A saga, and perhaps why.
#[derive(Clone, Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    one: One,
    /// Why; kept with the decision
    #[arg(long)]
    reason: Option<String>,
}

/// A saga, and why.
#[derive(Clone, Debug, Args)]
pub struct Abort {
    #[command(flatten)]
    one: One,
    /// Why; kept with the decision
    #[arg(long)]
    reason: String,
}

/// A saga, what was found, and how it was found.
#[derive(Clone, Debug, Args)]
pub struct Resolve {
    #[command(flatten)]
    one: One,
    /// What was found, and how; kept with the decision
    #[arg(long)]
    reason: String,
    /// At the pivot, and only there: whether it happened
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
}

/// Whether the pivot happened.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// The saga goes on
    Happened,
    /// The saga is undone
    DidNotHappen,
}

impl Retry {
    /// Sends it.
    ///
    /// # Errors
    /// When no server answers, or it says no.
    pub fn run(&self) -> Result<(), Trouble> {
        decide(&self.one, "retry", &json!({"reason": self.reason}))
    }
}

impl Abort {
    /// Sends it.
    ///
    /// # Errors
    /// When no server answers, or it says no.
    pub fn run(&self) -> Result<(), Trouble> {
        decide(&self.one, "abort", &json!({"reason": self.reason}))
    }
}

impl Resolve {
    /// Sends it.
    ///
    /// # Errors
    /// When no server answers, or it says no.
    pub fn run(&self) -> Result<(), Trouble> {
        let outcome = self.outcome.map(|outcome| match outcome {
            Outcome::Happened => "happened",
            Outcome::DidNotHappen => "did-not-happen",
        });
        decide(&self.one, "resolve", &json!({"reason": self.reason, "outcome": outcome}))
    }
}

/// A saga as it is after a decision, with what it wrote down of it.
#[derive(Deserialize)]
struct Decided {
    #[serde(flatten)]
    saga: Whole,
    did: Vec<Did>,
}

#[derive(Deserialize)]
struct Did {
    row: u16,
    what: String,
    detail: Option<String>,
}

fn decide(one: &One, verb: &str, body: &serde_json::Value) -> Result<(), Trouble> {
    let client = one.ask.client()?;
    let id = one.id(&client)?;
    let answer = client.post(&format!("/v1/sagas/{}/{verb}", part(&id)), body)?;
    if one.ask.json {
        print::line(&answer);
        return Ok(());
    }
    let Decided { saga, did } = understood(&answer)?;
    let mut table = Table::default();
    table.row([Cell::strong(&id), saga.summary.status()]);
    table.print();
    let mut table = Table::default();
    for Did { row, what, detail } in did {
        let place = if row == 0 { String::new() } else { format!("  row {row}") };
        table.row([Cell::quiet(place), Cell::plain(what), Cell::plain(detail.unwrap_or_default())]);
    }
    table.print();
    Ok(())
}
