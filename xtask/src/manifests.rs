//! Which crate may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::{Finding, Tree};

/// Crates that do I/O or drive it. A context decides and says; seedwork and the edges do.
const DRIVERS: &[&str] = &[
    "axum",
    "hyper",
    "pulsar",
    "reqwest",
    "rusqlite",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tonic",
    "tower",
    "tower-http",
    "ureq",
];

/// What the published language is written with; beside them `wire` depends on seedwork.
const LANGUAGE: &[&str] = &["apache-avro", "iso_currency", "jiff", "serde", "serde_json", "thiserror"];

/// One entry of a table of dependencies.
struct Dependency {
    /// Its name in the manifest.
    key: String,
    /// The package behind it.
    package: String,
    /// Whether only tests, examples and benches see it.
    dev: bool,
}

/// Everything that depends on what it may not.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut manifests: BTreeMap<&str, (Table, &str)> = BTreeMap::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml")) {
        match text.parse::<Table>() {
            Ok(table) => {
                manifests.insert(path, (table, text));
            }
            Err(error) => {
                findings.push(Finding { path: path.clone(), line: 0, message: format!("is no manifest: {}", error.message()) })
            }
        }
    }
    // Our crates: the name of each and the folder where it stands.
    let ours: BTreeMap<&str, &str> =
        manifests.iter().filter_map(|(path, (table, _))| Some((package(table)?, folder(path)))).collect();
    for (path, (table, text)) in &manifests {
        for dependency in dependencies(table) {
            if let Some(why) = why_not(folder(path), &dependency, &ours) {
                let message = format!("may not depend on `{}`: {why}", dependency.package);
                findings.push(Finding { path: (*path).to_owned(), line: line_of(text, &dependency.key), message });
            }
        }
    }
    findings
}

/// The crates that a manifest lets the code name, tests included, as the code spells them; none when there is no such manifest.
pub fn dependencies_of(tree: &Tree, path: &str) -> BTreeSet<String> {
    let table = tree.files.get(path).and_then(|text| text.parse::<Table>().ok());
    table.iter().flat_map(dependencies).map(|dependency| dependency.key.replace('-', "_")).collect()
}

fn package(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

/// The folder of a manifest: `contexts/campaign`, or nothing at the root.
fn folder(path: &str) -> &str {
    path.trim_end_matches("Cargo.toml").trim_end_matches('/')
}

fn dependencies(manifest: &Table) -> Vec<Dependency> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets.into_iter().flat_map(Table::values).filter_map(Value::as_table));
    let mut all = Vec::new();
    for table in tables {
        for (kind, dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned();
                all.push(Dependency { key: key.clone(), package, dev });
            }
        }
    }
    all
}

/// The line of a dependency in its manifest: the first that begins with its name, in a table or as a table of its own.
fn line_of(text: &str, key: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
        let rest = rest.or_else(|| line.trim().strip_suffix(']')?.rsplit_once('.').filter(|(_, name)| *name == key).map(|_| ""));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['"', ' ', '.', '=']))
    };
    text.lines().position(begins).map_or(0, |line| line + 1)
}

fn why_not(folder: &str, dependency: &Dependency, ours: &BTreeMap<&str, &str>) -> Option<String> {
    let name = dependency.package.as_str();
    let target = ours.get(name).copied();
    let area = |folder: &str| folder.split('/').next().unwrap_or_default().to_owned();
    let no = |why: &str| Some(why.to_owned());
    match (area(folder).as_str(), target.map(area).as_deref()) {
        ("seedwork", Some(_)) => no("seedwork is the machine and knows no crate of ours"),
        ("wire", Some("seedwork")) => None,
        ("wire", Some(_)) => no("of ours, wire knows seedwork only"),
        ("wire", None) if !dependency.dev && !LANGUAGE.contains(&name) => {
            no("the published language is serde, values and their schemas; if it needs more, add it here and say why")
        }
        ("contexts", Some("seedwork" | "wire")) => None,
        ("contexts", Some("contexts")) => no("contexts know each other through wire only"),
        ("contexts", Some(_)) => no("of ours, a context knows seedwork and wire only"),
        ("contexts", None) if !dependency.dev && DRIVERS.contains(&name) => no("a context does no I/O"),
        ("edges", Some("seedwork" | "wire" | "contexts")) => None,
        ("edges", Some(_)) => no("an edge knows contexts, wire and seedwork"),
        // Its tests tell the walks to real processes.
        ("platform", Some("walks")) if dependency.dev => None,
        ("platform", Some("walks" | "xtask")) => no("the binary is made without its tests and chores"),
        (_, Some("walks")) => no("nothing stands on the walks"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::{assert_one, tree};

    /// A workspace in order, with these lines more in one manifest.
    fn workspace(path: &str, more: &str) -> Vec<Finding> {
        let names = ["seedwork", "wire", "contexts/shop", "contexts/bank", "edges/bff", "platform", "walks", "xtask"];
        let mut tree = tree(&[]);
        tree.files.insert("Cargo.toml".to_owned(), "[workspace]\nmembers = [\"*\"]\n".to_owned());
        for folder in names {
            let name = folder.rsplit('/').next().unwrap();
            let more = if folder == path { more } else { "" };
            tree.files.insert(format!("{folder}/Cargo.toml"), format!("[package]\nname = \"{name}\"\n{more}"));
        }
        check(&tree)
    }

    #[track_caller]
    fn refused(path: &str, more: &str, line: usize, says: &str) {
        assert_one(&workspace(path, more), &format!("{path}/Cargo.toml"), line, says);
    }

    #[test]
    fn what_may_be_is_not_found() {
        for (path, more) in [
            ("seedwork", "[dependencies]\nserde = \"1\"\nrusqlite = \"1\"\n"),
            ("wire", "[dependencies]\nseedwork.workspace = true\njiff = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n"),
            ("contexts/shop", "[dependencies]\nseedwork.workspace = true\nwire.workspace = true\nserde.workspace = true\n"),
            ("edges/bff", "[dependencies]\nshop.workspace = true\nwire.workspace = true\naxum = \"1\"\n"),
            ("platform", "[dependencies]\nshop.workspace = true\nbff.workspace = true\n"),
            ("platform", "[dev-dependencies]\nwalks = { path = \"../walks\" }\n"),
            ("walks", "[dev-dependencies]\nplatform.workspace = true\nxtask = { path = \"../xtask\" }\n"),
        ] {
            assert_eq!(workspace(path, more), [], "{path}");
        }
    }

    #[test]
    fn each_crate_stays_behind_its_wall() {
        refused("seedwork", "[dependencies]\nwire.workspace = true\n", 4, "knows no crate of ours");
        refused("seedwork", "[dev-dependencies]\nshop = { path = \"x\" }\n", 4, "knows no crate of ours");
        refused("wire", "[dependencies]\nshop.workspace = true\n", 4, "wire knows seedwork only");
        refused("wire", "[dependencies]\nserde = \"1\"\naxum = \"1\"\n", 5, "published language");
        refused("contexts/shop", "[dependencies]\nwire.workspace = true\nbank.workspace = true\n", 5, "through wire only");
        refused("contexts/shop", "[dependencies.tokio]\nversion = \"1\"\n", 3, "a context does no I/O");
        refused("contexts/shop", "[dev-dependencies]\nbff.workspace = true\n", 4, "seedwork and wire only");
        refused("edges/bff", "[dependencies]\nplatform.workspace = true\n", 4, "an edge knows");
        refused("platform", "[dependencies]\nwalks = { path = \"../walks\" }\n", 4, "without its tests and chores");
        refused("platform", "[dependencies]\nxtask = { path = \"../xtask\" }\n", 4, "without its tests and chores");
    }

    #[test]
    fn another_name_or_a_table_for_one_target_does_not_hide_a_dependency() {
        refused("contexts/shop", "[dependencies]\nother = { package = \"bank\", path = \"../bank\" }\n", 4, "`bank`");
        refused("contexts/shop", "[target.'cfg(unix)'.dependencies]\nbank = { path = \"../bank\" }\n", 4, "`bank`");
    }

    #[test]
    fn what_is_no_manifest_is_found() {
        refused("wire", "[dependencies\n", 0, "is no manifest");
    }

    #[test]
    fn the_code_spells_a_dependency_with_underscores() {
        let tree = tree(&[("a/Cargo.toml", "[dependencies]\nserde-x = \"1\"\n[dev-dependencies]\ny = \"1\"\n")]);
        assert_eq!(dependencies_of(&tree, "a/Cargo.toml").into_iter().collect::<Vec<_>>(), ["serde_x", "y"]);
        assert!(dependencies_of(&tree, "b/Cargo.toml").is_empty());
    }
}
