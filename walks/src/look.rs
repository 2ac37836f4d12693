//! What became of a story, as its tests look at it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use campaign::account::Account;
use campaign::campaign::{Campaign, Status};
use campaign::reservation::{self, Reservation};
use partner::enrolment::{self, Enrolment};
use partner::known_campaign::KnownCampaign as KnownToPartner;
use partner::partner::{Partner, Status as Standing};
use seedwork::SagaRecord;
use seedwork::saga::engine::Entry;
use seedwork::testing::World;
use tracking::block::{self, Block};
use tracking::event::{self, TrackingEvent};
use tracking::known_campaign::KnownCampaign;

/// The name of the saga that registers a campaign.
pub const REGISTRATION: &str = "campaign.registration";
/// The name of the saga that closes one.
pub const CLOSING: &str = "campaign.closing";

/// A campaign.
///
/// # Panics
/// When there is none of this id.
#[track_caller]
pub fn campaign_of(world: &World, id: &str) -> Campaign {
    world.state("campaign", id).unwrap_or_else(|| panic!("there is no campaign {id}"))
}

/// Where a campaign stands.
///
/// # Panics
/// When there is none of this id.
#[track_caller]
pub fn status(world: &World, id: &str) -> Status {
    campaign_of(world, id).status()
}

/// What a brand has reserved, and what is available, in major units; nothing when it has no such account.
pub fn account(world: &World, id: &str) -> Option<(String, String)> {
    let account: Account = world.state("campaign", id)?;
    Some((account.reserved().to_decimal_string(), account.available().to_decimal_string()))
}

/// Where a reservation stands.
pub fn reservation(world: &World, id: &str) -> Option<reservation::Status> {
    world.state::<Reservation>("campaign", id).map(|reservation| reservation.status())
}

/// Where an enrolment stands.
pub fn enrolment(world: &World, id: &str) -> Option<enrolment::Status> {
    world.state::<Enrolment>("partner", id).map(|enrolment| enrolment.status())
}

/// Where an event stands.
pub fn event(world: &World, id: &str) -> Option<event::Status> {
    world.state::<TrackingEvent>("tracking", id).map(|event| event.status())
}

/// The sagas of one name that a campaign has had, with their ids.
pub fn sagas_of(world: &World, name: &str, campaign: &str) -> Vec<(String, SagaRecord)> {
    let lives_under = |id: &str| id.split_once('~').is_some_and(|(key, _)| key == campaign);
    world.sagas().into_iter().filter(|(id, record)| &*record.name == name && lives_under(id)).collect()
}

/// What a saga has written down, in order.
///
/// # Panics
/// When it cannot be read.
pub fn saga_log(world: &World, saga: &str) -> Vec<Entry> {
    world.saga_log(saga).into_iter().map(|line| line.entry).collect()
}

/// How often each thing was said to the world: the events in the logs by kind and key.
pub fn said(world: &World) -> BTreeMap<(String, String), i64> {
    let sql = "SELECT json_extract(raw, '$.type'), json_extract(raw, '$.subject'), count(*) FROM log \
               JOIN name ON name.id = log.topic WHERE name.text LIKE '%.events' GROUP BY 1, 2";
    let rows = world.each_store(sql, &[]).into_iter().flat_map(|(_, rows)| rows);
    rows.filter_map(|row| {
        let [kind, key, times] = row.as_slice() else { return None };
        Some(((kind.text()?.to_owned(), key.text()?.to_owned()), times.integer()?))
    })
    .collect()
}

/// What a saga sent twice under one number, or heard the same answer to twice: with exactly one effect each, nothing.
pub fn doubled(world: &World) -> Vec<String> {
    let saga = |part: &str| format!("json_extract(raw, '$.saga.{part}')");
    let number = ["id", "row", "index", "direction", "attempt"].map(saga).join(" || ' ' || ");
    let sql = format!(
        "SELECT json_extract(raw, '$.type') || ' ' || {number} AS which, json_extract(raw, '$.SagaAnswered') AS answer, count(*) \
         FROM log WHERE json_extract(raw, '$.saga') IS NOT NULL GROUP BY topic, which, answer HAVING count(*) > 1"
    );
    let rows = world.each_store(&sql, &[]).into_iter().flat_map(|(_, rows)| rows);
    rows.map(|row| row.first().and_then(|which| which.text()).unwrap_or_default().to_owned()).collect()
}

/// What counts, as text: live campaigns, enrolments, events, reservations, accounts, bans and blocks. History is left out: what was
/// cancelled, released or lifted stays on record and no longer counts, and so does a partner that nobody has banned.
pub fn view(world: &World) -> String {
    let mut text = String::new();
    for one in world.states::<Campaign>("campaign").iter().filter(|one| one.status() != Status::Cancelled) {
        let _ = writeln!(text, "campaign {} {}", one.campaign(), one.status().as_str());
    }
    for one in world.states::<Account>("campaign") {
        let _ = writeln!(text, "account {} {} of {}", one.account(), one.reserved(), one.limit());
    }
    for one in world.states::<Reservation>("campaign").iter().filter(|one| one.status() == reservation::Status::Approved) {
        let _ = writeln!(text, "reservation {} {}", one.reservation(), one.amount());
    }
    for one in world.states::<Enrolment>("partner").iter().filter(|one| one.status() == enrolment::Status::Registered) {
        let _ = writeln!(text, "enrolment {} {} {:?}", one.enrolment(), one.kind().as_str(), one.name());
    }
    for one in world.states::<Partner>("partner").iter().filter(|one| one.status() == Standing::Banned) {
        let _ = writeln!(text, "banned {}", one.partner());
    }
    for one in world.states::<TrackingEvent>("tracking").iter().filter(|one| one.status() == event::Status::Recorded) {
        let _ = writeln!(text, "event {} {}", one.event(), one.facts().kind);
    }
    for one in world.states::<Block>("tracking").iter().filter(|one| one.status() == block::Status::Active) {
        let _ = writeln!(text, "blocked {}", one.block());
    }
    for one in world.states::<KnownToPartner>("partner") {
        let _ = writeln!(text, "partner knows {:?}", one.name());
    }
    for one in world.states::<KnownCampaign>("tracking") {
        let _ = writeln!(text, "tracking knows {:?}", one.name());
    }
    text
}
