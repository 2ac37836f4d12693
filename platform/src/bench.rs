//! The measurements: `alpes bench`. A server process of its own, full durability, driven over HTTP from one light thread in this one.
//!
//! `load` says what is asked and `pace` when, `client` asks it, `drive` has many clients ask and measures, `machine` and `counts` read what
//! it cost, `server` is the server that is measured, `stream` subscribes, `queries` reads, `report` prints.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use serde::Serialize;

mod client;
mod counts;
mod drive;
mod load;
pub(crate) mod machine;
mod pace;
mod queries;
mod report;
pub(crate) mod server;
mod stream;

use crate::Trouble;
use crate::cli::{Bench, Common, Rows, Sagas};
use counts::Counters;
use drive::{Plan, Target, Until, drive};
use load::{FIRST, Load};
use report::Row;
use server::Server;

/// Everything that one call has measured.
#[derive(Serialize)]
struct Report<'a, R> {
    /// What was measured.
    bench: &'static str,
    /// Median of 4 KiB append + fdatasync on the disk of the data, in milliseconds; unknown of a server elsewhere.
    fdatasync_ms: Option<f64>,
    /// Cores of this machine.
    cores: usize,
    /// The rows.
    rows: &'a [R],
}

/// Where it is measured, and how it is told.
struct Bencher {
    common: Common,
    cores: usize,
    fdatasync_ms: Option<f64>,
    /// Part of every id, so that a server that is measured twice takes no id for a known one.
    run: String,
}

/// Measures what was asked for.
///
/// # Errors
/// When a server cannot be started or does not answer as it should.
pub(crate) fn run(what: Bench) -> Result<(), Trouble> {
    match what {
        Bench::Sagas { common, rows, load } => Bencher::new(common)?.sagas(&rows, load),
        Bench::Commands { common, rows } => Bencher::new(common)?.commands(&rows),
        Bench::FanOut { common, participants, rounds } => Bencher::new(common)?.fan_out(participants.into(), rounds.into()),
        Bench::Stream { common, subscribers, rate, seconds } => Bencher::new(common)?.stream(&subscribers, rate, seconds),
        Bench::Queries { common, asked } => Bencher::new(common)?.queries(&asked),
        Bench::Memory { common, campaigns } => Bencher::new(common)?.memory(campaigns),
    }
}

/// One line on the standard output, whether or not anybody still reads it.
fn say(line: &str) {
    let _unread = writeln!(std::io::stdout(), "{line}");
}

impl Bencher {
    fn new(common: Common) -> Result<Bencher, Trouble> {
        let fdatasync_ms = match common.url {
            Some(_) => None,
            None => Some(report::millis(machine::fdatasync(&common.data)?)),
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let run = format!("{:x}", SystemClock::default().now() / 1000);
        Ok(Bencher { common, cores, fdatasync_ms, run })
    }

    fn server(&self, name: &str) -> Result<Server, Trouble> {
        self.server_that(name, false)
    }

    /// A server, which tells each request to the log if it is to.
    fn server_that(&self, name: &str, tells: bool) -> Result<Server, Trouble> {
        match &self.common.url {
            Some(url) => Server::at(url),
            None => {
                let folder = format!("alpes-bench-{}-{name}", std::process::id());
                Server::start(&self.common.data.join(folder), false, self.common.workers, tells)
            }
        }
    }

    /// A server, and whoever counts what it costs.
    fn target(&self, server: &Server) -> Target {
        let url = self.common.url.clone().unwrap_or_else(|| format!("http://{}", server.address));
        Target { address: server.address, gauge: server.gauge.clone(), counters: Counters::new(&url, &self.common.counted) }
    }

    /// What stands above every table.
    fn title(&self, what: &str) {
        if self.common.json {
            return;
        }
        let disk = match self.fdatasync_ms {
            Some(ms) => format!("the disk below {} takes {ms:.2} ms (median) for 4 KiB and fdatasync", shown(&self.common.data)),
            None => "a server that runs elsewhere: its CPU, disk and memory are not known here".to_owned(),
        };
        say(&format!("{what}; {} cores, the generator's included; {disk}\n", self.cores));
    }

    fn finish<R: Serialize>(&self, bench: &'static str, rows: &[R]) -> Result<(), Trouble> {
        if self.common.json {
            let report = Report { bench, fdatasync_ms: self.fdatasync_ms, cores: self.cores, rows };
            let text =
                serde_json::to_string_pretty(&report).map_err(|error| Trouble::new(format!("cannot write JSON: {error}")))?;
            say(&text);
        }
        Ok(())
    }

    /// One row for every number of clients and of subscribers, each on a new server.
    fn table(&self, load: &Load, rows: &Rows, into: &mut Vec<Row>) -> Result<(), Trouble> {
        let each = rows.clients.iter().flat_map(|clients| rows.subscribers.iter().map(move |subscribers| (clients, subscribers)));
        for (clients, subscribers) in each {
            let server = self.server_that(&format!("{}-{clients}", into.len()), *subscribers > 0)?;
            let first = FIRST + into.len() as u64 * 1_000_000_000;
            let until = Until::Time(Duration::from_secs(rows.seconds));
            let plan = Plan { subscribers: *subscribers, ..Plan::of(load, *clients, first, until) };
            let (measured, _) = drive(&self.target(&server), &plan)?;
            let row = Row { subscribers: *subscribers, ..Row::of(&load.name, *clients, self.cores, &measured) };
            if !self.common.json {
                say(&report::line(&row));
            }
            into.push(row);
        }
        Ok(())
    }

    fn sagas(&self, rows: &Rows, which: Sagas) -> Result<(), Trouble> {
        let loads = match which {
            Sagas::One => vec![Load::campaigns(&self.run, 1)],
            Sagas::Ten => vec![Load::campaigns(&self.run, 10)],
            Sagas::Refused => vec![Load::refused(&self.run)],
            Sagas::Brand => vec![Load::one_brand(&self.run)],
            Sagas::All => {
                vec![
                    Load::campaigns(&self.run, 1),
                    Load::campaigns(&self.run, 10),
                    Load::refused(&self.run),
                    Load::one_brand(&self.run),
                ]
            }
        };
        self.title("Registration sagas, from the request until the saga has ended, durable before it is answered");
        self.tables("sagas", &loads, rows)
    }

    fn commands(&self, rows: &Rows) -> Result<(), Trouble> {
        self.title("Commands, each a change that is durable before it is answered");
        self.tables("commands", &[Load::limits(&self.run)], rows)
    }

    fn tables(&self, what: &'static str, loads: &[Load], rows: &Rows) -> Result<(), Trouble> {
        let mut measured = Vec::new();
        if !self.common.json {
            say(&report::head(what));
        }
        for load in loads {
            self.table(load, rows, &mut measured)?;
        }
        self.finish(what, &measured)
    }

    fn fan_out(&self, participants: usize, rounds: u64) -> Result<(), Trouble> {
        self.title("One campaign after the other, from the request until the saga has ended");
        let mut rows = Vec::new();
        for refused in [false, true] {
            let load = Load::fan_out(&self.run, participants, refused);
            let server = self.server(if refused { "undone" } else { "completed" })?;
            let first = FIRST + u64::from(refused) * 1_000_000_000;
            let (measured, _) = drive(&self.target(&server), &Plan::of(&load, 1, first, Until::Count(rounds)))?;
            let row = Row::of(&load.name, 1, self.cores, &measured);
            if !self.common.json {
                say(&format!(
                    "{:<30} median {:>8.1} ms, worst of {rounds} {:>8.1} ms, CPU {} ms",
                    row.load,
                    row.p50_ms,
                    row.max_ms,
                    row.cpu_ms.map_or("n/a".to_owned(), |ms| format!("{ms:.0}"))
                ));
            }
            rows.push(row);
        }
        self.finish("fan-out", &rows)
    }

    fn stream(&self, subscribers: &[u16], rate: u16, seconds: u64) -> Result<(), Trouble> {
        #[derive(Serialize)]
        struct Row {
            subscribers: u16,
            events: usize,
            p50_ms: f64,
            p99_ms: f64,
            max_ms: f64,
            resident_mb: Option<f64>,
        }
        self.title(&format!(
            "Events on subscribers' sockets, from their batch's writing (the fsync included), {rate} sagas a second"
        ));
        let mut rows = Vec::new();
        for subscribers in subscribers {
            let server = self.server(&format!("stream-{subscribers}"))?;
            let latencies = stream::listen(server.address, &Load::campaigns(&self.run, 1), *subscribers, rate, seconds)?;
            let row = Row {
                subscribers: *subscribers,
                events: latencies.len(),
                p50_ms: report::percentile(&latencies, 50),
                p99_ms: report::percentile(&latencies, 99),
                max_ms: report::percentile(&latencies, 100),
                resident_mb: server.gauge.memory().map(|(now, _)| now as f64 / 1024.0),
            };
            if !self.common.json {
                let memory = row.resident_mb.map_or("n/a".to_owned(), |mb| format!("{mb:.1}"));
                say(&format!(
                    "{:>5} subscribers {:>9} events, p50 {:>7.2} ms, p99 {:>7.2} ms, worst {:>7.2} ms, the server's memory {memory} MB",
                    row.subscribers, row.events, row.p50_ms, row.p99_ms, row.max_ms
                ));
            }
            rows.push(row);
        }
        self.finish("stream", &rows)
    }

    fn memory(&self, campaigns: u64) -> Result<(), Trouble> {
        #[derive(Serialize)]
        struct Row {
            campaigns: u64,
            resident_mb: f64,
            resident_most_mb: f64,
            per_second: f64,
        }
        if self.common.url.is_some() {
            return Err(Trouble::new("the memory of a server that runs elsewhere is not known here: leave --url out"));
        }
        self.title("Memory of the server after so many campaigns of one participant, 64 clients");
        let server = self.server("memory")?;
        let load = Load::campaigns(&self.run, 1);
        let mut rows: Vec<Row> = Vec::new();
        if !self.common.json {
            say("  campaigns   resident MB   at most MB   sagas/s");
        }
        let (mut done, mut next) = (0, FIRST);
        for tenth in 1..=10 {
            let upto = campaigns * tenth / 10;
            if upto == done {
                continue;
            }
            let (measured, free) = drive(&self.target(&server), &Plan::of(&load, 64, next, Until::Count(upto - done)))?;
            next = free;
            let per_second = (upto - done) as f64 / measured.took.as_secs_f64();
            done = upto;
            let (now, most) = server
                .gauge
                .memory()
                .ok_or_else(|| Trouble::new("this system does not tell the memory of a process in /proc: measure on Linux"))?;
            let row =
                Row { campaigns: done, resident_mb: now as f64 / 1024.0, resident_most_mb: most as f64 / 1024.0, per_second };
            if !self.common.json {
                say(&format!(
                    "{:>11} {:>13.1} {:>12.1} {:>9.0}",
                    row.campaigns, row.resident_mb, row.resident_most_mb, row.per_second
                ));
            }
            rows.push(row);
        }
        self.finish("memory", &rows)
    }
}

fn shown(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).display().to_string()
}
