//! The binary `alpes`: the contexts, the store, the broker and the edge put together, and the measurements of the whole.
//!
//! [`serve`] puts them together and runs until it is told to stop; [`lock`] keeps a second process out of the data directory; [`mod@bench`]
//! starts a server and drives it over HTTP. [`contexts`] is the list of what runs: a new context is one line there.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use seedwork::Context;

pub mod bench;
mod cli;
pub mod lock;
pub mod serve;
mod trouble;

pub use trouble::Trouble;

use cli::{Cli, Command};

/// The contexts of the server, in the order in which their partitions are taken.
pub fn contexts(campaigns: campaign::Settings) -> Vec<Context> {
    vec![campaign::context(campaigns), partner::context(), tracking::context()]
}

/// Reads the command line and does what it says. What goes wrong is one line on the standard error, and status 1.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = log().and_then(|()| match cli.command {
        None => serve::run(&serve::Settings::from(cli.serve)),
        Some(Command::Serve(serve)) => serve::run(&serve::Settings::from(serve)),
        Some(Command::Bench { what }) => bench::run(what),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            // If even this cannot be written, the status still tells.
            let _unseen = writeln!(std::io::stderr(), "alpes: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Tracing goes to the standard error; `ALPES_LOG` says how much (a level, or `target=level,…`).
fn log() -> Result<(), Trouble> {
    use std::env::VarError;
    use tracing_subscriber::EnvFilter;
    let wanted = match std::env::var("ALPES_LOG") {
        Ok(wanted) => wanted,
        Err(VarError::NotPresent) => "warn".to_owned(),
        Err(VarError::NotUnicode(_)) => return Err(Trouble::new("ALPES_LOG is not UTF-8: say warn, info or debug")),
    };
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| Trouble::new(format!("ALPES_LOG={wanted} is not understood ({error}): say warn, info or debug")))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    Ok(())
}
