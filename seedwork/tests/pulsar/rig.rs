//! A namespace of its own on the real server for each test, and what the tests say to its administration.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seedwork::broker::pulsar::{Pulsar, Settings};
use seedwork::testing::servers;

/// What every topic here is registered with.
pub const SCHEMA: &str = r#"{"type":"record","name":"events","namespace":"test","fields":[{"name":"id","type":"string"}]}"#;

/// The server, if there is one.
pub struct Server {
    pub url: String,
    pub admin: String,
}

impl Server {
    /// None, said aloud, when there is none.
    pub fn find() -> Option<Server> {
        Some(Server { url: servers::pulsar()?, admin: servers::pulsar_admin()? })
    }

    /// The settings of a namespace that nobody else has, with these topics in it.
    pub fn namespace(&self, topics: &[&str]) -> Settings {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let namespace = format!("t{}-{}", since.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed));
        let made = self.ask("PUT", &format!("namespaces/public/{namespace}"), "");
        assert!((200..300).contains(&made), "the namespace is made: {made}");
        Settings {
            namespace,
            admin: Some(self.admin.clone()),
            partitions: 2,
            schemas: topics.iter().map(|topic| ((*topic).into(), SCHEMA.into())).collect(),
            ..Settings::new(self.url.clone(), "one")
        }
    }

    /// How many entries a topic's partition has had.
    pub fn entries(&self, settings: &Settings, topic: &str, partition: u16) -> u64 {
        let path = format!("persistent/public/{}/{topic}-partition-{partition}/internalStats", settings.namespace);
        let mut answer = ureq::get(format!("{}/admin/v2/{path}", self.admin)).call().unwrap();
        let stats: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        stats["entriesAddedCounter"].as_u64().unwrap()
    }

    /// A request to the administration: its status.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> u16 {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .into();
        let address = format!("{}/admin/v2/{path}", self.admin);
        let answer = match method {
            "PUT" => agent.put(&address).header("content-type", "application/json").send(body),
            "POST" => agent.post(&address).header("content-type", "application/json").send(body),
            other => panic!("no {other} here"),
        };
        answer.unwrap().status().as_u16()
    }
}

/// A broker whose owner is this thread.
pub fn connect(settings: &Settings) -> Pulsar {
    let owner = std::thread::current();
    Pulsar::connect(settings.clone(), move || owner.unpark()).unwrap()
}
