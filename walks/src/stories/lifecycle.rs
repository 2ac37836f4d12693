//! What may be done with a campaign, a partner and an account over their lives, and what follows from it elsewhere.
#![expect(missing_docs, reason = "the name of a story is the sentence that it proves")]

use campaign::campaign::Status;
use campaign::reservation;
use partner::enrolment;
use seedwork::executor::First;
use seedwork::message::{Command, Expected};
use tracking::event;

use crate::{
    Alpes, CLOSING, Told, account, ban, block, campaign, campaign_of, cancel, click, enrol, enrolment, event, finish, invariants,
    limit, pause, reservation, rest, resume, sagas_of, said, status, unban, unblock, view, withdraw,
};

/// Asks, and lets the world come to rest.
fn ask<A: Alpes, C: Command>(world: &mut A, command: &C) -> A::Ticket {
    let ticket = world.ask(command);
    rest(world);
    ticket
}

#[track_caller]
fn done<A: Alpes, C: Command>(world: &mut A, command: &C) {
    let ticket = ask(world, command);
    assert!(matches!(world.first(ticket), Some(First::Done { .. })), "{}: {:?}", C::KIND, world.first(ticket));
}

#[track_caller]
fn completed<A: Alpes, C: Command>(world: &mut A, command: &C) {
    let ticket = ask(world, command);
    let outcome = world.outcome(ticket).unwrap_or_else(|| panic!("{} started no saga: {:?}", C::KIND, world.first(ticket)));
    assert!(outcome.completed, "{}: {:?}", C::KIND, outcome.reason);
}

/// The code with which a command is refused, at once or by the saga that it starts.
#[track_caller]
fn refused<A: Alpes, C: Command>(world: &mut A, command: &C) -> String {
    let ticket = ask(world, command);
    match (world.first(ticket), world.outcome(ticket)) {
        (Some(First::Refused(refusal)), _) => refusal.code.to_string(),
        (_, Some(outcome)) => outcome.reason.unwrap_or_else(|| panic!("{} was completed", C::KIND)).refusal.code.to_string(),
        (first, None) => panic!("{}: {first:?}", C::KIND),
    }
}

pub fn active_and_paused_campaigns_pause_resume_and_finish_and_twice_is_once<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1"));
    done(world, &pause("c-1"));
    done(world, &pause("c-1"));
    assert_eq!(status(world, "c-1"), Status::Paused);
    done(world, &resume("c-1"));
    done(world, &resume("c-1"));
    assert_eq!(status(world, "c-1"), Status::Active);
    done(world, &pause("c-1"));
    completed(world, &finish("c-1"));
    done(world, &finish("c-1"));
    assert_eq!(status(world, "c-1"), Status::Finished);
    let said = said(world);
    let times = |kind: &str| said.get(&(kind.to_owned(), "c-1".to_owned())).copied();
    assert_eq!(
        (times("campaign.paused.v1"), times("campaign.resumed.v1"), times("campaign.finished.v1")),
        (Some(2), Some(1), Some(1))
    );
    assert_eq!(invariants(world), Ok(()));
}

pub fn finished_and_cancelled_are_final<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1"));
    completed(world, &finish("c-1"));
    completed(world, &campaign("c-2"));
    completed(world, &cancel("c-2", "too dear"));
    let before = view(world);
    for id in ["c-1", "c-2"] {
        assert_eq!(refused(world, &pause(id)), "campaign-is-final");
        assert_eq!(refused(world, &resume(id)), "campaign-is-final");
    }
    assert_eq!(refused(world, &cancel("c-1", "too late")), "campaign-is-final");
    assert_eq!(refused(world, &finish("c-2")), "campaign-is-final");
    done(world, &cancel("c-2", "again"));
    assert_eq!(campaign_of(world, "c-2").cancel_reason(), Some("too dear"), "the first reason stays");
    for id in ["c-1", "c-2"] {
        assert_eq!(refused(world, &campaign(id)), "campaign-exists", "an id is never used again");
    }
    assert_eq!(view(world), before);
    assert_eq!(invariants(world), Ok(()));
}

pub fn of_a_campaign_that_nobody_registered_everything_is_unknown<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    assert_eq!(refused(world, &pause("c-9")), "unknown");
    assert_eq!(refused(world, &resume("c-9")), "unknown");
    assert_eq!(refused(world, &finish("c-9")), "unknown");
    assert_eq!(refused(world, &cancel("c-9", "why")), "unknown");
    assert_eq!(refused(world, &ban("p-9")), "unknown");
    assert_eq!(refused(world, &unblock("p-9~partner")), "unknown");
    assert_eq!(refused(world, &withdraw("p-9~c-9")), "unknown");
    assert_eq!(view(world), "");
}

pub fn cancelling_or_finishing_releases_the_reservation_once_and_the_money_can_be_reserved_again<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    for (id, paused) in [("c-1", false), ("c-2", true)] {
        completed(world, &campaign(id).budget("1000000", "USD"));
        assert_eq!(account(world, "b-1~USD"), Some(("1000000.00".to_owned(), "0.00".to_owned())));
        if paused {
            done(world, &pause(id));
            completed(world, &finish(id));
            done(world, &finish(id));
        } else {
            completed(world, &cancel(id, "too dear"));
            done(world, &cancel(id, "again"));
        }
        assert_eq!(account(world, "b-1~USD"), Some(("0.00".to_owned(), "1000000.00".to_owned())));
        assert_eq!(reservation(world, &format!("b-1~{id}")), Some(reservation::Status::Released));
        assert_eq!(sagas_of(world, CLOSING, id).len(), 1);
    }
    assert_eq!(invariants(world), Ok(()));
}

pub fn cancelling_cancels_the_enrolments_of_the_registration_and_one_made_by_hand_stays<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(3));
    done(world, &enrol("p-9~c-1"));
    done(world, &click("p-9~c-1~e-1"));
    completed(world, &cancel("c-1", "too dear"));
    for partner in ["p-1", "p-2", "p-3"] {
        let enrolment = format!("{partner}~c-1");
        assert_eq!(crate::enrolment(world, &enrolment), Some(enrolment::Status::Cancelled));
        assert_eq!(event(world, &format!("{enrolment}~registration")), Some(event::Status::Recorded), "tracking's records stay");
    }
    assert_eq!(enrolment(world, "p-9~c-1"), Some(enrolment::Status::Registered));
    assert_eq!(invariants(world), Ok(()));
    done(world, &withdraw("p-9~c-1"));
    assert_eq!(enrolment(world, "p-9~c-1"), Some(enrolment::Status::Cancelled), "until it is cancelled by hand");
    assert_eq!(event(world, "p-9~c-1~e-1"), Some(event::Status::Recorded));
}

pub fn finishing_leaves_enrolments_and_records_as_they_are<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(2));
    completed(world, &finish("c-1"));
    assert_eq!(enrolment(world, "p-2~c-1"), Some(enrolment::Status::Registered));
    assert_eq!(event(world, "p-2~c-1~registration"), Some(event::Status::Recorded));
    assert_eq!(invariants(world), Ok(()));
}

pub fn withdrawing_one_partner_by_hand_leaves_the_campaign_and_the_others<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(2));
    done(world, &withdraw("p-1~c-1"));
    assert_eq!(status(world, "c-1"), Status::Active);
    assert_eq!(enrolment(world, "p-2~c-1"), Some(enrolment::Status::Registered));
    assert_eq!(account(world, "b-1~USD").unwrap().0, "15000.00");
    assert_eq!(refused(world, &enrol("p-1~c-1")), "enrolment-cancelled", "it never comes back");
    completed(world, &cancel("c-1", "too dear"));
    assert_eq!(said(world)[&("partner.enrolment-cancelled.v1".to_owned(), "p-1~c-1".to_owned())], 1);
    assert_eq!(invariants(world), Ok(()));
}

pub fn a_banned_partner_keeps_its_history_and_refuses_what_is_new_until_the_ban_is_lifted<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(2));
    done(world, &ban("p-1"));
    assert_eq!(enrolment(world, "p-1~c-1"), Some(enrolment::Status::Registered));
    assert_eq!(status(world, "c-1"), Status::Active);
    done(world, &click("p-1~c-1~e-1"));
    assert_eq!(refused(world, &campaign("c-2").participants(2)), "partner-banned");
    completed(world, &campaign("c-3").with(&["p-2"]));
    assert_eq!(refused(world, &enrol("p-1~c-3")), "partner-banned", "by hand too");
    done(world, &unban("p-1"));
    completed(world, &campaign("c-4").participants(2));
    assert_eq!(invariants(world), Ok(()));
}

pub fn a_blocked_partner_has_no_new_events_until_it_is_unblocked<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(2));
    done(world, &block("p-1~partner"));
    done(world, &block("p-1~partner"));
    assert_eq!(refused(world, &click("p-1~c-1~e-1")), "partner-blocked");
    done(world, &click("p-2~c-1~e-1"));
    assert_eq!(refused(world, &campaign("c-2").participants(2)), "partner-blocked");
    assert_eq!(event(world, "p-1~c-1~registration"), Some(event::Status::Recorded), "what was recorded stays");
    done(world, &unblock("p-1~partner"));
    done(world, &click("p-1~c-1~e-2"));
    completed(world, &campaign("c-3").participants(2));
    assert_eq!(invariants(world), Ok(()));
}

pub fn a_blocked_campaign_has_no_new_events_of_any_partner_and_no_other_campaign_suffers<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").participants(2));
    done(world, &block("c-1~campaign"));
    world.rest();
    for partner in ["p-1", "p-2"] {
        assert_eq!(refused(world, &click(&format!("{partner}~c-1~e-1"))), "campaign-blocked");
    }
    completed(world, &campaign("c-2").participants(2));
    done(world, &unblock("c-1~campaign"));
    world.rest();
    done(world, &click("p-2~c-1~e-2"));
    assert_eq!(invariants(world), Ok(()));
}

pub fn below_what_is_reserved_a_limit_lets_nothing_new_in_and_takes_nothing_away<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1").budget("600", "USD"));
    completed(world, &campaign("c-2").budget("300", "USD"));
    done(world, &limit("b-1~USD", "500"));
    assert_eq!(account(world, "b-1~USD"), Some(("900.00".to_owned(), "0.00".to_owned())), "available is never negative");
    assert_eq!(refused(world, &campaign("c-3").budget("0.01", "USD")), "limit-exceeded");
    assert_eq!((status(world, "c-1"), status(world, "c-2")), (Status::Active, Status::Active));
    completed(world, &cancel("c-1", "too dear"));
    assert_eq!(account(world, "b-1~USD"), Some(("300.00".to_owned(), "200.00".to_owned())));
    completed(world, &campaign("c-4").budget("200", "USD"));
    assert_eq!(refused(world, &campaign("c-5").budget("0.01", "USD")), "limit-exceeded");
    assert_eq!(invariants(world), Ok(()));
}

pub fn an_unknown_brand_opens_at_a_million_major_units_of_each_currency_whatever_its_exponent<A: Alpes>(new: impl Fn() -> A) {
    for (currency, most, beyond) in
        [("JPY", "1000000", "1000001"), ("USD", "1000000.00", "1000000.01"), ("KWD", "1000000.000", "1000000.001")]
    {
        let world = &mut new();
        assert_eq!(refused(world, &campaign("c-1").budget(beyond, currency)), "limit-exceeded");
        let id = format!("b-1~{currency}");
        assert_eq!(account(world, &id), None, "a refusal opens nothing");
        completed(world, &campaign("c-2").budget(most, currency));
        let available = campaign_of(world, "c-2").facts().budget.checked_sub(crate::money(most, currency)).unwrap();
        assert_eq!(account(world, &id), Some((most.to_owned(), available.to_decimal_string())));
        let other = if currency == "USD" { "EUR" } else { "USD" };
        completed(world, &campaign("c-3").budget("1", other));
        assert_eq!(account(world, &id).unwrap().0, most, "each currency is an account of its own");
        assert_eq!(invariants(world), Ok(()));
    }
}

pub fn a_brand_may_be_stopped_before_its_first_campaign<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    done(world, &limit("b-1~USD", "0"));
    assert_eq!(refused(world, &campaign("c-1").budget("0.01", "USD")), "limit-exceeded");
    completed(world, &campaign("c-2").budget("1", "EUR"));
    completed(world, &campaign("c-3").brand("b-2"));
    assert_eq!(invariants(world), Ok(()));
}

pub fn what_is_enrolled_by_hand_too_early_waits_for_the_campaign_and_without_one_is_forgotten<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    let early = world.ask(&enrol("p-9~c-1"));
    let never = world.ask(&enrol("p-9~c-2"));
    world.moment();
    assert_eq!((world.first(early), world.first(never)), (Some(First::Waiting), Some(First::Waiting)));
    completed(world, &campaign("c-1"));
    world.rest();
    assert_eq!(enrolment(world, "p-9~c-1"), Some(enrolment::Status::Registered));
    assert_eq!(enrolment(world, "p-9~c-2"), None);
    assert_eq!(invariants(world), Ok(()));
}

pub fn an_event_by_hand_needs_an_enrolment_that_somebody_has_made<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1"));
    let stranger = world.ask(&click("p-9~c-1~e-1"));
    let late = world.ask(&click("p-8~c-1~e-1"));
    world.moment();
    for asked in [stranger, late] {
        assert_eq!(world.first(asked), Some(First::Waiting), "it may have come early");
    }
    done(world, &enrol("p-8~c-1"));
    world.rest();
    assert_eq!(event(world, "p-8~c-1~e-1"), Some(event::Status::Recorded), "as soon as it is known");
    assert_eq!(event(world, "p-9~c-1~e-1"), None);
    assert_eq!(invariants(world), Ok(()), "nothing waits any longer");
}

pub fn of_those_who_expect_the_same_version_one_has_its_way_in_one_batch_or_another<A: Alpes>(new: impl Fn() -> A) {
    let world = &mut new();
    completed(world, &campaign("c-1"));
    let seen = || Some(Expected::Versions([1].into()));
    let asked: Vec<_> = (0..3).map(|_| world.ask_if(seen(), &ban("p-1"))).collect();
    rest(world);
    let late = world.ask_if(seen(), &unban("p-1"));
    rest(world);
    let done = asked.iter().filter(|ticket| matches!(world.first(**ticket), Some(First::Done { .. }))).count();
    assert_eq!(done, 1);
    for ticket in asked.into_iter().chain([late]) {
        match world.first(ticket) {
            Some(First::Done { .. }) => {}
            Some(First::Refused(refusal)) => assert_eq!(refusal.code, "version-differs"),
            other => panic!("{other:?}"),
        }
    }
    let partner: partner::partner::Partner = world.state("partner", "p-1").unwrap();
    assert_eq!(partner.status(), partner::partner::Status::Banned);
    assert_eq!(invariants(world), Ok(()));
}
