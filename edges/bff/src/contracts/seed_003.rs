//! Seed 003: `POST /campaña-comando` and `GET /campaña-query`, with its Spanish fields.
//!
//! The seed's own header, `Content-Type: aplication/json` (sic), is taken. Amounts are JSON numbers here; they are read and written as
//! the digits that they are, never as floats. Kinds are answered as they were sent.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use campaign::http::{NewBudget, NewCampaign, NewParticipant, Object, Text};
use campaign::views::{self, CampaignDoc};
use seedwork::view::Versioned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wire::values::{BrandId, CampaignId, Currency, Money, PartnerId, Timestamp};

use crate::answer::{versioned, written};
use crate::asked::Asked;
use crate::body;
use crate::campaigns::{page, send};
use crate::pages;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Id, Shared};

/// How `ñ` is spelled in paths: as it is, percent-encoded in either case, and as those write who have no such key.
const N: [&str; 6] = ["ñ", "%C3%B1", "%c3%b1", "%C3%b1", "%c3%B1", "n"];
/// The seed spells it both ways.
const COMMAND: [&str; 2] = ["comando", "commando"];

const TYPES: body::Types = &["application/json", "aplication/json"];

/// The fields of a campaign: in `/v1`, and here.
const WORDS: &[(&str, &str)] = &[
    ("name", "nombre"),
    ("kind", "tipo"),
    ("status", "estado"),
    ("starts", "fecha_inicio"),
    ("ends", "fecha_fin"),
    ("budget", "presupuesto"),
    ("amount", "monto"),
    ("currency", "divisa"),
    ("brand", "marca_id"),
    ("participants", "participantes"),
    ("profile", "informacion_perfil"),
];

pub(crate) fn routes() -> Routes {
    let routes = command_paths().iter().fold(Routes::new(), |routes, path| routes.route(path, post(register)));
    let routes = query_paths("").iter().fold(routes, |routes, path| routes.route(path, get(list)));
    query_paths("/{id}").iter().fold(routes, |routes, path| routes.route(path, get(one)))
}

/// Every spelling of the path that commands go to.
pub(crate) fn command_paths() -> Vec<String> {
    N.iter().flat_map(|n| COMMAND.map(|command| format!("/campa{n}a-{command}"))).collect()
}

/// Every spelling of the path of queries, with this behind it.
pub(crate) fn query_paths(rest: &str) -> Vec<String> {
    N.iter().map(|n| format!("/campa{n}a-query{rest}")).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Campaña<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    nombre: Text<'a>,
    #[serde(borrow, default)]
    tipo: Option<Text<'a>>,
    #[serde(borrow, default)]
    estado: Option<Text<'a>>,
    #[serde(borrow, default)]
    fecha_inicio: Option<Text<'a>>,
    #[serde(borrow, default)]
    fecha_fin: Option<Text<'a>>,
    #[serde(borrow)]
    presupuesto: Object<Presupuesto<'a>>,
    #[serde(borrow)]
    marca_id: Text<'a>,
    #[serde(borrow)]
    participantes: Vec<Object<Participante<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Presupuesto<'a> {
    #[serde(borrow)]
    monto: &'a RawValue,
    #[serde(borrow)]
    divisa: Text<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct Participante<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    tipo: Text<'a>,
    #[serde(borrow)]
    nombre: Text<'a>,
    #[serde(borrow, default)]
    informacion_perfil: Option<Text<'a>>,
}

async fn register(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, TYPES).await?;
    let new = in_english(body::json(&bytes)?)?;
    send(&edge, asked, &bytes, new, field, |id| format!("/campa%C3%B1a-query/{id}")).await
}

fn in_english(sent: Campaña<'_>) -> Result<NewCampaign<'_>, Problem> {
    let Campaña { id, nombre, tipo, estado, fecha_inicio, fecha_fin, presupuesto, marca_id, participantes } = sent;
    if estado.is_some_and(|estado| estado.0 != "draft") {
        let why = "a campaign begins as draft: its registration makes it active";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "status-not-draft", why).at("estado"));
    }
    let Presupuesto { monto, divisa } = presupuesto.0;
    Ok(NewCampaign {
        id,
        name: nombre,
        kind: tipo,
        starts: fecha_inicio,
        ends: fecha_fin,
        brand: marca_id,
        budget: Object(NewBudget { amount: number(monto, "presupuesto.monto")?, currency: divisa }),
        participants: participantes.into_iter().map(|Object(sent)| Object(sent.in_english())).collect(),
    })
}

/// An amount's digits as they were sent.
pub(super) fn number<'a>(amount: &'a RawValue, field: &str) -> Result<Text<'a>, Problem> {
    let digits = amount.get();
    if digits.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(Text(Cow::Borrowed(digits)));
    }
    Err(Problem::malformed("type-wrong", "the amount is a JSON number").at(field))
}

impl<'a> Participante<'a> {
    pub(super) fn in_english(self) -> NewParticipant<'a> {
        let Participante { id, tipo, nombre, informacion_perfil } = self;
        NewParticipant { id, kind: tipo, name: nombre, profile: informacion_perfil }
    }
}

/// What a field of the command is called here: `participants[3].name` is `participantes[3].nombre`.
fn field(of_command: &str) -> Cow<'_, str> {
    let english = campaign::http::field(of_command);
    let word = |part: &str| {
        let (name, index) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        let here = WORDS.iter().find(|(there, _)| *there == name).map_or(name, |(_, here)| here);
        format!("{here}{index}")
    };
    english.split('.').map(word).collect::<Vec<_>>().join(".").into()
}

#[derive(Serialize)]
struct CampañaDoc<'a> {
    id: &'a CampaignId,
    nombre: &'a str,
    tipo: &'a str,
    estado: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fecha_inicio: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fecha_fin: Option<Timestamp>,
    presupuesto: PresupuestoDoc,
    marca_id: &'a BrandId,
    participantes: Vec<ParticipanteDoc<'a>>,
}

#[derive(Serialize)]
struct PresupuestoDoc {
    monto: Box<RawValue>,
    divisa: Currency,
}

#[derive(Serialize)]
pub(super) struct ParticipanteDoc<'a> {
    id: &'a PartnerId,
    tipo: &'a str,
    nombre: &'a str,
    informacion_perfil: &'a str,
}

fn in_spanish(doc: &CampaignDoc) -> Result<CampañaDoc<'_>, String> {
    let facts = &doc.facts;
    let monto = digits(facts.budget)?;
    Ok(CampañaDoc {
        id: &doc.id,
        nombre: &facts.name,
        tipo: facts.kind_as_sent.as_deref().unwrap_or(facts.kind.as_str()),
        estado: doc.status.as_str(),
        fecha_inicio: facts.starts,
        fecha_fin: facts.ends,
        presupuesto: PresupuestoDoc { monto, divisa: facts.budget.currency },
        marca_id: &facts.brand,
        participantes: participants(doc).collect(),
    })
}

/// An amount as a JSON number with all decimals of its currency.
pub(super) fn digits(amount: Money) -> Result<Box<RawValue>, String> {
    RawValue::from_string(amount.to_decimal_string()).map_err(|error| format!("no JSON number: {error}"))
}

pub(super) fn participants(doc: &CampaignDoc) -> impl Iterator<Item = ParticipanteDoc<'_>> {
    doc.facts.participants.iter().map(|of| ParticipanteDoc {
        id: &of.id,
        tipo: of.kind_as_sent.as_deref().unwrap_or(of.kind.as_str()),
        nombre: &of.name,
        informacion_perfil: &of.profile,
    })
}

async fn one(State(edge): State<Shared>, Id(id): Id<CampaignId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| match views::campaign(read, &wanted)? {
        Some(Versioned { version, value }) => Ok(Some(Versioned { version, value: written(&in_spanish(&value)?)? })),
        None => Ok(None),
    });
    match found.await? {
        Some(document) => Ok(versioned(&headers, document)),
        None => Err(Problem::unknown("campaign", id.as_str())),
    }
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    page(&edge, &uri, |page, next, total| {
        let items = page.iter().map(|campaign| in_spanish(&campaign.value)).collect::<Result<Vec<_>, _>>()?;
        pages::page(items.into_iter(), next, total)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field_in_the_seeds_words() {
        for (english, spanish) in [
            ("campaign", "id"),
            ("id", "id"),
            ("kind_as_sent", "tipo"),
            ("ends", "fecha_fin"),
            ("budget", "presupuesto"),
            ("budget.amount", "presupuesto.monto"),
            ("budget.currency", "presupuesto.divisa"),
            ("brand", "marca_id"),
            ("participants", "participantes"),
            ("participants[3].id", "participantes[3].id"),
            ("participants[12].profile", "participantes[12].informacion_perfil"),
            ("participants[0].kind_as_sent", "participantes[0].tipo"),
        ] {
            assert_eq!(field(english), spanish);
        }
    }
}
