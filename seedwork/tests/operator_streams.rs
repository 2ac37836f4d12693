//! What operators and settings decide on what is read, sent and kept: each decision once, over crashes and starts.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::time::Duration;

use ferry::{contexts, crossing, invariants};
use seedwork::executor::{Decided, Decision, First, Limits, Undecided};
use seedwork::store::{Destination, Partition, Place, Route};
use seedwork::testing::{Faults, World};

const HOUR: Duration = Duration::from_secs(3600);

fn both(seed: u64) -> [World; 2] {
    [World::embedded(contexts, seed), World::distributed(contexts, 4, seed)]
}

fn code(answer: &Result<Decided, Undecided>) -> &str {
    match answer {
        Err(Undecided::Refused(refusal)) => &refusal.code,
        Ok(_) => "done",
        Err(Undecided::Unavailable(_) | Undecided::Elsewhere(_)) => "unavailable",
    }
}

/// The ferry's reading of its commands, in the partition of this key.
fn commands_of(world: &World, key: &str) -> (Partition, Destination) {
    let partitions = world.readings().iter().map(|reading| reading.reader.number + 1).max().unwrap();
    let number = seedwork::log::partition_of(key, partitions);
    let reader = Partition { context: "ferry".into(), number };
    (reader, Destination { topic: "ferry.commands".into(), partition: number })
}

fn pause(world: &World, key: &str) -> Decision {
    let (reader, to) = commands_of(world, key);
    Decision::Pause { reader, to, reason: "the ferry is in the dock".to_owned() }
}

fn resume(world: &World, key: &str) -> Decision {
    let (reader, to) = commands_of(world, key);
    Decision::Resume { reader, to, reason: None }
}

#[test]
fn what_is_paused_stays_paused_over_a_start_and_goes_on_where_it_stopped() {
    for (mut world, over_a_broker) in both(7).into_iter().zip([false, true]) {
        world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
        let before = world.ask(&crossing("x-1", "p-1", &["ann"]));
        world.run(Duration::from_secs(10));
        assert!(world.outcome(before).unwrap().completed);
        world.operate(&pause(&world, "ann")).unwrap();
        assert_eq!(code(&world.operate(&pause(&world, "ann"))), "already-paused");
        let booked = world.ask(&crossing("x-2", "p-1", &["ann"]));
        world.run(Duration::from_secs(10));
        world.restart_all();
        world.run(Duration::from_secs(10));
        assert!(world.readings().iter().any(|reading| reading.paused), "the next owner knows");
        assert_eq!(world.sagas()[1].1.run.row, 2, "nothing is taken");
        let board = world.ask(&ferry::ferry_v1::Board { berth: "ann~x-1".to_owned() });
        world.run(Duration::from_secs(1));
        match world.first(board) {
            None => assert!(over_a_broker, "it is durable there, and is taken later"),
            Some(First::Unavailable(why)) => assert!(!over_a_broker && why.contains("paused"), "nor from outside"),
            first => panic!("it is paused: {first:?}"),
        }
        world.operate(&resume(&world, "ann")).unwrap();
        assert_eq!(code(&world.operate(&resume(&world, "ann"))), "not-paused");
        assert!(world.settle(HOUR));
        assert_eq!(world.sagas()[1].1.stage(), "completed");
        assert!(matches!(world.first(board), Some(First::Done { .. })));
        assert_eq!(invariants(&world, 100), Ok(()));
        let _asked_before_a_start = booked;
    }
}

#[test]
fn a_crash_around_the_commit_of_a_pause_leaves_it_paused_or_not() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..12 {
        let mut world = World::embedded(contexts, seed);
        world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
        world.run(Duration::from_secs(1));
        let mut faults = Faults::default();
        faults.store.crash = 1;
        world.set_faults(faults);
        assert_eq!(code(&world.operate(&pause(&world, "ann"))), "unavailable");
        world.set_faults(Faults::default());
        world.restart_all();
        world.ask(&crossing("x-1", "p-1", &["ann"]));
        world.run(Duration::from_secs(10));
        let paused = world.readings().iter().any(|reading| reading.paused);
        assert_eq!(world.sagas()[0].1.stage() == "running", paused);
        if paused {
            after += 1;
            world.operate(&resume(&world, "ann")).unwrap();
        } else {
            before += 1;
        }
        assert!(world.settle(HOUR));
        assert_eq!(invariants(&world, 100), Ok(()));
    }
    assert!(before > 0 && after > 0, "{before} crashed before the commit, {after} after it");
}

fn resend(world: &World, after: u64) -> Decision {
    let (_, to) = commands_of(world, "ann");
    let epoch = world.each_store("SELECT max(epoch) FROM stream", &[])[0].1[0][0].integer().unwrap();
    let partitions = world.readings().iter().map(|reading| reading.reader.number + 1).max().unwrap();
    let from = Partition { context: "harbour".into(), number: seedwork::log::partition_of("x-1", partitions) };
    let after = Place { epoch: u64::try_from(epoch).unwrap(), position: after };
    Decision::Resend { route: Route { from, to }, after, reason: None }
}

#[test]
fn rows_that_are_sent_again_have_no_second_effect() {
    for mut world in both(8) {
        world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
        world.ask(&crossing("x-1", "p-1", &["ann"]));
        assert!(world.settle(HOUR));
        let before = ferry::view(&world);
        assert!(matches!(world.operate(&resend(&world, 0)), Ok(Decided::Resent(_))));
        world.run(HOUR);
        assert_eq!(ferry::view(&world), before);
        assert_eq!(code(&world.operate(&resend(&world, 1_000_000))), "nothing-to-send");
        assert_eq!(invariants(&world, 100), Ok(()));
    }
}

#[test]
fn only_a_skip_moves_a_mark_over_rows_that_are_lost_and_only_where_some_are() {
    let mut world = World::embedded(contexts, 9);
    world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
    world.ask(&crossing("x-0", "p-1", &["ann"]));
    assert!(world.settle(HOUR));
    world.operate(&pause(&world, "ann")).unwrap();
    world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(Duration::from_secs(1));
    world.ask(&crossing("x-2", "p-1", &["ann"]));
    world.run(Duration::from_secs(1));
    let (reader, to) = commands_of(&world, "ann");
    let route = Route { from: Partition { context: "harbour".into(), number: 0 }, to };
    let epoch = u64::try_from(world.each_store("SELECT epoch FROM stream", &[])[0].1[0][0].integer().unwrap()).unwrap();
    let skip = Decision::Skip { reader, route, epoch, reason: "the disk was damaged".to_owned() };
    assert_eq!(code(&world.operate(&skip)), "no-gap");
    world.damage("DELETE FROM log WHERE raw LIKE '%ferry.take-berth.v1%ann~x-1%'");
    world.operate(&resume(&world, "ann")).unwrap();
    world.run(Duration::from_secs(60));
    assert_eq!(world.sagas()[2].1.stage(), "running", "what comes behind a gap is not taken");
    assert!(world.readings().iter().any(|reading| !reading.gaps.is_empty()) && world.gap_alarms() > 0);
    assert!(matches!(world.operate(&skip), Ok(Decided::Skipped { from: Some(from), to }) if from < to));
    assert_eq!(code(&world.operate(&skip)), "no-gap", "twice is once");
    world.run(Duration::from_secs(5));
    assert_eq!(world.sagas()[2].1.stage(), "completed");
    assert!(world.settle(HOUR));
    assert_eq!(world.sagas()[1].1.stage(), "undone", "its command was lost: its deadline has undone it");
    assert_eq!(invariants(&world, 100), Ok(()));
}

/// Rows in all logs.
fn rows(world: &World) -> i64 {
    let counts = world.each_store("SELECT count(*) FROM log", &[]);
    counts.iter().filter_map(|(_, rows)| rows[0][0].integer()).sum()
}

/// Crossings, one after the other.
fn crossings(world: &mut World, from: u32, to: u32) {
    for number in from..to {
        world.ask(&crossing(&format!("x-{number}"), "p-1", &["ann"]));
        world.run(Duration::from_secs(20));
    }
}

#[test]
fn rows_older_than_they_may_become_are_dropped_and_a_resend_from_them_says_so() {
    for mut world in both(10) {
        world.set_limits(Limits { keep_age: Some(HOUR), ..Limits::default() });
        world.restart_all();
        world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 1000 });
        world.run(Duration::from_secs(1));
        crossings(&mut world, 1, 6);
        let before = rows(&world);
        assert!(before > 30, "nothing is dropped before its time: {before}");
        world.run(HOUR);
        world.run(HOUR);
        let refreshed = rows(&world);
        assert!(refreshed < before / 2, "{refreshed} of {before} rows are left");
        assert_eq!(code(&world.operate(&resend(&world, 0))), "rows-dropped");
        crossings(&mut world, 6, 8);
        assert!(world.settle(HOUR));
        assert!(world.sagas().iter().all(|(_, record)| record.stage() == "completed"));
        world.restart_all();
        assert!(world.settle(HOUR));
        assert_eq!(invariants(&world, 1000), Ok(()));
    }
}

#[test]
fn what_a_paused_reader_has_not_taken_is_kept_however_old_it_is() {
    let mut world = World::embedded(contexts, 11);
    world.set_limits(Limits { keep_age: Some(Duration::from_secs(60)), ..Limits::default() });
    world.restart_all();
    world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 1000 });
    crossings(&mut world, 1, 3);
    world.operate(&pause(&world, "ann")).unwrap();
    world.ask(&crossing("x-9", "p-1", &["ann"]));
    world.run(Duration::from_secs(600));
    let kept = world.each_store("SELECT count(*) FROM log WHERE raw LIKE '%ferry.take-berth.v1%x-9%'", &[]);
    assert_eq!(kept[0].1[0][0], 1.into(), "it has still to be taken");
    world.operate(&resume(&world, "ann")).unwrap();
    assert!(world.settle(HOUR));
    assert_eq!(world.sagas().last().unwrap().1.stage(), "completed");
    world.run(HOUR);
    let kept = world.each_store("SELECT count(*) FROM log WHERE raw LIKE '%ferry.take-berth.v1%x-9%'", &[]);
    assert_eq!(kept[0].1[0][0], 0.into(), "and is dropped when it was");
    assert_eq!(invariants(&world, 1000), Ok(()));
}

#[test]
fn a_log_that_is_too_large_loses_its_oldest_rows_and_no_saga_minds() {
    for mut world in both(12) {
        world.set_limits(Limits { keep_bytes: Some(8_000), ..Limits::default() });
        world.restart_all();
        world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 1000 });
        world.run(Duration::from_secs(1));
        crossings(&mut world, 1, 20);
        world.run(Duration::from_secs(120));
        let sizes = world.each_store("SELECT coalesce(sum(octet_length(raw)), 0) FROM log", &[]);
        for (context, size) in &sizes {
            let size = size[0][0].integer().unwrap();
            assert!(size < 16_000, "{context} keeps {size} bytes");
        }
        let sql = "SELECT stream.partition, min(written) FROM log JOIN stream ON stream.id = log.id >> 40 GROUP BY 1";
        let oldest = world.each_store(sql, &[]).remove(0).1;
        let oldest: Vec<i64> = oldest.iter().filter_map(|row| row[1].integer()).collect();
        let apart = oldest.iter().max().unwrap() - oldest.iter().min().unwrap();
        let one_store = sizes.len() == 1;
        assert!(!one_store || apart < 60_000_000, "one loses its history before another: {oldest:?}");
        for number in 0..3 {
            world.restart_all();
            world.ask(&crossing(&format!("y-{number}"), "p-1", &["ann"]));
            assert!(world.settle(HOUR));
        }
        assert!(world.sagas().iter().all(|(_, record)| record.stage() == "completed"));
        assert_eq!(invariants(&world, 1000), Ok(()));
    }
}

#[test]
fn how_long_a_message_waits_for_what_it_names_is_a_setting() {
    let mut world = World::embedded(contexts, 13);
    world.set_limits(Limits { not_yet: Duration::from_secs(300), ..Limits::default() });
    world.restart_all();
    world.ask_as("board", &ferry::ferry_v1::Board { berth: "zoe~x-9".to_owned() });
    world.run(Duration::from_secs(200));
    assert_eq!(world.waiting().len(), 1, "the default would have given up");
    world.run(Duration::from_secs(200));
    assert!(world.waiting().is_empty());
}
