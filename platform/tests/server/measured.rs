//! The bench measures a real server, and leaves nothing behind however it ends.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Folder, Server, bare, ended, signal, until};

fn bench(what: &[&str], folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.arg("bench").args(what).arg("--data").arg(folder.path());
    bare(&mut command);
    command
}

/// The data directories of servers that are being measured.
fn measured(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the test's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("alpes-bench-"))).collect()
}

#[test]
fn a_fan_out_is_measured_completed_and_undone() {
    let folder = Folder::new();
    let ran = bench(&["fan-out", "--participants", "7", "--rounds", "2", "--json"], &folder).output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON and nothing else");
    assert!(report["fdatasync_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{report}");
    let rows = report["rows"].as_array().expect("rows");
    let loads: Vec<&str> = rows.iter().filter_map(|row| row["load"].as_str()).collect();
    assert_eq!(loads, ["7 participants, completed", "7 participants, undone"]);
    for row in rows {
        assert_eq!(row["answers"], 2, "{row}");
        assert!(row["p50_ms"].as_f64() > Some(0.0), "{row}");
        // One commit until it has ended, shared with nobody else's; no broker that somebody would ask.
        assert!(row["commits"].as_f64() >= Some(1.0) && row["messages"].is_null(), "{row}");
        if cfg!(target_os = "linux") {
            assert!(row["bytes_written"].as_f64() > Some(0.0), "each saga is written: {row}");
        }
    }
    assert_eq!(measured(folder.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_server_that_is_watched_is_measured_beside_one_that_is_not() {
    let folder = Folder::new();
    let asked = ["sagas", "--load", "one", "--clients", "2", "--subscribers", "0,3", "--seconds", "1", "--json"];
    let ran = bench(&asked, &folder).output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON and nothing else");
    let rows = report["rows"].as_array().expect("rows");
    let subscribers: Vec<&Value> = rows.iter().map(|row| &row["subscribers"]).collect();
    assert_eq!(subscribers, [0, 3]);
    assert!(rows.iter().all(|row| row["per_second"].as_f64() > Some(0.0)), "{report}");
}

#[test]
fn a_server_that_says_no_stops_the_measurement_with_its_words() {
    let folder = Folder::new();
    let mut command = super::support::alpes(&folder.data());
    command.args(["--opening-limit", "0"]);
    let server = Server::listening(command, &folder);
    let url = format!("http://{}", server.address);
    let refused = ended(bench(&["sagas", "--load", "one", "--clients", "1", "--url", &url], &folder), &folder);
    refused.is_clear(&["expected 201", "undone", "limit"]);
    server.kill();
    ended(bench(&["commands", "--url", &url], &folder), &folder).is_clear(&["cannot connect"]);
}

#[test]
fn a_measurement_that_is_interrupted_leaves_no_server_and_no_data() {
    let folder = Folder::new();
    let mut running = bench(&["memory", "--campaigns", "100000000"], &folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let server: u32 = until("its server listens", || {
        let lock = std::fs::read_to_string(measured(folder.path()).first()?.join("lock")).ok()?;
        lock.trim().rsplit_once(' ')?.1.parse().ok()
    });
    let written =
        || measured(folder.path()).first().and_then(|data| data.join("alpes.db-wal").metadata().ok()).map(|file| file.len());
    until("it is under load", || written().filter(|bytes| *bytes > 500_000));
    signal("TERM", running.id());
    let status = until("it ends", || running.try_wait().expect("it can be waited for"));
    let said = std::io::read_to_string(running.stderr.take().expect("a pipe")).expect("it can be read");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(measured(folder.path()), Vec::<std::path::PathBuf>::new());
    let there = Command::new("kill").args(["-0", &server.to_string()]).output().expect("kill can be run");
    assert!(!there.status.success(), "its server still runs");
}
