//! What stops the program: one clear line for whoever started it.

use std::fmt;

/// One line that says what is wrong and what to do about it. The program prints it and ends with status 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// Trouble with these words. What other programs and libraries said may hold line breaks: they become blanks.
    pub fn new(text: impl AsRef<str>) -> Trouble {
        Trouble(text.as_ref().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
