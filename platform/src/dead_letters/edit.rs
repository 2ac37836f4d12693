//! The body of a dead letter, changed in an editor or from a file.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Whole;
use crate::client::{Ask, part, understood};
use crate::print;
use crate::trouble::{Exit, Trouble};

/// Which one, and what it is to say.
#[derive(Clone, Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    ask: Ask,
    /// Its id
    id: String,
    /// A file with the new body, as JSON; - reads the standard input. Without it the body is opened in $VISUAL or $EDITOR
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Why; kept with the decision
    #[arg(long)]
    reason: Option<String>,
}

impl Edit {
    /// Does it.
    ///
    /// # Errors
    /// When no server answers, it says no, or the new body is no JSON.
    pub fn run(&self) -> Result<(), Trouble> {
        let client = self.ask.client()?;
        let path = format!("/v1/dead-letters/{}", part(&self.id));
        let Whole { told, body, .. } = understood(&client.get(&path)?)?;
        let text = match &self.body {
            Some(file) => read(file)?,
            None => self.edited(&body.ok_or_else(|| {
                Trouble::new("the message cannot be read, so there is no body to open: give it a whole one with --body FILE")
            })?)?,
        };
        let body: Box<RawValue> = serde_json::from_str(text.trim())
            .map_err(|error| Trouble::new(format!("the new body is no JSON ({error}); nothing was changed")).exit(Exit::Usage))?;
        let asked = json!({"body": body, "reason": self.reason, "revision": told.revision});
        let answer = client.post(&format!("{path}/edit"), &asked)?;
        if self.ask.json {
            print::line(&answer);
        } else {
            print::line(&format!("changed; `alpes dead-letters replay {}` runs it again", self.id));
        }
        Ok(())
    }

    /// What the operator's editor made of the body.
    fn edited(&self, body: &Value) -> Result<String, Trouble> {
        let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|editor| !editor.is_empty()));
        let editor = editor.ok_or_else(|| {
            Trouble::new("neither VISUAL nor EDITOR says which editor to open: set one, or give the new body with --body FILE")
                .exit(Exit::Usage)
        })?;
        let failed = |error: std::io::Error| Trouble::new(format!("the body cannot be edited ({error}); nothing was changed"));
        let before = serde_json::to_string_pretty(body).map_err(|error| Trouble::new(format!("cannot write JSON: {error}")))?;
        let file = std::env::temp_dir().join(format!("alpes-dead-letter-{}.json", std::process::id()));
        // Whatever else stands there is not written over, nor followed.
        let mut new = OpenOptions::new().write(true).create_new(true).open(&file).map_err(failed)?;
        new.write_all(before.as_bytes()).map_err(failed)?;
        // An editor may come with flags of its own, as `code --wait` does.
        let mut words = editor.split_whitespace();
        let status = std::process::Command::new(words.next().unwrap_or_default()).args(words).arg(&file).status();
        let after = std::fs::read_to_string(&file);
        let removed = std::fs::remove_file(&file);
        let (status, after) = (status.map_err(failed)?, after.map_err(failed)?);
        removed.map_err(failed)?;
        if !status.success() || after == before {
            return Err(Trouble::new("the body was left as it is; nothing was changed"));
        }
        Ok(after)
    }
}

fn read(file: &std::path::Path) -> Result<String, Trouble> {
    let mut text = String::new();
    let read = if file == std::path::Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Trouble::new(format!("{} cannot be read ({error})", file.display())).exit(Exit::Usage))
}
