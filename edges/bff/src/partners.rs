//! Partners: read, banned and unbanned.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use partner::http::{Ban, PartnerAnswer};
use partner::views;
use seedwork::message::Command;
use seedwork::view::{Read, Versioned};
use wire::values::PartnerId;

use crate::answer::written;
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Given};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, submit};
use crate::{Edge, Id, Shared, thing};

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
    thing::now(edge, Kind::Other, ("/v1/partners", &id), settled, document).await
}

fn document(read: &dyn Read, id: &PartnerId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::partner(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&PartnerAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<PartnerId>, headers: HeaderMap) -> Result<Response, Problem> {
    thing::one(&edge, &headers, "partner", id, document).await
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let given = Given::of(&uri, &["status"])?;
    let of = partner::http::partners(given.get("status"), given.get("sort"));
    pages::listed(&edge, &given, of, views::partners, views::count_partners, |items, next, total| {
        pages::page(items.iter().map(PartnerAnswer::from), next, total)
    })
    .await
}
