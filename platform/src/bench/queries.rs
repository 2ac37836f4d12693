//! Queries of many campaigns, while more are registered: at a rate, where each is due at its time, and as fast as the clients can.

use std::time::Duration;

use serde::Serialize;
use ureq::Agent;

use super::drive::{Plan, Until, drive};
use super::load::{FIRST, Load, QUERIES};
use super::report::percentile;
use super::server::Server;
use super::{Bencher, Row, say};
use crate::cli::Asked;
use crate::trouble::Trouble;

/// Part of the ids of the campaigns that are asked for, the same in every measurement: a store that is kept has them already.
const RUN: &str = "queries";
/// Clients that register them, and how many of the last may be missing when that was cut short.
const FILLING: u16 = 64;

/// What was measured of one kind of query.
#[derive(Serialize)]
struct Answers {
    query: &'static str,
    /// So many were due each second; null where 64 clients, or as many as there were, asked without a pause.
    rate: Option<u32>,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Bencher {
    /// Has the campaigns that are wanted, and asks for them.
    pub(super) fn queries(&self, asked: &Asked) -> Result<(), Trouble> {
        let Asked { campaigns, rate, registrations, clients, seconds, .. } = *asked;
        self.title(&format!(
            "Queries of {campaigns} campaigns, over {clients} connections, while {registrations} more are registered each second"
        ));
        let server = match &asked.store {
            Some(folder) => Server::start(folder, true, self.common.workers, false)?,
            None => self.server("queries")?,
        };
        self.fill(&server, campaigns)?;
        let (load, beside) = (Load::queries(RUN, campaigns), Load::campaigns(&self.run, 1));
        let mut rows = Vec::new();
        for (rate, first) in [(Some(rate), FIRST), (None, FIRST + 1_000_000_000)] {
            let plan = Plan {
                rate,
                beside: Some((&beside, registrations, first)),
                ..Plan::of(&load, clients, first, Until::Time(Duration::from_secs(seconds)))
            };
            let (measured, _) = drive(&self.target(&server), &plan)?;
            if !self.common.json {
                let all = Row::of(&load.name, clients, self.cores, &measured);
                say(&head(rate, clients, &all));
            }
            for (query, latencies) in QUERIES.iter().zip(&measured.latencies) {
                let row = Answers {
                    query,
                    rate,
                    per_second: latencies.len() as f64 / measured.took.as_secs_f64(),
                    p50_ms: percentile(latencies, 50),
                    p99_ms: percentile(latencies, 99),
                    max_ms: percentile(latencies, 100),
                };
                if !self.common.json {
                    let Answers { per_second, p50_ms, p99_ms, max_ms, .. } = row;
                    say(&format!("{query:<12} {per_second:>10.0} {p50_ms:>8.2} {p99_ms:>8.2} {max_ms:>8.2}"));
                }
                rows.push(row);
            }
        }
        self.finish("queries", &rows)
    }

    /// Registers what is missing of so many campaigns.
    fn fill(&self, server: &Server, campaigns: u64) -> Result<(), Trouble> {
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        let there = there(campaigns, |number| has(&agent, server, number))?;
        if there == campaigns {
            return Ok(());
        }
        let from = there.saturating_sub(FILLING.into());
        let load = Load::catalogue(RUN);
        let plan = Plan::of(&load, FILLING, FIRST + from, Until::Count(campaigns - from));
        let (measured, _) = drive(&self.target(server), &plan)?;
        if !self.common.json {
            let seconds = measured.took.as_secs_f64();
            say(&format!("{} campaigns were registered first, in {seconds:.0} s\n", campaigns - there));
        }
        Ok(())
    }
}

/// What stands above the answers of one way to ask.
fn head(rate: Option<u32>, clients: u16, all: &Row) -> String {
    let how = match rate {
        Some(rate) => format!("{rate} a second, each counted from the time at which it was due"),
        None => format!("As fast as {clients} clients can"),
    };
    let cpu = all.cpu_ms.map_or("n/a".to_owned(), |ms| format!("{ms:.3} ms"));
    let others = match all.others_percent {
        Some(percent) if percent > 8.0 => format!("; disturbed by other programs, {percent:.0} %"),
        _ => String::new(),
    };
    format!(
        "{how}: {:.0} answers a second, each {cpu} of the server's CPU, what is registered included{others}\n\
         query         answers/s   p50 ms   p99 ms   max ms",
        all.per_second
    )
}

/// How many of the campaigns there are, but for a few of the last.
fn there(campaigns: u64, has: impl Fn(u64) -> Result<bool, Trouble>) -> Result<u64, Trouble> {
    let (mut there, mut missing) = (0, campaigns + 1);
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        if has(FIRST + middle - 1)? { there = middle } else { missing = middle }
    }
    Ok(there)
}

fn has(agent: &Agent, server: &Server, number: u64) -> Result<bool, Trouble> {
    let url = format!("http://{}/v1/campaigns/c-{RUN}-{number}", server.address);
    let answer = agent.get(&url).call().map_err(|error| Trouble::new(format!("{url} cannot be asked for: {error}")))?;
    match answer.status().as_u16() {
        200 => Ok(true),
        404 => Ok(false),
        status => Err(Trouble::new(format!("{url} was answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_found_and_not_registered_again() {
        for campaigns in [10, 1000, 4097] {
            for present in [0, 1, 9, campaigns - 1, campaigns, campaigns + 50] {
                let found = there(campaigns, |number| Ok(number < FIRST + present)).unwrap();
                assert_eq!(found, present.min(campaigns));
            }
        }
    }
}
