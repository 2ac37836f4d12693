//! The binary `alpes`: the contexts, the store, the broker and the edge put together, and the measurements of the whole.
//!
//! [`serve`] puts them together and runs until it is told to stop; [`lock`] keeps a second process out of the data directory; [`settings`]
//! is what can be decided about it; [`mod@bench`] starts a server and drives it over HTTP. [`contexts`] is the list of what runs: a new
//! context is one line there.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use seedwork::Context;

pub mod bench;
mod cli;
mod client;
mod dead_letters;
mod demo;
mod doctor;
pub mod lock;
mod moving;
mod otlp;
mod print;
mod sagas;
mod schema;
pub mod serve;
pub mod settings;
mod simulate;
mod streams;
mod subscriptions;
mod trouble;

pub use trouble::{Exit, Trouble};

use cli::{Cli, Command, Serve};
use settings::Settings;

/// The contexts of the server, in the order in which their partitions are taken.
pub fn contexts(campaigns: campaign::Settings) -> Vec<Context> {
    vec![campaign::context(campaigns), partner::context(), tracking::context()]
}

/// Reads the command line and does what it says. What goes wrong is one line on the standard error, and a status other than 0.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            if !trouble.to_string().is_empty() {
                print::note(&trouble.to_string());
            }
            ExitCode::from(trouble.status() as u8)
        }
    }
}

fn run(cli: Cli) -> Result<(), Trouble> {
    match cli.command.unwrap_or(Command::Serve(Serve { roles: Vec::new(), flags: cli.serve })) {
        Command::Serve(Serve { roles, flags }) => {
            let resolved = flags.resolved()?;
            let settings = Settings::try_from(&resolved)?;
            log(&settings)?;
            serve::run(&settings, &roles, resolved.is_set("port"))
        }
        Command::Config(asked) => settings::show(&asked),
        Command::Schema { topic } => schema::run(topic.as_deref()),
        Command::Simulate(asked) => simulate::run(&asked),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "alpes", &mut script);
            print::text(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Man { folder } => clap_mangen::generate_to(Cli::command(), &folder).map_err(|error| {
            let shown = folder.display();
            Trouble::new(format!("cannot write manual pages into {shown} ({error}): name a directory that is there and yours"))
        }),
        Command::Demo(asked) => demo::run(&asked),
        Command::Doctor(asked) => doctor::run(&asked),
        Command::DeadLetters(asked) => dead_letters::run(&asked),
        Command::Streams(asked) => streams::run(&asked),
        Command::Subscriptions(asked) => subscriptions::run(&asked),
        Command::Move(asked) => moving::run(&asked),
        Command::Sagas(asked) => sagas::run(&asked),
        Command::Bench { what } => {
            log(&settings::EveryFlag::default().settings()?)?;
            bench::run(what)
        }
    }
}

/// Tracing goes to the standard error; `log.level` says how much.
pub(crate) fn log(settings: &Settings) -> Result<(), Trouble> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(settings.log_level.to_string())
        .map_err(|error| Trouble::new(format!("log.level is not understood ({error})")))?;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        settings::LogFormat::Text => told.with_ansi(ansi).init(),
        settings::LogFormat::Json => told.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    Ok(())
}
