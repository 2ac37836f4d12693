//! Replayed or discarded: some that are named, or all that a filter finds, after a look at how many those are.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Filter;
use crate::client::{Ask, Client, understood};
use crate::print::{self, Cell, Look, Table};
use crate::trouble::{Exit, Trouble};

/// Which are replayed.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; kept with the decision
    #[arg(long)]
    reason: Option<String>,
}

/// Which are discarded.
#[derive(Clone, Debug, Args)]
pub struct Discard {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; kept with the decision, and told to the saga that sent it
    #[arg(long)]
    reason: String,
}

/// Some dead letters.
#[derive(Clone, Debug, Args)]
struct Chosen {
    #[command(flatten)]
    ask: Ask,
    /// Their ids; without any, all that the filter finds
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All there are
    #[arg(long)]
    all: bool,
    /// Only say which they are
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// A letter as it was seen: it is decided on only if it still is so.
#[derive(Debug, Deserialize, Serialize)]
struct Seen {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

/// What a dry run found.
#[derive(Deserialize)]
struct Found {
    more: bool,
    letters: Vec<Seen>,
}

/// What became of them.
#[derive(Deserialize)]
struct Done {
    done: Vec<String>,
    changed: Vec<Changed>,
}

/// One about which nothing was done.
#[derive(Deserialize)]
struct Changed {
    id: String,
    detail: String,
}

impl Replay {
    /// Does it.
    ///
    /// # Errors
    /// When no server answers, it says no, or some were not as they had been seen.
    pub fn run(&self) -> Result<(), Trouble> {
        self.chosen.decide("replay", "replayed", self.reason.as_deref())
    }
}

impl Discard {
    /// Does it.
    ///
    /// # Errors
    /// When no server answers, it says no, or some were not as they had been seen.
    pub fn run(&self) -> Result<(), Trouble> {
        self.chosen.decide("discard", "discarded", Some(&self.reason))
    }
}

impl Chosen {
    fn decide(&self, verb: &str, done: &str, reason: Option<&str>) -> Result<(), Trouble> {
        let by_filter = self.all || self.filter != Filter::default();
        if self.ids.is_empty() != by_filter || self.all && self.filter != Filter::default() {
            let why =
                format!("say which: ids, or a filter such as --kind, or --all; `alpes dead-letters {verb} --help` lists them");
            return Err(Trouble::new(why).exit(Exit::Usage));
        }
        let client = self.ask.client()?;
        let path = format!("/v1/dead-letters/{verb}");
        let (letters, more) = self.letters(&client, &path)?;
        if self.dry_run || letters.is_empty() {
            return self.would(&letters, more, done);
        }
        if by_filter && !self.yes {
            let question =
                format!("{} dead letters will be {done}{}.", letters.len(), if more { ", the first of more" } else { "" });
            if !print::agreed(&question)? {
                return Err(Trouble::new("nothing was done"));
            }
        }
        let answer = client.post(&path, &json!({"letters": letters, "reason": reason}))?;
        let became: Done = understood(&answer)?;
        if self.ask.json {
            print::line(&answer);
        } else {
            let mut table = Table::default();
            for id in &became.done {
                table.row([Cell::of(done, Look::Good), Cell::plain(id)]);
            }
            for Changed { id, detail } in &became.changed {
                table.row([Cell::of("left", Look::Bad), Cell::plain(id), Cell::plain(detail)]);
            }
            table.print();
            if more {
                print::note("there are more: ask again");
            }
        }
        if became.changed.is_empty() { Ok(()) } else { Err(Trouble::silent(Exit::Failed)) }
    }

    /// Those that are meant, and whether the filter would find more.
    fn letters(&self, client: &Client, path: &str) -> Result<(Vec<Seen>, bool), Trouble> {
        if !self.ids.is_empty() {
            return Ok((self.ids.iter().map(|id| Seen { id: id.clone(), revision: None }).collect(), false));
        }
        let Found { more, letters } = understood(&client.post(path, &json!({"filter": self.filter, "dry_run": true}))?)?;
        Ok((letters, more))
    }

    /// Says what would be done.
    fn would(&self, letters: &[Seen], more: bool, done: &str) -> Result<(), Trouble> {
        if self.ask.json {
            let would: Value = json!({"dry_run": true, "more": more, "letters": letters});
            return print::json(&would);
        }
        let mut table = Table::default();
        for letter in letters {
            table.row([Cell::quiet(format!("would be {done}")), Cell::plain(&letter.id)]);
        }
        table.print_or("no dead letter");
        if more {
            print::note("there are more");
        }
        Ok(())
    }
}
