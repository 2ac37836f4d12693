//! Seed 004: `/registrar-…`, `/obtener-…` and `/eliminar-…` for campaigns, partners and events, with its fields.
//!
//! A registration is accepted at once: what becomes of it is told by `/v1/commands/{command}` and by asking for what it makes. What is
//! cancelled is gone here, as what was deleted was in the seed; `/v1` keeps showing it. The seed's *partner* is an enrolment, a person in
//! a campaign, and has the enrolment's id, `p-1~c-1`; an event may name it by that or by the person.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, LINK};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use campaign::http::{NewBudget, NewCampaign, Object, Text};
use seedwork::command::Class;
use seedwork::executor::First;
use seedwork::message::Command;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wire::values::{CampaignId, EnrolmentId, EventId, PartnerId, Timestamp};

use super::seed_003::{Participante, number};
use crate::answer::document;
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Answered, Kind, answered};
use crate::{Edge, Shared};

mod told;

/// The kind of an event that is registered here: a conversion, as the seed's topic calls it.
const EVENT_KIND: &str = "conversion";
/// Since when a GET that changes something is deprecated (RFC 9745): 26 November 2026.
const DEPRECATED: HeaderValue = HeaderValue::from_static("@1795651200");

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/registrar-campaign", post(register_campaign))
        .route("/registrar-partner", post(register_partner))
        .route("/registrar-evento", post(register_event))
        .route("/obtener-campaigns", get(told::campaigns))
        .route("/obtener-campaigns/{id}", get(told::campaign))
        .route("/obtener-partners", get(told::partners))
        .route("/obtener-partners/{id}", get(told::partner))
        .route("/obtener-eventos", get(told::events))
        .route("/obtener-eventos/{id}", get(told::event))
        .route("/eliminar-campaign/{id}", get(remove_campaign).delete(remove_campaign).head(not_by_head))
        .route("/eliminar-partner/{id}", get(remove_partner).delete(remove_partner).head(not_by_head))
        .route("/eliminar-evento/{id}", get(remove_event).delete(remove_event).head(not_by_head))
}

/// The paths that the document's service of a context answers on its own port, for those who ask it without the bff.
pub(crate) fn of_service(context: &str) -> Routes {
    let routes = Routes::new().route("/health", get(crate::health::healthy));
    match context {
        "campaign" => routes.route("/campaigns", get(told::campaigns)).route("/campaigns/{id}", get(told::campaign)),
        "partner" => routes.route("/partners", get(told::partners)).route("/partners/{id}", get(told::partner)),
        "tracking" => routes.route("/eventos", get(told::events)).route("/eventos/{id}", get(told::event)),
        _ => routes,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Campaign<'a> {
    #[serde(borrow)]
    nombre: Text<'a>,
    #[serde(borrow)]
    presupuesto: &'a RawValue,
    #[serde(borrow)]
    divisa: Text<'a>,
    #[serde(borrow)]
    marca_id: Text<'a>,
    #[serde(borrow)]
    participantes: Vec<Object<Participante<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Partner {
    id_campaign: String,
    nombre: String,
    tipo: String,
    informacion_perfil: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Evento {
    id_partner: String,
    id_campana: String,
}

/// The fields of a campaign's registration: of the command's, and here.
fn campaign_fields(of_command: &str) -> Cow<'_, str> {
    let english = campaign::http::field(of_command);
    let word = |part: &str| {
        let (name, index) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        let here = match name {
            "name" => "nombre",
            "kind" => "tipo",
            "budget" | "amount" => "presupuesto",
            "currency" => "divisa",
            "brand" => "marca_id",
            "participants" => "participantes",
            "profile" => "informacion_perfil",
            other => other,
        };
        format!("{here}{index}")
    };
    match english.strip_prefix("budget.") {
        Some(of_budget) => word(of_budget).into(),
        None => english.split('.').map(word).collect::<Vec<_>>().join(".").into(),
    }
}

/// The fields of a partner's registration: of the command's, and here.
fn partner_fields(of_command: &str) -> Cow<'_, str> {
    match &*partner::http::field(of_command) {
        "campaign" => "id_campaign".into(),
        "name" => "nombre".into(),
        "kind" => "tipo".into(),
        "profile" => "informacion_perfil".into(),
        _ => of_command.into(),
    }
}

async fn register_campaign(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let Campaign { nombre, presupuesto, divisa, marca_id, participantes } = body::json(&bytes)?;
    let new = NewCampaign {
        id: None,
        name: nombre,
        kind: None,
        starts: None,
        ends: None,
        brand: marca_id,
        budget: Object(NewBudget { amount: number(presupuesto, "presupuesto")?, currency: divisa }),
        participants: participantes.into_iter().map(|Object(sent)| Object(sent.in_english())).collect(),
    };
    let command = crate::campaigns::command(&edge, &asked, new, campaign_fields)?;
    accept(&edge, asked, &bytes, &command, campaign_fields).await
}

async fn register_partner(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let Partner { id_campaign, nombre, tipo, informacion_perfil } = body::json(&bytes)?;
    let profile = Some(informacion_perfil);
    let new = partner::http::NewEnrolment { partner: None, campaign: id_campaign, kind: tipo, name: nombre, profile };
    let command = new.command(|| edge.ids.minted(&asked)).map_err(|refusal| Problem::refused(&refusal, partner_fields))?;
    accept(&edge, asked, &bytes, &command, partner_fields).await
}

async fn register_event(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let Evento { id_partner, id_campana } = body::json(&bytes)?;
    let enrolment = enrolment(&id_partner, &id_campana)?;
    let event = EventId::join(&enrolment, edge.ids.minted(&asked)).map_err(|error| {
        tracing::error!(%error, "a minted id is none");
        Problem::internal()
    })?;
    let at = Timestamp::saturating_from_micros(edge.ids.now());
    let command = wire::RecordEvent { event, enrolment, kind: EVENT_KIND.to_owned(), at, value: None };
    accept(&edge, asked, &bytes, &command, tracking::http::field).await
}

/// The enrolment that an event is of: its partner is named by the enrolment's id, as lists here have it, or by the person's.
fn enrolment(partner: &str, campaign: &str) -> Result<EnrolmentId, Problem> {
    fn wrong<E: Display>(field: &'static str) -> impl Fn(E) -> Problem {
        move |error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "id-invalid", error).at(field)
    }
    let campaign = CampaignId::parse(campaign).map_err(wrong("id_campana"))?;
    if !partner.contains('~') {
        return Ok(EnrolmentId::join(&PartnerId::parse(partner).map_err(wrong("id_partner"))?, &campaign));
    }
    let enrolment = EnrolmentId::parse(partner).map_err(wrong("id_partner"))?;
    if enrolment.campaign() != campaign {
        let why = format!("the partner {enrolment} is one of the campaign {}, not of {campaign}", enrolment.campaign());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "event-elsewhere", why).at("id_campana"));
    }
    Ok(enrolment)
}

/// What is answered to a command that is accepted: the seed's own member first.
#[derive(Serialize)]
struct Accepted<'a> {
    status: &'static str,
    id: &'a str,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<&'a str>,
}

fn ok(answered: &Answered, id: &str) -> Result<Response, Problem> {
    let saga = match &answered.first {
        First::Done { saga, .. } => saga.as_deref(),
        _ => None,
    };
    document(StatusCode::OK, &Accepted { status: "ok", id, command: &answered.command, saga })
}

/// Accepts a registration: once it is durable, whatever the business says of it.
async fn accept<M: Command>(edge: &Edge, asked: Asked, body: &[u8], command: &M, fields: Fields) -> Result<Response, Problem> {
    let asked = Asked { wait: None, ..asked };
    let answered = answered(edge, asked, Kind::Creation, body, command).await?;
    match &answered.first {
        First::Refused(refusal) if refusal.class != Class::Precondition => ok(&answered, command.key()),
        First::Done { .. } | First::Waiting => ok(&answered, command.key()),
        First::Refused(_) | First::Mismatch | First::Invalid(_) | First::Unavailable(_) => {
            answered.settled(fields)?;
            Err(Problem::internal())
        }
    }
}

/// The id in a path; one that cannot be an id is of nothing that is known.
fn known<T: FromStr>(kind: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::unknown(kind, text))
}

async fn remove_campaign(State(edge): State<Shared>, path: crate::Text, request: Request) -> Result<Response, Problem> {
    let campaign: CampaignId = known("campaign", &path.0)?;
    let command = wire::CancelCampaign { campaign, reason: campaign::http::NO_REASON.to_owned() };
    remove(&edge, request.into_parts().0, &command).await
}

async fn remove_partner(State(edge): State<Shared>, path: crate::Text, request: Request) -> Result<Response, Problem> {
    let enrolment: EnrolmentId = known("partner", &path.0)?;
    let command = wire::CancelEnrolment { enrolment, reason: partner::http::NO_REASON.to_owned() };
    remove(&edge, request.into_parts().0, &command).await
}

async fn remove_event(State(edge): State<Shared>, path: crate::Text, request: Request) -> Result<Response, Problem> {
    let event: EventId = known("event", &path.0)?;
    remove(&edge, request.into_parts().0, &wire::CancelEvent { event }).await
}

/// Cancels. A GET does it too, as the seed has it, and is told that it should not. A body, if there is one, says nothing.
async fn remove<M: Command>(edge: &Edge, parts: Parts, command: &M) -> Result<Response, Problem> {
    let asked = Asked { wait: None, ..Asked::of(&parts.headers)? };
    let answered = answered(edge, asked, Kind::Other, b"", command).await?;
    let response = match &answered.first {
        First::Done { .. } | First::Waiting => ok(&answered, command.key()),
        _ => answered.settled(|field| field.into()).and(Err(Problem::internal())),
    };
    Ok(if parts.method == Method::GET { deprecated(response.into_response()) } else { response? })
}

/// Says that this is to be asked with DELETE, at the same path.
fn deprecated(mut response: Response) -> Response {
    response.headers_mut().insert(HeaderName::from_static("deprecation"), DEPRECATED);
    response.headers_mut().insert(LINK, HeaderValue::from_static("</docs>; rel=\"deprecation\"; type=\"text/html\""));
    response
}

/// A HEAD would be answered as the GET is, and cancel what its sender only wants to hear of.
async fn not_by_head() -> Response {
    let why = "cancelling is asked for with DELETE, or with GET";
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", why).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("DELETE,GET"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field_in_the_seeds_words() {
        for (english, spanish) in [
            ("name", "nombre"),
            ("budget", "presupuesto"),
            ("budget.amount", "presupuesto"),
            ("budget.currency", "divisa"),
            ("brand", "marca_id"),
            ("participants", "participantes"),
            ("participants[3].kind_as_sent", "participantes[3].tipo"),
            ("participants[12].profile", "participantes[12].informacion_perfil"),
        ] {
            assert_eq!(campaign_fields(english), spanish);
        }
        for (english, spanish) in [("campaign", "id_campaign"), ("kind_as_sent", "tipo"), ("profile", "informacion_perfil")] {
            assert_eq!(partner_fields(english), spanish);
        }
    }

    #[test]
    fn an_event_names_its_partner_by_the_person_or_by_the_enrolment() {
        assert_eq!(enrolment("p-1", "c-1").unwrap().as_str(), "p-1~c-1");
        assert_eq!(enrolment("p-1~c-1", "c-1").unwrap().as_str(), "p-1~c-1");
        for (partner, campaign) in [("p-1~c-2", "c-1"), ("p/1", "c-1"), ("p-1~", "c-1"), ("p-1", "c~1"), ("", "c-1")] {
            assert!(enrolment(partner, campaign).is_err(), "{partner} {campaign}");
        }
    }
}
