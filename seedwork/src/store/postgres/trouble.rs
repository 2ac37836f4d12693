//! What an error of the server or of the connection means.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::*;

/// Raised by a commit whose fence is not the head's: the detail holds the numbers of the partitions.
pub(super) const FENCED: &str = "ALP01";
/// Raised by a commit that changes a row which somebody else has changed.
pub(super) const CHANGED: &str = "ALP02";

/// The error in words, with what the server said beside it.
pub(super) fn words(error: &Error) -> String {
    let Some(said) = error.as_db_error() else {
        // The crate's own text names the step, its source what went wrong there.
        return error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    };
    let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}, SQLSTATE {}", said.message(), said.code().code())
}

fn ends_the_session(said: &DbError) -> bool {
    matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Whether the connection is gone with this error.
pub(super) fn lost(error: &Error) -> bool {
    match error.as_db_error() {
        Some(said) => ends_the_session(said),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// Whether it ends by itself that there is no connection: a server that is not there, that starts, stops or has no room.
pub(super) fn passes(error: &Error) -> bool {
    match error.code() {
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => true,
        // An operator's intervention: it starts, recovers or shuts down.
        Some(code) => code.code().starts_with("57P"),
        None => lost(error),
    }
}

/// Why there is no connection, and what to do.
pub(super) fn unreachable(place: &str, error: &Error) -> String {
    let advice = match error.code() {
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => ": make the database (createdb) or name another",
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            ": check user and password"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => ": raise max_connections, or run fewer replicas",
        Some(_) => "",
        None if error.to_string().contains("TLS") => {
            ": the server has to speak TLS, with a certificate from an authority in sslrootcert (system: that this system trusts) and, with \
             sslmode=verify-full, that names this host"
        }
        None => ": is the server there, and does it listen at this address?",
    };
    format!("cannot connect to PostgreSQL, {place}: {}{advice}", words(error))
}

/// Where in its one round trip a commit met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The server answered a statement before the COMMIT with it.
    Statement,
    /// It came in place of the answer to the COMMIT.
    Commit,
}

/// What became of a commit that met an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// This, and trying again would not change it.
    Decided(CommitError),
    /// The session has ended before the COMMIT: nothing was written, and another session may do it.
    NotWritten(String),
}

/// What became of a commit. A fence that was lost is for the caller to name.
pub(super) fn fate(error: &Error, at: At) -> Fate {
    let why = words(error);
    let Some(said) = error.as_db_error() else {
        // Cut off without a word: what was sent may have been carried out to the end.
        return Fate::Decided(CommitError::Unknown(why));
    };
    match (ends_the_session(said), at) {
        (true, At::Statement) => Fate::NotWritten(why),
        (true, At::Commit) => Fate::Decided(CommitError::Unknown(why)),
        // The server rolls back what it answers with an error, a COMMIT too.
        (false, _) => Fate::Decided(refusal_or_outage(said.code(), why)),
    }
}

fn refusal_or_outage(code: &SqlState, why: String) -> CommitError {
    let (class, code) = (code.code().get(..2).unwrap_or_default(), code.code());
    match (class, code) {
        // No privilege, or a table that is not there: no input's fault.
        (_, "42501" | "42P01" | "42703") => CommitError::Outage(why),
        // Data, constraints, limits, and what is raised by ourselves.
        ("0A" | "21" | "22" | "23" | "42" | "44" | "54" | "AL", _) => CommitError::Refused(why),
        (_, "53100") => CommitError::Outage(format!("{why}: make room on the server's disk; nothing accepted was lost")),
        (_, "25006") => CommitError::Outage(format!("{why}: the server takes no writes; name the primary")),
        // Locks, deadlocks, timeouts, memory, a server that shuts down.
        _ => CommitError::Outage(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_data_is_refused_and_what_is_in_the_server_is_an_outage() {
        let told = |code: &str| refusal_or_outage(&SqlState::from_code(code), "why".to_owned());
        for refused in ["23505", "22021", "22P05", "54000", "ALP02", "21000", "42804"] {
            assert!(matches!(told(refused), CommitError::Refused(_)), "{refused}");
        }
        for outage in ["53100", "53200", "25006", "40P01", "55P03", "57014", "57P01", "42501", "42P01", "XX000", "58030"] {
            assert!(matches!(told(outage), CommitError::Outage(_)), "{outage}");
        }
    }
}
