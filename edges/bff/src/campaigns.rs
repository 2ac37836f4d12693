//! Campaigns: registered, read, cancelled, paused, resumed and finished.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use campaign::http::{CampaignAnswer, Cancel, NewCampaign};
use campaign::views::{self, CampaignDoc};
use seedwork::message::Command;
use seedwork::view::{Read, Total, Versioned};
use wire::values::CampaignId;

use crate::answer::{json, said, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Given};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, submit};
use crate::{Edge, Id, Shared, ids, thing};

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
    let command = command(edge, &asked, new, fields)?;
    let settled = submit(edge, asked, Kind::Creation, body, &command, fields).await?;
    said(Kind::Creation, command.campaign.as_str(), location(&command.campaign), settled)
}

/// The command that registers a campaign, with ids for whatever comes without.
pub(crate) fn command(
    edge: &Edge,
    asked: &Asked,
    new: NewCampaign<'_>,
    fields: Fields,
) -> Result<wire::RegisterCampaign, Problem> {
    let mut minted = 0;
    let command = new.command(|| match &asked.key {
        Some(key) => {
            minted += 1;
            ids::derived(key, minted)
        }
        None => edge.ids.fresh(),
    });
    command.map_err(|refusal| Problem::refused(&refusal, fields))
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
    thing::now(edge, Kind::Other, ("/v1/campaigns", &id), settled, document).await
}

fn document(read: &dyn Read, id: &CampaignId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::campaign(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&CampaignAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<CampaignId>, headers: HeaderMap) -> Result<Response, Problem> {
    thing::one(&edge, &headers, "campaign", id, document).await
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    page(&edge, &uri, |page, next, total| {
        pages::page(page.iter().map(|campaign| CampaignAnswer::from(&campaign.value)), next, total)
    })
    .await
}

/// Answers a page of campaigns, whichever route it was asked by.
pub(crate) async fn page(
    edge: &Edge,
    uri: &Uri,
    write: impl FnOnce(&[Versioned<CampaignDoc>], Option<String>, Option<Total>) -> Result<Vec<u8>, String> + Send + 'static,
) -> Result<Response, Problem> {
    let given = Given::of(uri, &["status", "brand", "kind", "name"])?;
    let wanted = given.wanted(campaign::http::parse_cursor)?;
    let filter = campaign::http::filter(|name| given.get(name)).map_err(|refusal| pages::refused(&refusal))?;
    let body = edge.query(move |read| {
        let page = views::campaigns(read, &filter, wanted.after.as_ref(), wanted.limit)?;
        let total = wanted.total.then(|| views::total(read, &filter)).transpose()?;
        write(&page.campaigns, page.next.as_ref().map(campaign::http::cursor), total)
    });
    Ok(json(StatusCode::OK, body.await?))
}
