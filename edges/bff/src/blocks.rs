//! Blocks: raised, lifted and read.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::view::{Listed, Read, Versioned};
use serde::Deserialize;
use tracking::http::{BlockAnswer, NewBlock};
use tracking::views;
use wire::values::BlockId;

use crate::answer::{at, changed, json, said, versioned, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Wanted};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new().route("/v1/blocks", post(block).get(list)).route("/v1/blocks/{id}", get(one).delete(unblock))
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
    let response = now(&edge, StatusCode::CREATED, &command.block, settled).await?;
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
    now(&edge, StatusCode::OK, &id, settled).await
}

/// The block as it is now.
async fn now(edge: &Edge, status: StatusCode, id: &BlockId, settled: Settled) -> Result<Response, Problem> {
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(body) = edge.left(&format!("/v1/blocks/{id}"), |read| document(read, id)).await?
    {
        return Ok(changed(status, body));
    }
    said(Kind::Other, id.as_str(), format!("/v1/blocks/{id}"), settled)
}

fn document(read: &dyn Read, id: &BlockId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::block(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&BlockAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<BlockId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(document) => Ok(versioned(&headers, document)),
        None => Err(Problem::unknown("block", id.as_str())),
    }
}

/// The parameters of a list of blocks.
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
    let of = tracking::http::blocks(status.as_deref(), sort.as_deref()).map_err(|refusal| pages::refused(&refusal))?;
    let body = edge.query(move |read| {
        let Listed { items, next } = views::blocks(read, &of, wanted.after.as_deref(), wanted.limit)?;
        let total = wanted.total.then(|| views::count_blocks(read, &of)).transpose()?;
        pages::page(items.iter().map(BlockAnswer::from), next, total)
    });
    Ok(json(StatusCode::OK, body.await?))
}
