//! What seed 004 answers when it is asked: campaigns, partners and events with its fields, one of them or all.

use axum::extract::State;
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use campaign::campaign::Status;
use campaign::http::{cursor, parse_cursor};
use campaign::views::{CampaignDoc, Filter};
use partner::enrolment;
use partner::views::{EnrolmentDoc, Enrolments};
use seedwork::view::{Listed, Read, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracking::event;
use tracking::views::{EventDoc, Events};
use wire::values::{BrandId, CampaignId, Currency, EnrolmentId, EventId};

use super::known;
use crate::answer::{json, versioned, written};
use crate::contracts::seed_003::{ParticipanteDoc, digits, participants};
use crate::ids::seal;
use crate::pages;
use crate::problem::Problem;
use crate::{Edge, Shared, Text};

/// The most items of a list; what is beyond is found at the `Link` with `rel="next"`.
const CAP: usize = 1_000;
/// A list ends with the item that brings it to this many bytes.
const BYTES_MAX: usize = 8 << 20;

#[derive(Serialize)]
struct CampaignItem<'a> {
    id: &'a CampaignId,
    nombre: &'a str,
    presupuesto: Box<RawValue>,
    divisa: Currency,
    marca_id: &'a BrandId,
    participantes: Vec<ParticipanteDoc<'a>>,
}

#[derive(Serialize)]
struct PartnerItem<'a> {
    id: &'a EnrolmentId,
    id_campaign: CampaignId,
    nombre: &'a str,
    tipo: &'a str,
    informacion_perfil: &'a str,
}

#[derive(Serialize)]
struct EventItem<'a> {
    id: &'a EventId,
    id_partner: &'a EnrolmentId,
    id_campana: CampaignId,
    /// Milliseconds since 1970.
    fecha: i64,
}

fn campaign_item(doc: &CampaignDoc) -> Result<Vec<u8>, String> {
    let facts = &doc.facts;
    written(&CampaignItem {
        id: &doc.id,
        nombre: &facts.name,
        presupuesto: digits(facts.budget)?,
        divisa: facts.budget.currency,
        marca_id: &facts.brand,
        participantes: participants(doc).collect(),
    })
}

/// A person says something of itself when it becomes known; an enrolment does not repeat it.
fn partner_item(read: &dyn Read, doc: &EnrolmentDoc) -> Result<Vec<u8>, String> {
    let person = partner::views::partner(read, &doc.id.partner())?;
    written(&PartnerItem {
        id: &doc.id,
        id_campaign: doc.id.campaign(),
        nombre: &doc.name,
        tipo: doc.kind_as_sent.as_deref().unwrap_or(doc.kind.as_str()),
        informacion_perfil: person.as_ref().map(|person| person.value.profile.as_str()).unwrap_or_default(),
    })
}

fn event_item(doc: &EventDoc) -> Result<Vec<u8>, String> {
    let enrolment = &doc.facts.enrolment;
    let fecha = doc.facts.at.as_micros().div_euclid(1_000);
    written(&EventItem { id: &doc.id, id_partner: enrolment, id_campana: enrolment.campaign(), fecha })
}

/// The one parameter of a list: a `Link` holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    cursor: Option<String>,
}

/// Reads a part of a list, after a place and so many at most: the items, written, and the place after each; whether there may be more.
type Part = Result<(Vec<(Vec<u8>, String)>, Option<String>), String>;

/// Answers a list as an array, part by part until it is long or large enough.
async fn array(
    edge: &Edge,
    uri: &Uri,
    check: impl Fn(&str) -> bool,
    part: impl Fn(&dyn Read, Option<&str>, usize) -> Part + Send + 'static,
) -> Result<Response, Problem> {
    let Parameters { cursor } = pages::parameters(uri)?;
    let mut after = pages::cursor(cursor.as_deref(), |place| check(place).then(|| place.to_owned()))?;
    let read = edge.query(move |read| {
        let (mut array, mut count) = (b"[".to_vec(), 0);
        'list: loop {
            let (items, next) = part(read, after.as_deref(), pages::LIMIT_MAX.min(CAP - count))?;
            let last = items.len();
            for (number, (item, place)) in (1..).zip(items) {
                if count > 0 {
                    array.push(b',');
                }
                array.extend_from_slice(&item);
                count += 1;
                let more = number < last || next.is_some();
                if more && (count == CAP || array.len() >= BYTES_MAX) {
                    after = Some(place);
                    break 'list;
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        array.push(b']');
        Ok((array, after))
    });
    let (array, next) = read.await?;
    let mut response = json(StatusCode::OK, array);
    if let Some(next) = next {
        let link = format!("<{}?cursor={}>; rel=\"next\"", uri.path(), seal(&next));
        response.headers_mut().extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    }
    Ok(response)
}

pub(super) async fn campaigns(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let statuses = Status::ALL.into_iter().filter(|status| *status != Status::Cancelled).collect();
    let filter = Filter { statuses, ..Filter::default() };
    let part = move |read: &dyn Read, after: Option<&str>, limit: usize| {
        let page = campaign::views::campaigns(read, &filter, after.and_then(parse_cursor).as_ref(), limit)?;
        let item = |found: &Versioned<CampaignDoc>| {
            let place = campaign::views::Cursor { created: found.value.created.as_micros(), id: found.value.id.to_string() };
            Ok((campaign_item(&found.value)?, cursor(&place)))
        };
        Ok((page.campaigns.iter().map(item).collect::<Result<_, String>>()?, page.next.as_ref().map(cursor)))
    };
    array(&edge, &uri, |place| parse_cursor(place).is_some(), part).await
}

pub(super) async fn partners(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let of = Enrolments { status: Some(enrolment::Status::Registered), ..Enrolments::default() };
    let part = move |read: &dyn Read, after: Option<&str>, limit: usize| {
        let Listed { items, next } = partner::views::enrolments(read, &of, after, limit)?;
        let item = |doc: &EnrolmentDoc| Ok((partner_item(read, doc)?, doc.id.to_string()));
        Ok((items.iter().map(item).collect::<Result<_, String>>()?, next))
    };
    array(&edge, &uri, |_| true, part).await
}

pub(super) async fn events(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let of = Events { status: Some(event::Status::Recorded), ..Events::default() };
    let part = move |read: &dyn Read, after: Option<&str>, limit: usize| {
        let Listed { items, next } = tracking::views::events(read, &of, after, limit)?;
        let item = |doc: &EventDoc| Ok((event_item(doc)?, doc.id.to_string()));
        Ok((items.iter().map(item).collect::<Result<_, String>>()?, next))
    };
    array(&edge, &uri, |_| true, part).await
}

/// Answers one thing, unless there is none or it is cancelled.
async fn one(
    edge: &Edge,
    headers: &HeaderMap,
    (kind, id): (&str, &str),
    find: impl FnOnce(&dyn Read) -> Result<Option<Versioned<Vec<u8>>>, String> + Send + 'static,
) -> Result<Response, Problem> {
    match edge.query(find).await? {
        Some(document) => Ok(versioned(headers, document)),
        None => Err(Problem::unknown(kind, id)),
    }
}

pub(super) async fn campaign(State(edge): State<Shared>, Text(id): Text, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted: CampaignId = known("campaign", &id)?;
    let find = move |read: &dyn Read| match campaign::views::campaign(read, &wanted)? {
        Some(Versioned { version, value }) if value.status != Status::Cancelled => {
            Ok(Some(Versioned { version, value: campaign_item(&value)? }))
        }
        _ => Ok(None),
    };
    one(&edge, &headers, ("campaign", &id), find).await
}

pub(super) async fn partner(State(edge): State<Shared>, Text(id): Text, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted: EnrolmentId = known("partner", &id)?;
    let find = move |read: &dyn Read| match partner::views::enrolment(read, &wanted)? {
        Some(Versioned { version, value }) if value.status == enrolment::Status::Registered => {
            Ok(Some(Versioned { version, value: partner_item(read, &value)? }))
        }
        _ => Ok(None),
    };
    one(&edge, &headers, ("partner", &id), find).await
}

pub(super) async fn event(State(edge): State<Shared>, Text(id): Text, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted: EventId = known("event", &id)?;
    let find = move |read: &dyn Read| match tracking::views::event(read, &wanted)? {
        Some(Versioned { version, value }) if value.status == event::Status::Recorded => {
            Ok(Some(Versioned { version, value: event_item(&value)? }))
        }
        _ => Ok(None),
    };
    one(&edge, &headers, ("event", &id), find).await
}
