//! Where the tests find a real PostgreSQL and a real Apache Pulsar: `scripts/servers up` starts both on loopback.
//!
//! Each answer is read from the environment variable of its name, then from the file that the script writes,
//! `${XDG_CACHE_HOME:-$HOME/.cache}/alpes/servers/env`. A server that is not there is said on stderr, past the capture of a test's
//! output, and the test returns; with `ALPES_TEST_REQUIRED=1`, as on the build server, the test fails instead.

use std::io::Write as _;
use std::path::PathBuf;

/// The URL of a PostgreSQL superuser's connection, `postgres://…/postgres` (variable `ALPES_TEST_POSTGRES`). A test makes databases of its
/// own there, with names that no other test has, and drops them.
///
/// # Panics
/// With `ALPES_TEST_REQUIRED=1` when there is no server.
#[must_use]
pub fn postgres() -> Option<String> {
    find("ALPES_TEST_POSTGRES", "PostgreSQL")
}

/// The broker's own address, `pulsar://…` (variable `ALPES_TEST_PULSAR`). A test makes a namespace or topics of its own there.
///
/// # Panics
/// With `ALPES_TEST_REQUIRED=1` when there is no server.
#[must_use]
pub fn pulsar() -> Option<String> {
    find("ALPES_TEST_PULSAR", "Pulsar")
}

/// The base of the same broker's administration over HTTP, `http://…` without a slash at its end (variable `ALPES_TEST_PULSAR_ADMIN`).
///
/// # Panics
/// With `ALPES_TEST_REQUIRED=1` when there is no server.
#[must_use]
pub fn pulsar_admin() -> Option<String> {
    find("ALPES_TEST_PULSAR_ADMIN", "Pulsar administration")
}

fn find(name: &str, server: &str) -> Option<String> {
    let file = env_file().and_then(|path| std::fs::read_to_string(path).ok());
    let found = set(name).or_else(|| file.and_then(|lines| value(&lines, name)));
    if found.is_none() {
        missing(server, set("ALPES_TEST_REQUIRED").as_deref() == Some("1"));
    }
    found
}

/// A variable that is set to something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn env_file() -> Option<PathBuf> {
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?;
    Some(cache.join("alpes/servers/env"))
}

/// What a line `NAME=value` gives that name.
fn value(lines: &str, name: &str) -> Option<String> {
    lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// Says that a test was skipped, or fails it.
///
/// # Panics
/// When the server is required.
fn missing(server: &str, required: bool) {
    // libtest names a test's thread after the test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(!required, "{test}: no {server}, and ALPES_TEST_REQUIRED=1 (scripts/servers up)");
    // Not eprintln!: libtest would keep it to itself.
    let mut stderr = std::io::stderr().lock();
    drop(writeln!(stderr, "SKIPPED: {test}: no {server} (scripts/servers up)"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_off_its_own_line_only() {
        let lines = "ALPES_TEST_PULSAR_ADMIN=http://127.0.0.1:2\nALPES_TEST_PULSAR=pulsar://127.0.0.1:1\nOTHER=a=b\n";
        assert_eq!(value(lines, "ALPES_TEST_PULSAR").as_deref(), Some("pulsar://127.0.0.1:1"));
        assert_eq!(value(lines, "ALPES_TEST_PULSAR_ADMIN").as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(value(lines, "OTHER").as_deref(), Some("a=b"));
        assert_eq!(value(lines, "ALPES_TEST_POSTGRES"), None);
    }

    #[test]
    #[should_panic(expected = "no PostgreSQL, and ALPES_TEST_REQUIRED=1")]
    fn a_server_that_is_required_and_missing_fails_the_test() {
        missing("PostgreSQL", true);
    }
}
