//! Partners: read, banned and unbanned.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use partner::http::{Ban, PartnerAnswer};
use partner::views;
use seedwork::message::Command;
use seedwork::view::{Listed, Read, Versioned};
use serde::Deserialize;
use wire::values::PartnerId;

use crate::answer::{changed, json, said, versioned, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Wanted};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/partners", get(list))
        .route("/v1/partners/{id}", get(one))
        .route("/v1/partners/{id}/ban", post(ban))
        .route("/v1/partners/{id}/unban", post(unban))
}

const FIELDS: Fields = partner::http::field;

async fn ban(State(edge): State<Shared>, Id(id): Id<PartnerId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let ban: Ban = body::json_or_nothing(&bytes)?;
    let command = ban.command(id.clone()).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    change(&edge, asked, &bytes, &command, id).await
}

async fn unban(State(edge): State<Shared>, Id(id): Id<PartnerId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let body::Nothing {} = body::json_or_nothing(&bytes)?;
    change(&edge, asked, &bytes, &wire::UnbanPartner { partner: id.clone() }, id).await
}

async fn change<M: Command>(edge: &Edge, asked: Asked, body: &[u8], command: &M, id: PartnerId) -> Result<Response, Problem> {
    let settled = submit(edge, asked, Kind::Other, body, command, FIELDS).await?;
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(body) = edge.left(&format!("/v1/partners/{id}"), |read| document(read, &id)).await?
    {
        return Ok(changed(StatusCode::OK, body));
    }
    said(Kind::Other, id.as_str(), format!("/v1/partners/{id}"), settled)
}

fn document(read: &dyn Read, id: &PartnerId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::partner(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&PartnerAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<PartnerId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(document) => Ok(versioned(&headers, document)),
        None => Err(Problem::unknown("partner", id.as_str())),
    }
}

/// The parameters of a list of partners.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    sort: Option<String>,
    total: Option<String>,
    status: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor, sort, total, status } = pages::parameters(&uri)?;
    let wanted = Wanted::of(limit.as_deref(), cursor.as_deref(), total.as_deref(), pages::id)?;
    let of = partner::http::partners(status.as_deref(), sort.as_deref()).map_err(|refusal| pages::refused(&refusal))?;
    let body = edge.query(move |read| {
        let Listed { items, next } = views::partners(read, &of, wanted.after.as_deref(), wanted.limit)?;
        let total = wanted.total.then(|| views::count_partners(read, &of)).transpose()?;
        pages::page(items.iter().map(PartnerAnswer::from), next, total)
    });
    Ok(json(StatusCode::OK, body.await?))
}
