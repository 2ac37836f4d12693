//! What the adapter must know, how its topics are called, and how it opens a client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pulsar::message::proto;
use pulsar::{Authentication, ConnectionRetryOptions, OperationRetryOptions, TokioExecutor};

use crate::clock::Chance;
use crate::store::{Destination, Partition};

/// A client of the crate's: one connection to each server that it needs.
pub(super) type Client = pulsar::Pulsar<TokioExecutor>;

/// Where the broker is, and what is on it.
#[derive(Clone)]
pub struct Settings {
    /// `pulsar://host:port` or `pulsar+ssl://host:port`.
    pub url: String,
    /// A token to be sent along, if the broker asks for one.
    pub token: Option<String>,
    /// PEM certificates that are trusted beside the well-known ones.
    pub certificates: Option<Vec<u8>>,
    /// `http://host:port` of the broker's admin API, which alone can make partitioned topics. Without it they must be there, or the
    /// broker must make topics by itself; then foreign clients see each partition as a topic of its own.
    pub admin: Option<String>,
    /// The tenant: `public`.
    pub tenant: String,
    /// The namespace in it: `default`.
    pub namespace: String,
    /// Partitions of every topic: fixed for a deployment.
    pub partitions: u16,
    /// What the topics are registered with, by name (`parking.events`): an Avro record as JSON.
    pub schemas: BTreeMap<Arc<str>, Arc<str>>,
    /// What this process is called at the broker: unique among the replicas.
    pub name: String,
    /// How long the broker may take for one answer, and a send for its receipt: 10 s.
    pub patience: Duration,
}

impl Settings {
    /// The broker at a URL, with nothing registered yet.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Settings {
        Settings {
            url: url.into(),
            token: None,
            certificates: None,
            admin: None,
            tenant: "public".to_owned(),
            namespace: "default".to_owned(),
            partitions: 8,
            schemas: BTreeMap::new(),
            name: name.into(),
            patience: Duration::from_secs(10),
        }
    }

    /// A topic as the broker calls it.
    pub fn topic(&self, name: &str) -> String {
        format!("persistent://{}/{}/{name}", self.tenant, self.namespace)
    }

    /// A destination as the broker calls it: clients hash keys differently, so the adapter names the partition itself.
    pub(super) fn destination(&self, to: &Destination) -> String {
        format!("{}-partition-{}", self.topic(&to.topic), to.partition)
    }

    /// Where a partition hears who misses rows of it: nothing that must be kept.
    pub(super) fn control(&self, of: &Partition) -> String {
        format!("non-persistent://{}/{}/{}.control-{}", self.tenant, self.namespace, of.context, of.number)
    }

    /// Where a replica of an edge hears answers. None when the name cannot be one: whoever sends a command may write anything there.
    pub(super) fn answers(&self, replica: &str) -> Option<String> {
        let fits = (1..=64).contains(&replica.len())
            && replica.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        fits.then(|| format!("non-persistent://{}/{}/answers-{replica}", self.tenant, self.namespace))
    }

    /// What a topic is registered with.
    pub(super) fn schema(&self, topic: &str) -> Option<proto::Schema> {
        let text = self.schemas.get(topic)?;
        Some(proto::Schema {
            name: topic.to_owned(),
            schema_data: text.as_bytes().to_vec(),
            r#type: proto::schema::Type::Json as i32,
            properties: Vec::new(),
        })
    }

    /// A client with connections of its own.
    pub(super) async fn client(&self) -> Result<Client, pulsar::Error> {
        let mut builder = pulsar::Pulsar::builder(&self.url, TokioExecutor)
            // Whoever needs a client tries again by itself, so that a broker that is away is waited for in one place.
            .with_connection_retry_options(ConnectionRetryOptions {
                min_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                max_retries: 1,
                connection_timeout: Duration::from_secs(5),
                keep_alive: Duration::from_secs(20),
                connection_max_idle: Duration::from_secs(120),
            })
            .with_operation_retry_options(OperationRetryOptions {
                operation_timeout: self.patience,
                retry_delay: Duration::from_millis(200),
                max_retries: Some(5),
            });
        if let Some(token) = &self.token {
            builder = builder.with_auth(Authentication { name: "token".to_owned(), data: token.clone().into_bytes() });
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.with_certificate_chain(certificates.clone());
        }
        builder.build().await
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        write!(f, "{} {}/{} token {token:?}, {} partitions", self.url, self.tenant, self.namespace, self.partitions)
    }
}

/// Why the broker cannot be used: one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The line.
    pub text: String,
    /// Whether it is an outage, which ends by itself; else somebody has to change something.
    pub passes: bool,
}

impl Trouble {
    pub(super) fn stays(text: String) -> Trouble {
        Trouble { text, passes: false }
    }

    pub(super) fn passes(text: String) -> Trouble {
        Trouble { text, passes: true }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

/// Waits longer each time, up to five seconds, and never exactly as long as another.
pub(super) struct Backoff {
    times: u32,
    chance: Chance,
}

impl Backoff {
    pub fn new(seed: u64) -> Backoff {
        Backoff { times: 0, chance: Chance::seeded(seed) }
    }

    pub fn done(&mut self) {
        self.times = 0;
    }

    /// Whether this is the first time since something went well: said aloud, unlike the next thousand.
    pub fn is_first(&self) -> bool {
        self.times == 0
    }

    /// How long to wait now.
    pub fn next(&mut self) -> Duration {
        let base = 100_u64 << self.times.min(6);
        self.times += 1;
        let base = base.min(5_000);
        Duration::from_millis(base / 2 + self.chance.below(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_part_of_the_topic_that_is_named() {
        let settings = Settings { namespace: "shop".to_owned(), ..Settings::new("pulsar://127.0.0.1:6650", "one") };
        let to = Destination { topic: "lot.events".into(), partition: 3 };
        assert_eq!(settings.destination(&to), "persistent://public/shop/lot.events-partition-3");
    }

    #[test]
    fn whoever_asks_cannot_have_the_answer_sent_to_another_kind_of_topic() {
        let settings = Settings::new("pulsar://127.0.0.1:6650", "one");
        assert_eq!(settings.answers("bff-1").as_deref(), Some("non-persistent://public/default/answers-bff-1"));
        for hostile in ["", "a/b", "x y", "../lot.commands", "é", &"a".repeat(65)] {
            assert_eq!(settings.answers(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_token_is_not_written_into_the_log() {
        let settings = Settings { token: Some("secret".to_owned()), ..Settings::new("pulsar://127.0.0.1:6650", "one") };
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn whoever_waits_for_a_broker_waits_longer_each_time_up_to_a_bound() {
        let mut backoff = Backoff::new(1);
        let first = backoff.next();
        let later: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(first < Duration::from_millis(151) && later.iter().all(|wait| *wait <= Duration::from_millis(7_500)));
        assert!(later[19] >= Duration::from_millis(2_500));
    }
}
