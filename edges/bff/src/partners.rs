//! Partners: banned and unbanned; partners and their enrolments, read.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use partner::http::{Ban, EnrolmentAnswer, PartnerAnswer};
use partner::views;
use seedwork::message::Command;
use seedwork::view::Read;
use wire::values::{EnrolmentId, PartnerId};

use crate::answer::{json, said, tagged, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/partners/{id}", get(one))
        .route("/v1/partners/{id}/ban", post(ban))
        .route("/v1/partners/{id}/unban", post(unban))
        .route("/v1/enrolments/{id}", get(enrolment))
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
        && let Some(body) = edge.just_written(|read| document(read, &id))?
    {
        return Ok(json(StatusCode::OK, body));
    }
    said(Kind::Other, id.as_str(), format!("/v1/partners/{id}"), settled)
}

fn document(read: &dyn Read, id: &PartnerId) -> Result<Option<Vec<u8>>, String> {
    views::partner(read, id)?.map(|partner| written(&PartnerAnswer::from(&partner))).transpose()
}

async fn one(State(edge): State<Shared>, Id(id): Id<PartnerId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(body) => Ok(tagged(&headers, body)),
        None => Err(Problem::unknown("partner", id.as_str())),
    }
}

async fn enrolment(State(edge): State<Shared>, Id(id): Id<EnrolmentId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| {
        views::enrolment(read, &wanted)?.map(|enrolment| written(&EnrolmentAnswer::from(&enrolment))).transpose()
    });
    match found.await? {
        Some(body) => Ok(tagged(&headers, body)),
        None => Err(Problem::unknown("enrolment", id.as_str())),
    }
}
