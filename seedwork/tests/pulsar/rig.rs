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

/// A broker whose owner never sleeps.
pub fn connect(settings: &Settings) -> Pulsar {
    Pulsar::connect(settings.clone(), || ()).unwrap()
}
