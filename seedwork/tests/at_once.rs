//! A batch takes what it says itself: a saga whose steps lie in one store costs few commits, and comes to the same as step by step.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::time::Duration;

use ferry::harbour_v1::FillPurse;
use ferry::{contexts, crossing, invariants};
use seedwork::executor::Limits;
use seedwork::testing::{Instead, World};
use seedwork::view::Value;
use seedwork::{Error, Refusal};

const HOUR: Duration = Duration::from_secs(3600);

/// A harbour whose payer is rich; a batch takes at most so many of its own messages.
fn world(at_once: usize) -> World {
    let mut world = World::embedded(contexts, 1);
    world.set_at_once(at_once);
    world.ask(&FillPurse { purse: "p-1".to_owned(), amount: 1_000 });
    world.run(Duration::from_secs(3));
    world
}

/// What each context has said, in its order: stream and type of each message.
fn said(world: &World) -> Vec<Vec<Value>> {
    let rows = world.each_store("SELECT id >> 40, json_extract(raw, '$.type') FROM log ORDER BY id", &[]);
    rows.into_iter().next().map(|(_, rows)| rows).unwrap_or_default()
}

/// Commits until nothing is left to do for a crossing, and the stage of its saga then.
fn book(world: &mut World) -> (u64, &'static str) {
    let before = world.commits();
    world.ask(&crossing("x-1", "p-1", &["ann", "bob"]));
    world.run(Duration::from_secs(3));
    (world.commits() - before, world.sagas().remove(0).1.stage())
}

#[test]
fn a_saga_in_one_store_takes_one_commit_and_one_for_whoever_hears_its_events() {
    let mut world = world(Limits::default().at_once);
    assert_eq!(book(&mut world), (2, "completed"));
}

#[test]
fn sagas_that_meet_in_a_batch_do_not_hold_up_one_another() {
    let mut world = world(Limits::default().at_once);
    let before = world.commits();
    for n in 0..20 {
        world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann"]));
    }
    world.run(Duration::from_secs(3));
    assert!(world.sagas().iter().all(|(_, saga)| saga.stage() == "completed"), "{}", world.describe());
    assert_eq!(world.commits() - before, 2, "theirs, and one for whoever hears their events");
    assert_eq!(invariants(&world, 1_000), Ok(()));
}

#[test]
fn it_says_the_same_step_by_step_or_a_few_at_a_time() {
    let told: Vec<_> = [Limits::default().at_once, 0, 1, 2, 5]
        .into_iter()
        .map(|at_once| {
            let mut world = world(at_once);
            let (commits, stage) = book(&mut world);
            assert!(world.settle(HOUR));
            assert_eq!(invariants(&world, 1_000), Ok(()));
            (at_once, commits, stage, said(&world))
        })
        .collect();
    let (_, one, stage, said) = &told[0];
    assert!(said.len() > 10, "{said:?}");
    for (at_once, commits, other_stage, other) in &told[1..] {
        assert!(commits > one, "{at_once} at once: {commits} commits");
        assert_eq!((other_stage, other), (stage, said), "{at_once} at once");
    }
}

#[test]
fn a_refused_saga_is_undone_by_the_commit_that_began_it() {
    let mut world = world(Limits::default().at_once);
    world.intercept(|envelope| match &*envelope.kind {
        "harbour.take-fare.v1" => Instead::Answer(Refusal::conflict("full", "no").into()),
        _ => Instead::Handle,
    });
    assert_eq!(book(&mut world), (1, "undone"));
    assert_eq!(invariants(&world, 1_000), Ok(()));
}

#[test]
fn a_message_that_breaks_its_handler_drops_only_its_own_changes() {
    let mut world = world(Limits::default().at_once);
    world.intercept(|envelope| match &*envelope.kind {
        "harbour.take-fare.v1" => Instead::Answer(Error::fault("a bug")),
        _ => Instead::Handle,
    });
    let before = world.commits();
    world.ask(&crossing("x-1", "p-1", &["ann", "bob"]));
    world.run(Duration::from_millis(10));
    assert!(world.commits() > before);
    let waiting: Vec<String> =
        world.waiting().iter().map(|(partition, waiting)| format!("{partition} {}", waiting.topic)).collect();
    assert_eq!(waiting, ["harbour/0 commands"], "what broke waits for its next attempt");
    let (id, saga) = world.sagas().remove(0);
    assert_eq!(saga.stage(), "running");
    let done = world.saga_log(&id).iter().filter(|line| &*line.entry.what == "done").count();
    assert_eq!(done, 2, "the berths that were taken in the same batch are taken: {:?}", world.saga_log(&id));
    world.intercept(|_| Instead::Handle);
    assert!(world.settle(HOUR));
    assert_eq!(world.sagas().remove(0).1.stage(), "completed");
    assert_eq!(invariants(&world, 1_000), Ok(()));
}
