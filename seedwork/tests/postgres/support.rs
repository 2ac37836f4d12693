//! Databases of a test's own on the real server.

use std::sync::atomic::{AtomicU32, Ordering};

/// Makes databases, and drops them when it is dropped.
pub struct Databases {
    server: String,
    made: Vec<String>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The URL of the server with another database.
fn on(server: &str, database: &str) -> String {
    let (before, _) = server.rsplit_once('/').expect("a URL names a database");
    format!("{before}/{database}")
}

impl Databases {
    /// None, said loudly, when no server is there.
    pub fn of(test: &str) -> Option<Databases> {
        let Some(server) = server() else {
            let required = std::env::var_os("ALPES_TEST_REQUIRED").is_some_and(|value| value == "1");
            assert!(!required, "{test}: no PostgreSQL (scripts/servers up)");
            eprintln!("SKIPPED: {test}: no PostgreSQL (scripts/servers up)");
            return None;
        };
        Some(Databases { server, made: Vec::new() })
    }

    /// The URL of a new, empty database.
    pub fn new_one(&mut self) -> String {
        let name = format!("alpes_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.admin(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        self.admin(&format!("CREATE DATABASE {name}"));
        self.made.push(name.clone());
        on(&self.server, &name)
    }

    /// A statement on the server's own database.
    pub fn admin(&self, sql: &str) {
        run(&self.server, sql);
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in &self.made {
            self.admin(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

fn server() -> Option<String> {
    std::env::var("ALPES_TEST_POSTGRES").ok()
}

/// Statements on a connection of their own.
pub fn run(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    });
}
