//! The machine as a whole, stepped by hand: what goes well, what can go wrong, and that planted bugs are found.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::time::Duration;

use ferry::ferry_v1::Board;
use ferry::harbour_v1::{CancelCrossing, FillPurse};
use ferry::{Berth, contexts, crossing, invariants, view};
use seedwork::executor::{Decided, Decision, First};
use seedwork::saga::engine::Stage;
use seedwork::testing::{Case, Faults, Instead, Plant, World, assert_saga_laws};

const HOUR: Duration = Duration::from_secs(3600);

fn purse(amount: i64) -> FillPurse {
    FillPurse { purse: "p-1".to_owned(), amount }
}

fn both(seed: u64) -> [World; 2] {
    [World::embedded(contexts, seed), World::distributed(contexts, 4, seed)]
}

#[test]
fn a_saga_completes_in_both_shapes_and_its_asker_hears_it() {
    for mut world in both(1) {
        world.ask(&purse(100));
        let ticket = world.ask(&crossing("x-1", "p-1", &["ann", "bob"]));
        assert!(world.settle(HOUR));
        assert!(matches!(world.first(ticket), Some(First::Done { saga: Some(_), .. })));
        assert!(world.outcome(ticket).unwrap().completed);
        assert_eq!(view(&world), "x-1 confirmed\nann~x-1 taken\nbob~x-1 taken\np-1 80\nx-1 known 1\n");
    }
}

#[test]
fn a_refusal_at_any_child_undoes_all_and_says_why() {
    for at in 0..3 {
        for mut world in both(2) {
            let mut passengers = vec!["ann", "bob", "cid"];
            passengers[at] = "stowaway";
            world.ask(&purse(100));
            let ticket = world.ask(&crossing("x-1", "p-1", &passengers));
            assert!(world.settle(HOUR));
            let outcome = world.outcome(ticket).unwrap();
            assert!(!outcome.completed);
            assert_eq!(outcome.reason.unwrap().refusal.code, "stowaway");
            assert_eq!(outcome.step.as_deref(), Some("ferry.take-berth.v1"));
            assert_eq!(view(&world), "p-1 100\n");
        }
    }
}

#[test]
fn the_same_command_again_has_one_effect_and_one_answer() {
    let mut world = World::embedded(contexts, 3);
    world.ask(&purse(100));
    let one = world.ask_as("key", &crossing("x-1", "p-1", &["ann"]));
    assert!(world.settle(HOUR));
    let again = world.ask_as("key", &crossing("x-1", "p-1", &["ann"]));
    let other = world.ask_as("key", &crossing("x-1", "p-1", &["bob"]));
    world.run(HOUR);
    assert_eq!(world.first(one), world.first(again));
    assert!(world.outcome(again).unwrap().completed, "whoever asks again hears the outcome too");
    assert_eq!(world.first(other), Some(First::Mismatch));
    assert_eq!(invariants(&world, 100), Ok(()));
}

#[test]
fn an_abort_before_the_pivot_undoes_and_after_the_end_it_is_refused() {
    let mut world = World::distributed(contexts, 2, 4);
    world.ask(&purse(100));
    world.hold(|envelope| &*envelope.kind == "ferry.take-berth.v1");
    let booked = world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(Duration::from_secs(1));
    let cancel = world.ask(&CancelCrossing { crossing: "x-1".to_owned() });
    world.run(Duration::from_secs(1));
    assert!(matches!(world.first(cancel), Some(First::Done { told, .. }) if told["status"] == "undoing"));
    world.release();
    assert!(world.settle(HOUR));
    assert_eq!(world.outcome(booked).unwrap().reason.unwrap().refusal.code, "aborted");
    assert_eq!(view(&world), "p-1 100\n");
    let late = world.ask(&CancelCrossing { crossing: "x-1".to_owned() });
    world.run(Duration::from_secs(1));
    assert!(matches!(world.first(late), Some(First::Refused(refusal)) if refusal.code == "ended"));
}

#[test]
fn a_poisoned_command_becomes_a_dead_letter_that_holds_up_only_its_own_saga() {
    for mut world in both(5) {
        world.ask(&purse(1000));
        let poisoned = world.ask(&crossing("x-0", "p-1", &["ann", "bomb"]));
        let well: Vec<_> = (1..5).map(|n| world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann"]))).collect();
        world.run(Duration::from_secs(5));
        for ticket in &well {
            assert!(world.outcome(*ticket).unwrap().completed, "the neighbours flow");
        }
        world.run(HOUR);
        assert_eq!(world.outcome(poisoned), None);
        let letters = world.waiting();
        let [(partition, letter)] = letters.as_slice() else { panic!("{letters:?}") };
        assert!(letter.head.dead && letter.head.attempts == 8 && letter.reason.contains("boom"), "{letter:?}");
        let discard = Decision::Discard {
            partition: partition.clone(),
            letters: vec![(&letter.head).into()],
            reason: "not a passenger".to_owned(),
        };
        world.operate(&discard).unwrap();
        assert!(world.settle(HOUR));
        assert_eq!(world.outcome(poisoned).unwrap().reason.unwrap().refusal.code, "discarded");
        assert_eq!(invariants(&world, 1000), Ok(()));
        assert!(
            matches!(world.operate(&discard), Ok(Decided::Letters { done, .. }) if done.is_empty()),
            "a decision is taken once"
        );
    }
}

#[test]
fn a_machine_that_sleeps_for_an_hour_in_mid_saga_undoes_nothing() {
    let mut world = World::distributed(contexts, 2, 6);
    world.ask(&purse(100));
    world.hold(|envelope| &*envelope.kind == "ferry.take-berth.v1");
    let ticket = world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(Duration::from_secs(1));
    world.sleep_machine(HOUR);
    world.run(Duration::from_secs(1));
    world.release();
    assert!(world.settle(HOUR));
    assert!(world.outcome(ticket).unwrap().completed);
}

#[test]
fn a_command_that_comes_early_waits_and_is_refused_as_unknown_in_the_end() {
    let mut world = World::embedded(contexts, 7);
    let board = world.ask(&Board { berth: "ann~x-1".to_owned() });
    world.run(Duration::from_secs(2));
    assert_eq!(world.first(board), Some(First::Waiting));
    world.ask(&purse(100));
    world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(Duration::from_secs(20));
    assert_eq!(world.state::<Berth>("ferry", "ann~x-1").unwrap().changes, 101, "it came through when the berth was known");
    let never = world.ask_as("never", &Board { berth: "zoe~x-9".to_owned() });
    world.run(Duration::from_secs(60));
    assert_eq!(world.first(never), Some(First::Waiting));
    assert!(world.waiting().is_empty());
    let again = world.ask_as("never", &Board { berth: "zoe~x-9".to_owned() });
    world.run(Duration::from_secs(1));
    assert!(matches!(world.first(again), Some(First::Refused(refusal)) if refusal.code == "unknown"));
}

#[test]
fn every_start_finds_what_the_last_one_left() {
    for mut world in both(8) {
        world.ask(&purse(1000));
        let tickets: Vec<_> = (0..5).map(|n| world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann", "bob"]))).collect();
        for _ in 0..40 {
            world.step(Duration::MAX);
            world.restart_all();
        }
        assert!(world.settle(HOUR));
        assert!(tickets.iter().all(|ticket| world.outcome(*ticket).is_some_and(|outcome| outcome.completed)));
        assert_eq!(invariants(&world, 1000), Ok(()));
    }
}

#[test]
fn a_message_that_the_broker_lost_is_an_alarm_and_heals_by_itself() {
    let mut world = World::distributed(contexts, 2, 9);
    world.ask(&purse(1000));
    world.run(Duration::from_secs(1));
    let mut faults = Faults::default();
    faults.broker.vanish = 2;
    world.set_faults(faults);
    for n in 0..20 {
        world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann"]));
        world.run(Duration::from_secs(1));
    }
    faults.broker.vanish = 0;
    world.set_faults(faults);
    assert!(world.settle(HOUR));
    assert!(world.gap_alarms() > 0, "a lost message is seen");
    assert_eq!(invariants(&world, 1000), Ok(()));
}

/// A bad day of 12 bookings, two of which are refused; what is broken in the end.
fn bad_day(mut world: World, faults: Faults) -> Result<String, String> {
    world.keep_trace();
    world.ask(&purse(1000));
    world.run(Duration::from_secs(1));
    world.set_faults(faults);
    for n in 0..6 {
        world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann", "bob"]));
        world.ask(&crossing(
            &format!("y-{n}"),
            if n == 3 { "poor" } else { "p-1" },
            &[if n == 2 { "stowaway" } else { "cid" }, "dan"],
        ));
        world.run(Duration::from_millis(3));
    }
    world.run(Duration::from_secs(120));
    world.set_faults(Faults::default());
    if !world.settle(Duration::from_secs(8 * 3600)) {
        let open: Vec<_> = world.sagas().into_iter().filter(|(_, record)| !record.run.stage.ended()).collect();
        return Err(format!("not at rest: {open:?}\n{:?}\n{}", world.waiting(), world.describe()));
    }
    // A lost tail is found when its route has been idle.
    world.run(Duration::from_secs(600));
    invariants(&world, 1000).map_err(|why| format!("{why}\n{}", world.describe()))?;
    Ok(world.trace().to_owned())
}

/// Seeds of the default run; `ALPES_SEEDS` for more.
fn seeds() -> u64 {
    std::env::var("ALPES_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn a_bad_day_loses_and_doubles_nothing() {
    for seed in 0..seeds() {
        for world in both(seed) {
            bad_day(world, Faults::all()).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        }
    }
}

#[test]
fn one_seed_twice_gives_the_same_trace() {
    for make in [|| World::embedded(contexts, 42), || World::distributed(contexts, 4, 42)] {
        assert_eq!(bad_day(make(), Faults::all()), bad_day(make(), Faults::all()));
    }
}

fn found(plant: Plant) -> Option<u64> {
    (0..1000).find(|seed| {
        let seed = *seed;
        let mut world = World::distributed(contexts, 4, seed);
        world.plant(plant);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bad_day(world, Faults::all()))).is_ok_and(|day| day.is_err())
    })
}

#[test]
fn planted_bugs_are_found_within_a_thousand_seeds() {
    for plant in [Plant::MarkInAnotherCommit, Plant::UndoSkipped, Plant::MarkForgotten] {
        let seed = found(plant).unwrap_or_else(|| panic!("{plant:?} was not found"));
        println!("{plant:?} was found by seed {seed}");
    }
}

#[test]
fn the_booking_saga_obeys_the_laws() {
    assert_saga_laws(&Case {
        contexts,
        saga: "harbour.booking",
        start: |world| {
            world.ask(&purse(100));
            world.run(Duration::from_secs(1));
            world.ask(&crossing("x-1", "p-1", &["ann", "bob"]))
        },
        view,
    });
}

#[test]
fn a_handler_that_reaches_for_another_key_is_a_fault() {
    let mut world = World::embedded(contexts, 10);
    world.intercept(|_| Instead::Handle);
    // The fare is addressed to one purse and would empty another: its key decides, so it cannot.
    let ticket = world.ask(&ferry::harbour_v1::TakeFare { fare: "p-1~x".to_owned(), amount: 1 });
    world.run(Duration::from_secs(1));
    assert!(matches!(world.first(ticket), Some(First::Refused(refusal)) if refusal.code == "purse-empty"));
    assert!(world.sagas().iter().all(|(_, record)| record.run.stage == Stage::Completed));
}
