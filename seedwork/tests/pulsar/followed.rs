//! Following topics: what comes, what is said of what may have passed by, and what is left behind.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use seedwork::broker::pulsar::{Followed, Follower, Pulsar, Settings};

use crate::fake::Fake;
use crate::story::{Story, lot, to};

/// Longer than it takes to see that something has passed by.
const BOUND: Duration = Duration::from_secs(30);
const TOPIC: &str = "persistent://public/default/lot.events-partition-0";

fn settings(fake: &Fake) -> Settings {
    Settings { partitions: 2, patience: Duration::from_millis(500), ..Settings::new(fake.url.clone(), "one") }
}

fn follow(fake: &Fake) -> (Follower, Receiver<Followed>) {
    let (sender, heard) = channel();
    let follower = Follower::start(settings(fake), ["lot.events".into()], move |one| drop(sender.send(one))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(BOUND, follower.begun()).await }).expect("it begins");
    (follower, heard)
}

/// The positions of the next rows.
fn positions(heard: &Receiver<Followed>, count: usize) -> Vec<u64> {
    let next = || match heard.recv_timeout(BOUND).expect("something comes") {
        Followed::Row(row) => row.place.position,
        Followed::Interrupted => panic!("nothing has passed by"),
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn what_is_sent_from_now_on_is_heard_and_no_subscription_is_left() {
    let fake = Fake::start();
    let mut story = Story::of(Pulsar::connect(settings(&fake), || ()).unwrap());
    let (from, to) = (lot(0), to("lot.events", 0));
    story.send(&from, &to, 3);
    story.until("three are safe", |story| story.safe(&from, &to));
    let (follower, heard) = follow(&fake);
    story.send(&from, &to, 4);
    assert_eq!(positions(&heard, 4), [4, 5, 6, 7], "and nothing from before");
    let names = fake.subscriptions(TOPIC);
    assert!(names.iter().any(|name| name.starts_with("follows-")), "{names:?}");
    drop(follower);
    story.until("it has left", |_| fake.subscriptions(TOPIC).iter().all(|name| !name.starts_with("follows-")));
}

#[test]
fn what_passes_by_a_reader_that_its_library_connected_again_is_said_and_reading_goes_on() {
    let fake = Fake::start();
    let mut story = Story::of(Pulsar::connect(settings(&fake), || ()).unwrap());
    let (from, to) = (lot(0), to("lot.events", 0));
    let (_follower, heard) = follow(&fake);
    story.send(&from, &to, 2);
    assert_eq!(positions(&heard, 2), [1, 2]);
    fake.fault(|faults| faults.pass_by = 1);
    story.send(&from, &to, 1);
    let next = heard.recv_timeout(BOUND).expect("it is seen that the topic has grown");
    assert!(matches!(next, Followed::Interrupted), "{next:?}");
    story.send(&from, &to, 2);
    assert_eq!(positions(&heard, 2), [4, 5]);
}

#[test]
fn a_reader_comes_back_after_every_connection_has_ended() {
    let fake = Fake::start();
    let mut story = Story::of(Pulsar::connect(settings(&fake), || ()).unwrap());
    let (from, to) = (lot(0), to("lot.events", 0));
    let (_follower, heard) = follow(&fake);
    for _ in 0..3 {
        fake.hang_up();
        story.send(&from, &to, 1);
        story.until("it is safe", |story| story.safe(&from, &to));
        // The row, or word that something passed by: never silence.
        heard.recv_timeout(BOUND).expect("something is heard");
    }
}
