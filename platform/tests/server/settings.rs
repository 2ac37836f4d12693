//! The settings as an operator meets them: where they may stand, which one is stronger, and what a wrong one is told.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::support::{Folder, Server, ask, bare, run};

/// One setting of `alpes config --json`.
#[track_caller]
fn setting(told: &Value, key: &str) -> Value {
    let all = told.as_array().expect("a list");
    all.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key} is missing: {told}")).clone()
}

#[test]
fn each_setting_is_shown_with_the_strongest_that_said_it() {
    let folder = Folder::new();
    fs::write(folder.path().join("alpes.toml"), "port = 1\nworkers = 2\ndata = \"of-file\"\n").expect("a file");
    let told = run(folder.path(), &["config", "--json", "--port", "3"], |command| {
        command.env("ALPES_PORT", "2").env("ALPES_WORKERS", "3");
    })
    .json();
    let port = setting(&told, "port");
    assert_eq!((&port["value"], &port["origin"], &port["default"]), (&"3".into(), &"flag".into(), &"8000".into()));
    let workers = setting(&told, "workers");
    assert_eq!((&workers["value"], &workers["origin"]), (&"3".into(), &"environment".into()));
    let data = setting(&told, "data");
    assert_eq!((&data["value"], &data["origin"], &data["line"]), (&"of-file".into(), &"file".into(), &3.into()));
    assert_eq!(setting(&told, "host")["origin"], "default");
}

#[test]
fn for_people_the_settings_are_a_table_without_colours_where_no_terminal_is() {
    let folder = Folder::new();
    fs::write(folder.path().join("other.toml"), "\nport = 1\n").expect("a file");
    let said = run(folder.path(), &["config", "--config", "other.toml"], |command| {
        command.env("ALPES_PROT", "9");
    });
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(!said.out.contains('\u{1b}'), "{said:?}");
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["SETTING", "VALUE", "FROM"]), "{said:?}");
    assert!(lines.contains(&vec!["port", "1", "other.toml:2"]), "{said:?}");
    assert!(lines.contains(&vec!["host", "127.0.0.1", "default"]), "{said:?}");
    assert!(said.error.contains("ALPES_PROT"), "{said:?}");
}

#[test]
fn a_server_takes_its_settings_from_file_environment_and_flags() {
    let folder = Folder::new();
    let data = folder.data();
    let text = format!("port = 1\nopening_limit = 7\ndata = {:?}\nhost = \"203.0.113.9\"\n", data.to_str().expect("UTF-8"));
    fs::write(folder.path().join("alpes.toml"), text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    bare(&mut command);
    command.current_dir(folder.path()).env("ALPES_HOST", "127.0.0.1").args(["--port", "0"]);
    let server = Server::listening(command, &folder);
    let account = ask(server.address, "GET", "/v1/brands/b-1/accounts/USD", "").body;
    assert_eq!(account["limit"], "7.00", "{account}");
    assert!(folder.store().exists());
}

#[test]
fn a_wrong_file_is_told_with_line_and_key_whatever_the_command() {
    let folder = Folder::new();
    for (text, words) in [
        ("port = 1\nprot = 2\n", ["alpes.toml:2:", "\"prot\" is no setting", "Is port meant?"]),
        ("\n\nworkers = 0\n", ["alpes.toml:3:", "workers = 0", "from 1 to 64"]),
        ("data = 5\n", ["alpes.toml:1:", "data is a whole number", "data = \"alpes-data\""]),
        ("[log]\nlevel = \"seedwork=[\"\n", ["alpes.toml:2:", "log.level", "warn, info"]),
        ("port 80\n", ["alpes.toml:1:", "not TOML", ""]),
    ] {
        fs::write(folder.path().join("alpes.toml"), text).expect("a file");
        for arguments in [&["config"][..], &["serve", "--port", "0"], &[]] {
            run(folder.path(), arguments, |_| {}).fails(2, &words);
        }
    }
    assert!(!folder.path().join("alpes-data").exists(), "refused before anything was made");
}

#[test]
fn a_wrong_variable_a_wrong_flag_and_a_file_that_is_not_there_are_told() {
    let folder = Folder::new();
    let within = folder.path();
    let variable = |name: &'static str, value: &'static str| {
        run(within, &["config"], move |command| {
            command.env(name, value);
        })
    };
    variable("ALPES_PORT", "http").fails(2, &["ALPES_PORT=http", "a whole number from 0 to 65535"]);
    variable("ALPES_TRUST_NETWORK", "yes").fails(2, &["ALPES_TRUST_NETWORK=yes", "true or false"]);
    variable("ALPES_LOG_LEVEL", "seedwork=[").fails(2, &["ALPES_LOG_LEVEL", "warn"]);
    variable("ALPES_CONFIG", "nowhere.toml").fails(2, &["nowhere.toml", "--config"]);
    run(within, &["config", "--config", "nowhere.toml"], |_| {}).fails(2, &["nowhere.toml", "--config"]);
    let flag = run(within, &["--port", "70000"], |_| {});
    assert_eq!(flag.status, Some(2), "{flag:?}");
    assert!(flag.error.contains("--port") && flag.error.contains("from 0 to 65535"), "{flag:?}");
}

#[test]
fn the_example_is_a_file_that_can_be_read() {
    let folder = Folder::new();
    let example = run(folder.path(), &["config", "--example"], |_| {});
    fs::write(folder.path().join("alpes.toml"), &example.out).expect("a file");
    let told = run(folder.path(), &["config", "--json"], |_| {}).json();
    assert!(told.as_array().is_some_and(|all| all.len() > 5 && all.iter().all(|setting| setting["origin"] == "default")));
}
