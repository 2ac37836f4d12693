//! A data directory moves to PostgreSQL and Apache Pulsar: what was under way there goes on here.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Stack, bare, campaign, listening, until};

/// A server over a file, and its data directory; both are gone when it goes.
pub struct Embedded {
    pub data: PathBuf,
    process: Option<Child>,
    url: String,
    agent: ureq::Agent,
}

impl Embedded {
    fn new() -> Embedded {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alpes-moved-{}-{number}", std::process::id()));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut server = Embedded { data, process: None, url: String::new(), agent };
        server.start();
        server
    }

    pub fn start(&mut self) {
        let mut command = bare();
        command.args(["serve", "--port", "0", "--data"]).arg(&self.data);
        let (process, url) = listening(command);
        (self.process, self.url) = (Some(process), url);
    }

    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let sent = std::process::Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs");
        assert!(sent.success() && process.wait().expect("it ends").success());
    }

    #[track_caller]
    pub fn post(&self, path: &str, wait: u32, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let mut told = request.header("prefer", format!("wait={wait}")).send(body.to_string()).expect("it answers");
        let text = told.body_mut().read_to_string().expect("an answer");
        assert!(told.status().is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn saga(&self, key: &str) -> Value {
        let mut told = self.agent.get(format!("{}/v1/sagas?key={key}", self.url)).call().expect("it answers");
        let text = told.body_mut().read_to_string().expect("an answer");
        serde_json::from_str::<Value>(&text).expect("JSON")["items"][0].clone()
    }

    /// Changes the store of a server that is stopped.
    #[track_caller]
    pub fn change(&self, sql: &str, rows: usize) {
        let store = Connection::open(self.data.join("alpes.db")).expect("the store opens");
        assert_eq!(store.execute(sql, []).expect("it can be changed"), rows, "{sql}");
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        let _gone = std::fs::remove_dir_all(&self.data);
    }
}

/// A server in which one campaign is registered; a second is stuck, for the command of its pivot was broken on its way and is a dead
/// letter; of a third that command waits to be tried again a while from now; and a fourth has only begun.
pub fn under_way() -> Embedded {
    let mut server = Embedded::new();
    server.post("/v1/campaigns", 30, &campaign("c-done", "b-1", 2));
    let why = json!({"reason": "to break what it reads"});
    server.post("/v1/subscriptions/tracking:0:tracking.commands/pause", 0, &why);
    let waiting = ["c-stuck", "c-late"];
    for id in waiting {
        server.post("/v1/campaigns", 0, &campaign(id, "b-1", 1));
    }
    server.post("/v1/subscriptions/campaign:0:campaign.commands/pause", 0, &why);
    server.post("/v1/subscriptions/tracking:0:tracking.commands/resume", 0, &json!({}));
    until("both are at their pivot", || waiting.iter().all(|id| server.saga(id)["row"] == 4).then_some(()));
    server.stop();
    let of = "json_extract(raw, '$.type') = 'campaign.approve-reservation.v1' AND json_extract(raw, '$.correlationid') LIKE";
    for id in waiting {
        server.change(&format!("UPDATE log SET raw = replace(raw, '\"amount\":', '\"amaunt\":') WHERE {of} '%{id}%'"), 1);
    }
    server.start();
    server.post("/v1/subscriptions/campaign:0:campaign.commands/resume", 0, &json!({}));
    until("both are stuck", || waiting.iter().all(|id| server.saga(id)["status"] == "stuck").then_some(()));
    server.post("/v1/subscriptions/partner:0:partner.commands/pause", 0, &why);
    server.post("/v1/campaigns", 0, &campaign("c-begun", "b-2", 3));
    server.stop();
    // Due when the move is over.
    let mended = "CAST(replace(CAST(raw AS TEXT), '\"amaunt\":', '\"amount\":') AS BLOB)";
    let due = "CAST(strftime('%s', 'now', '+20 seconds') AS INTEGER) * 1000000";
    server.change(
        &format!(
            "UPDATE waiting SET dead = 0, attempts = 3, due = {due}, raw = {mended} WHERE CAST(raw AS TEXT) LIKE '%c-late%'"
        ),
        1,
    );
    server
}

#[test]
fn sagas_that_began_in_a_file_end_over_postgresql_and_pulsar() {
    let Some(stack) = Stack::find() else { return };
    let mut server = under_way();
    let data = server.data.to_str().expect("UTF-8").to_owned();
    let to = stack.database("{context}");
    let moving = || stack.alpes(&["move", "--from", &data, "--to", &to]).output().expect("it can be run");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();

    // A server that holds the directory, and a reader that an operator has paused, stand in the way.
    server.start();
    let held = moving();
    assert!(!held.status.success() && said(&held).contains("is held by the server"), "{held:?}");
    server.stop();
    let paused = moving();
    assert!(!paused.status.success() && said(&paused).contains("paused"), "{paused:?}");
    server.start();
    server.post("/v1/subscriptions/partner:0:partner.commands/resume", 0, &json!({}));
    server.stop();

    // One database that is not as it has to be: nothing of it is touched, and the same is run again.
    stack.sql("tracking", "CREATE TABLE theirs (x BIGINT)");
    let broken_off = moving();
    assert!(!broken_off.status.success() && said(&broken_off).contains("not one of Alpes"), "{broken_off:?}");
    let mut serve = bare();
    let serve = serve.args(["serve", "--port", "0", "--data", &data]).output().expect("it can be run");
    assert!(!serve.status.success() && said(&serve).contains("broken off"), "{serve:?}");
    stack.sql("tracking", "DROP TABLE theirs");
    let moved = moving();
    assert!(moved.status.success(), "{moved:?}");
    let told = String::from_utf8_lossy(&moved.stdout).into_owned();
    assert!(told.contains("campaign: was there already") && told.contains("tracking: "), "{told}");

    let mut serve = bare();
    let serve = serve.args(["serve", "--port", "0", "--data", &data]).output().expect("it can be run");
    assert!(!serve.status.success() && said(&serve).contains("was moved to"), "{serve:?}");
    let doctor = bare().args(["doctor", "--data", &data]).output().expect("it can be run");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("was moved to"), "{doctor:?}");
    let again = moving();
    assert!(!again.status.success() && said(&again).contains("was moved to"), "{again:?}");

    let stack = stack.all();
    // What was done is there, and asking for it again does nothing twice.
    let told = until("the services hold their partitions", || {
        let told = stack.post("/v1/campaigns", 30, &campaign("c-done", "b-1", 2));
        (told.status != 202).then_some(told)
    });
    assert_eq!((told.status, &told.json["status"]), (201, &json!("completed")), "{}", told.json);
    assert_eq!(stack.get("/v1/campaigns/c-done").json["status"], "active");
    assert_eq!(stack.get("/v1/enrolments/p-c-done-2~c-done").json["status"], "registered");
    // What had begun had run out before the move; what waited is tried when it is due.
    assert_eq!(stack.ended("c-begun"), "completed");
    assert_eq!(stack.ended("c-late"), "completed");
    // What was stuck is decided here.
    let saga = |status: &str| {
        let told = stack.get("/v1/sagas?context=campaign&key=c-stuck").json["items"][0].clone();
        (told["status"] == status).then_some(told)
    };
    until("the saga is as stuck as it was", || saga("stuck"));
    let letters = stack.get_at("campaign", "/v1/dead-letters").json;
    assert_eq!(letters["items"].as_array().map(Vec::len), Some(1), "{letters}");
    let letter = letters["items"][0]["id"].as_str().expect("an id").to_owned();
    let mend =
        json!({"body": {"reservation": "b-1~c-stuck", "amount": {"amount": 1000, "currency": "USD"}}, "reason": "it was broken"});
    for (decision, body) in [("edit", mend), ("replay", json!({}))] {
        let told = stack.decide_at("campaign", "ann", &format!("/v1/dead-letters/{letter}/{decision}"), &body);
        assert_eq!(told.status, 200, "{decision}: {}", told.json);
    }
    assert_eq!(stack.ended("c-stuck"), "completed");
    // Three campaigns of this brand with 10.00 each, and none of them counts twice.
    assert_eq!(stack.get("/v1/brands/b-1/accounts/USD").json["reserved"], "30.00");
    // And the brand goes on.
    let told = stack.post("/v1/campaigns", 30, &campaign("c-new", "b-1", 2));
    assert_eq!((told.status, &told.json["status"]), (201, &json!("completed")), "{}", told.json);
    assert_eq!(stack.get("/v1/brands/b-1/accounts/USD").json["reserved"], "40.00");
    let told = stack.post("/v1/campaigns/c-done/cancel", 30, &json!({}));
    assert!(told.status < 300, "{}", told.json);
    until("its budget is free", || (stack.get("/v1/brands/b-1/accounts/USD").json["reserved"] == "30.00").then_some(()));
}
