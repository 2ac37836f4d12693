//! Blocks: raised, lifted and read.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::view::{Read, Versioned};
use tracking::http::{BlockAnswer, NewBlock};
use tracking::views;
use wire::values::BlockId;

use crate::answer::{at, changed, said, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Given};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared, thing};

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
    thing::one(&edge, &headers, "block", id, document).await
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let given = Given::of(&uri, &["status"])?;
    let of = tracking::http::blocks(given.get("status"), given.get("sort"));
    pages::listed(&edge, &given, of, views::blocks, views::count_blocks, |items, next, total| {
        pages::page(items.iter().map(BlockAnswer::from), next, total)
    })
    .await
}
