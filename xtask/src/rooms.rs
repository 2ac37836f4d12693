//! Who may know what: for each file of a context, of `wire` and of `seedwork`, which others it may name.
//!
//! A room is a module at the top of a context's crate, `name.rs` with `name/` if there is one. What kind of room it is follows from its
//! name (`lib`, `publish`, `views`, `http`) or else from what it holds: an `impl Aggregate for`, a `Saga::new`, or neither, which makes
//! it a use case. What only tests see may name anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::source::{Named, Source};
use crate::{Finding, Tree, manifests};

/// The kinds of rooms that a context has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// `lib.rs`: what comes in and goes out; wiring, no logic.
    Table,
    /// `<noun>.rs`: who decides.
    Aggregate,
    /// `<verb>.rs`: loads, decides, saves.
    UseCase,
    /// `publish.rs`: what the world may know.
    Publish,
    /// `<story>.rs`: a table of steps.
    Saga,
    /// `views.rs`: the read side.
    Views,
    /// `http.rs`: JSON to commands and queries.
    Http,
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Room::Table => "a context's table",
            Room::Aggregate => "an aggregate",
            Room::UseCase => "a use case",
            Room::Publish => "publish.rs",
            Room::Saga => "a saga",
            Room::Views => "views.rs",
            Room::Http => "http.rs",
        })
    }
}

/// What a room may know beside its own files and the harmless part of `std`.
struct Rule {
    /// Which other rooms of the context.
    rooms: &'static [Room],
    /// Which crates, with `_`.
    crates: &'static [&'static str],
    /// Which names and modules of seedwork.
    seedwork: Names,
    /// Whether all of wire, or its values only.
    all_of_wire: bool,
    /// The rule in words, for the finding.
    words: &'static str,
}

enum Names {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Room {
    fn rule(self) -> Rule {
        match self {
            Room::Table => Rule {
                rooms: &[Room::Aggregate, Room::UseCase, Room::Publish, Room::Saga, Room::Views, Room::Http],
                crates: &["serde", "serde_json", "thiserror"],
                seedwork: Names::AllBut(&["store", "executor"]),
                all_of_wire: true,
                words: "it may know its rooms, seedwork and wire",
            },
            Room::Aggregate => Rule {
                rooms: &[Room::Aggregate],
                crates: &["serde", "serde_json", "thiserror"],
                seedwork: Names::Only(&["Aggregate", "Refusal", "Refuse", "Class"]),
                all_of_wire: false,
                words: "it may know its neighbours, std, serde, thiserror, seedwork's Aggregate, Refusal, Refuse and Class, and wire::values",
            },
            Room::UseCase => Rule {
                rooms: &[Room::Aggregate, Room::Saga],
                crates: &["serde", "serde_json", "thiserror"],
                seedwork: Names::Only(&[
                    "Aggregate",
                    "UnitOfWork",
                    "Result",
                    "Error",
                    "Fault",
                    "Refusal",
                    "Refuse",
                    "Class",
                    "Abort",
                ]),
                all_of_wire: true,
                words: "it may know its context's aggregates and sagas, seedwork's UnitOfWork and refusals, and wire",
            },
            Room::Publish => Rule {
                rooms: &[Room::Aggregate],
                crates: &[],
                seedwork: Names::Only(&["Publish", "Outbox"]),
                all_of_wire: true,
                words: "it may know its aggregates and their events, seedwork's Publish and Outbox, and wire",
            },
            Room::Saga => Rule {
                rooms: &[],
                crates: &["serde", "serde_json"],
                seedwork: Names::Only(&["Saga", "saga"]),
                all_of_wire: true,
                words: "it may know wire and seedwork::saga",
            },
            Room::Views => Rule {
                rooms: &[Room::Aggregate],
                crates: &["serde", "serde_json", "thiserror"],
                seedwork: Names::Only(&["Aggregate", "message", "view"]),
                all_of_wire: true,
                words: "it may know its context's aggregates, seedwork::view, wire and SQL",
            },
            Room::Http => Rule {
                rooms: &[Room::UseCase, Room::Views],
                crates: &["serde", "serde_json", "thiserror"],
                seedwork: Names::AllBut(&[
                    "Aggregate",
                    "aggregate",
                    "Publish",
                    "Outbox",
                    "Saga",
                    "saga",
                    "UnitOfWork",
                    "work",
                    "store",
                    "executor",
                    "log",
                    "broker",
                    "inbox",
                ]),
                all_of_wire: true,
                words: "it may know its context's use cases and views, refusals, and wire",
            },
        }
    }
}

/// Parts of std that touch the world outside of the process, or wait.
const OUTSIDE: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread"];

/// Everything that names what it may not know.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources: BTreeMap<&str, Source> = tree.rust().map(|(path, text)| (path, Source::read(text))).collect();
    let values = values_of_wire(&sources);
    let mut findings = Vec::new();
    for name in contexts(tree) {
        check_context(tree, &name, &sources, &values, &mut findings);
    }
    for (path, source) in &sources {
        if in_folder(path, "wire/src/") {
            check_wire(path, source, &mut findings);
        }
        if *path == "seedwork/src/message.rs" || in_folder(path, "seedwork/src/message/") {
            check_message(path, source, &mut findings);
        }
    }
    findings
}

fn in_folder(path: &str, folder: &str) -> bool {
    path.starts_with(folder)
}

/// The names of the contexts: the folders that hold their manifests.
fn contexts(tree: &Tree) -> BTreeSet<String> {
    let of = |path: &String| Some(path.strip_prefix("contexts/")?.split_once('/')?.0.to_owned());
    tree.files.keys().filter_map(of).collect()
}

/// The names that `wire::values` gives out, so that a re-export of one at wire's root still counts as a value.
fn values_of_wire(sources: &BTreeMap<&str, Source>) -> BTreeSet<String> {
    let source = sources.get("wire/src/values.rs");
    source.into_iter().flat_map(Source::paths).filter_map(|path| path.what.last().cloned()).collect()
}

fn check_context(
    tree: &Tree,
    context: &str,
    sources: &BTreeMap<&str, Source>,
    values: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    let src = format!("contexts/{context}/src/");
    let files: Vec<(&str, Vec<&str>, &Source)> =
        sources.iter().filter_map(|(path, source)| Some((*path, module(path.strip_prefix(&src)?), source))).collect();
    let mut rooms: BTreeMap<&str, Room> = BTreeMap::new();
    for (_, module, source) in &files {
        let name = module.first().copied().unwrap_or_default();
        let kind = room(name, source);
        // A room in several files is what any of them makes it.
        rooms.entry(name).and_modify(|known| *known = if *known == Room::UseCase { kind } else { *known }).or_insert(kind);
    }
    let externals = manifests::dependencies_of(tree, &format!("contexts/{context}/Cargo.toml"));
    let knows = Knows { context, rooms: &rooms, values, externals: &externals };
    let others: Vec<String> = contexts(tree).into_iter().filter(|other| other != context).collect();
    for (path, module, source) in &files {
        if module.last() == Some(&"tests") {
            continue;
        }
        let own = module.first().copied().unwrap_or_default();
        let Some(room) = rooms.get(own).copied() else { continue };
        for path_named in source.paths() {
            if let Some(why) = knows.why_not(room, module, &path_named.what) {
                let message = format!("{room} may not know `{}`{why}: {}", path_named.what.join("::"), room.rule().words);
                findings.push(Finding { path: (*path).to_owned(), line: path_named.line, message });
            }
        }
        for word in source.words() {
            if let Some(message) = why_not_word(room, &word.what) {
                findings.push(Finding { path: (*path).to_owned(), line: word.line, message });
            }
        }
        for literal in source.literals.iter().filter(|literal| is_sql(&literal.what)) {
            findings.extend(check_sql(path, room, literal, &others));
        }
    }
}

/// The module that a file below `src/` holds: `campaign/status.rs` is `campaign`, `status`; `lib.rs` is none.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').collect() }
}

fn room(name: &str, source: &Source) -> Room {
    match name {
        "" => Room::Table,
        "publish" => Room::Publish,
        "views" => Room::Views,
        "http" => Room::Http,
        _ => {
            let words = source.words();
            let pair = |first: &str, second: &str| words.windows(2).any(|pair| pair[0].what == first && pair[1].what == second);
            if pair("Aggregate", "for") {
                Room::Aggregate
            } else if source.paths().iter().any(|path| path.what == ["Saga", "new"]) {
                Room::Saga
            } else {
                Room::UseCase
            }
        }
    }
}

/// What is there to be known in one context.
struct Knows<'a> {
    context: &'a str,
    rooms: &'a BTreeMap<&'a str, Room>,
    values: &'a BTreeSet<String>,
    externals: &'a BTreeSet<String>,
}

impl Knows<'_> {
    /// Why a room may not name this path, if it may not; a path that begins with nothing known here is someone's own business.
    fn why_not(&self, room: Room, module: &[&str], path: &[String]) -> Option<String> {
        let rule = room.rule();
        let path: Vec<&str> = absolute(module, path);
        let second = path.get(1).copied().unwrap_or_default();
        match *path.first()? {
            "std" | "core" | "alloc" => OUTSIDE.contains(&second).then(|| ", which reaches out of the process".to_owned()),
            "crate" if module.first() == Some(&second) || path.len() < 2 => None,
            "crate" => match self.rooms.get(second) {
                Some(known) if rule.rooms.contains(known) => None,
                Some(known) => Some(format!(", {known}")),
                None if room == Room::Table => None,
                None => Some(", which hides the room that it comes from".to_owned()),
            },
            "seedwork" => {
                let allowed = match rule.seedwork {
                    Names::Only(names) => names_of(&path).is_some_and(|name| names.contains(&name)) || names.contains(&second),
                    Names::AllBut(names) => !path.iter().skip(1).any(|part| names.contains(part) || *part == "*"),
                };
                (!allowed).then(String::new)
            }
            "wire" if rule.all_of_wire => None,
            "wire" => (second != "values" && !self.values.contains(second)).then(|| ", which is no value".to_owned()),
            root if root == self.context => None,
            root if self.externals.contains(root) => (!rule.crates.contains(&root)).then(String::new),
            _ => None,
        }
    }
}

/// The path from the crate's root, when it begins with `self` or `super`.
fn absolute<'a>(module: &[&'a str], path: &'a [String]) -> Vec<&'a str> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let from_here = supers > 0 || path.first().is_some_and(|part| part == "self");
    if !from_here {
        return path.iter().map(String::as_str).collect();
    }
    let kept = module.len().saturating_sub(supers);
    let rest = path.iter().skip(supers).map(String::as_str).filter(|part| *part != "self");
    std::iter::once("crate").chain(module.iter().take(kept).copied()).chain(rest).collect()
}

/// The item that a path into seedwork names: its first capitalised part.
fn names_of<'a>(path: &[&'a str]) -> Option<&'a str> {
    path.iter().skip(1).find(|part| part.starts_with(|first: char| first.is_uppercase())).copied()
}

fn why_not_word(room: Room, word: &str) -> Option<String> {
    match word {
        "async" | "await" => Some(format!("{room} is not async: it can always be run again")),
        "if" | "match" | "while" | "loop" if room == Room::Table => {
            Some(format!("{room} is wiring: `{word}` belongs into a room"))
        }
        _ => None,
    }
}

/// Whether a literal looks like SQL. Key words count in capitals only, as this project writes them.
fn is_sql(literal: &str) -> bool {
    const VERBS: &[&str] =
        &["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX "];
    VERBS.iter().any(|verb| literal.contains(verb)) || literal.contains(" WHERE ") || literal.contains("ORDER BY ")
}

fn check_sql(path: &str, room: Room, literal: &Named<String>, others: &[String]) -> Option<Finding> {
    let finding = |message| Finding { path: path.to_owned(), line: literal.line, message };
    if room != Room::Views {
        return Some(finding(format!("{room} may not know SQL: it belongs into views.rs")));
    }
    let words: Vec<&str> =
        literal.what.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty()).collect();
    let tables = words.windows(2).filter(|pair| ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "EXISTS", "ON"].contains(&pair[0]));
    let foreign = |table: &str| {
        let of = |other: &&String| table.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with(['_', '.']));
        others.iter().find(of)
    };
    let (table, other) = tables.filter_map(|pair| Some((pair[1], foreign(pair[1])?))).next()?;
    Some(finding(format!("`{table}` is a table of the context {other}: read its events instead")))
}

fn check_wire(path: &str, source: &Source, findings: &mut Vec<Finding>) {
    for named in source.paths() {
        let second = named.what.get(1).map_or("", String::as_str);
        let message = match named.what[0].as_str() {
            "seedwork" if !["message", "messages"].contains(&second) => "of seedwork, wire knows `seedwork::message` only",
            "std" if OUTSIDE.contains(&second) => "wire is data: it does not reach out of the process",
            _ => continue,
        };
        let message = format!("`{}`: {message}", named.what.join("::"));
        findings.push(Finding { path: path.to_owned(), line: named.line, message });
    }
}

fn check_message(path: &str, source: &Source, findings: &mut Vec<Finding>) {
    let own = module(path.trim_start_matches("seedwork/src/"));
    for named in source.paths() {
        let absolute = absolute(&own, &named.what);
        let (root, second) = (absolute.first().copied(), absolute.get(1).copied().unwrap_or_default());
        if root == Some("crate") && !["message", "messages"].contains(&second) {
            let message = format!(
                "`{}`: seedwork::message needs no other file of seedwork, because wire stands on it alone",
                named.what.join("::")
            );
            findings.push(Finding { path: path.to_owned(), line: named.line, message });
        }
    }
}

#[cfg(test)]
mod tests;
