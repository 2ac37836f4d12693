//! A process that stops without ending: its connection stands, and the broker believes in it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seedwork::broker::pulsar::Settings;

use crate::rig::{Server, connect};
use crate::story::{Story, lot, to};

const NAMESPACE: &str = "ALPES_TEST_NAMESPACE";

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// What the process that is stopped does, when the test below starts it: it reads until it is killed, and says what it has.
#[test]
fn the_other_process_reads_and_says_so() {
    let Ok(namespace) = std::env::var(NAMESPACE) else { return };
    let Some(server) = Server::find() else { return };
    // Of two of equal priority the broker would prefer this name on the first partition.
    let settings = Settings { namespace, partitions: 2, ..Settings::new(server.url, "a") };
    let mut story = Story::of(connect(&settings));
    let reader = story.subscribe_under(1, "shop", &to("lot.events", 0));
    let mut said = 0;
    loop {
        if !story.hear() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if story.count(&reader) > said {
            said = story.count(&reader);
            println!("has {said}");
        }
    }
}

#[test]
fn whoever_has_the_higher_fence_reads_in_time_while_the_other_stands_still_and_after_it_goes_on() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    let destination = to("lot.events", 0);
    let mut story = Story::of(connect(&settings));
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "takeover::the_other_process_reads_and_says_so", "--nocapture"])
        .env(NAMESPACE, &settings.namespace)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    story.send(&lot(0), &destination, 10);
    assert!(lines.any(|line| line.unwrap().contains("has 10")), "the other reads");

    signal("-STOP", other.id());
    story.send(&lot(0), &destination, 10);
    story.until("safe", |story| story.safe(&lot(0), &destination));
    let begun = Instant::now();
    let reader = story.subscribe_under(2, "shop", &destination);
    story.mark(&reader, &lot(0), 10);
    story.until("the first row", |story| story.taken.contains_key(&reader));
    let took = begun.elapsed();
    story.until("all", |story| story.taken[&reader].last().is_some_and(|row| row.place.position == 20));
    println!("a stopped consumer's partition flows again after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");

    signal("-CONT", other.id());
    for round in 3..=6 {
        story.send(&lot(0), &destination, 10);
        story.until("ten more", |story| story.taken[&reader].last().is_some_and(|row| row.place.position == 10 * round));
        std::thread::sleep(Duration::from_millis(500));
    }
    let mine = story.taken[&reader].windows(2).all(|pair| pair[1].place.position == pair[0].place.position + 1);
    assert!(mine, "the other took nothing back");
    other.kill().unwrap();
    other.wait().unwrap();
}
