//! What the system counts itself: commits of every process, from its `/metrics`, and the messages and entries of Pulsar's topics, from the
//! broker's administration.

use std::time::Duration;

use seedwork::message::Role;
use serde_json::Value;
use ureq::Agent;

use crate::cli::Counted;
use crate::trouble::Trouble;

/// No counter takes longer to be told.
const PATIENCE: Duration = Duration::from_secs(10);

/// The counters at one moment. None: nobody tells that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits of all processes since each started.
    pub commits: Option<u64>,
    /// Messages that the topics of all contexts have taken.
    pub messages: Option<u64>,
    /// Entries that these messages came in: what the broker stores and flushes.
    pub entries: Option<u64>,
}

/// Who tells the counters.
#[derive(Clone, Debug)]
pub struct Counters {
    agent: Agent,
    /// Servers that have `/metrics`.
    servers: Vec<String>,
    /// Where the broker's administration tells of the namespace.
    namespace: Option<String>,
}

impl Counters {
    /// Those of the server that is driven, and what else the command line names.
    pub fn new(driven: &str, counted: &Counted) -> Counters {
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        let servers = std::iter::once(driven).chain(counted.services.iter().map(String::as_str));
        let servers = servers.map(|url| url.trim_end_matches('/').to_owned()).collect();
        let of = |admin: &String| format!("{}/admin/v2/persistent/{}", admin.trim_end_matches('/'), counted.broker_namespace);
        Counters { agent, servers, namespace: counted.broker_admin.as_ref().map(of) }
    }

    /// Nobody.
    #[cfg(test)]
    pub fn none() -> Counters {
        Counters { agent: Agent::new_with_defaults(), servers: Vec::new(), namespace: None }
    }

    /// All of them now. Blocks while it asks.
    ///
    /// # Errors
    /// When somebody who should tell does not.
    pub fn read(&self) -> Result<Counts, Trouble> {
        let mut counts = Counts::default();
        for server in &self.servers {
            add(&mut counts.commits, commits(&self.get(&format!("{server}/metrics"))?));
        }
        let Some(namespace) = &self.namespace else { return Ok(counts) };
        for context in bff::CONTEXTS {
            for role in [Role::Command, Role::Event, Role::Reply] {
                let topic = format!("{namespace}/{context}.{}", role.topic());
                let stats = self.json(&format!("{topic}/partitioned-stats?perPartition=false"))?;
                add(&mut counts.messages, stats["msgInCounter"].as_u64());
                let stored = self.json(&format!("{topic}/partitioned-internalStats"))?;
                add(&mut counts.entries, entries(&stored));
            }
        }
        Ok(counts)
    }

    fn get(&self, url: &str) -> Result<String, Trouble> {
        let told = self.agent.get(url).call().and_then(|mut answer| answer.body_mut().read_to_string());
        told.map_err(|error| Trouble::new(format!("{url} does not tell its counters: {error}")))
    }

    fn json(&self, url: &str) -> Result<Value, Trouble> {
        let text = self.get(url)?;
        serde_json::from_str(&text).map_err(|error| Trouble::new(format!("{url} does not tell its counters as JSON: {error}")))
    }
}

fn add(to: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *to = Some(to.unwrap_or(0) + more);
    }
}

/// The commits that a text of metrics tells; a bff of its own has none to tell of.
fn commits(metrics: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix("alpes_commits_total "))?.trim().parse().ok()
}

/// The entries of all partitions of a topic.
fn entries(stored: &Value) -> Option<u64> {
    let partitions = stored["partitions"].as_object()?;
    Some(partitions.values().filter_map(|partition| partition["entriesAddedCounter"].as_u64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commits_are_read_off_their_own_line() {
        let metrics = "# HELP alpes_commits_total Commits.\nalpes_commits_total 42\nalpes_commits_total_more 7\n";
        assert_eq!(commits(metrics), Some(42));
        assert_eq!(commits("alpes_requests_total 42\n"), None);
    }

    #[test]
    fn entries_are_those_of_all_partitions() {
        let stored = json!({"partitions": {"a": {"entriesAddedCounter": 3}, "b": {"entriesAddedCounter": 4, "totalSize": 9}}});
        assert_eq!(entries(&stored), Some(7));
        assert_eq!(entries(&json!({"reason": "no such topic"})), None);
    }

    #[test]
    fn what_nobody_tells_stays_unknown() {
        let mut sum = None;
        add(&mut sum, None);
        assert_eq!(sum, None);
        add(&mut sum, Some(2));
        add(&mut sum, None);
        add(&mut sum, Some(3));
        assert_eq!(sum, Some(5));
    }
}
