//! Databases of a test's own on the real PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

use super::servers;
use crate::store::postgres::statements;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes databases, and drops them, with whoever is still connected, when it is dropped.
pub struct Databases {
    server: String,
    made: Vec<String>,
}

impl Databases {
    /// None, said loudly, when there is no server.
    ///
    /// # Panics
    /// As [`servers::postgres`].
    #[must_use]
    pub fn find() -> Option<Databases> {
        servers::postgres().map(Databases::on)
    }

    /// On a server of the test's own.
    #[must_use]
    pub fn on(server: String) -> Databases {
        Databases { server, made: Vec::new() }
    }

    /// Makes a new, empty database and gives its URL.
    ///
    /// # Panics
    /// When the server does not let it.
    pub fn make(&mut self) -> String {
        let name = format!("alpes_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        self.run(&format!("CREATE DATABASE {name}"));
        let (server, _) = self.server.rsplit_once('/').expect("the URL of a server names a database");
        let url = format!("{server}/{name}");
        self.made.push(name);
        url
    }

    /// Runs a statement on the server, in none of the databases made here.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn run(&self, sql: &str) {
        statements(&self.server, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in &self.made {
            if let Err(error) = statements(&self.server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")) {
                eprintln!("the database {name} of a test is left: {error}");
            }
        }
    }
}
