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
use serde_json::Value;
use tracking::block::{self, Block};
use tracking::event::{self, TrackingEvent};
use tracking::known_campaign::KnownCampaign;

use crate::Alpes;

/// The name of the saga that registers a campaign.
pub const REGISTRATION: &str = "campaign.registration";
/// The name of the saga that closes one.
pub const CLOSING: &str = "campaign.closing";

/// A campaign.
///
/// # Panics
/// When there is none of this id.
#[track_caller]
pub fn campaign_of(world: &impl Alpes, id: &str) -> Campaign {
    world.state("campaign", id).unwrap_or_else(|| panic!("there is no campaign {id}"))
}

/// Where a campaign stands.
///
/// # Panics
/// When there is none of this id.
#[track_caller]
pub fn status(world: &impl Alpes, id: &str) -> Status {
    campaign_of(world, id).status()
}

/// What a brand has reserved, and what is available, in major units; nothing when it has no such account.
pub fn account(world: &impl Alpes, id: &str) -> Option<(String, String)> {
    let account: Account = world.state("campaign", id)?;
    Some((account.reserved().to_decimal_string(), account.available().to_decimal_string()))
}

/// Where a reservation stands.
pub fn reservation(world: &impl Alpes, id: &str) -> Option<reservation::Status> {
    world.state::<Reservation>("campaign", id).map(|reservation| reservation.status())
}

/// Where an enrolment stands.
pub fn enrolment(world: &impl Alpes, id: &str) -> Option<enrolment::Status> {
    world.state::<Enrolment>("partner", id).map(|enrolment| enrolment.status())
}

/// Where an event stands.
pub fn event(world: &impl Alpes, id: &str) -> Option<event::Status> {
    world.state::<TrackingEvent>("tracking", id).map(|event| event.status())
}

/// The sagas of one name that a campaign has had, with their ids.
pub fn sagas_of(world: &impl Alpes, name: &str, campaign: &str) -> Vec<(String, SagaRecord)> {
    let lives_under = |id: &str| id.split_once('~').is_some_and(|(key, _)| key == campaign);
    world.sagas().into_iter().filter(|(id, record)| &*record.name == name && lives_under(id)).collect()
}

/// Every message in the logs, with its topic.
///
/// # Panics
/// When one is no JSON.
fn logged(world: &impl Alpes) -> impl Iterator<Item = (String, Value)> {
    let sql = "SELECT name.text, log.raw FROM log JOIN name ON name.id = log.topic";
    let rows = world.each_store(sql, &[]).into_iter().flat_map(|(_, rows)| rows);
    rows.map(|row| {
        let [topic, raw] = row.as_slice() else { panic!("a row of the log has two columns here: {row:?}") };
        let (topic, raw) = (topic.text().unwrap_or_default(), raw.text().unwrap_or_default());
        (topic.to_owned(), serde_json::from_str(raw).unwrap_or_else(|error| panic!("{raw}: {error}")))
    })
}

/// How often each thing was said to the world: the events in the logs by kind and key.
pub fn said(world: &impl Alpes) -> BTreeMap<(String, String), i64> {
    let mut said = BTreeMap::new();
    for (_, event) in logged(world).filter(|(topic, _)| topic.ends_with(".events")) {
        let [kind, key] = ["type", "subject"].map(|name| event[name].as_str().unwrap_or_default().to_owned());
        *said.entry((kind, key)).or_insert(0) += 1;
    }
    said
}

/// What a saga sent twice under one number, or heard the same answer to twice: with exactly one effect each, nothing.
pub fn doubled(world: &impl Alpes) -> Vec<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (topic, message) in logged(world).filter(|(_, message)| !message["saga"].is_null()) {
        let saga = ["id", "row", "index", "direction", "attempt"].map(|part| message["saga"][part].to_string()).join(" ");
        let which = format!("{topic} {} {saga} {}", message["type"], message["SagaAnswered"]);
        *times.entry(which).or_default() += 1;
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(which, _)| which).collect()
}

/// What counts, as text: live campaigns, enrolments, events, reservations, accounts, bans and blocks. History is left out: what was
/// cancelled, released or lifted stays on record and no longer counts, and so does a partner that nobody has banned.
pub fn view(world: &impl Alpes) -> String {
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
