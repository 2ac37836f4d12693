//! `alpes doctor`: what is wrong, and what to do about it, one line each; with the server running or stopped.

use clap::Args;
use serde::Serialize;

use crate::client::Client;
use crate::lock::{self, Holder};
use crate::print::{self, Cell, Look, Table};
use crate::settings::{EveryFlag, Settings};
use crate::trouble::{Exit, Trouble};

#[cfg(feature = "distributed")]
mod distributed;
mod machine;
mod server;
mod store;

/// What the doctor is asked.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    flags: EveryFlag,
    /// Print JSON instead of text for people
    #[arg(long)]
    json: bool,
    /// Ask also whether this build may take over: no saga may run on a version of its table that this build lacks
    #[arg(long)]
    deploy: bool,
    /// Look through a store of any size for damage; without it, only through one of up to 2 GB
    #[arg(long)]
    thorough: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// It is as it should be.
    Good,
    /// It works; something could be better, or should be known.
    Advice,
    /// Somebody has to do something. The program ends with status 1.
    Wrong,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    what: String,
    /// Nothing, where all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    to_do: String,
}

impl Finding {
    fn good(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, level: Level::Good, what: what.into(), to_do: String::new() }
    }

    fn advice(check: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, level: Level::Advice, what: what.into(), to_do: to_do.into() }
    }

    fn wrong(check: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, level: Level::Wrong, what: what.into(), to_do: to_do.into() }
    }
}

/// Looks, prints what it found, and fails when something is wrong.
///
/// # Errors
/// When something is wrong, or a setting is.
pub fn run(asked: &Doctor) -> Result<(), Trouble> {
    let settings = asked.flags.settings()?;
    crate::log(&settings)?;
    let findings = look(asked, &settings)?;
    if asked.json {
        print::json(&findings)?;
    } else {
        let mut table = Table::default();
        for Finding { check, level, what, to_do } in &findings {
            let (word, look) = match level {
                Level::Good => ("good", Look::Good),
                Level::Advice => ("advice", Look::Warn),
                Level::Wrong => ("WRONG", Look::Bad),
            };
            let told = if to_do.is_empty() { what.clone() } else { format!("{what}: {to_do}") };
            table.row([Cell::of(word, look), Cell::strong(check), Cell::plain(told)]);
        }
        table.print();
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    if wrong { Err(Trouble::silent(Exit::Failed)) } else { Ok(()) }
}

fn look(asked: &Doctor, settings: &Settings) -> Result<Vec<Finding>, Trouble> {
    if let Some(url) = &settings.url.0 {
        if asked.deploy {
            let why = "--deploy reads the store itself: run it where the data directory is, without --url";
            return Err(Trouble::new(why).exit(Exit::Usage));
        }
        // Of another machine only the server can be asked.
        return Ok(server::tells(&Client::at(url, settings)));
    }
    if settings.database.0.is_some() || settings.broker.0.is_some() {
        return apart(settings);
    }
    let holder = lock::holder(&settings.data)?;
    let mut findings = server::runs(settings, &holder);
    let process = match holder {
        Holder::Server { process, .. } => Some(process),
        Holder::Starting | Holder::Nobody { .. } => None,
    };
    findings.extend(machine::look(&settings.data, process));
    findings.extend(store::look(&settings.data, process.is_some(), asked.thorough, asked.deploy));
    Ok(findings)
}

#[cfg(feature = "distributed")]
fn apart(settings: &Settings) -> Result<Vec<Finding>, Trouble> {
    distributed::look(settings)
}

#[cfg(not(feature = "distributed"))]
fn apart(_: &Settings) -> Result<Vec<Finding>, Trouble> {
    Err(crate::serve::not_built())
}

/// Bytes, as people read them.
fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "bytes" { format!("{count} bytes") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_read_them() {
        assert_eq!((bytes(999), bytes(1_500), bytes(2_000_000_000)), ("999 bytes".into(), "1.5 kB".into(), "2.0 GB".into()));
    }
}
