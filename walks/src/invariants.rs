//! What holds whenever the world is at rest, whatever happened before.

use std::collections::BTreeMap;

use campaign::account::{Account, Settings};
use campaign::campaign::{Campaign, Status};
use campaign::reservation::{self, Reservation};
use partner::enrolment::{self, Enrolment};
use seedwork::SagaRecord;
use seedwork::saga::engine::Stage;
use tracking::event::{self, TrackingEvent};
use wire::values::Money;

use crate::Alpes;
use crate::look::{CLOSING, REGISTRATION, doubled, said};

type Check = Result<(), String>;

/// Fails with these words unless it is so.
macro_rules! holds {
    ($so:expr, $($words:tt)+) => {
        if !$so {
            return Err(format!($($words)+));
        }
    };
}

/// Everything that the world holds, read once.
struct Found {
    campaigns: Vec<Campaign>,
    accounts: Vec<Account>,
    reservations: BTreeMap<String, Reservation>,
    enrolments: BTreeMap<String, Enrolment>,
    events: BTreeMap<String, TrackingEvent>,
    sagas: Vec<(String, SagaRecord)>,
    said: BTreeMap<(String, String), i64>,
}

/// The invariants of Alpes, for a world at rest in which nobody withdrew an enrolment by hand:
///
/// Every saga has ended, nothing waits. A campaign whose registration was completed is or was active, once, and was heard of; one whose
/// registration was undone is cancelled, with nothing left. Everything of a running campaign stands: enrolments, events, and its whole
/// budget reserved. A finished or cancelled one has closed once: its reservation is released once, and its enrolments are cancelled
/// with it. An account has reserved what the approved reservations of its brand and currency add up to, within its limit. Each effect
/// happened once.
///
/// # Errors
/// The first that does not hold, in words.
pub fn invariants(world: &impl Alpes) -> Check {
    let found = Found {
        campaigns: world.states("campaign"),
        accounts: world.states("campaign"),
        reservations: world
            .states::<Reservation>("campaign")
            .into_iter()
            .map(|one| (one.reservation().to_string(), one))
            .collect(),
        enrolments: world.states::<Enrolment>("partner").into_iter().map(|one| (one.enrolment().to_string(), one)).collect(),
        events: world.states::<TrackingEvent>("tracking").into_iter().map(|one| (one.event().to_string(), one)).collect(),
        sagas: world.sagas(),
        said: said(world),
    };
    at_rest(world, &found)?;
    for campaign in &found.campaigns {
        let id = campaign.campaign().as_str();
        of_campaign(world, &found, campaign).map_err(|why| format!("campaign {id}, {}: {why}", campaign.status().as_str()))?;
    }
    accounts(&found)?;
    each_effect_once(&found)?;
    let doubled = doubled(world);
    holds!(doubled.is_empty(), "sent or answered twice: {doubled:?}");
    Ok(())
}

fn at_rest(world: &impl Alpes, found: &Found) -> Check {
    for (id, record) in &found.sagas {
        holds!(record.run.stage.ended(), "the saga {id} has not ended: {:?}", record.run);
        holds!(record.run.exceptions.is_empty(), "the saga {id} ended with exceptions that nobody had to sign: {:?}", record.run);
    }
    for (context, rows) in world.each_store("SELECT key, reason FROM waiting", &[]) {
        holds!(rows.is_empty(), "{context} has messages that wait: {rows:?}");
    }
    Ok(())
}

fn of_campaign(world: &impl Alpes, found: &Found, campaign: &Campaign) -> Check {
    let id = campaign.campaign().as_str();
    let mine = |name: &str| -> Vec<&SagaRecord> {
        let mine = |saga: &str| saga.strip_prefix(id).is_some_and(|rest| rest.starts_with('~'));
        found.sagas.iter().filter(|(saga, record)| *record.name == *name && mine(saga)).map(|(_, record)| record).collect()
    };
    let (registrations, closings) = (mine(REGISTRATION), mine(CLOSING));
    let [registration] = registrations.as_slice() else { return Err(format!("{} registrations", registrations.len())) };
    let registered = registration.run.stage == Stage::Completed;
    let status = campaign.status();
    holds!(status != Status::Draft, "its registration is {:?}", registration.run.stage);
    holds!(registered || status == Status::Cancelled, "its registration was undone");
    let running = matches!(status, Status::Active | Status::Paused);
    holds!(!running || campaign.cancel_reason().is_none(), "a cancel was kept and not carried out");
    let closed = registered && !running;
    holds!(closings.len() == usize::from(closed), "{} closings", closings.len());

    for partner in campaign.partners() {
        let enrolment = format!("{partner}~{id}");
        let (live, on_record) = (
            found.enrolments.get(&enrolment).is_some_and(|one| one.status() == enrolment::Status::Registered),
            found.events.get(&format!("{enrolment}~registration")).is_some_and(|one| one.status() == event::Status::Recorded),
        );
        let expected = registered && status != Status::Cancelled;
        holds!(live == expected, "{enrolment} is live: {live}");
        holds!(on_record == registered, "the registration of {enrolment} is on record: {on_record}");
    }

    let reservation = found.reservations.get(campaign.reservation().as_str());
    let standing = reservation.map(|one| one.status());
    let expected = match (registered, running) {
        (false, _) => None,
        (true, true) => Some(reservation::Status::Approved),
        (true, false) => Some(reservation::Status::Released),
    };
    holds!(standing == expected, "its reservation is {standing:?}");
    if let Some(reservation) = reservation {
        let (has, budget) = (reservation.amount(), campaign.facts().budget);
        holds!(has == budget, "{has} is reserved for a budget of {budget}");
    }

    let known = [
        world.state::<partner::known_campaign::KnownCampaign>("partner", id).is_some(),
        world.state::<tracking::known_campaign::KnownCampaign>("tracking", id).is_some(),
    ];
    holds!(known == [registered; 2], "partner and tracking know it: {known:?}");
    let times = |kind: &str| found.said.get(&(kind.to_owned(), id.to_owned())).copied().unwrap_or(0);
    let once = [
        ("campaign.registered.v1", true),
        ("campaign.activated.v1", registered),
        ("campaign.finished.v1", status == Status::Finished),
        ("campaign.cancelled.v1", status == Status::Cancelled),
    ];
    for (kind, so) in once {
        holds!(times(kind) == i64::from(so), "{kind} was said {} times", times(kind));
    }
    Ok(())
}

fn accounts(found: &Found) -> Check {
    for account in &found.accounts {
        let id = account.account();
        let (reserved, limit) = (account.reserved(), account.limit());
        let of_account = |one: &&Reservation| one.reservation().brand() == id.brand() && one.amount().currency == limit.currency;
        let approved = found.reservations.values().filter(|one| one.status() == reservation::Status::Approved);
        let sum: i64 = approved.filter(of_account).map(|one| one.amount().amount).sum();
        holds!(reserved.amount == sum, "account {id} has {reserved} reserved, its reservations are {sum}");
        let lowered = found.said.contains_key(&("campaign.limit-set.v1".to_owned(), id.to_string()));
        holds!(lowered || limit == Settings::default().opening_limit(limit.currency), "account {id} has a limit that nobody set");
        holds!(lowered || reserved.amount <= limit.amount, "account {id} has {reserved} reserved, beyond {limit}");
        let available = Money::new((limit.amount - reserved.amount).max(0), limit.currency);
        holds!(account.available() == available, "account {id}: {} of {limit} is available", account.available());
    }
    for reservation in found.reservations.values() {
        let id = reservation.reservation();
        let known = found.campaigns.iter().any(|campaign| campaign.reservation() == *id);
        holds!(known, "the reservation {id} is of no campaign");
        let account = format!("{}~{}", id.brand(), reservation.amount().currency);
        holds!(found.accounts.iter().any(|one| one.account().as_str() == account), "the reservation {id} is on no account");
    }
    Ok(())
}

fn each_effect_once(found: &Found) -> Check {
    let times = |kind: &str, key: &str| found.said.get(&(kind.to_owned(), key.to_owned())).copied().unwrap_or(0);
    let once = |kind: &str, key: &str, so: bool| -> Check {
        let times = times(kind, key);
        holds!(times == i64::from(so), "{kind} of {key} was said {times} times, and it is so: {so}");
        Ok(())
    };
    for (key, one) in &found.reservations {
        once("campaign.reservation-approved.v1", key, true)?;
        once("campaign.reservation-released.v1", key, one.status() == reservation::Status::Released)?;
    }
    for (key, one) in &found.enrolments {
        once("partner.enrolment-registered.v1", key, true)?;
        once("partner.enrolment-cancelled.v1", key, one.status() == enrolment::Status::Cancelled)?;
    }
    for (key, one) in &found.events {
        once("tracking.event-recorded.v1", key, true)?;
        once("tracking.event-cancelled.v1", key, one.status() == event::Status::Cancelled)?;
    }
    Ok(())
}
