//! An operator's decisions: each is taken once, survives a crash or leaves no trace, and says why when it cannot be taken.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::time::Duration;

use ferry::{contexts, crossing, invariants};
use seedwork::Refusal;
use seedwork::executor::{Decided, Decision, Letter, Undecided};
use seedwork::saga::engine::Entry;
use seedwork::store::{Partition, Waiting};
use seedwork::testing::{Faults, Instead, World};

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

/// A crossing whose last row is refused until it is stuck.
fn stuck(world: &mut World) -> String {
    world.intercept(|envelope| match &*envelope.kind {
        "harbour.confirm.v1" => Instead::Answer(Refusal::conflict("no", "no").into()),
        _ => Instead::Handle,
    });
    world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
    world.ask(&crossing("x-1", "p-1", &["ann"]));
    world.run(Duration::from_secs(24 * 3600));
    let (id, record) = world.sagas().remove(0);
    assert_eq!(record.stage(), "stuck");
    id
}

fn retry(saga: &str) -> Decision {
    Decision::Retry { context: "harbour".into(), saga: saga.into(), reason: Some("mended".to_owned()) }
}

#[test]
fn a_retry_is_taken_once_and_says_who_took_it() {
    for mut world in both(1) {
        world.set_at_once(0);
        let saga = stuck(&mut world);
        world.intercept(|_| Instead::Handle);
        let Ok(Decided::Saga(log)) = world.operate(&retry(&saga)) else { panic!("it is stuck") };
        let line = log.first().unwrap();
        assert_eq!((&*line.what, line.actor.as_deref(), line.detail.as_deref()), ("retried", Some("operator"), Some("mended")));
        assert_eq!(code(&world.operate(&retry(&saga))), "not-stuck", "twice is once");
        assert!(world.settle(HOUR));
        assert_eq!(code(&world.operate(&retry(&saga))), "saga-ended");
        assert_eq!(world.sagas().remove(0).1.stage(), "completed");
        assert_eq!(invariants(&world, 100), Ok(()));
    }
}

#[test]
fn an_abort_after_the_pivot_is_too_late_and_a_saga_of_nobody_is_unknown() {
    for mut world in both(2) {
        let saga = stuck(&mut world);
        let abort = |saga: &str| Decision::Abort { context: "harbour".into(), saga: saga.into(), reason: "no".to_owned() };
        let answer = world.operate(&abort(&saga));
        assert_eq!(code(&answer), "too-late");
        let Err(Undecided::Refused(refusal)) = answer else { panic!("refused") };
        assert_eq!(refusal.details["possible"], serde_json::json!(["retry", "resolve"]), "it says what is possible");
        assert_eq!(code(&world.operate(&abort("x-9~1"))), "unknown");
        let outcome = Decision::Resolve {
            context: "harbour".into(),
            saga: saga.as_str().into(),
            happened: Some(false),
            reason: "seen".to_owned(),
        };
        assert_eq!(code(&world.operate(&outcome)), "outcome-wrong", "only the pivot has an outcome");
    }
}

#[test]
fn a_crash_around_the_commit_of_a_decision_leaves_all_of_it_or_nothing() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..12 {
        let mut world = World::embedded(contexts, seed);
        let saga = stuck(&mut world);
        world.intercept(|_| Instead::Handle);
        let mut faults = Faults::default();
        faults.store.crash = 1;
        world.set_faults(faults);
        assert_eq!(code(&world.operate(&retry(&saga))), "unavailable", "nobody is told what nobody knows");
        world.set_faults(Faults::default());
        world.restart_all();
        let kept = world.each_store("SELECT count(*) FROM operation", &[]);
        let retried = world.saga_log(&saga).iter().any(|line| line.entry.what == "retried");
        assert_eq!(kept[0].1[0][0], i64::from(retried).into(), "the log and what is kept of it go together");
        if retried {
            after += 1;
        } else {
            before += 1;
            assert_eq!(code(&world.operate(&retry(&saga))), "done");
        }
        assert!(world.settle(HOUR));
        assert_eq!(world.sagas().remove(0).1.stage(), "completed");
        assert_eq!(invariants(&world, 100), Ok(()));
    }
    assert!(before > 0 && after > 0, "{before} crashed before the commit, {after} after it");
}

/// Crossings whose passenger `bomb` breaks the ferry's handler, until both are dead letters.
fn dead_letters(world: &mut World) -> Vec<(Partition, Waiting)> {
    world.ask(&ferry::harbour_v1::FillPurse { purse: "p-1".to_owned(), amount: 100 });
    for id in ["x-1", "x-2"] {
        world.ask(&crossing(id, "p-1", &["ann", "bomb"]));
    }
    world.run(HOUR);
    let letters = world.waiting();
    assert!(letters.len() == 2 && letters.iter().all(|(_, letter)| letter.head.dead), "{letters:?}");
    letters
}

fn discard((partition, letter): &(Partition, Waiting)) -> Decision {
    let letter = Letter { number: letter.head.number, revision: Some(letter.revision) };
    Decision::Discard { partition: partition.clone(), letters: vec![letter], reason: "not a passenger".to_owned() }
}

fn done(answer: Result<Decided, Undecided>) -> usize {
    match answer {
        Ok(Decided::Letters { done, .. }) => done.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_letter_is_decided_on_once_and_only_as_it_was_seen() {
    for mut world in both(4) {
        let letters = dead_letters(&mut world);
        let (partition, letter) = &letters[0];
        let stale = Letter { number: letter.head.number, revision: Some(letter.revision + 1) };
        let replay = Decision::Replay { partition: partition.clone(), letters: vec![stale], reason: None };
        let Ok(Decided::Letters { done: none, changed }) = world.operate(&replay) else { panic!("it is told what changed") };
        assert_eq!((none.len(), &*changed[0].1.code), (0, "letter-changed"));
        assert_eq!(done(world.operate(&discard(&letters[0]))), 1);
        assert_eq!(done(world.operate(&discard(&letters[0]))), 0, "twice is once");
        assert_eq!(done(world.operate(&discard(&letters[1]))), 1);
        assert!(world.settle(HOUR));
        assert_eq!(invariants(&world, 100), Ok(()));
        let kept: Vec<_> =
            world.each_store("SELECT decision FROM operation", &[]).into_iter().flat_map(|(_, rows)| rows).collect();
        assert_eq!(kept.len(), 2, "what changed nothing is not kept");
    }
}

#[test]
fn an_edited_letter_is_replayed_with_its_new_body_also_after_a_start() {
    for mut world in both(5) {
        let letters = dead_letters(&mut world);
        for (partition, letter) in &letters {
            let raw: serde_json::Value = serde_json::from_slice(&letter.raw).unwrap();
            let edit = |passenger: &str| Decision::Edit {
                partition: partition.clone(),
                letter: (&letter.head).into(),
                body: raw["TakeBerth"].to_string().replace("bomb", passenger).into_bytes(),
                reason: None,
            };
            assert_eq!(code(&world.operate(&edit("zoe"))), "key-changed", "its berth is its key");
            let mut body = raw["TakeBerth"].clone();
            body["defused"] = true.into();
            let body = body.to_string().into_bytes();
            let edit = Decision::Edit { partition: partition.clone(), letter: (&letter.head).into(), body, reason: None };
            assert_eq!(done(world.operate(&edit)), 1);
        }
        world.restart_all();
        world.intercept(|_| Instead::Handle);
        for (partition, letter) in world.waiting() {
            assert!(letter.raw.windows(7).any(|part| part == b"defused") && letter.head.dead, "{letter:?}");
            let replay = Decision::Replay { partition, letters: vec![(&letter.head).into()], reason: None };
            assert_eq!(done(world.operate(&replay)), 1);
        }
        world.run(HOUR);
        let originals = world.each_store("SELECT count(*) FROM waiting WHERE original LIKE '%bomb%'", &[]);
        let kept: i64 = originals.iter().filter_map(|(_, rows)| rows[0][0].integer()).sum();
        assert_eq!(kept, 2, "the bytes as they came are kept while it waits");
        for (saga, _) in world.sagas() {
            assert_eq!(signed(&world, &saga), ["edited", "replayed"], "the saga's own log tells it, wherever the letter lay");
        }
    }
}

/// What the saga's log says that the operator did.
fn signed(world: &World, saga: &str) -> Vec<String> {
    let by_operator = |entry: &Entry| entry.actor.as_deref() == Some("operator");
    world.saga_log(saga).into_iter().map(|line| line.entry).filter(by_operator).map(|entry| entry.what.into_owned()).collect()
}

#[test]
fn a_crash_around_the_commit_of_a_discard_leaves_all_of_it_or_nothing() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..12 {
        let mut world = World::embedded(contexts, seed);
        let letters = dead_letters(&mut world);
        let mut faults = Faults::default();
        faults.store.crash = 1;
        world.set_faults(faults);
        assert_eq!(code(&world.operate(&discard(&letters[0]))), "unavailable");
        world.set_faults(Faults::default());
        world.restart_all();
        if world.waiting().len() == 2 {
            before += 1;
        } else {
            after += 1;
        }
        world.operate(&discard(&letters[0])).unwrap();
        assert_eq!(done(world.operate(&discard(&letters[1]))), 1);
        assert!(world.settle(HOUR));
        assert_eq!(invariants(&world, 100), Ok(()));
        for (saga, _) in world.sagas() {
            assert_eq!(signed(&world, &saga), ["refused"], "who discarded it is told once");
        }
    }
    assert!(before > 0 && after > 0, "{before} crashed before the commit, {after} after it");
}

#[test]
fn a_number_of_a_letter_is_never_given_again() {
    let mut world = World::embedded(contexts, 6);
    let first = dead_letters(&mut world);
    for letter in &first {
        world.operate(&discard(letter)).unwrap();
    }
    assert!(world.settle(HOUR));
    world.restart_all();
    world.ask(&crossing("x-3", "p-1", &["bomb"]));
    world.run(Duration::from_secs(1));
    let later = world.waiting().remove(0).1.head.number;
    assert!(first.iter().all(|(_, letter)| letter.head.number < later), "an old id means no new letter");
}

/// Decides while the store crashes at its commit, and starts again. Whether the decision was kept.
fn crashed(world: &mut World, decision: &Decision) -> bool {
    let kept = |world: &World| -> i64 {
        let counts = world.each_store("SELECT count(*) FROM operation", &[]);
        counts.iter().filter_map(|(_, rows)| rows[0][0].integer()).sum()
    };
    let before = kept(world);
    let mut faults = Faults::default();
    faults.store.crash = 1;
    world.set_faults(faults);
    assert_eq!(code(&world.operate(decision)), "unavailable", "nobody is told what nobody knows: {decision:?}");
    world.set_faults(Faults::default());
    world.restart_all();
    kept(world) > before
}

#[test]
fn every_other_decision_too_is_kept_whole_or_not_at_all_when_its_commit_crashes() {
    let mut outcomes = std::collections::BTreeMap::<&str, (u32, u32)>::new();
    for seed in 0..8 {
        for which in ["resolve", "abort", "replay", "edit"] {
            let mut world = World::embedded(contexts, seed);
            let (decision, again) = match which {
                "resolve" => {
                    let saga = stuck(&mut world);
                    let (context, reason) = ("harbour".into(), "seen".to_owned());
                    (Decision::Resolve { context, saga: saga.into(), happened: None, reason }, "saga-ended")
                }
                "abort" => {
                    dead_letters(&mut world);
                    let (id, _) = world.sagas().remove(0);
                    let reason = "enough".to_owned();
                    (Decision::Abort { context: "harbour".into(), saga: id.into(), reason }, "saga-undoing")
                }
                _ => {
                    let (partition, letter) = dead_letters(&mut world).remove(0);
                    let letter = Letter { number: letter.head.number, revision: Some(letter.revision) };
                    let body = br#"{"berth":"bomb~x-1","defused":true}"#.to_vec();
                    if which == "edit" {
                        (Decision::Edit { partition, letter, body, reason: None }, "letter-changed")
                    } else {
                        (Decision::Replay { partition, letters: vec![letter], reason: None }, "done")
                    }
                }
            };
            let kept = crashed(&mut world, &decision);
            let outcome = outcomes.entry(which).or_default();
            if kept {
                outcome.0 += 1;
                assert_eq!(code(&world.operate(&decision)), again, "{which}: twice is once");
            } else {
                outcome.1 += 1;
                assert_eq!(code(&world.operate(&decision)), "done", "{which}: it left no trace");
            }
        }
    }
    assert!(outcomes.values().all(|(kept, lost)| *kept > 0 && *lost > 0), "{outcomes:?}");
}
