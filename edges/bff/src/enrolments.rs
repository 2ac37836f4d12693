//! Enrolments: partners in campaigns, registered by hand, read and cancelled.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use partner::http::{Cancel, EnrolmentAnswer, NewEnrolment};
use partner::views;
use seedwork::view::{Listed, Read, Versioned};
use serde::Deserialize;
use wire::values::EnrolmentId;

use crate::answer::{json, made, said, versioned, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Wanted};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/enrolments", get(list).post(register))
        .route("/v1/enrolments/{id}", get(one))
        .route("/v1/enrolments/{id}/cancel", post(cancel))
}

const FIELDS: Fields = partner::http::field;

async fn register(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewEnrolment = body::json(&bytes)?;
    let command = new.command(|| edge.ids.minted(&asked)).map_err(|refusal| Problem::refused(&refusal, |field| field.into()))?;
    let settled = submit(&edge, asked, Kind::Creation, &bytes, &command, FIELDS).await?;
    now(&edge, Kind::Creation, &command.enrolment, settled).await
}

async fn cancel(State(edge): State<Shared>, Id(id): Id<EnrolmentId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let cancel: Cancel = body::json_or_nothing(&bytes)?;
    let command = cancel.command(id.clone()).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    let settled = submit(&edge, asked, Kind::Other, &bytes, &command, FIELDS).await?;
    now(&edge, Kind::Other, &id, settled).await
}

/// The enrolment as it is now, or where to look when its command waits.
async fn now(edge: &Edge, kind: Kind, id: &EnrolmentId, settled: Settled) -> Result<Response, Problem> {
    let location = format!("/v1/enrolments/{id}");
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(document) = edge.left(&location, |read| document(read, id)).await?
    {
        return Ok(made(kind, document, location));
    }
    said(kind, id.as_str(), location, settled)
}

fn document(read: &dyn Read, id: &EnrolmentId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::enrolment(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&EnrolmentAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<EnrolmentId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(document) => Ok(versioned(&headers, document)),
        None => Err(Problem::unknown("enrolment", id.as_str())),
    }
}

/// The parameters of a list of enrolments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    sort: Option<String>,
    total: Option<String>,
    partner: Option<String>,
    campaign: Option<String>,
    status: Option<String>,
    kind: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor, sort, total, partner, campaign, status, kind } = pages::parameters(&uri)?;
    let wanted = Wanted::of(limit.as_deref(), cursor.as_deref(), total.as_deref(), pages::id)?;
    let of =
        partner::http::enrolments(partner.as_deref(), campaign.as_deref(), status.as_deref(), kind.as_deref(), sort.as_deref());
    let of = of.map_err(|refusal| pages::refused(&refusal))?;
    let body = edge.query(move |read| {
        let Listed { items, next } = views::enrolments(read, &of, wanted.after.as_deref(), wanted.limit)?;
        let total = wanted.total.then(|| views::count_enrolments(read, &of)).transpose()?;
        pages::page(items.iter().map(EnrolmentAnswer::from), next, total)
    });
    Ok(json(StatusCode::OK, body.await?))
}
