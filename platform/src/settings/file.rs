//! The file of settings, read so that whoever wrote a wrong line learns which one it is and what to write instead.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Form, Setting, TABLE};
use crate::trouble::{Exit, Trouble};

/// What a file says, every line of it checked.
#[derive(Debug, Default)]
pub(super) struct File {
    pub path: PathBuf,
    values: Vec<(&'static str, String, usize)>,
}

impl File {
    /// Reads a file that was named.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it says what is no setting or no value of one.
    pub fn read(path: &Path) -> Result<File, Trouble> {
        match std::fs::read_to_string(path) {
            Ok(text) => File::parse(path, &text),
            Err(error) => Err(Trouble::new(format!(
                "{}: cannot be read ({error}): name another file with --config, or leave it out",
                path.display()
            ))
            .exit(Exit::Usage)),
        }
    }

    /// Reads a file that need not be there.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_if_there(path: &Path) -> Result<File, Trouble> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(File::default()),
            _ => File::read(path),
        }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<File, Trouble> {
        let mut reader = Reader { path, text, values: Vec::new() };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            reader.wrong(at, &format!("this is not TOML: {}", error.message()))
        })?;
        reader.section("", table.get_ref())?;
        Ok(File { path: path.to_owned(), values: reader.values })
    }

    /// The value of a setting, and the line on which it stands.
    pub fn value(&self, key: &str) -> Option<(&str, usize)> {
        self.values.iter().find(|(known, ..)| *known == key).map(|(_, value, line)| (value.as_str(), *line))
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    values: Vec<(&'static str, String, usize)>,
}

impl Reader<'_> {
    /// The line, from 1, of a place in the text.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&self, at: usize, what: &str) -> Trouble {
        Trouble::new(format!("{}:{}: {what}", self.path.display(), self.line(at))).exit(Exit::Usage)
    }

    fn section(&mut self, within: &str, table: &DeTable<'_>) -> Result<(), Trouble> {
        for (name, value) in table {
            let key = if within.is_empty() { name.get_ref().to_string() } else { format!("{within}.{}", name.get_ref()) };
            let at = name.span().start;
            if let Some(setting) = TABLE.iter().find(|setting| setting.key == key) {
                let text = self.value(setting, value)?;
                self.values.push((setting.key, text, self.line(at)));
                continue;
            }
            let is_section = TABLE.iter().any(|setting| setting.key.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')));
            match value.get_ref() {
                DeValue::Table(inner) if is_section => self.section(&key, inner)?,
                _ => return Err(self.wrong(at, &unknown(&key))),
            }
        }
        Ok(())
    }

    fn value(&self, setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<String, Trouble> {
        let text = match (setting.form, value.get_ref()) {
            (Form::Whole(..), DeValue::Integer(number)) => whole(number.as_str(), number.radix()),
            (Form::Switch, DeValue::Boolean(on)) => on.to_string(),
            (Form::Text(..) | Form::Secret(..), DeValue::String(text)) => text.to_string(),
            (form, other) => {
                let found = match other {
                    DeValue::String(_) => "a text",
                    DeValue::Integer(_) => "a whole number",
                    DeValue::Float(_) => "a number with a point",
                    DeValue::Boolean(_) => "true or false",
                    DeValue::Datetime(_) => "a date",
                    DeValue::Array(_) => "a list",
                    DeValue::Table(_) => "a section",
                };
                let why = format!("{} is {found}, but it has to be {form}, written such as {}", setting.key, written(setting));
                return Err(self.wrong(value.span().start, &why));
            }
        };
        let shown = &self.text[value.span()];
        setting.check(&text).map_err(|why| {
            let why = format!("{} = {shown}: {why}. Correct it, or take it out: the default is {}", setting.key, setting.default);
            self.wrong(value.span().start, &why)
        })?;
        Ok(text)
    }
}

/// A whole number of TOML in decimal figures; one that is negative or too large stays as it is, and is refused as such.
fn whole(digits: &str, radix: u32) -> String {
    u64::from_str_radix(digits.trim_start_matches('+'), radix).map_or_else(|_| digits.to_owned(), |number| number.to_string())
}

/// A line of the file that sets the default.
pub(super) fn written(setting: &Setting) -> String {
    let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
    match setting.form {
        Form::Whole(..) | Form::Switch => format!("{name} = {}", setting.default),
        Form::Text(..) | Form::Secret(..) => format!("{name} = {:?}", setting.default),
    }
}

fn unknown(key: &str) -> String {
    let near = |setting: &&Setting| strsim::damerau_levenshtein(&setting.key.to_lowercase(), &key.to_lowercase());
    // Whoever forgot the section, or wrote it as the flag or the variable, meant the same.
    let same = |setting: &&Setting| {
        let flat = |text: &str| text.replace(['.', '-'], "_").to_lowercase();
        flat(setting.key) == flat(key) || setting.key.rsplit_once('.').is_some_and(|(_, name)| name == key)
    };
    let nearest = TABLE
        .iter()
        .find(same)
        .or_else(|| TABLE.iter().min_by_key(near).filter(|setting| near(setting) <= 1 + setting.key.len() / 3));
    let meant = nearest.map_or_else(String::new, |setting| match setting.key.split_once('.') {
        Some((section, name)) => format!(" Is {name} below [{section}] meant?"),
        None => format!(" Is {} meant?", setting.key),
    });
    format!("{key:?} is no setting.{meant} Correct it, or take it out; `alpes config` lists all settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let trouble = File::parse(Path::new("f.toml"), text).unwrap_err();
        assert_eq!(trouble.status(), Exit::Usage);
        trouble.to_string()
    }

    #[test]
    fn a_file_says_what_it_says_and_where() {
        let text = "# mine\nport = 9_000\ntrust_network = true\n\n[log]\nlevel = \"info\"\n";
        let file = File::parse(Path::new("f.toml"), text).unwrap();
        assert_eq!(file.value("port"), Some(("9000", 2)));
        assert_eq!(file.value("trust_network"), Some(("true", 3)));
        assert_eq!(file.value("log.level"), Some(("info", 6)));
        assert_eq!(file.value("data"), None);
        assert_eq!(File::parse(Path::new("f"), "port = 0x10\nlog.level = \"off\"").unwrap().value("port"), Some(("16", 1)));
    }

    #[test]
    fn a_key_that_is_none_is_told_with_the_nearest() {
        let told = wrong("port = 1\nprot = 2\n");
        assert!(told.starts_with("f.toml:2: \"prot\" is no setting. Is port meant?"), "{told}");
        assert!(wrong("[log]\nlevl = \"info\"").contains("f.toml:2: \"log.levl\" is no setting. Is level below [log] meant?"));
        assert!(wrong("level = \"info\"").contains("Is level below [log] meant?"));
        assert!(wrong("trust-network = true").contains("Is trust_network meant?"));
        let far = wrong("qqqqqqqqqqqqqqq = 1");
        assert!(far.contains("is no setting. Correct it") && far.contains("alpes config"), "{far}");
        assert!(wrong("[port]\nx = 1").contains("port is a section"));
        assert!(wrong("log = 3").contains("\"log\" is no setting"));
    }

    #[test]
    fn a_value_of_another_type_is_told_with_the_line_to_write() {
        let told = wrong("\nport = \"80\"");
        assert!(told.starts_with("f.toml:2: port is a text, but it has to be a whole number from 0 to 65535"), "{told}");
        assert!(told.ends_with("such as port = 8000"), "{told}");
        assert!(wrong("data = 3").ends_with("it has to be a directory, written such as data = \"alpes-data\""));
        assert!(wrong("trust_network = 1").ends_with("such as trust_network = false"));
        assert!(wrong("workers = 1.5").contains("a number with a point"));
    }

    #[test]
    fn a_value_out_of_range_is_told_with_the_range() {
        let told = wrong("workers = 0");
        assert!(told.contains("f.toml:1: workers = 0: it has to be a whole number from 1 to 64"), "{told}");
        assert!(told.ends_with("the default is 1"), "{told}");
        assert!(wrong("port = -1").contains("port = -1:"));
        assert!(wrong("port = 99999999999999999999999").contains("from 0 to 65535"));
        assert!(wrong("host = \"localhost\"").contains("an IP address such as 127.0.0.1"));
        assert!(wrong("log.level = \"a=[\"").contains("is not understood"));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(wrong("port = 1\nport = 2").starts_with("f.toml:2: this is not TOML: duplicate key"));
        assert!(wrong("a\nport = \n").starts_with("f.toml:1: this is not TOML:"));
    }
}
