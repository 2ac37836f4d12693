//! The flags of the settings, for `clap`: those that a command reads, made from the table.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{Form, Resolved, Scope, Setting, Settings, TABLE};
use crate::trouble::Trouble;

/// What the command line said about settings.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The file to read.
    pub config: Option<PathBuf>,
    /// Keys and values.
    pub values: Vec<(&'static str, String)>,
}

/// The flags of the settings that the server (`SERVER`) or a command that asks one (`CLIENT`) reads.
#[derive(Clone, Debug, Default)]
pub struct Flags<const SERVER: bool, const CLIENT: bool>(Given);

/// What the server reads.
pub type ServerFlags = Flags<true, false>;
/// What a command reads that asks a server.
pub type ClientFlags = Flags<false, true>;
/// All of them.
pub type EveryFlag = Flags<true, true>;

impl<const SERVER: bool, const CLIENT: bool> Flags<SERVER, CLIENT> {
    /// The values of all settings, and where they came from.
    ///
    /// # Errors
    /// As [`Resolved::of`].
    pub fn resolved(&self) -> Result<Resolved, Trouble> {
        Resolved::of(&self.0)
    }

    /// The values of all settings.
    ///
    /// # Errors
    /// As [`Resolved::of`].
    pub fn settings(&self) -> Result<Settings, Trouble> {
        Settings::try_from(&self.resolved()?)
    }

    fn of_table() -> impl Iterator<Item = &'static Setting> {
        TABLE.iter().filter(|setting| match setting.scope {
            Scope::Everyone => true,
            Scope::Server => SERVER,
            Scope::Client => CLIENT,
        })
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let help = format!("{} [default: {}] [env: {}]", setting.help, setting.default, setting.variable());
    let check = move |text: &str| setting.check(text).map(|()| text.to_owned());
    let flag = Arg::new(setting.key).long(setting.flag()).help(help).value_parser(check).action(ArgAction::Set);
    match setting.form {
        Form::Whole(..) => flag.value_name("N"),
        Form::Text(name, _) | Form::Secret(name, _) => flag.value_name(name),
        Form::Switch => flag.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

impl<const SERVER: bool, const CLIENT: bool> Args for Flags<SERVER, CLIENT> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help("File of settings [default: alpes.toml, if it is there] [env: ALPES_CONFIG]")
            .value_parser(clap::value_parser!(PathBuf));
        command.arg(config).args(Self::of_table().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const SERVER: bool, const CLIENT: bool> FromArgMatches for Flags<SERVER, CLIENT> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let told = |setting: &'static Setting| Some((setting.key, matches.get_one::<String>(setting.key)?.clone()));
        let values = Self::of_table().filter_map(told).collect();
        Ok(Flags(Given { config: matches.get_one::<PathBuf>("config").cloned(), values }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
