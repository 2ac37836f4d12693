//! `alpes move`: carries the data of a stopped server to PostgreSQL, where services over Apache Pulsar go on with it.

use std::path::PathBuf;

use crate::settings::{Database, ServerFlags};
use crate::trouble::Trouble;

#[cfg(feature = "distributed")]
mod carrying;

/// What is moved, and where to. The other settings are those that the services will have: broker, namespace, partitions.
#[derive(Debug, clap::Args)]
pub struct Move {
    /// The data directory; no server may hold it. It stays as it is, and no server takes it afterwards
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub from: PathBuf,
    /// The databases, which are there and empty: a URL in which {context} stands, such as postgres://user:password@host/alpes_{context}
    #[arg(long, value_name = "URL", conflicts_with = "database")]
    pub to: Database,
    #[command(flatten)]
    pub flags: ServerFlags,
}

/// Moves, or ends a move that was broken off.
///
/// # Errors
/// When something is not as it has to be; nothing is lost then, and the same may be run again.
#[cfg(feature = "distributed")]
pub fn run(asked: &Move) -> Result<(), Trouble> {
    carrying::run(asked)
}

/// As above.
///
/// # Errors
/// Always: it is not in this build.
#[cfg(not(feature = "distributed"))]
pub fn run(_: &Move) -> Result<(), Trouble> {
    Err(crate::serve::not_built())
}
