//! Data directories that earlier versions wrote, opened by this one: what they answered then is answered now.
//!
//! `ALPES_BLESS=1 cargo test -p platform --test server grown` writes the directory of a format of the store that has none yet: one campaign
//! of each outcome, a saga that is stuck at its pivot because its command is a dead letter, and what is answered about them. One that is
//! there is never written again.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Map, Value};

use super::support::{Answer, Client, Folder, Server, ask, campaign, until};

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
    for of in get("/v1/dead-letters".to_owned())["items"].as_array().expect("a list") {
        get(format!("/v1/dead-letters/{}", text(&of["id"])));
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

/// What is paused, the command that a stuck saga waits for, and what of its body is broken.
const TRACKING: &str = "/v1/subscriptions/tracking:0:tracking.commands";
const CAMPAIGNS: &str = "/v1/subscriptions/campaign:0:campaign.commands";
const BREAK: &str = "UPDATE log SET raw = replace(raw, '\"amount\":', '\"amaunt\":') \
    WHERE json_extract(raw, '$.type') = 'campaign.approve-reservation.v1' AND json_extract(raw, '$.correlationid') LIKE '%c-stuck%'";
const MEND: &str = r#"{"body": {"reservation": "b-1~c-stuck", "amount": {"amount": 1500, "currency": "USD"}}, "reason": "the message was broken"}"#;

/// Registers a campaign, and lets the command of its pivot be broken on its way.
fn stick(folder: &Folder, server: Server) -> Server {
    let post = |server: &Server, path: String, body: &str| {
        let answer = ask(server.address, "POST", &path, body);
        assert!([200, 202].contains(&answer.status), "{path}: {}", answer.body);
    };
    let saga = |server: &Server| ask(server.address, "GET", "/v1/sagas?key=c-stuck", "").body["items"][0].clone();
    let why = r#"{"reason": "to break what it reads"}"#;
    post(&server, format!("{TRACKING}/pause"), why);
    post(&server, "/v1/campaigns".to_owned(), &campaign("c-stuck", "b-1", &["p-1"]));
    post(&server, format!("{CAMPAIGNS}/pause"), why);
    post(&server, format!("{TRACKING}/resume"), "");
    let why = format!("/v1/sagas/{}/why", saga(&server)["id"].as_str().expect("an id"));
    until("the pivot's command is sent", || {
        ask(server.address, "GET", &why, "").body.to_string().contains("campaign.approve-reservation.v1").then_some(())
    });
    assert!(server.stop().status.success());
    let store = Connection::open(folder.store()).expect("the store opens");
    assert_eq!(store.execute(BREAK, []).expect("it can be broken"), 1);
    drop(store);
    let server = Server::start(folder);
    post(&server, format!("{CAMPAIGNS}/resume"), "");
    until("the saga is stuck", || (saga(&server)["status"] == "stuck").then_some(()));
    server
}

/// Mends and replays the broken command: the saga that was stuck goes on to its end.
fn decide(server: &Server) {
    let letters = ask(server.address, "GET", "/v1/dead-letters", "").body;
    let id = letters["items"][0]["id"].as_str().unwrap_or_else(|| panic!("no dead letter: {letters}"));
    for (decision, body) in [("edit", MEND), ("replay", "")] {
        let answer = ask(server.address, "POST", &format!("/v1/dead-letters/{id}/{decision}"), body);
        assert_eq!(answer.status, 200, "{decision}: {}", answer.body);
    }
    until("the saga that was stuck completes", || {
        let saga = ask(server.address, "GET", "/v1/sagas?key=c-stuck", "").body["items"][0].clone();
        (saga["status"] == "completed").then_some(())
    });
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
    let server = stick(&folder, server);
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
        decide(&server);
        assert!(server.stop().status.success());
        versions += 1;
    }
    assert!(versions > 0, "no directory of an earlier version is there");
}
