//! What the machine does to a story: it sleeps, it restarts, a message breaks its handler, a campaign is as large as one may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use campaign::campaign::Status;
use campaign::reservation;
use seedwork::Error;
use seedwork::executor::{Decision, First};
use seedwork::testing::{Faults, Instead, World};
use walks::{
    DAY, HOUR, Told, account, block, both, campaign, cancel, distributed, embedded, invariants, reservation, rest, said, status,
    view,
};

const A_WHILE: Duration = Duration::from_secs(5);

#[test]
fn a_laptop_that_sleeps_for_an_hour_in_mid_saga_undoes_nothing() {
    for held in
        ["partner.register-enrolment.v1", "tracking.record-event.v1", "campaign.approve-reservation.v1", "campaign.activate.v1"]
    {
        let mut world = distributed(1);
        world.hold(move |envelope| &*envelope.kind == held);
        let asked = world.ask(&campaign("c-1").participants(2));
        world.run(A_WHILE);
        world.sleep_machine(HOUR);
        world.run(A_WHILE);
        assert_eq!(status(&world, "c-1"), Status::Draft, "{held}");
        world.release();
        rest(&mut world);
        assert!(world.outcome(asked).unwrap().completed, "{held}");
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn an_hour_awake_without_an_answer_undoes_what_was_sent_even_if_it_is_carried_out_later() {
    for held in ["partner.register-enrolment.v1", "tracking.record-event.v1"] {
        let mut world = distributed(2);
        world.hold(move |envelope| &*envelope.kind == held);
        let asked = world.ask(&campaign("c-1").participants(2));
        world.run(A_WHILE);
        world.advance(HOUR);
        world.run(A_WHILE);
        world.release();
        rest(&mut world);
        let outcome = world.outcome(asked).unwrap();
        assert_eq!((&*outcome.reason.unwrap().refusal.code, outcome.step.as_deref()), ("deadline", Some(held)));
        assert_eq!(view(&world), "");
        assert_eq!(invariants(&world), Ok(()));
    }
}

/// Five campaigns that share `p-1`, whose enrolment in `c-2` breaks its handler every time.
fn poisoned(mut world: World) -> World {
    world.intercept(|envelope| {
        let poisoned = &*envelope.kind == "partner.register-enrolment.v1" && &*envelope.key == "p-1~c-2";
        if poisoned { Instead::Answer(Error::fault("it breaks its handler")) } else { Instead::Handle }
    });
    for number in 0..5 {
        world.ask(&campaign(&format!("c-{number}")).with(&["p-1", &format!("p-1{number}")]).budget("200000", "USD"));
    }
    world
}

#[test]
fn one_poisoned_command_among_five_campaigns_that_share_a_partner_holds_up_only_its_own_saga() {
    for world in both(3) {
        let mut world = poisoned(world);
        world.run(A_WHILE);
        for well in ["c-0", "c-1", "c-3", "c-4"] {
            assert_eq!(status(&world, well), Status::Active, "{well} does not wait for its neighbour");
        }
        world.run(DAY);
        assert_eq!(status(&world, "c-2"), Status::Draft, "it waits for the operator, beyond its deadline");
        assert_eq!(account(&world, "b-1~USD").unwrap().0, "800000.00");
        let letters = world.waiting();
        let [(partition, letter)] = letters.as_slice() else { panic!("{letters:?}") };
        assert!(letter.head.dead && letter.reason.contains("it breaks its handler"), "{letter:?}");

        let later = world.ask(&campaign("c-5").with(&["p-1"]));
        world.run(A_WHILE);
        assert!(world.outcome(later).unwrap().completed, "nor does what comes after it");

        let (partition, letter) = (partition.clone(), (&letter.head).into());
        world.operate(&Decision::Discard { partition, letters: vec![letter], reason: "cannot be enrolled".to_owned() }).unwrap();
        rest(&mut world);
        assert_eq!(status(&world, "c-2"), Status::Cancelled);
        assert_eq!(reservation(&world, "b-1~c-2"), None);
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn a_poisoned_command_that_is_replayed_when_its_handler_is_mended_completes_its_saga() {
    for world in both(4) {
        let mut world = poisoned(world);
        world.run(HOUR);
        world.intercept(|_| Instead::Handle);
        let (partition, letter) = world.waiting().remove(0);
        world.operate(&Decision::Replay { partition, letters: vec![(&letter.head).into()], reason: None }).unwrap();
        rest(&mut world);
        assert_eq!(status(&world, "c-2"), Status::Active);
        assert_eq!(account(&world, "b-1~USD").unwrap().0, "1000000.00");
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn a_cancel_beside_a_dead_letter_undoes_the_rest_and_waits_for_the_decision_on_that_one() {
    for world in both(5) {
        let mut world = poisoned(world);
        world.run(HOUR);
        world.ask(&cancel("c-2", "too dear"));
        world.run(HOUR);
        assert!(
            view(&world).lines().all(|line| line != "enrolment p-12~c-2 influencer \"Name of p-12\""),
            "the sibling is undone"
        );
        assert_eq!(status(&world, "c-2"), Status::Draft);
        world.intercept(|_| Instead::Handle);
        let dead = world.waiting().into_iter().find(|(_, waiting)| waiting.head.dead).unwrap();
        world.operate(&Decision::Replay { partition: dead.0, letters: vec![(&dead.1.head).into()], reason: None }).unwrap();
        rest(&mut world);
        assert_eq!(status(&world, "c-2"), Status::Cancelled);
        assert_eq!(invariants(&world), Ok(()), "what was replayed has been undone behind its step");
    }
}

#[test]
fn an_owner_that_lost_its_partition_does_not_try_for_ever_what_its_successor_has_settled() {
    for seed in 0..10 {
        let mut world = distributed(seed);
        let tries = Arc::new(AtomicU32::new(0));
        world.intercept(move |envelope| match &*envelope.kind {
            "partner.register-enrolment.v1" if tries.fetch_add(1, Ordering::Relaxed) < 4 => {
                Instead::Answer(Error::fault("it breaks its handler"))
            }
            _ => Instead::Handle,
        });
        world.ask(&campaign("c-1").participants(4));
        world.run(Duration::from_millis(500));
        world.set_faults(Faults { lease_lost: 1, ..Faults::default() });
        for _ in 0..20 {
            world.step(Duration::MAX);
        }
        world.set_faults(Faults::default());
        // It panics when it runs in circles.
        world.run(HOUR);
        rest(&mut world);
        assert_eq!(status(&world, "c-1"), Status::Active);
        assert_eq!(invariants(&world), Ok(()));
    }
}

/// Commits that a thousand participants may take, embedded: a batch holds 512 messages, and two rows go there and back.
const COMMITS: u64 = 60;

#[test]
fn a_thousand_participants_are_registered_in_few_commits() {
    let mut world = embedded(6);
    let asked = world.ask(&campaign("c-1").participants(1_000));
    let steps = world.run(A_WHILE);
    assert!(world.outcome(asked).unwrap().completed);
    assert!(world.commits() <= COMMITS && steps <= 2 * COMMITS, "{} commits, {steps} steps", world.commits());
    assert_eq!(status(&world, "c-1"), Status::Active);
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_thousand_participants_whose_last_one_is_blocked_are_undone_in_few_commits() {
    let mut world = embedded(7);
    world.ask(&block("p-1000~partner"));
    rest(&mut world);
    let (before, commits) = (view(&world), world.commits());
    let asked = world.ask(&campaign("c-1").participants(1_000));
    let steps = world.run(A_WHILE);
    let (outcome, commits) = (world.outcome(asked).unwrap(), world.commits() - commits);
    let reason = outcome.reason.unwrap();
    assert_eq!((&*reason.refusal.code, reason.index), ("partner-blocked", 999));
    assert!(commits <= 2 * COMMITS && steps <= 4 * COMMITS, "{commits} commits, {steps} steps");
    assert_eq!(view(&world), before);
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_thousand_participants_between_processes_come_through_too() {
    let mut world = distributed(8);
    let asked = world.ask(&campaign("c-1").participants(1_000));
    rest(&mut world);
    assert!(world.outcome(asked).unwrap().completed);
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_restart_after_every_step_loses_nothing() {
    for mut world in both(9) {
        world.ask(&block("p-3~partner"));
        let well = world.ask(&campaign("c-1").participants(2));
        let undone = world.ask(&campaign("c-2").participants(3));
        let closed = world.ask(&campaign("c-3").participants(2));
        let mut steps = 0;
        // A restart forgets what was asked and not yet kept, so whoever has no answer asks again.
        while world.sagas().len() < 3 || world.sagas().iter().any(|(_, record)| !record.run.stage.ended()) {
            world.step(Duration::MAX);
            world.restart_all();
            world.ask_unanswered_again();
            steps += 1;
            assert!(steps < 3_000, "it does not come to an end: {}", view(&world));
        }
        let cancelled = world.ask(&cancel("c-3", "too dear"));
        for _ in 0..60 {
            world.step(Duration::MAX);
            world.restart_all();
            world.ask_unanswered_again();
        }
        rest(&mut world);
        let completed = |ticket| world.outcome(ticket).map(|outcome| outcome.completed);
        assert_eq!((completed(well), completed(undone), completed(closed)), (Some(true), Some(false), Some(true)));
        assert_eq!(completed(cancelled), Some(true));
        assert!(world.restarts > 60);
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn the_same_command_again_has_one_effect_and_the_same_answer_and_another_body_is_refused() {
    for mut world in both(10) {
        let ask = campaign("c-1").participants(2);
        let first = world.ask_as("key", &ask);
        let at_once = world.ask_as("key", &ask);
        rest(&mut world);
        world.restart_all();
        let later = world.ask_as("key", &ask);
        let other = world.ask_as("key", &campaign("c-2"));
        rest(&mut world);
        assert!(matches!(world.first(first), Some(First::Done { saga: Some(_), .. })));
        for again in [at_once, later] {
            assert_eq!(world.first(again), world.first(first));
            assert_eq!(world.outcome(again), world.outcome(first));
        }
        assert_eq!(world.first(other), Some(First::Mismatch));
        assert_eq!(world.sagas().len(), 1);
        assert_eq!(account(&world, "b-1~USD").unwrap().0, "15000.00");
        assert_eq!(invariants(&world), Ok(()));

        let closing = world.ask_as("close", &cancel("c-1", "too dear"));
        let again = world.ask_as("close", &cancel("c-1", "too dear"));
        rest(&mut world);
        assert_eq!(world.first(again), world.first(closing));
        assert_eq!(reservation(&world, "b-1~c-1"), Some(reservation::Status::Released));
        assert_eq!(said(&world)[&("campaign.reservation-released.v1".to_owned(), "b-1~c-1".to_owned())], 1);
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn each_handler_run_twice_in_its_unit_of_work_changes_nothing_twice() {
    for mut world in both(11) {
        world.intercept(|envelope| if &*envelope.kind == "campaign.register.v1" { Instead::Handle } else { Instead::Twice });
        world.ask(&block("p-3~partner"));
        world.ask(&campaign("c-1").participants(2));
        world.ask(&campaign("c-2").participants(3));
        rest(&mut world);
        world.ask(&cancel("c-1", "too dear"));
        rest(&mut world);
        assert_eq!((status(&world, "c-1"), status(&world, "c-2")), (Status::Cancelled, Status::Cancelled));
        assert_eq!(account(&world, "b-1~USD").unwrap().0, "0.00");
        assert_eq!(invariants(&world), Ok(()));
    }
}
