//! Which value holds: the default, the file, the environment, the flags, each stronger than the one before.

use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::file::File;
use super::flags::Given;
use super::{Form, Setting, TABLE};
use crate::trouble::{Exit, Trouble};

/// The file that is read when it is there and no other is named.
const FILE: &str = "alpes.toml";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The table.
    Default,
    /// A file, and the line of it.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// The value of every setting, as text, and where it came from.
#[derive(Debug)]
pub struct Resolved {
    /// In the order of the table.
    pub values: Vec<(&'static Setting, String, Origin)>,
    /// Variables that look like settings and are none.
    pub strangers: Vec<String>,
}

impl Resolved {
    /// Reads the file and the environment of this process, and lays the flags over them.
    ///
    /// # Errors
    /// When the file cannot be read, or any of the three says what is no setting or no value of one.
    pub fn of(given: &Given) -> Result<Resolved, Trouble> {
        let named = match &given.config {
            Some(path) => Some(path.clone()),
            None => std::env::var_os("ALPES_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from),
        };
        let file = match named {
            Some(path) => File::read(&path)?,
            None => File::read_if_there(Path::new(FILE))?,
        };
        let variable = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(Trouble::new(format!("{name} is not UTF-8: set it anew")).exit(Exit::Usage)),
        };
        let mut resolved = Resolved::layered(&file, variable, given)?;
        resolved.strangers = strangers(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
        Ok(resolved)
    }

    fn layered(
        file: &File,
        variable: impl Fn(&str) -> Result<Option<String>, Trouble>,
        given: &Given,
    ) -> Result<Resolved, Trouble> {
        let mut values = Vec::with_capacity(TABLE.len());
        for setting in TABLE {
            let (mut value, mut origin) = (setting.default.to_owned(), Origin::Default);
            if let Some((told, line)) = file.value(setting.key) {
                (value, origin) = (told.to_owned(), Origin::File(file.path.clone(), line));
            }
            let name = setting.variable();
            // Empty is as good as absent: compose files and service managers cannot leave a variable out.
            if let Some(told) = variable(&name)?.filter(|told| !told.is_empty()) {
                setting.check(&told).map_err(|why| {
                    let shown = if matches!(setting.form, Form::Secret(..)) { "…" } else { &told };
                    Trouble::new(format!("{name}={shown}: {why}. Correct the variable, or unset it")).exit(Exit::Usage)
                })?;
                (value, origin) = (told, Origin::Environment(name));
            }
            if let Some((_, told)) = given.values.iter().find(|(key, _)| *key == setting.key) {
                (value, origin) = (told.clone(), Origin::Flag(setting.flag()));
            }
            values.push((setting, value, origin));
        }
        Ok(Resolved { values, strangers: Vec::new() })
    }

    /// Whether somebody has set this one.
    pub fn is_set(&self, key: &str) -> bool {
        self.values.iter().any(|(setting, _, origin)| setting.key == key && *origin != Origin::Default)
    }

    /// The value of one setting, as its type.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<T, Trouble> {
        let found = self.values.iter().find(|(setting, ..)| setting.key == key);
        let (_, text, origin) = found.ok_or_else(|| Trouble::new(format!("there is no setting {key}")))?;
        text.parse().map_err(|error| Trouble::new(format!("{key} from {origin}: {error}")).exit(Exit::Usage))
    }
}

/// Variables that begin as ours do and are none of ours.
fn strangers(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = |name: &str| name == "ALPES_CONFIG" || TABLE.iter().any(|setting| setting.variable() == name);
    let mut strangers: Vec<String> = names.filter(|name| name.starts_with("ALPES_") && !known(name)).collect();
    strangers.sort_unstable();
    strangers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::parse(Path::new("alpes.toml"), text).unwrap()
    }

    fn resolved(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Resolved, Trouble> {
        let variable = |name: &str| Ok(variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        let values = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Resolved::layered(&file(text), variable, &Given { config: None, values })
    }

    fn port(resolved: &Resolved) -> (&str, &Origin) {
        let (_, value, origin) = resolved.values.iter().find(|(setting, ..)| setting.key == "port").unwrap();
        (value, origin)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let none = resolved("", &[], &[]).unwrap();
        assert_eq!(port(&none), ("8000", &Origin::Default));
        let of_file = resolved("\nport = 1\n", &[], &[]).unwrap();
        assert_eq!(port(&of_file), ("1", &Origin::File("alpes.toml".into(), 2)));
        let of_environment = resolved("port = 1", &[("ALPES_PORT", "2")], &[]).unwrap();
        assert_eq!(port(&of_environment), ("2", &Origin::Environment("ALPES_PORT".into())));
        let of_flag = resolved("port = 1", &[("ALPES_PORT", "2")], &[("port", "3")]).unwrap();
        assert_eq!(port(&of_flag), ("3", &Origin::Flag("port".into())));
        assert_eq!(of_flag.parse::<u16>("port").unwrap(), 3);
        let empty = resolved("port = 1", &[("ALPES_PORT", "")], &[]).unwrap();
        assert_eq!(port(&empty).0, "1", "an empty variable is none");
    }

    #[test]
    fn a_variable_that_is_wrong_is_named_with_what_it_has_to_be() {
        let trouble = resolved("", &[("ALPES_PORT", "http")], &[]).unwrap_err();
        assert!(trouble.to_string().contains("ALPES_PORT=http: it has to be a whole number from 0 to 65535"), "{trouble}");
        assert_eq!(trouble.status(), Exit::Usage);
    }

    #[test]
    fn a_variable_that_is_no_setting_is_noticed() {
        let names = ["PATH", "ALPES_PROT", "ALPES_PORT", "ALPES_CONFIG", "ALPES_LOG"].map(str::to_owned);
        assert_eq!(strangers(names.into_iter()), ["ALPES_LOG", "ALPES_PROT"]);
    }
}
