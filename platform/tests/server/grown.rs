//! Data directories that earlier versions wrote, opened by this one: what they answered then is answered now.
//!
//! `ALPES_BLESS=1 cargo test -p platform --test server grown` writes the directory of a format of the store that has none yet: one campaign
//! of each outcome, and what is answered about them. One that is there is never written again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::support::{Answer, Client, Folder, Server, ask, campaign};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data")
}

/// Everything there is to ask about them, and the answers.
fn answers(server: &Server) -> Map<String, Value> {
    let mut answers = Map::new();
    let mut get = |path: String| {
        let answer = ask(server.address, "GET", &path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answers.insert(path, answer.body.clone());
        answer.body
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let campaigns = get("/v1/campaigns?limit=200".to_owned());
    for of in campaigns["items"].as_array().expect("a list") {
        let id = text(&of["id"]);
        get(format!("/v1/campaigns/{id}"));
        get(format!("/v1/brands/{}/accounts/{}", text(&of["brand"]), text(&of["budget"]["currency"])));
        for participant in of["participants"].as_array().expect("a list") {
            // Whoever was refused at once was never enrolled.
            let path = format!("/v1/partners/{}", text(&participant["id"]));
            if ask(server.address, "GET", &path, "").status == 200 {
                get(path);
            }
        }
    }
    for of in get("/v1/sagas?limit=200".to_owned())["items"].as_array().expect("a list") {
        get(format!("/v1/sagas/{}", text(&of["id"])));
    }
    answers
}

/// Whether all that was answered then is answered now; there may be more.
fn holds(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            then.iter().all(|(name, value)| now.get(name).is_some_and(|now| holds(value, now)))
        }
        (Value::Array(then), Value::Array(now)) => {
            then.len() == now.len() && then.iter().zip(now).all(|(then, now)| holds(then, now))
        }
        (then, now) => then == now,
    }
}

/// Posts, and waits for the outcome.
fn waited(server: &Server, path: &str, body: &str) -> Answer {
    let asked = Client::open(server.address).and_then(|mut client| client.ask("POST", path, "Prefer: wait=30\r\n", body));
    asked.unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn bless() {
    let path = golden().join(format!("format-{}", seedwork::store::FORMAT));
    if path.exists() {
        return;
    }
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (path, body) in [
        ("/v1/campaigns", campaign("c-active", "b-1", &["p-1", "p-2"])),
        ("/v1/blocks", r#"{"partner": "p-3"}"#.to_owned()),
        ("/v1/campaigns", campaign("c-undone", "b-1", &["p-1", "p-3"])),
        ("/v1/campaigns", campaign("c-cancelled", "b-1", &["p-2"])),
        ("/v1/campaigns/c-cancelled/cancel", String::new()),
        ("/v1/partners/p-2/ban", r#"{"reason": "clicks from nowhere"}"#.to_owned()),
    ] {
        let answer = waited(&server, path, &body);
        assert!([200, 201].contains(&answer.status), "{path}: {}", answer.body);
    }
    let answers = Value::from(answers(&server));
    assert!(server.stop().status.success());
    fs::create_dir_all(&path).expect("a directory for it");
    fs::copy(folder.store(), path.join("alpes.db")).expect("the store can be copied");
    fs::write(path.join("answers.json"), format!("{answers:#}\n")).expect("the answers can be written");
}

#[test]
fn what_an_earlier_version_has_written_is_read_and_goes_on() {
    if std::env::var_os("ALPES_BLESS").is_some_and(|value| value == "1") {
        bless();
    }
    let mut versions = 0;
    for version in fs::read_dir(golden()).expect("ALPES_BLESS=1 writes the first one") {
        let version = version.expect("it can be read").path();
        let folder = Folder::new();
        fs::create_dir_all(folder.data()).expect("a directory for the copy");
        fs::copy(version.join("alpes.db"), folder.store()).expect("the store can be copied");
        let server = Server::start(&folder);
        let then: Map<String, Value> =
            serde_json::from_str(&fs::read_to_string(version.join("answers.json")).expect("its answers are there"))
                .expect("JSON");
        assert!(then.len() > 10, "{}: {} answers prove little", version.display(), then.len());
        for (path, then) in &then {
            let now = ask(server.address, "GET", path, "").body;
            assert!(holds(then, &now), "{}: {path} was\n{then:#}\nand is\n{now:#}", version.display());
        }
        let added = waited(&server, "/v1/campaigns", &campaign("c-new", "b-new", &["p-new"]));
        assert_eq!((added.status, &added.body["status"]), (201, &"completed".into()), "{}: it goes on", version.display());
        assert!(server.stop().status.success());
        versions += 1;
    }
    assert!(versions > 0, "no directory of an earlier version is there");
}
