//! Rules for every file, whatever it is for.

use crate::source::Source;
use crate::{Finding, Tree};

/// How long a file of Rust may be, in lines that are not blank and not in a `#[cfg(test)]` item.
pub const LENGTH_MAX: usize = 400;

/// What does not go into the repository, without the blanks that [`Source::lines_with`] takes out, and why.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!(", "finish it or leave it out"),
    ("unimplemented!(", "finish it or leave it out"),
    ("dbg!(", "it was for you"),
    ("#[ignore", "a test that does not run cannot fail"),
];

/// Beginnings of paths on somebody's machine. Written in two parts, so that this file does not hold them.
const MACHINE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/fa", "rm/"), concat!("/Us", "ers/")];

/// Words about how a change came to be. A file says what is, not who was told to write it.
const WORKPLACE: &[&str] = &[
    concat!("sub", "agent"),
    concat!("language ", "model"),
    concat!("this ", "session"),
    concat!("previous ", "session"),
    concat!("helper ", "session"),
    concat!("as ", "instructed"),
];

/// Words of the business, none of which the machine under it knows.
const BUSINESS: &[&str] = &["campaign", "partner", "enrolment", "brand", "influencer"];

/// Everything that breaks a rule of the house.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        check_text(path, text, &mut findings);
        if path.starts_with("seedwork/src/") {
            check_business(path, text, &mut findings);
        }
    }
    for (path, text) in tree.rust() {
        check_rust(path, text, &mut findings);
    }
    findings
}

fn check_text(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, text) in text.lines().enumerate() {
        let mut found = |message| findings.push(Finding { path: path.to_owned(), line: line + 1, message });
        for machine in MACHINE.iter().filter(|machine| begins_a_path(text, machine)) {
            found(format!("`{machine}` is a path on somebody's machine"));
        }
        let lower = text.to_lowercase();
        for word in WORKPLACE.iter().filter(|word| lower.contains(**word)) {
            found(format!("\"{word}\" is about how the change came to be: say what is"));
        }
    }
}

/// Whether `start` stands in the text as the beginning of a path, and not in the middle of one.
fn begins_a_path(text: &str, start: &str) -> bool {
    text.match_indices(start).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/})*".contains(c))
    })
}

fn check_business(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, text) in text.lines().enumerate() {
        let lower = text.to_lowercase();
        for word in BUSINESS.iter().filter(|word| lower.contains(**word)) {
            let message =
                format!("\"{word}\" is a word of the business: seedwork's examples and tests may use it, its source may not");
            findings.push(Finding { path: path.to_owned(), line: line + 1, message });
        }
    }
}

fn check_rust(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let mut found = |line, message| findings.push(Finding { path: path.to_owned(), line, message });
    if !text.trim_start().starts_with("//!") {
        found(1, "begins without a `//!` line that says what it is for".to_owned());
    }
    let source = Source::read(text);
    if source.length > LENGTH_MAX {
        found(
            0,
            format!(
                "has {} lines without blanks and tests; with more than {LENGTH_MAX} it becomes a file and a folder",
                source.length
            ),
        );
    }
    for (wanted, why) in UNFINISHED {
        for line in source.lines_with(wanted) {
            found(line, format!("`{}`: {why}", wanted.trim_end_matches('(').trim_start_matches("#[")));
        }
    }
    let publishes = path.starts_with("contexts/") && path.ends_with("/src/publish.rs");
    if publishes && source.lines_with("#![deny(clippy::wildcard_enum_match_arm").is_empty() {
        found(0, "writes out every case: `#![deny(clippy::wildcard_enum_match_arm)]` is missing".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::{assert_one, tree};

    #[track_caller]
    fn refused(path: &str, text: &str, line: usize, says: &str) {
        assert_one(&check(&tree(&[(path, text)])), path, line, says);
    }

    #[track_caller]
    fn fine(path: &str, text: &str) {
        assert_eq!(check(&tree(&[(path, text)])), []);
    }

    #[test]
    fn a_file_of_rust_begins_with_what_it_is_for() {
        refused("a.rs", "// not this\nfn main() {}\n", 1, "`//!`");
        refused("a.rs", "", 1, "`//!`");
        fine("a.rs", "//! What it is for.\nfn main() {}\n");
    }

    #[test]
    fn a_long_file_is_found_and_blanks_and_tests_do_not_count() {
        let lines = |count: usize| format!("//! Long.\n{}", "\nlet x = 1; // y\n".repeat(count));
        fine("a.rs", &lines(LENGTH_MAX - 1));
        refused("a.rs", &lines(LENGTH_MAX), 0, "401 lines");
        fine("a.rs", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(LENGTH_MAX - 1), "let y = 2;\n".repeat(500)));
    }

    #[test]
    fn nothing_unfinished_stays() {
        for (code, name) in [
            ("fn f() { todo!() }", "`todo!`"),
            ("fn f() { unimplemented! (\"later\") }", "`unimplemented!`"),
            ("fn f() { dbg!(x); }", "`dbg!`"),
            ("#[ignore = \"slow\"]\nfn f() {}", "`ignore`"),
            ("#[cfg(test)] mod tests { fn f() { todo!() } }", "`todo!`"),
        ] {
            refused("a.rs", &format!("//! A.\n{code}\n"), 2, name);
        }
        fine("a.rs", "//! A.\n// todo!() is not said here\nconst T: &str = \"dbg!(x)\";\n");
    }

    #[test]
    fn publishing_writes_out_every_case() {
        refused("contexts/shop/src/publish.rs", "//! P.\n#![allow(clippy::wildcard_enum_match_arm)]\n", 0, "every case");
        fine("contexts/shop/src/publish.rs", "//! P.\n#![deny(clippy::wildcard_enum_match_arm, reason = \"x\")]\n");
        fine("edges/bff/src/publish.rs", "//! P.\n");
    }

    #[test]
    fn no_path_of_a_machine_is_told() {
        for machine in MACHINE {
            refused("README.md", &format!("ok\ncd {machine}alpes\n"), 2, "somebody's machine");
            refused("a.sh", &format!("X={machine}y\n"), 1, "somebody's machine");
            fine("README.md", &format!("see seedwork/src{machine}batch.rs and https://example.org{machine}\n"));
        }
    }

    #[test]
    fn no_word_tells_how_a_change_came_to_be() {
        for word in WORKPLACE {
            refused("docs/adr/0001.md", &format!("As the {} said\n", word.to_uppercase()), 1, word);
        }
    }

    #[test]
    fn the_machine_knows_no_word_of_the_business() {
        for word in ["campaign", "PartnerId", "the enrolments", "BRAND", "an influencer"] {
            refused("seedwork/src/a.rs", &format!("//! A.\n// {word}\n"), 2, "word of the business");
            fine("seedwork/examples/a.rs", &format!("//! A.\n// {word}\n"));
            fine("seedwork/tests/a.rs", &format!("//! A.\n// {word}\n"));
        }
    }
}
