//! The settings: one table, from which the flags, the variables, the keys of the file, the help and `docs/alpes.toml` are made.
//!
//! A value comes from the table's default, from a file (TOML), from the environment, or from a flag; each of these is stronger than
//! the one before it. [`Settings`] holds the values as types; [`Resolved`] also knows where each came from, for `alpes config`.
//!
//! **To add a setting, write one line into the table below**, and take its field out of [`Settings`] where it is needed:
//!
//! ```text
//! Server "log.keep" log_keep: Keep = "everything", Form::Text("KEEP", "an age (30d) or everything"), "How long …";
//! ```
//!
//! That is: who reads it ([`Scope`]), its key (in the file `keep` below `[log]`; the variable `ALPES_LOG_KEEP` and the flag `--log-keep`
//! follow from it), the field and its type, the default as it would be written, the [`Form`], and one sentence of help. The type needs
//! `FromStr` with an error that says what is expected; [`Period`] is a time, [`Maybe`] something that may be left out. Then run
//! `ALPES_BLESS=1 cargo test -p platform`, which writes the documented file anew.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

mod file;
mod flags;
mod resolve;
mod show;
mod values;

pub use flags::{ClientFlags, EveryFlag, ServerFlags};
pub use resolve::{Origin, Resolved};
pub use show::{Show, show};
pub use values::{
    Address, Broker, Collector, Database, Headers, Levels, LogFormat, Maybe, Namespace, Period, Ratio, Replica, Size,
};

use wire::values::Actor;

use crate::trouble::Trouble;

/// Who reads a setting: which commands have its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The server.
    Server,
    /// The commands that ask a server.
    Client,
    /// Both.
    Everyone,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// true or false; as a flag also alone, which means true.
    Switch,
    /// A text: what stands for it in the help, and what it has to be, in words.
    Text(&'static str, &'static str),
    /// The same, but not everybody may read it.
    Secret(&'static str, &'static str),
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the file; a dot leads into a section.
    pub key: &'static str,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// How its value is written.
    pub form: Form,
    /// Who reads it.
    pub scope: Scope,
    /// What it decides, in one sentence without a full stop.
    pub help: &'static str,
    /// Whether a text is one of its values, or why not.
    parses: fn(&str) -> Result<(), String>,
}

impl Setting {
    /// Its flag, without the dashes before it.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Its variable in the environment.
    pub fn variable(&self) -> String {
        format!("ALPES_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Whether a text is a value of this setting.
    ///
    /// # Errors
    /// What it has to be instead.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let expected = || format!("it has to be {}", self.form);
        match self.form {
            Form::Whole(low, high) => match text.parse::<u64>() {
                Ok(number) if (low..=high).contains(&number) => {}
                _ => return Err(expected()),
            },
            Form::Switch => return if matches!(text, "true" | "false") { Ok(()) } else { Err(expected()) },
            Form::Text(..) | Form::Secret(..) => {}
        }
        (self.parses)(text).map_err(|why| format!("{why}; {}", expected()))
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Form::Whole(low, high) => write!(f, "a whole number from {low} to {high}"),
            Form::Switch => f.write_str("true or false"),
            Form::Text(_, words) | Form::Secret(_, words) => f.write_str(words),
        }
    }
}

fn parses<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ()).map_err(|error| error.to_string())
}

macro_rules! settings {
    ($($scope:ident $key:literal $field:ident: $kind:ty = $default:literal, $form:expr, $help:literal;)*) => {
        /// Every setting there is.
        pub static TABLE: &[Setting] = &[$(Setting {
            key: $key,
            default: $default,
            form: $form,
            scope: Scope::$scope,
            help: $help,
            parses: parses::<$kind>,
        }),*];

        /// The values of all settings.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl TryFrom<&Resolved> for Settings {
            type Error = Trouble;
            fn try_from(resolved: &Resolved) -> Result<Settings, Trouble> {
                Ok(Settings { $($field: resolved.parse($key)?,)* })
            }
        }
    };
}

settings! {
    Server "port" port: u16 = "8000", Form::Whole(0, 65_535), "Port to listen on; 0 takes a free one";
    Everyone "data" data: PathBuf = "alpes-data", Form::Text("DIR", "a directory"), "Directory of the store; made if it is missing";
    Server "host" host: IpAddr = "127.0.0.1", Form::Text("ADDRESS", "an IP address such as 127.0.0.1"), "Address to listen on";
    Server "trust_network" trust_network: bool = "false", Form::Switch, "Listen on an address that other machines reach: whoever reaches it may do everything";
    Server "workers" workers: usize = "1", Form::Whole(1, 64), "Threads that speak HTTP, beside the one that owns the store";
    Server "connections" connections: usize = "8192", Form::Whole(1, 1_000_000), "Connections at the same time; one more is answered 503 and closed";
    Server "opening_limit" opening_limit: u64 = "1000000", Form::Whole(0, 1_000_000_000_000), "Major units that a brand may reserve in each currency until its limit is set";
    Client "url" url: Maybe<Address> = "none", Form::Text("URL", "an address such as http://127.0.0.1:8000, or none"), "The server that commands ask; none means the one that holds the data directory";
    Client "timeout" timeout: Period = "10s", Form::Text("TIME", "a time such as 500ms, 10s, 5m, 12h or 30d"), "How long a command waits for each answer of the server";
    Client "actor" actor: Actor = "local", Form::Text("NAME", "a name of 1 to 128 printable characters"), "Who decides; kept with each decision";
    Server "not_yet" not_yet: Period = "30s", Form::Text("TIME", "a time such as 500ms, 10s, 5m, 12h or 30d"), "How long a message may wait for what it names to be known before it is refused";
    Server "log.keep_age" log_keep_age: Maybe<Period> = "none", Form::Text("TIME", "a time such as 12h or 30d, or none"), "How old a row of the log may become; none keeps all";
    Server "log.keep_size" log_keep_size: Maybe<Size> = "none", Form::Text("SIZE", "a size such as 500MB or 20GB, or none"), "About how large the log's messages may become together; none keeps all";
    Everyone "database" database: Maybe<Database> = "none", Form::Secret("URL", "a URL such as postgres://user:password@host/alpes_{context}, or none"), "PostgreSQL instead of a file: each context has a database of its own, whose name stands where {context} is; ?sslmode=verify-full&sslrootcert=system behind it encrypts, and checks who the server is (&sslrootcert=FILE: by an authority of your own)";
    Everyone "broker" broker: Maybe<Broker> = "none", Form::Text("URL", "a URL such as pulsar://host:6650 or pulsar+ssl://host:6651, or none"), "Apache Pulsar instead of the broker in this process";
    Everyone "broker_token" broker_token: Maybe<String> = "none", Form::Secret("TOKEN", "a token, or none"), "What this process shows the broker to be let in";
    Everyone "broker_admin" broker_admin: Maybe<Address> = "none", Form::Text("URL", "an address such as http://127.0.0.1:8080, or none"), "The broker's admin API, which makes the topics that are missing; none means that they are there";
    Everyone "broker_namespace" broker_namespace: Namespace = "public/default", Form::Text("NAME", "a tenant and a namespace, such as public/default"), "Where the topics are";
    Everyone "partitions" partitions: u16 = "8", Form::Whole(1, 256), "Partitions of each context over a broker: a power of two, the same everywhere, fixed when the deployment is made";
    Server "replica" replica: Maybe<Replica> = "none", Form::Text("NAME", "1 to 64 letters, digits, '.', '_' and '-', or none"), "What this process is called among its like; none gives it a name of its own";
    Server "advertise" advertise: Maybe<Address> = "none", Form::Text("URL", "an address such as http://10.0.0.7:8000, or none"), "Where the other replicas of this service reach this one; none means where it listens or, when it listens on every address, at the one from which it reaches the broker";
    Everyone "services.campaign" services_campaign: Address = "http://127.0.0.1:8001", Form::Text("URL", "an address such as http://127.0.0.1:8001"), "Where the bff finds the service of campaigns";
    Everyone "services.partner" services_partner: Address = "http://127.0.0.1:8002", Form::Text("URL", "an address such as http://127.0.0.1:8002"), "Where the bff finds the service of partners";
    Everyone "services.tracking" services_tracking: Address = "http://127.0.0.1:8003", Form::Text("URL", "an address such as http://127.0.0.1:8003"), "Where the bff finds the service of tracking";
    Server "otlp" otlp: Maybe<Collector> = "none", Form::Text("URL", "an address such as http://127.0.0.1:4318 or https://traces.example.com, or none"), "Collector that traces are exported to, by OTLP over HTTP; none exports none";
    Server "otlp_headers" otlp_headers: Maybe<Headers> = "none", Form::Secret("HEADERS", "name=value, several with commas between, or none"), "Headers of each export: what the collector wants to be shown";
    Server "otlp_root" otlp_root: Maybe<PathBuf> = "none", Form::Text("FILE", "a file of certificates (PEM), or none"), "Authorities that the certificate of an https:// collector must lead to; none means those that Mozilla trusts";
    Server "otlp_ratio" otlp_ratio: Ratio = "1", Form::Text("SHARE", "a number from 0 to 1"), "Share of the traces that begin here which is exported; what a caller has decided for its own trace holds";
    Everyone "log.level" log_level: Levels = "warn", Form::Text("LEVEL", "error, warn, info, debug, trace or off, or target=level, several with commas between"), "What is told on the standard error; http=info tells each request";
    Everyone "log.format" log_format: LogFormat = "text", Form::Text("FORMAT", "text or json"), "How it is told: for people, or as JSON, an object a line";
}

#[cfg(test)]
mod tests;
