//! Tracking events: what enrolled partners caused, recorded by hand, read and cancelled.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::view::{Read, Versioned};
use tracking::http::{EventAnswer, NewEvent};
use tracking::views;
use wire::values::{EventId, Timestamp};

use crate::answer::written;
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Given};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, submit};
use crate::{Id, Shared, thing};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/events", get(list).post(record))
        .route("/v1/events/{id}", get(one))
        .route("/v1/events/{id}/cancel", post(cancel))
}

const PATH: &str = "/v1/events";
const FIELDS: Fields = tracking::http::field;

async fn record(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewEvent = body::json(&bytes)?;
    let at = Timestamp::saturating_from_micros(edge.ids.now());
    let command = new.command(at, || edge.ids.minted(&asked)).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    let settled = submit(&edge, asked, Kind::Creation, &bytes, &command, FIELDS).await?;
    thing::now(&edge, Kind::Creation, (PATH, &command.event), settled, document).await
}

async fn cancel(State(edge): State<Shared>, Id(id): Id<EventId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let body::Nothing {} = body::json_or_nothing(&bytes)?;
    let settled = submit(&edge, asked, Kind::Other, &bytes, &wire::CancelEvent { event: id.clone() }, FIELDS).await?;
    thing::now(&edge, Kind::Other, (PATH, &id), settled, document).await
}

fn document(read: &dyn Read, id: &EventId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::event(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&EventAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<EventId>, headers: HeaderMap) -> Result<Response, Problem> {
    thing::one(&edge, &headers, "event", id, document).await
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let given = Given::of(&uri, &["enrolment", "partner", "campaign", "status", "kind", "from", "to"])?;
    let of = tracking::http::events(|name| given.get(name));
    pages::listed(&edge, &given, of, views::events, views::count_events, |items, next, total| {
        pages::page(items.iter().map(EventAnswer::from), next, total)
    })
    .await
}
