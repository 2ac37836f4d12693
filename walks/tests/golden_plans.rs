//! A saga's table may change only with a new version: running sagas finish on the one that they started with.
//!
//! `ALPES_BLESS=1 cargo test -p walks --test golden_plans` writes the file of a version that has none yet. One that is there is
//! changed by hand or not at all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use walks::contexts;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/plans")
}

/// The plans of this build by their files' names.
fn plans() -> Vec<(String, String)> {
    let contexts = contexts();
    let all = contexts.iter().flat_map(|context| context.plans());
    all.map(|saga| {
        let text = serde_json::to_string_pretty(&saga.plan).unwrap();
        (format!("{}.v{}.json", saga.name, saga.version), text + "\n")
    })
    .collect()
}

#[test]
fn no_plan_changes_without_a_new_version_and_every_version_stays_in_the_build() {
    let here = plans();
    if std::env::var_os("ALPES_BLESS").is_some() {
        for (name, plan) in here.iter().filter(|(name, _)| !golden().join(name).exists()) {
            std::fs::write(golden().join(name), plan).unwrap();
        }
    }
    let files = std::fs::read_dir(golden()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.collect();
    let names: BTreeSet<String> = here.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(
        names, files,
        "a new version has a file (ALPES_BLESS=1 writes it); an old one goes when no saga runs on it any more"
    );
    for (name, plan) in here {
        let before = std::fs::read_to_string(golden().join(&name)).unwrap();
        assert_eq!(plan, before, "{name}: sagas of this version may be running, so it stays; write version + 1");
    }
}
