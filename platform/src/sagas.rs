//! `alpes sagas`: where each saga stands, what it did, and what an operator decides about it.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Ask, Client, part, understood};
use crate::print::{self, Cell, Look, Table};
use crate::trouble::{Exit, Trouble};

mod decide;
mod show;
mod watch;
mod why;

use decide::{Abort, Resolve, Retry};

/// What can be asked about sagas.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List them: where each stands
    List(List),
    /// Show one: its plan, what would be undone if it failed now, and its log
    Show(One),
    /// Follow one until it ends: status 0 when it has completed, 5 when it was undone or ended with exceptions
    Watch(One),
    /// Say what caused what in one, and where the time went
    Why(One),
    /// Send the row again of one that is stuck or past its deadline
    Retry(Retry),
    /// Record what was found about the row of one that is stuck or past its deadline; it goes on, and ends with exceptions
    Resolve(Resolve),
    /// Undo one whose pivot has not been sent
    Abort(Abort),
}

/// Which sagas are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    ask: Ask,
    /// Only those under this key: the id of the campaign that they are about
    #[arg(long)]
    key: Option<String>,
    /// Only those that stand so: running, undoing, stuck, late, completed, undone or exceptions
    #[arg(long)]
    status: Option<String>,
    /// Only those of this kind, such as campaign.registration
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// The oldest first; without it the newest
    #[arg(long)]
    oldest: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// One saga.
#[derive(Clone, Debug, Args)]
pub struct One {
    #[command(flatten)]
    ask: Ask,
    /// Its id; or the key that it is under, such as a campaign's id: then the one that was started last
    id: String,
}

/// A saga in a list, as the server tells it.
#[derive(Debug, Deserialize)]
struct Summary {
    id: String,
    name: String,
    version: u32,
    status: String,
    stage: Option<String>,
    #[serde(default)]
    late: bool,
    row: u16,
    rows: Option<usize>,
    started: String,
    updated: String,
    actor: String,
    reason: Option<Reason>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Why one turned round.
#[derive(Debug, Deserialize)]
struct Reason {
    step: Option<String>,
    code: String,
    message: String,
}

/// What an operator signed.
#[derive(Debug, Deserialize)]
struct Exception {
    row: u16,
    index: u32,
    direction: String,
    reason: String,
    actor: String,
}

impl Summary {
    /// Where it stands, as an operator should see it.
    fn status(&self) -> Cell {
        let with = |more: &str| format!("{} ({more})", self.status);
        match &*self.status {
            "stuck" => Cell::of(self.stage.as_ref().map_or_else(|| self.status.to_string(), |stage| with(stage)), Look::Bad),
            _ if !self.exceptions.is_empty() => Cell::of(with("exceptions"), Look::Warn),
            "completed" => Cell::of(&self.status, Look::Good),
            "undone" => Cell::of(&self.status, Look::Warn),
            _ if self.late => Cell::of(with("late"), Look::Bad),
            _ => Cell::of(&self.status, Look::Busy),
        }
    }

    /// Whether nothing more will happen.
    fn has_ended(&self) -> bool {
        matches!(&*self.status, "completed" | "undone")
    }

    fn place(&self) -> String {
        self.rows.map_or_else(|| self.row.to_string(), |rows| format!("{}/{rows}", self.row))
    }
}

/// Does what is asked.
///
/// # Errors
/// When no server answers, or it says no.
pub fn run(asked: &Command) -> Result<(), Trouble> {
    match asked {
        Command::List(list) => list.run(),
        Command::Show(one) => {
            let client = one.ask.client()?;
            let id = one.id(&client)?;
            let body = client.get(&format!("/v1/sagas/{}", part(&id)))?;
            if one.ask.json {
                print::line(&body)
            } else {
                show::print(&understood(&body)?)
            }
            Ok(())
        }
        Command::Watch(one) => {
            let settings = one.ask.settings()?;
            let client = Client::of(&settings)?;
            let id = one.id(&client)?;
            watch::watch(client, &settings, &id, one.ask.json)
        }
        Command::Why(one) => {
            let client = one.ask.client()?;
            let id = one.id(&client)?;
            let body = client.get(&format!("/v1/sagas/{}/why", part(&id)))?;
            if one.ask.json {
                print::line(&body)
            } else {
                why::print(&understood(&body)?)
            }
            Ok(())
        }
        Command::Retry(asked) => asked.run(),
        Command::Resolve(asked) => asked.run(),
        Command::Abort(asked) => asked.run(),
    }
}

impl List {
    fn run(&self) -> Result<(), Trouble> {
        let client = self.ask.client()?;
        let order = self.oldest.then(|| "oldest".to_owned());
        let query = [("key", &self.key), ("status", &self.status), ("name", &self.kind), ("order", &order)];
        let query: Vec<(&str, String)> = query.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        let (items, more) = client.list("/v1/sagas", &query, self.limit as usize)?;
        if self.ask.json {
            print::items(&items);
            return Ok(());
        }
        let mut table = Table::new(&["ID", "KIND", "STATUS", "ROW", "STARTED", "UPDATED", "WHY"]);
        for saga in summaries(&items)? {
            let why = saga.reason.as_ref().map_or(String::new(), |reason| format!("{}: {}", reason.code, reason.message));
            table.row([
                Cell::strong(&saga.id),
                Cell::plain(&saga.name),
                saga.status(),
                Cell::plain(saga.place()).right(),
                Cell::plain(print::time(&saga.started)),
                Cell::plain(print::time(&saga.updated)),
                Cell::plain(why),
            ]);
        }
        table.print_or("no saga");
        if more {
            print::note("there are more: --limit says how many are listed, --status, --kind and --key narrow them down");
        }
        Ok(())
    }
}

fn summaries(items: &[Box<RawValue>]) -> Result<Vec<Summary>, Trouble> {
    items.iter().map(|item| understood(item.get())).collect()
}

impl One {
    /// The id that is meant. A saga's id holds a `~`; what holds none is a key.
    fn id(&self, client: &Client) -> Result<String, Trouble> {
        if self.id.contains('~') {
            return Ok(self.id.clone());
        }
        let (items, _) = client.list("/v1/sagas", &[("key", self.id.clone())], usize::from(u16::MAX))?;
        let latest = summaries(&items)?.into_iter().max_by(|one, other| one.started.cmp(&other.started));
        latest.map(|saga| saga.id).ok_or_else(|| {
            Trouble::new(format!("no saga is known under {}: `alpes sagas list` shows those that are", self.id))
                .exit(Exit::NotFound)
        })
    }
}
