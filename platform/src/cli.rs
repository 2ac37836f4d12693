//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::serve::Role;
use crate::settings::{ServerFlags, Show};

/// Business processes whose steps all happen or are all undone.
#[derive(Debug, Parser)]
#[command(name = "alpes", version, args_conflicts_with_subcommands = true, after_help = STATUSES)]
pub struct Cli {
    #[command(flatten)]
    pub serve: ServerFlags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program ends with, for scripts.
const STATUSES: &str = "Status: 0 done, 1 it failed or was refused, 2 the command line or a setting is wrong, 3 there is no such thing, \
     4 no server answers, 5 a watched saga ended otherwise than completed";

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (also what `alpes` alone does); with --database and --broker one service, or those that are named
    Serve(Serve),
    /// Show each setting, its value and where that comes from
    Config(Show),
    /// Make brands, campaigns and partners to look at, one saga of each outcome
    Demo(crate::demo::Demo),
    /// Say what is wrong and what to do about it, one line each; status 1 when something is
    Doctor(crate::doctor::Doctor),
    /// See where the sagas of a running server stand, and decide about them
    #[command(subcommand)]
    Sagas(crate::sagas::Command),
    /// See messages that broke their handler again and again, and decide about them
    #[command(subcommand)]
    DeadLetters(crate::dead_letters::Command),
    /// See how far each context is with what it reads; pause and resume it
    #[command(subcommand)]
    Subscriptions(crate::subscriptions::Command),
    /// See what each partition has published; send it again, or skip what is lost
    #[command(subcommand)]
    Streams(crate::streams::Command),
    /// Carry the data of a stopped server to PostgreSQL, a database for each context, where services over Apache Pulsar go on with it
    Move(Box<crate::moving::Move>),
    /// Print the schema of a topic (Avro, as a registry takes it), or of all topics: `alpes schema campaign.events`
    Schema {
        /// The topic; all of them when it is left out
        topic: Option<String>,
    },
    /// Let the days of a simulated world go by: campaigns come, are cancelled and finished while everything fails now and then; say what
    /// became of them. The same seed is the same day
    Simulate(crate::simulate::Simulate),
    /// Print what completes commands in a shell: `alpes completions bash > ~/.local/share/bash-completion/completions/alpes`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands: `alpes man ~/.local/share/man/man1`, then `man alpes-sagas-list`
    Man {
        /// The directory, which has to be there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Measure this machine: a server of its own in a new data directory, driven over HTTP
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
}

/// What the server is asked.
#[derive(Debug, Args)]
pub struct Serve {
    /// Services to run over PostgreSQL and Apache Pulsar; none: all of them, or without --database and --broker everything from a file
    pub roles: Vec<Role>,
    #[command(flatten)]
    pub flags: ServerFlags,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Registration sagas per second, from the request to the saga's end
    Sagas {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        rows: Rows,
        /// What is asked of it
        #[arg(long, value_enum, default_value_t = Sagas::All)]
        load: Sagas,
    },
    /// Durable commands per second: one cheap command, each a change
    Commands {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        rows: Rows,
    },
    /// One campaign of many participants, completed and undone
    FanOut {
        #[command(flatten)]
        common: Common,
        /// Participants of the campaign
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
        participants: u16,
        /// Campaigns of each kind, one after the other
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        rounds: u16,
    },
    /// Subscribers of the live stream: how soon events are on their sockets, and what they take of the server's memory
    Stream {
        #[command(flatten)]
        common: Common,
        /// Subscribers, a row for each number
        #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u16).range(1..=4000))]
        subscribers: Vec<u16>,
        /// Sagas a second; each says six events
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=2000))]
        rate: u16,
        /// How long each row is measured
        #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
    },
    /// One campaign by its id and filtered pages of 20, asked for while campaigns are registered
    Queries {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        asked: Asked,
    },
    /// Memory of the server after so many campaigns
    Memory {
        #[command(flatten)]
        common: Common,
        /// Campaigns to register
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        campaigns: u64,
    },
}

/// What every measurement needs to know.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Drive this server instead of one of its own; then nothing is known of its CPU, disk and memory
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Where the data directories are made, and deleted again: the disk that is measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub data: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Threads of the server that speak HTTP
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    #[command(flatten)]
    pub counted: Counted,
}

/// Who counts what one answer costs, when what is driven is more than one process.
#[derive(Clone, Debug, Args)]
pub struct Counted {
    /// Every other process whose commits are counted, by its own URL: each replica of each context's service
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "url")]
    pub services: Vec<String>,
    /// The administration of the broker between them: its messages and entries are counted
    #[arg(long, value_name = "URL", requires = "url")]
    pub broker_admin: Option<String>,
    /// Where their topics are
    #[arg(long, value_name = "TENANT/NAMESPACE", default_value = "public/default", requires = "broker_admin")]
    pub broker_namespace: String,
}

/// The rows of a table.
#[derive(Clone, Debug, Args)]
pub struct Rows {
    /// How long each row is measured, after two seconds of warming up
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Clients that ask at once, a row for each number; each asks again as soon as it is answered
    #[arg(long, value_delimiter = ',', default_value = "1,8,64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub clients: Vec<u16>,
    /// Subscribers of the live stream beside them, a row for each number; with some, /metrics is read every second and each request is told
    /// to the log as well, so `0,10` compares a server that nobody looks at with one that is watched
    #[arg(long, value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u16).range(0..=4000))]
    pub subscribers: Vec<u16>,
}

/// What is asked of how many campaigns.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// Campaigns that there are: what is missing of them is registered first (a million take some minutes and 14 GB)
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000_000))]
    pub campaigns: u64,
    /// A data directory that is kept for the next measurement, with its campaigns
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub store: Option<PathBuf>,
    /// Queries a second of the first table, each due at its time, whether or not those before it have been answered
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Campaigns that are registered each second meanwhile
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub registrations: u32,
    /// Connections that ask
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub clients: u16,
    /// How long each table is measured, after two seconds of warming up
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// A load of registration sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sagas {
    /// One participant
    One,
    /// Ten participants
    Ten,
    /// One participant, and every tenth campaign is refused at row 3 and undone
    Refused,
    /// One participant, all campaigns of one brand
    Brand,
    /// Each of these
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_more_is_needed_to_serve() {
        let cli = Cli::try_parse_from(["alpes", "--port", "9000", "--data", "d", "--trust-network"]).unwrap();
        assert!(cli.command.is_none());
        let settings = cli.serve.settings().unwrap();
        assert_eq!((settings.port, settings.data.to_str(), settings.trust_network), (9000, Some("d"), true));
        let Some(Command::Serve(serve)) = Cli::try_parse_from(["alpes", "serve", "--port", "0"]).unwrap().command else {
            panic!("serve is a command");
        };
        let settings = serve.flags.settings().unwrap();
        assert_eq!((settings.port, settings.host.is_loopback(), settings.trust_network), (0, true, false));
        assert!(Cli::try_parse_from(["alpes", "--port", "1", "serve"]).is_err(), "which of the two is meant?");
        let wrong = Cli::try_parse_from(["alpes", "--workers", "65"]).unwrap_err().to_string();
        assert!(wrong.contains("--workers") && wrong.contains("a whole number from 1 to 64"), "{wrong}");
    }

    #[test]
    fn rows_are_read_from_one_word() {
        let cli = Cli::try_parse_from(["alpes", "bench", "sagas", "--clients", "1,64", "--load", "refused"]).unwrap();
        let Some(Command::Bench { what: Bench::Sagas { rows, load, .. } }) = cli.command else {
            panic!("bench sagas is a command")
        };
        assert_eq!((rows.clients, load), (vec![1, 64], Sagas::Refused));
        assert!(Cli::try_parse_from(["alpes", "bench", "sagas", "--clients", "0"]).is_err());
    }
}
