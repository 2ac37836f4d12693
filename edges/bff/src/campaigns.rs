//! Campaigns: registered, read, cancelled, paused, resumed and finished.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use campaign::http::{CampaignAnswer, Cancel, NewCampaign};
use campaign::views;
use seedwork::message::Command;
use seedwork::view::Read;
use serde::Deserialize;
use wire::values::CampaignId;

use crate::answer::{json, said, tagged, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Page};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Edge, Id, Shared, ids};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/campaigns", post(register).get(list))
        .route("/v1/campaigns/{id}", get(one))
        .route("/v1/campaigns/{id}/cancel", post(cancel))
        .route("/v1/campaigns/{id}/pause", post(pause))
        .route("/v1/campaigns/{id}/resume", post(resume))
        .route("/v1/campaigns/{id}/finish", post(finish))
}

const FIELDS: Fields = campaign::http::field;

async fn register(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewCampaign<'_> = body::json(&bytes)?;
    let location = |id: &CampaignId| format!("/v1/campaigns/{id}");
    send(&edge, asked, &bytes, new, FIELDS, location).await
}

/// Registers a campaign, whichever route it came by.
pub(crate) async fn send(
    edge: &Edge,
    asked: Asked,
    body: &[u8],
    new: NewCampaign<'_>,
    fields: Fields,
    location: impl FnOnce(&CampaignId) -> String,
) -> Result<Response, Problem> {
    let mut minted = 0;
    let command = new.command(|| match &asked.key {
        Some(key) => {
            minted += 1;
            ids::derived(key, minted)
        }
        None => edge.ids.fresh(),
    });
    let command = command.map_err(|refusal| Problem::refused(&refusal, fields))?;
    let settled = submit(edge, asked, Kind::Creation, body, &command, fields).await?;
    said(Kind::Creation, command.campaign.as_str(), location(&command.campaign), settled)
}

async fn cancel(State(edge): State<Shared>, Id(id): Id<CampaignId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let cancel: Cancel = body::json_or_nothing(&bytes)?;
    let command = cancel.command(id.clone()).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    change(&edge, asked, &bytes, &command, id).await
}

async fn pause(edge: State<Shared>, Id(id): Id<CampaignId>, request: Request) -> Result<Response, Problem> {
    bare(&edge, request, &wire::PauseCampaign { campaign: id.clone() }, id).await
}

async fn resume(edge: State<Shared>, Id(id): Id<CampaignId>, request: Request) -> Result<Response, Problem> {
    bare(&edge, request, &wire::ResumeCampaign { campaign: id.clone() }, id).await
}

async fn finish(edge: State<Shared>, Id(id): Id<CampaignId>, request: Request) -> Result<Response, Problem> {
    bare(&edge, request, &wire::FinishCampaign { campaign: id.clone() }, id).await
}

/// A command of which all is said by its path.
async fn bare<M: Command>(edge: &Edge, request: Request, command: &M, id: CampaignId) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(edge, &parts.headers, body, JSON).await?;
    let body::Nothing {} = body::json_or_nothing(&bytes)?;
    change(edge, asked, &bytes, command, id).await
}

/// Changes a campaign: the answer is what becomes of the saga if one was started, else the campaign as it is now.
async fn change<M: Command>(edge: &Edge, asked: Asked, body: &[u8], command: &M, id: CampaignId) -> Result<Response, Problem> {
    let settled = submit(edge, asked, Kind::Other, body, command, FIELDS).await?;
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(body) = edge.just_written(|read| document(read, &id))?
    {
        return Ok(json(StatusCode::OK, body));
    }
    said(Kind::Other, id.as_str(), format!("/v1/campaigns/{id}"), settled)
}

fn document(read: &dyn Read, id: &CampaignId) -> Result<Option<Vec<u8>>, String> {
    views::campaign(read, id)?.map(|campaign| written(&CampaignAnswer::from(&campaign))).transpose()
}

async fn one(State(edge): State<Shared>, Id(id): Id<CampaignId>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(body) => Ok(tagged(&headers, body)),
        None => Err(Problem::unknown("campaign", id.as_str())),
    }
}

/// The parameters of a list of campaigns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    brand: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    page(&edge, pages::parameters(&uri)?, |page| {
        written(&Page { items: page.campaigns.iter().map(CampaignAnswer::from).collect(), next: next(page) })
    })
    .await
}

/// The cursor to the next page, as clients keep it.
pub(crate) fn next(page: &views::Page) -> Option<String> {
    page.next.as_ref().map(campaign::http::cursor)
}

/// Answers a page of campaigns, whichever route it was asked by.
pub(crate) async fn page(
    edge: &Edge,
    parameters: Parameters,
    write: impl FnOnce(&views::Page) -> Result<Vec<u8>, String> + Send + 'static,
) -> Result<Response, Problem> {
    let Parameters { limit, cursor, status, brand } = parameters;
    let limit = pages::limit(limit.as_deref())?;
    let after = pages::cursor(cursor.as_deref(), campaign::http::parse_cursor)?;
    let filter = campaign::http::filter(status.as_deref(), brand.as_deref()).map_err(|refusal| pages::refused(&refusal))?;
    let body = edge.query(move |read| write(&views::campaigns(read, &filter, after.as_ref(), limit)?)).await?;
    Ok(json(StatusCode::OK, body))
}
