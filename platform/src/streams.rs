//! `alpes streams`: what each partition has published; sent again, or given up by a reader to which a part of it is lost.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::client::{Ask, WHOLE, part, understood, with};
use crate::print::{self, Cell, Look, Table};
use crate::trouble::{Exit, Trouble};

/// What can be asked about streams.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List them: the first row that is kept, the last that was written, and where to
    List(List),
    /// Show its rows: what was said, when, and what caused it
    Rows(Rows),
    /// Send rows again to one topic, from a position on; whoever has taken one takes it for the duplicate that it is
    Resend(Resend),
    /// Give up rows that a reader misses and that cannot be sent again: it goes on behind the gap, and they never take effect there
    Skip(Skip),
    /// Begin a new epoch, after an older copy of the store was restored: from then on rows stand where none has stood before
    NewEpoch(NewEpoch),
}

/// How they are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    #[command(flatten)]
    ask: Ask,
}

/// Which rows are shown.
#[derive(Clone, Debug, Args)]
pub struct Rows {
    #[command(flatten)]
    ask: Ask,
    /// The stream: context/partition/epoch, as `streams list` shows it
    stream: String,
    /// Only those to this topic, such as campaign.events
    #[arg(long)]
    topic: Option<String>,
    /// Those behind this position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

/// A stream and a way out of it.
#[derive(Clone, Debug, Args)]
struct Way {
    #[command(flatten)]
    ask: Ask,
    /// The stream: context/partition/epoch, as `streams list` shows it
    stream: String,
    /// The topic, such as campaign.events
    #[arg(long)]
    topic: String,
    /// The topic's partition
    #[arg(long, default_value_t = 0)]
    partition: u16,
}

/// What is sent again.
#[derive(Clone, Debug, Args)]
pub struct Resend {
    #[command(flatten)]
    way: Way,
    /// Everything behind this position; 0 for all that is kept
    #[arg(long, value_name = "POSITION")]
    after: u64,
    /// Why; kept with the decision
    #[arg(long)]
    reason: Option<String>,
}

/// What is given up.
#[derive(Clone, Debug, Args)]
pub struct Skip {
    #[command(flatten)]
    way: Way,
    /// The context that reads
    #[arg(long, value_name = "CONTEXT")]
    reader: String,
    /// Why; kept with the decision
    #[arg(long)]
    reason: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// What begins anew.
#[derive(Clone, Debug, Args)]
pub struct NewEpoch {
    #[command(flatten)]
    ask: Ask,
    /// The stream that ends: context/partition/epoch
    stream: String,
    /// Why; kept with the decision
    #[arg(long)]
    reason: String,
}

/// A stream, as the server tells it.
#[derive(Deserialize)]
struct Told {
    id: String,
    current: bool,
    first: Option<u64>,
    head: u64,
    relayed: Option<u64>,
    destinations: Vec<To>,
}

#[derive(Deserialize)]
struct To {
    topic: String,
    last: u64,
}

#[derive(Deserialize)]
struct At {
    epoch: u64,
    position: u64,
}

/// A page of rows, as the server tells it: the next begins behind a position.
#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// A row; one that cannot be read has no envelope.
#[derive(Deserialize)]
struct Row {
    position: u64,
    topic: String,
    written: String,
    envelope: Option<Envelope>,
}

#[derive(Deserialize)]
struct Envelope {
    r#type: String,
    subject: String,
    causationid: Option<String>,
}

#[derive(Deserialize)]
struct Resent {
    first: At,
}

#[derive(Deserialize)]
struct Skipped {
    from: Option<At>,
    to: At,
}

#[derive(Deserialize)]
struct Begun {
    epoch: u64,
}

/// Does what is asked.
///
/// # Errors
/// When no server answers, or it says no.
pub fn run(asked: &Command) -> Result<(), Trouble> {
    match asked {
        Command::List(list) => list.run(),
        Command::Rows(rows) => rows.run(),
        Command::Resend(resend) => resend.run(),
        Command::Skip(skip) => skip.run(),
        Command::NewEpoch(new) => new.run(),
    }
}

impl List {
    fn run(&self) -> Result<(), Trouble> {
        let (items, _) = self.ask.client()?.list("/v1/streams", &[], WHOLE)?;
        if self.ask.json {
            print::items(&items);
            return Ok(());
        }
        let mut table = Table::new(&["STREAM", "FIRST", "LAST", "RELAYED", "TO"]);
        for item in &items {
            let told: Told = understood(item.get())?;
            let number = |number: Option<u64>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
            let to: Vec<String> = told.destinations.iter().map(|to| format!("{} {}", to.topic, to.last)).collect();
            table.row([
                Cell::of(&told.id, if told.current { Look::Strong } else { Look::Quiet }),
                Cell::plain(number(told.first)).right(),
                Cell::plain(told.head.to_string()).right(),
                Cell::plain(number(told.relayed)).right(),
                Cell::plain(to.join(", ")),
            ]);
        }
        table.print_or("no stream");
        Ok(())
    }
}

/// The path of a stream.
fn path(stream: &str) -> Result<String, Trouble> {
    let parts: Vec<&str> = stream.split('/').collect();
    let [context, partition, epoch] = parts.as_slice() else {
        let why = format!("{stream:?} is no stream: it has the form context/partition/epoch, as `alpes streams list` shows it");
        return Err(Trouble::new(why).exit(Exit::Usage));
    };
    Ok(format!("/v1/streams/{}/{}/{}", part(context), part(partition), part(epoch)))
}

impl Rows {
    fn run(&self) -> Result<(), Trouble> {
        let mut query = vec![("after", self.after.to_string()), ("limit", self.limit.to_string())];
        query.extend(self.topic.clone().map(|topic| ("topic", topic)));
        let page: Page = self.ask.client()?.read(&format!("{}{}", path(&self.stream)?, with(&query)))?;
        if self.ask.json {
            print::items(&page.items);
        } else {
            let mut table = Table::new(&["POSITION", "WRITTEN", "TOPIC", "TYPE", "KEY", "CAUSE"]);
            for item in &page.items {
                let Row { position, topic, written, envelope } = understood(item.get())?;
                let (kind, key, cause) = match envelope {
                    Some(Envelope { r#type, subject, causationid }) => (r#type, subject, causationid.unwrap_or_default()),
                    None => ("unreadable".to_owned(), String::new(), String::new()),
                };
                table.row([
                    Cell::plain(position.to_string()).right(),
                    Cell::plain(print::moment(&written)),
                    Cell::plain(topic),
                    Cell::strong(kind),
                    Cell::plain(key),
                    Cell::quiet(cause),
                ]);
            }
            table.print_or("no row");
        }
        if let Some(next) = page.next {
            print::note(&format!("there are more: --after {next}"));
        }
        Ok(())
    }
}

impl Way {
    fn post(&self, verb: &str, body: &Value) -> Result<String, Trouble> {
        self.ask.client()?.post(&format!("{}/{verb}", path(&self.stream)?), body)
    }
}

impl NewEpoch {
    fn run(&self) -> Result<(), Trouble> {
        let body = json!({"reason": self.reason});
        let answer = self.ask.client()?.post(&format!("{}/new-epoch", path(&self.stream)?), &body)?;
        if self.ask.json {
            print::line(&answer);
        } else {
            let Begun { epoch } = understood(&answer)?;
            print::line(&format!("epoch {epoch} has begun"));
        }
        Ok(())
    }
}

impl Resend {
    fn run(&self) -> Result<(), Trouble> {
        let Resend { way, after, reason } = self;
        let body = json!({"topic": way.topic, "partition": way.partition, "after": after, "reason": reason});
        let answer = way.post("resend", &body)?;
        if way.ask.json {
            print::line(&answer);
        } else {
            let Resent { first } = understood(&answer)?;
            print::line(&format!("sent again to {} from {}/{} on", way.topic, first.epoch, first.position));
        }
        Ok(())
    }
}

impl Skip {
    fn run(&self) -> Result<(), Trouble> {
        let Skip { way, reader, reason, yes } = self;
        let question = format!("What {reader} misses of {} on {} never takes effect there.", way.stream, way.topic);
        if !yes && !print::agreed(&question)? {
            return Err(Trouble::new("nothing was done"));
        }
        let body = json!({"reader": reader, "topic": way.topic, "partition": way.partition, "reason": reason});
        let answer = way.post("skip", &body)?;
        if way.ask.json {
            print::line(&answer);
        } else {
            let Skipped { from, to } = understood(&answer)?;
            let from = from.map_or_else(|| "the beginning".to_owned(), |at| format!("{}/{}", at.epoch, at.position));
            print::line(&format!("{reader} goes on behind {}/{}; it was at {from}", to.epoch, to.position));
        }
        Ok(())
    }
}
