//! `alpes config`: every setting, its value and where that came from; and the file that documents all of them.

use std::borrow::Cow;

use clap::Args;
use serde::Serialize;

use super::file::written;
use super::{EveryFlag, Form, Origin, Setting, TABLE};
use crate::print::{self, Cell, Table};
use crate::trouble::Trouble;

/// What `alpes config` is asked.
#[derive(Clone, Debug, Args)]
pub struct Show {
    #[command(flatten)]
    flags: EveryFlag,
    /// Print JSON instead of a table
    #[arg(long, conflicts_with = "example")]
    json: bool,
    /// Print a file of settings that documents each of them and sets none
    #[arg(long)]
    example: bool,
}

/// A setting, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    key: &'a str,
    value: Cow<'a, str>,
    /// default, file, environment or flag.
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    default: &'a str,
    flag: String,
    environment: String,
    form: String,
    help: &'a str,
}

/// Prints the settings.
///
/// # Errors
/// As [`Resolved::of`](super::Resolved::of).
pub fn show(asked: &Show) -> Result<(), Trouble> {
    if asked.example {
        print::text(&example());
        return Ok(());
    }
    let resolved = asked.flags.resolved()?;
    if asked.json {
        let told: Vec<Told> = resolved.values.iter().map(|(setting, value, origin)| told(setting, value, origin)).collect();
        return print::json(&told);
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for (setting, value, origin) in &resolved.values {
        let quiet = *origin == Origin::Default;
        let shown = |text: &str| if quiet { Cell::plain(text) } else { Cell::strong(text) };
        table.row([Cell::plain(setting.key), shown(&open(setting, value)), shown(&origin.to_string())]);
    }
    table.print();
    for name in &resolved.strangers {
        print::note(&format!("{name} is set in the environment, but it is no setting: is it a slip of the pen?"));
    }
    Ok(())
}

fn told<'a>(setting: &'a Setting, value: &'a str, origin: &Origin) -> Told<'a> {
    let (origin, file, line) = match origin {
        Origin::Default => ("default", None, None),
        Origin::File(path, line) => ("file", Some(path.display().to_string()), Some(*line)),
        Origin::Environment(_) => ("environment", None, None),
        Origin::Flag(_) => ("flag", None, None),
    };
    Told {
        key: setting.key,
        value: open(setting, value),
        origin,
        file,
        line,
        default: setting.default,
        flag: format!("--{}", setting.flag()),
        environment: setting.variable(),
        form: setting.form.to_string(),
        help: setting.help,
    }
}

/// A value as anybody may read it: of a secret what is no secret.
fn open<'a>(setting: &Setting, value: &'a str) -> Cow<'a, str> {
    if !matches!(setting.form, Form::Secret(..)) || value == setting.default {
        return value.into();
    }
    // Of what is no URL from its beginning nothing is shown; the password of one ends at the last @ before the path.
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    let Some((scheme, rest)) = value.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else { return "***".into() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.split('?').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}:***@{host}{path}", user.split(':').next().unwrap_or_default()).into(),
        None => format!("{scheme}://{authority}{path}").into(),
    }
}

/// A file that sets nothing and documents everything.
fn example() -> String {
    let mut text = String::from(
        "# The settings of Alpes. Each line that is commented out shows the default.\n\
         # A variable of the environment is stronger than this file, and a flag is stronger than both.\n\
         # `alpes config` shows what holds and where it comes from. Printed by `alpes config --example`.\n",
    );
    let section = |setting: &Setting| setting.key.rsplit_once('.').map_or("", |(section, _)| section);
    let mut settings: Vec<&Setting> = TABLE.iter().collect();
    // In TOML whatever stands below a section's head belongs to it, so those without one come first.
    settings.sort_by_key(|setting| section(setting));
    let mut within = "";
    for setting in settings {
        if section(setting) != within {
            within = section(setting);
            text.push_str(&format!("\n[{within}]\n"));
        }
        let (help, form) = (setting.help, setting.form);
        let (flag, variable) = (setting.flag(), setting.variable());
        text.push_str(&format!("\n# {help}.\n# It is {form}. Also --{flag} and {variable}.\n# {}\n", written(setting)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::file::File;

    #[test]
    fn a_secret_is_not_shown_with_the_settings() {
        let setting = |key| TABLE.iter().find(|setting| setting.key == key).unwrap();
        let database = setting("database");
        for (value, shown) in [
            ("none", "none"),
            ("postgres://alpes:p@ss@db:5432/a?password=x", "postgres://alpes:***@db:5432/a"),
            ("postgres://db/a_{context}", "postgres://db/a_{context}"),
        ] {
            assert_eq!(open(database, value), shown);
        }
        assert_eq!(open(setting("broker_token"), "eyJh"), "***");
        assert_eq!(open(setting("otlp_headers"), "authorization=Bearer s3cret"), "***");
        assert_eq!(open(setting("otlp_headers"), "x=https://u:s3cret@h/"), "***", "a URL in it is no place to be shown");
        assert_eq!(open(setting("broker"), "pulsar://b:6650"), "pulsar://b:6650");
    }

    #[test]
    fn the_documented_file_is_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alpes.toml");
        if std::env::var_os("ALPES_BLESS").is_some_and(|value| value == "1") {
            std::fs::write(&path, example()).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept == example(), "docs/alpes.toml is out of date: ALPES_BLESS=1 cargo test -p platform writes it");
    }

    #[test]
    fn the_documented_file_sets_nothing_and_every_line_of_it_may_be_set() {
        let path = Path::new("alpes.toml");
        let sets = |text: &str| {
            let file = File::parse(path, text).unwrap();
            TABLE.iter().filter(|setting| file.value(setting.key).is_some()).count()
        };
        assert_eq!(sets(&example()), 0);
        let all: String = example()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.contains(" = ") => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(sets(&all), TABLE.len());
    }
}
