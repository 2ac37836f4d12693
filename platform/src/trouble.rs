//! What stops the program: one clear line for whoever started it, and the status that it ends with.

use std::fmt;

/// The statuses that the program ends with; 0 is done. A page of `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It could not be done, or the server refused it.
    Failed = 1,
    /// The command line, a variable or the file of settings is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// No server runs there, or it does not answer.
    NoServer = 4,
    /// A saga that was watched ended otherwise than completed.
    OtherEnd = 5,
}

/// One line that says what is wrong and what to do about it. The program prints it and ends with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    text: String,
    status: Exit,
}

impl Trouble {
    /// Trouble with these words. What other programs and libraries said may hold line breaks: they become blanks.
    pub fn new(text: impl AsRef<str>) -> Trouble {
        Trouble { text: text.as_ref().split_whitespace().collect::<Vec<_>>().join(" "), status: Exit::Failed }
    }

    /// The same trouble, with another status than [`Exit::Failed`].
    #[must_use]
    pub fn exit(self, status: Exit) -> Trouble {
        Trouble { status, ..self }
    }

    /// A status, when all that is to be said has been printed already.
    pub fn silent(status: Exit) -> Trouble {
        Trouble { text: String::new(), status }
    }

    /// What the program ends with.
    pub fn status(&self) -> Exit {
        self.status
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_one_line_whatever_it_was_made_of() {
        assert_eq!(Trouble::new("the disk said:\n  no\tspace ").to_string(), "the disk said: no space");
    }
}
