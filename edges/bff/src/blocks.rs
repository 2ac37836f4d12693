//! Blocks: raised, lifted and read; and the events of enrolments, read.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::view::Read;
use tracking::http::{BlockAnswer, EventAnswer, NewBlock};
use tracking::views;
use wire::values::{BlockId, EventId};

use crate::answer::{at, json, said, tagged, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/blocks", post(block))
        .route("/v1/blocks/{id}", get(one).delete(unblock))
        .route("/v1/events/{id}", get(event))
}

const FIELDS: Fields = tracking::http::field;

/// A block can be lifted and raised again, so its id does not make the request a repetition of an earlier one.
async fn block(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewBlock = body::json(&bytes)?;
    let command = new.command().map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    let settled = submit(&edge, asked, Kind::Other, &bytes, &command, FIELDS).await?;
    let response = changed(&edge, StatusCode::CREATED, &command.block, settled)?;
    // One that waits for its turn says itself where to look.
    let raised = response.status() == StatusCode::CREATED;
    Ok(if raised { at(response, format!("/v1/blocks/{}", command.block)) } else { response })
}

async fn unblock(State(edge): State<Shared>, Id(id): Id<BlockId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let body::Nothing {} = body::json_or_nothing(&bytes)?;
    let settled = submit(&edge, asked, Kind::Other, &bytes, &wire::Unblock { block: id.clone() }, FIELDS).await?;
    changed(&edge, StatusCode::OK, &id, settled)
}

fn changed(edge: &Edge, status: StatusCode, id: &BlockId, settled: Settled) -> Result<Response, Problem> {
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(body) = edge.just_written(|read| document(read, id))?
    {
        return Ok(json(status, body));
    }
    said(Kind::Other, id.as_str(), format!("/v1/blocks/{id}"), settled)
}

fn document(read: &dyn Read, id: &BlockId) -> Result<Option<Vec<u8>>, String> {
    views::block(read, id)?.map(|block| written(&BlockAnswer::from(&block))).transpose()
}

async fn one(State(edge): State<Shared>, Id(id): Id<BlockId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(body) => Ok(tagged(&headers, body)),
        None => Err(Problem::unknown("block", id.as_str())),
    }
}

async fn event(State(edge): State<Shared>, Id(id): Id<EventId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| views::event(read, &wanted)?.map(|event| written(&EventAnswer::from(&event))).transpose());
    match found.await? {
        Some(body) => Ok(tagged(&headers, body)),
        None => Err(Problem::unknown("event", id.as_str())),
    }
}
