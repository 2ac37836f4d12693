//! Whether a server runs, answers and is ready.

use std::collections::BTreeMap;

use seedwork::clock::{Clock, SystemClock};
use serde::Deserialize;

use super::{Finding, Level};
use crate::client::{Client, WHOLE, understood};
use crate::lock::{Holder, Moved};
use crate::settings::Settings;
use crate::trouble::Trouble;

/// So many of a kind are counted; beyond that there are more.
const COUNTED: usize = 1000;

/// What runs on a data directory.
pub(super) fn runs(settings: &Settings, holder: &Holder) -> Vec<Finding> {
    let shown = settings.data.display();
    let start = "`alpes serve` starts one";
    match Moved::of(&settings.data) {
        Ok(None) => {}
        Ok(Some(moved)) => {
            let (what, to_do) = moved.told(&settings.data);
            return vec![Finding::advice("moved", what, to_do)];
        }
        Err(trouble) => return vec![Finding::wrong("moved", trouble.to_string(), "set its rights")],
    }
    let finding = match holder {
        Holder::Server { address, process } => {
            let running = Finding::good("server", format!("process {process} holds {shown} and listens on http://{address}"));
            let mut findings = vec![running];
            findings.extend(answers(&Client::at(format!("http://{address}"), settings)));
            return findings;
        }
        Holder::Starting => Finding::advice(
            "server",
            format!("a process holds {shown} and does not listen yet"),
            "ask again in a moment; if it stays so, look at what it says",
        ),
        Holder::Nobody { died: Some(process) } => Finding::advice(
            "server",
            format!(
                "none runs on {shown}; process {process}, which held it last, ended without stopping (killed, or the machine went down)"
            ),
            format!("nothing that was acknowledged is lost, {start} and takes the lock over"),
        ),
        Holder::Nobody { died: None } => Finding::good("server", format!("none runs on {shown}; {start}")),
    };
    vec![finding]
}

/// What a server tells of its troubles: of another machine nothing else can be asked.
pub(super) fn tells(client: &Client) -> Vec<Finding> {
    let mut findings = answers(client);
    if findings.iter().any(|finding| finding.level == Level::Wrong) {
        return findings;
    }
    let many = |(items, more): (Vec<_>, bool)| format!("{}{}", items.len(), if more { " or more" } else { "" });
    let sagas = "`alpes sagas list --status` lists them; `alpes sagas retry` and `resolve` decide";
    let letters = "`alpes dead-letters list` shows them; each waits to be replayed or discarded";
    for (check, path, status, to_do) in [
        ("stuck sagas", "/v1/sagas", Some("stuck"), sagas),
        ("late sagas", "/v1/sagas", Some("late"), sagas),
        ("dead letters", "/v1/dead-letters", None, letters),
    ] {
        let query: Vec<(&str, String)> = status.iter().map(|status| ("status", (*status).to_owned())).collect();
        findings.push(match client.list(path, &query, COUNTED) {
            Ok((items, false)) if items.is_empty() => Finding::good(check, "none"),
            Ok(found) => Finding::wrong(check, many(found), to_do),
            Err(trouble) => Finding::wrong(check, trouble.to_string(), "look at what it says on its standard error"),
        });
    }
    findings.extend(epochs(client));
    findings
}

/// A subscription, as far as it tells whether its reader waits for a new epoch.
#[derive(Deserialize)]
struct Reading {
    context: String,
    partition: u16,
    behind: Option<String>,
}

/// Each partition that takes no input because an older copy of its store was restored. All of its subscriptions say so.
fn epochs(client: &Client) -> Vec<Finding> {
    let check = "new epochs";
    let told = client
        .list("/v1/subscriptions", &[], WHOLE)
        .and_then(|(items, _)| items.iter().map(|item| understood(item.get())).collect::<Result<Vec<Reading>, Trouble>>());
    let readings = match told {
        Ok(readings) => readings,
        Err(trouble) => return vec![Finding::wrong(check, trouble.to_string(), "ask again in some seconds")],
    };
    let behind = readings.into_iter().filter_map(|Reading { context, partition, behind }| Some(((context, partition), behind?)));
    let behind: BTreeMap<(String, u16), String> = behind.collect();
    if behind.is_empty() {
        return vec![Finding::good(check, "no partition waits for one")];
    }
    // It says what to do itself.
    behind.into_values().map(|what| Finding::wrong(check, what, "")).collect()
}

/// Whether a server answers, and is ready.
pub(super) fn answers(client: &Client) -> Vec<Finding> {
    let clock = SystemClock::default();
    let timed = |path: &str| {
        let from = clock.monotonic();
        client.get(path).map(|_| (clock.monotonic() - from).as_secs_f64() * 1000.0)
    };
    match timed("/healthz") {
        Err(trouble) => vec![Finding::wrong("answers", trouble.to_string(), "look at what it says on its standard error")],
        Ok(milliseconds) => {
            let answers = Finding::good("answers", format!("{} answers in {milliseconds:.1} ms", client.base()));
            let ready = match timed("/readyz") {
                Ok(_) => Finding::good("ready", "it takes commands and reads its store"),
                Err(trouble) => Finding::wrong(
                    "ready",
                    format!("it takes no commands: {trouble}"),
                    "wait a second if it is busy; otherwise look at what it says on its standard error",
                ),
            };
            vec![answers, ready]
        }
    }
}
