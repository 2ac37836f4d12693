//! A draft belongs to its registration: what may be asked of it meanwhile, and what becomes of a cancel before and after the pivot.

use std::time::Duration;

use campaign::campaign::Status;
use partner::enrolment;
use seedwork::executor::{Decision, First};
use seedwork::testing::{Instead, Ticket, World};
use seedwork::{Refusal, SagaRecord};
use tracking::event;
use walks::{
    CLOSING, REGISTRATION, Told, account, campaign, campaign_of, cancel, distributed, embedded, enrolment, event, finish,
    invariants, pause, rest, resume, sagas_of, status, view,
};

const A_WHILE: Duration = Duration::from_secs(5);

/// A campaign whose registration waits for the answer to this command.
fn draft(held: &'static str) -> (World, Ticket) {
    let mut world = distributed(1);
    world.hold(move |envelope| &*envelope.kind == held);
    let ticket = world.ask(&campaign("c-1").participants(2));
    world.run(A_WHILE);
    assert_eq!(status(&world, "c-1"), Status::Draft);
    (world, ticket)
}

/// What a cancel's first answer says becomes of the draft.
#[track_caller]
fn told(world: &World, ticket: Ticket) -> String {
    match world.first(ticket) {
        Some(First::Done { told, .. }) => told["status"].as_str().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_draft_is_neither_paused_nor_resumed_nor_finished() {
    let (mut world, registered) = draft("tracking.record-event.v1");
    let tickets = [world.ask(&pause("c-1")), world.ask(&resume("c-1")), world.ask(&finish("c-1"))];
    world.run(A_WHILE);
    for ticket in tickets {
        assert!(matches!(world.first(ticket), Some(First::Refused(refusal)) if refusal.code == "campaign-is-draft"));
    }
    world.release();
    rest(&mut world);
    assert!(world.outcome(registered).unwrap().completed);
    assert_eq!(status(&world, "c-1"), Status::Active);
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_cancel_before_the_pivot_undoes_the_registration_whatever_it_waits_for() {
    for held in ["partner.register-enrolment.v1", "tracking.record-event.v1"] {
        let (mut world, registered) = draft(held);
        let cancelled = world.ask(&cancel("c-1", "too dear"));
        world.run(A_WHILE);
        assert_eq!(told(&world, cancelled), "undoing");
        world.release();
        rest(&mut world);
        let outcome = world.outcome(registered).unwrap();
        assert_eq!((outcome.completed, &*outcome.reason.unwrap().refusal.code), (false, "aborted"));
        assert!(!world.outcome(cancelled).unwrap().completed, "whoever cancels hears how the registration ended");
        let campaign = campaign_of(&world, "c-1");
        assert_eq!((campaign.status(), campaign.cancel_reason()), (Status::Cancelled, Some("too dear")));
        assert_eq!(view(&world), "", "what was under way is undone behind its step");
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn a_second_cancel_of_a_draft_is_heard_and_the_first_reason_stays() {
    let (mut world, _) = draft("tracking.record-event.v1");
    let tickets = [world.ask(&cancel("c-1", "too dear")), world.ask(&cancel("c-1", "too late"))];
    world.run(A_WHILE);
    assert_eq!(tickets.map(|ticket| told(&world, ticket)), ["undoing", "undoing"]);
    world.release();
    rest(&mut world);
    assert_eq!(campaign_of(&world, "c-1").cancel_reason(), Some("too dear"));
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_cancel_after_the_pivot_was_sent_is_kept_and_carried_out_with_the_activation() {
    for held in ["campaign.approve-reservation.v1", "campaign.activate.v1"] {
        let (mut world, registered) = draft(held);
        let cancelled = world.ask(&cancel("c-1", "too dear"));
        world.run(A_WHILE);
        assert_eq!(told(&world, cancelled), "kept");
        assert_eq!(status(&world, "c-1"), Status::Draft, "not before its registration has made it active");
        world.release();
        rest(&mut world);
        assert!(world.outcome(registered).unwrap().completed, "the registration itself went well");
        let campaign = campaign_of(&world, "c-1");
        assert_eq!((campaign.status(), campaign.cancel_reason()), (Status::Cancelled, Some("too dear")));
        let said = walks::said(&world);
        for kind in ["campaign.activated.v1", "campaign.cancelled.v1"] {
            assert_eq!(said.get(&(kind.to_owned(), "c-1".to_owned())), Some(&1), "{kind}: in the same unit of work");
        }
        assert_eq!(account(&world, "b-1~USD").unwrap().0, "0.00");
        for partner in ["p-1", "p-2"] {
            assert_eq!(enrolment(&world, &format!("{partner}~c-1")), Some(enrolment::Status::Cancelled));
            assert_eq!(event(&world, &format!("{partner}~c-1~registration")), Some(event::Status::Recorded));
        }
        assert_eq!(sagas_of(&world, CLOSING, "c-1").len(), 1);
        assert_eq!(invariants(&world), Ok(()));
    }
}

#[test]
fn a_kept_cancel_of_a_registration_that_is_refused_at_the_pivot_gives_its_reason_to_the_undo() {
    let mut world = distributed(2);
    world.hold(|envelope| &*envelope.kind == "campaign.approve-reservation.v1");
    world.ask(&campaign("c-1").budget("1000000.01", "USD"));
    world.run(A_WHILE);
    let cancelled = world.ask(&cancel("c-1", "too dear"));
    world.run(A_WHILE);
    assert_eq!(told(&world, cancelled), "kept");
    world.release();
    rest(&mut world);
    let campaign = campaign_of(&world, "c-1");
    assert_eq!((campaign.status(), campaign.cancel_reason()), (Status::Cancelled, Some("too dear")));
    assert_eq!(view(&world), "");
    assert_eq!(sagas_of(&world, CLOSING, "c-1").len(), 0, "nothing is reserved, so nothing is closed");
    assert_eq!(invariants(&world), Ok(()));
}

/// The registration of `c-1`, stuck at its last row.
fn stuck() -> (World, String, SagaRecord) {
    let mut world = embedded(3);
    world.intercept(|envelope| match &*envelope.kind {
        "campaign.activate.v1" => Instead::Answer(Refusal::conflict("no", "no").into()),
        _ => Instead::Handle,
    });
    world.ask(&campaign("c-1").participants(2));
    world.run(walks::DAY);
    let (id, record) = sagas_of(&world, REGISTRATION, "c-1").remove(0);
    (world, id, record)
}

#[test]
fn a_registration_that_is_refused_after_the_pivot_is_stuck_and_goes_on_when_an_operator_tries_again() {
    let (mut world, saga, record) = stuck();
    assert!(record.stuck && !record.run.stage.ended());
    assert_eq!(account(&world, "b-1~USD").unwrap().0, "15000.00", "after the pivot nothing is undone");
    world.intercept(|_| Instead::Handle);
    world.operate(&Decision::Retry { context: "campaign".into(), saga: saga.into(), reason: None }).unwrap();
    rest(&mut world);
    assert_eq!(status(&world, "c-1"), Status::Active);
    assert_eq!(invariants(&world), Ok(()));
}

#[test]
fn a_draft_that_an_operator_left_behind_can_still_be_cancelled_and_closes_what_was_reserved() {
    let (mut world, saga, _) = stuck();
    let signed = Decision::Resolve { context: "campaign".into(), saga: saga.into(), happened: None, reason: "signed".to_owned() };
    world.operate(&signed).unwrap();
    world.run(walks::DAY);
    assert_eq!(status(&world, "c-1"), Status::Draft);
    let (_, record) = sagas_of(&world, REGISTRATION, "c-1").remove(0);
    assert_eq!(record.run.exceptions.len(), 1, "the saga ended with what the operator signed");
    let cancelled = world.ask(&cancel("c-1", "too dear"));
    rest(&mut world);
    assert!(world.outcome(cancelled).unwrap().completed);
    assert_eq!(status(&world, "c-1"), Status::Cancelled);
    assert_eq!(account(&world, "b-1~USD").unwrap().0, "0.00");
    assert_eq!(enrolment(&world, "p-1~c-1"), Some(enrolment::Status::Cancelled));
}

#[test]
fn a_campaign_that_is_not_of_the_right_form_starts_no_saga_and_names_the_field() {
    let mut world = embedded(4);
    let mut nameless = campaign("c-1").participants(2);
    nameless.participants[1].name = String::new();
    for (ask, field) in [
        (nameless, "participants[1].name"),
        (campaign("c-2").with(&["p-1", "p-2", "p-1"]), "participants[2].id"),
        (campaign("c-3").participants(0), "participants"),
        (campaign("c-4").participants(1_001), "participants"),
        (campaign("c-5").budget("0", "USD"), "budget"),
        (campaign("c-6").budget("-1", "USD"), "budget"),
    ] {
        let ticket = world.ask(&ask);
        world.run(A_WHILE);
        assert!(
            matches!(world.first(ticket), Some(First::Refused(refusal)) if refusal.field.as_deref() == Some(field)),
            "{field}"
        );
    }
    assert!(world.sagas().is_empty());
    assert_eq!(view(&world), "");
}
