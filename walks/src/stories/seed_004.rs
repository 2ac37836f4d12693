//! The scenarios of seed 004: all goes well, an event fails, a partner fails; and the budget that the brand's account refuses.
//!
//! With 1, 2 and 7 participants, the failure at each of them.
#![expect(missing_docs, reason = "the name of a story is the sentence that it proves")]

use std::collections::BTreeSet;

use campaign::campaign::Status;
use campaign::reservation;
use partner::enrolment;
use seedwork::executor::Outcome;
use tracking::event;
use wire::RegisterCampaign;

use crate::{
    Alpes, Told, account, ban, block, campaign, enrolment, event, id, invariants, limit, reservation, rest, status, view,
};

const COUNTS: [usize; 3] = [1, 2, 7];
const ENROL: u16 = 2;
const RECORD: u16 = 3;

/// The campaign that the scenarios are about.
fn moda(participants: usize) -> RegisterCampaign {
    campaign("c-1").budget("15000.00", "USD").participants(participants)
}

/// Every combination of a count and the participant that fails.
fn failures() -> impl Iterator<Item = (usize, usize)> {
    COUNTS.into_iter().flat_map(|count| (0..count).map(move |failing| (count, failing)))
}

/// The lines of a saga's log that matter here: what happened to which row, in order; children of a row in the order of their index.
fn story(world: &impl Alpes, saga: &str) -> Vec<String> {
    let mut told: Vec<(u16, String, BTreeSet<u32>)> = Vec::new();
    for entry in world.saga_log(saga) {
        match told.last_mut().filter(|(row, what, _)| (*row, what.as_str()) == (entry.row, &*entry.what)) {
            Some((.., children)) => children.extend(entry.index),
            None => told.push((entry.row, entry.what.to_string(), entry.index.into_iter().collect())),
        }
    }
    told.iter().map(|(row, what, children)| format!("{row} {what} {children:?}")).collect()
}

/// The part of a story from where the saga turned round.
fn undo_story(world: &impl Alpes, saga: &str) -> Vec<String> {
    let story = story(world, saga);
    let turned = story.iter().position(|line| line.contains("turned-round")).unwrap_or(story.len());
    story[turned + 1..].to_vec()
}

/// The rows whose undos were handled, each with its children, in the order in which the rows were left.
fn rows_undone(world: &impl Alpes, saga: &str) -> Vec<(u16, BTreeSet<u32>)> {
    let mut rows: Vec<(u16, BTreeSet<u32>)> = Vec::new();
    let undone = world.saga_log(saga).into_iter().filter(|entry| entry.what == "undone");
    for (row, index) in undone.filter_map(|entry| Some((entry.row, entry.index?))) {
        match rows.last_mut().filter(|(last, _)| *last == row) {
            Some((_, children)) => assert!(children.insert(index), "row {row}, child {index} is undone once"),
            None => rows.push((row, BTreeSet::from([index]))),
        }
    }
    rows
}

fn all(count: usize) -> BTreeSet<u32> {
    (0..u32::try_from(count).unwrap()).collect()
}

fn all_but(count: usize, failing: usize) -> BTreeSet<u32> {
    all(count).into_iter().filter(|index| usize::try_from(*index) != Ok(failing)).collect()
}

/// Registers `moda` and expects it undone, for this reason at this row; nothing is left of it but its history.
#[track_caller]
fn undone(world: &mut impl Alpes, count: usize, code: &str, step: &str, row: u16) -> Outcome {
    let before = view(world);
    let asked = world.ask(&moda(count));
    rest(world);
    let outcome = world.outcome(asked).unwrap();
    assert!(!outcome.completed);
    let reason = outcome.reason.as_ref().unwrap();
    assert_eq!((&*reason.refusal.code, outcome.step.as_deref(), reason.row), (code, Some(step), row));
    assert_eq!(view(world), before, "nothing is left that counts");
    assert_eq!(status(world, "c-1"), Status::Cancelled, "it stays on record, cancelled and not deleted");
    assert_eq!(reservation(world, "b-1~c-1"), None);
    assert_eq!(invariants(world), Ok(()));
    outcome
}

pub fn exitoso_registers_the_campaign_its_partners_their_events_and_the_reservation_in_that_order<A: Alpes>(new: impl Fn() -> A) {
    for count in COUNTS {
        let world = &mut new();
        let asked = world.ask(&moda(count));
        rest(world);
        let outcome = world.outcome(asked).unwrap();
        assert_eq!((outcome.completed, &outcome.reason, outcome.exceptions.len()), (true, &None, 0));
        let every = format!("{:?}", all(count));
        let expected = [
            "1 started {}".to_owned(),
            "2 sent {}".to_owned(),
            format!("2 done {every}"),
            "3 sent {}".to_owned(),
            format!("3 done {every}"),
            "4 sent {}".to_owned(),
            "4 done {0}".to_owned(),
            "5 sent {}".to_owned(),
            "5 done {0}".to_owned(),
            "5 completed {}".to_owned(),
        ];
        assert_eq!(story(world, &outcome.saga), expected, "each row begins when the one before it is done");
        assert_eq!(status(world, "c-1"), Status::Active);
        assert_eq!(account(world, "b-1~USD"), Some(("15000.00".to_owned(), "985000.00".to_owned())));
        assert_eq!(reservation(world, "b-1~c-1"), Some(reservation::Status::Approved));
        for partner in 1..=count {
            assert_eq!(enrolment(world, &format!("p-{partner}~c-1")), Some(enrolment::Status::Registered));
            assert_eq!(event(world, &format!("p-{partner}~c-1~registration")), Some(event::Status::Recorded));
        }
        assert_eq!(invariants(world), Ok(()));
    }
}

pub fn registro_evento_fallido_cancels_the_partners_and_then_the_campaign<A: Alpes>(new: impl Fn() -> A) {
    for (count, failing) in failures() {
        let world = &mut new();
        let blocked = format!("p-{}", failing + 1);
        world.ask(&block(&format!("{blocked}~partner")));
        rest(world);
        let outcome = undone(world, count, "partner-blocked", "tracking.record-event.v1", RECORD);
        assert_eq!(outcome.reason.unwrap().index, u32::try_from(failing).unwrap());
        let mut expected = vec![(ENROL, all(count)), (1, all(1))];
        if count > 1 {
            // The other partners' events, which the seed forgets.
            expected.insert(0, (RECORD, all_but(count, failing)));
        }
        assert_eq!(rows_undone(world, &outcome.saga), expected, "CancelarPartner, then CancelarCampaña");
        assert_eq!(event(world, &format!("{blocked}~c-1~registration")), None, "what was refused never was");
        for partner in 1..=count {
            assert_eq!(enrolment(world, &format!("p-{partner}~c-1")), Some(enrolment::Status::Cancelled));
        }
    }
}

pub fn registro_evento_fallido_by_a_block_of_the_whole_campaign_leaves_no_event_at_all<A: Alpes>(new: impl Fn() -> A) {
    for count in COUNTS {
        let world = &mut new();
        world.ask(&block("c-1~campaign"));
        rest(world);
        // The block list may be read a moment old.
        world.rest();
        let outcome = undone(world, count, "campaign-blocked", "tracking.record-event.v1", RECORD);
        let rows = rows_undone(world, &outcome.saga);
        let rows: Vec<_> = rows.into_iter().filter(|(row, _)| *row < RECORD).collect();
        assert_eq!(rows, [(ENROL, all(count)), (1, all(1))]);
        for partner in 1..=count {
            assert_eq!(event(world, &format!("p-{partner}~c-1~registration")), None);
        }
    }
}

pub fn registro_partner_fallido_cancels_the_campaign<A: Alpes>(new: impl Fn() -> A) {
    for (count, failing) in failures() {
        let world = &mut new();
        let banned = format!("p-{}", failing + 1);
        world.ask(&campaign("c-0").with(&[&banned]));
        rest(world);
        world.ask(&ban(&banned));
        rest(world);
        let outcome = undone(world, count, "partner-banned", "partner.register-enrolment.v1", ENROL);
        assert_eq!(outcome.reason.unwrap().index, u32::try_from(failing).unwrap());
        let mut expected = vec![(1, all(1))];
        if count > 1 {
            expected.insert(0, (ENROL, all_but(count, failing)));
        }
        assert_eq!(rows_undone(world, &outcome.saga), expected, "CancelarCampaña, after the other partners");
        assert!(undo_story(world, &outcome.saga).iter().all(|line| !line.starts_with("3 ")), "row 3 was never begun");
        assert_eq!(enrolment(world, &format!("{banned}~c-1")), None, "what was refused never was");
        assert_eq!(enrolment(world, &format!("{banned}~c-0")), Some(enrolment::Status::Registered), "history stays");
    }
}

pub fn a_budget_beyond_the_limit_is_refused_at_the_pivot_and_undoes_every_row_in_reverse<A: Alpes>(new: impl Fn() -> A) {
    for count in COUNTS {
        let world = &mut new();
        world.ask(&limit("b-1~USD", "14999.99"));
        rest(world);
        let outcome = undone(world, count, "limit-exceeded", "campaign.approve-reservation.v1", 4);
        assert_eq!(
            undo_story(world, &outcome.saga),
            [
                "3 undo-sent {}".to_owned(),
                format!("3 undone {:?}", all(count)),
                "2 undo-sent {}".to_owned(),
                format!("2 undone {:?}", all(count)),
                "1 undo-sent {}".to_owned(),
                "1 undone {0}".to_owned(),
                "0 undone {}".to_owned(),
            ],
            "CancelarEvento, CancelarPartner, CancelarCampaña"
        );
        let details = outcome.reason.unwrap().refusal.details;
        assert_eq!((&details["asked"]["amount"], &details["available"]["amount"]), (&1_500_000.into(), &1_499_999.into()));
        assert_eq!(account(world, "b-1~USD"), Some(("0.00".to_owned(), "14999.99".to_owned())));
    }
}

pub fn a_budget_of_exactly_what_is_available_passes_and_the_next_cent_does_not<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    world.ask(&limit("b-1~USD", "15000.00"));
    rest(world);
    let fits = world.ask(&moda(2));
    rest(world);
    assert!(world.outcome(fits).unwrap().completed);
    let cent = world.ask(&campaign("c-2").budget("0.01", "USD"));
    rest(world);
    assert_eq!(world.outcome(cent).unwrap().reason.unwrap().refusal.code, "limit-exceeded");
    assert_eq!(invariants(world), Ok(()));
}

pub fn what_failed_once_can_be_registered_again_under_another_id_when_the_cause_is_gone<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    world.ask(&block("p-2~partner"));
    rest(world);
    undone(world, 2, "partner-blocked", "tracking.record-event.v1", RECORD);
    world.ask(&wire::Unblock { block: id("p-2~partner") });
    rest(world);
    let again = world.ask(&campaign("c-2").participants(2));
    rest(world);
    assert!(world.outcome(again).unwrap().completed);
    assert_eq!(invariants(world), Ok(()));
}
