//! Where a database is.

use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::*;

/// How long a connection may take to be made, with its greeting.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// How to reach a database, and as whom.
#[derive(Clone)]
pub(super) struct Address {
    pub config: Config,
    /// What encrypts its connections, if they are to be.
    pub tls: Option<MakeRustlsConnect>,
    /// For texts: without the password.
    pub shown: Arc<str>,
}

impl Address {
    /// # Errors
    /// When the text is no URL of PostgreSQL's, or asks for what is not there; see [`tls::configure`] too.
    pub fn parse(url: &str) -> StoreResult<Address> {
        let example = "postgres://user:password@host:5432/database";
        let (url, mode, root) = tls::split(url);
        let mut config = Config::from_str(&url).map_err(|error| {
            StoreError(format!("the URL of the database cannot be read ({}); write {example}", trouble::words(&error)))
        })?;
        let tls = tls::configure(&mut config, mode.as_deref(), root.as_deref())?;
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
        if hosts.is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError(format!("the URL of the database names no host; write {example}")));
        }
        let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
        let user = config.get_user().unwrap_or("(nobody)");
        let shown = format!(
            "host {}, port {}, database {:?}, user {user:?}",
            hosts.join(", "),
            if ports.is_empty() { "5432".to_owned() } else { ports.join(", ") },
            config.get_dbname().unwrap_or(user),
        );
        config.connect_timeout(CONNECT).keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(20));
        Ok(Address { config, tls, shown: shown.into() })
    }
}
