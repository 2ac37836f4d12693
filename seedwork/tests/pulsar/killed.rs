//! The broker is killed and started again, under load. It needs a server of its own, which it starts and takes down:
//! `ALPES_TEST_KILL=1 cargo test -p seedwork --features distributed --test pulsar -- --nocapture killed`, two minutes.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::{Server, connect};
use crate::story::{Story, lot, to};

struct Own {
    dir: PathBuf,
}

impl Own {
    fn servers(&self, what: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers");
        let status = Command::new(script).arg(what).env("ALPES_SERVERS_DIR", &self.dir).status().unwrap();
        assert!(status.success(), "scripts/servers {what}");
    }

    fn up(&self) -> Server {
        self.servers("up");
        let lines = std::fs::read_to_string(self.dir.join("env")).unwrap();
        let value = |name: &str| {
            let line = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap().to_owned()
        };
        Server { url: value("ALPES_TEST_PULSAR"), admin: value("ALPES_TEST_PULSAR_ADMIN") }
    }

    fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.join("pulsar.pid")).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/servers"))
                .arg("down")
                .env("ALPES_SERVERS_DIR", &self.dir)
                .status(),
        );
    }
}

#[test]
fn a_broker_that_is_killed_twice_under_load_loses_nothing_that_had_a_receipt_and_breaks_no_order() {
    if std::env::var_os("ALPES_TEST_KILL").is_none() {
        return eprintln!("SKIPPED: a broker that is killed: two minutes, with ALPES_TEST_KILL=1");
    }
    let own = Own { dir: PathBuf::from(format!("/var/tmp/alpes-killed-{}", std::process::id())) };
    let server = own.up();
    let settings = server.namespace(&["lot.events"]);
    let mut story = Story::of(connect(&settings));
    let destinations = [to("lot.events", 0), to("lot.events", 1)];
    let readers = destinations.clone().map(|destination| story.subscribe("shop", &destination));
    let mut sent = 0;
    let mut load = |story: &mut Story, seconds: u64| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            for destination in &destinations {
                story.send(&lot(0), destination, 4);
            }
            sent += 4;
            for _ in 0..4 {
                story.hear();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    for _ in 0..2 {
        load(&mut story, 3);
        own.kill();
        let again = std::thread::scope(|scope| {
            let again = scope.spawn(|| own.up());
            load(&mut story, 3);
            again.join().unwrap()
        });
        assert_eq!(again.url, settings.url, "it keeps its port");
    }
    load(&mut story, 3);
    let begun = Instant::now();
    story.until("all", |story| {
        readers.iter().all(|reader| story.count(reader) == sent) && destinations.iter().all(|to| story.safe(&lot(0), to))
    });
    readers.iter().for_each(|reader| story.assert_all(reader));
    println!(
        "{} rows, {} heard twice, {} failed sends, all there {:?} after the last was sent",
        2 * sent,
        story.duplicates,
        story.failures,
        begun.elapsed()
    );
}
