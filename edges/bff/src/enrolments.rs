//! Enrolments: partners in campaigns, registered by hand, read and cancelled.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use partner::http::{Cancel, EnrolmentAnswer, NewEnrolment};
use partner::views;
use seedwork::view::{Read, Versioned};
use wire::values::EnrolmentId;

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
        .route("/v1/enrolments", get(list).post(register))
        .route("/v1/enrolments/{id}", get(one))
        .route("/v1/enrolments/{id}/cancel", post(cancel))
}

const PATH: &str = "/v1/enrolments";
const FIELDS: Fields = partner::http::field;

async fn register(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewEnrolment = body::json(&bytes)?;
    let command = new.command(|| edge.ids.minted(&asked)).map_err(|refusal| Problem::refused(&refusal, |field| field.into()))?;
    let settled = submit(&edge, asked, Kind::Creation, &bytes, &command, FIELDS).await?;
    thing::now(&edge, Kind::Creation, (PATH, &command.enrolment), settled, document).await
}

async fn cancel(State(edge): State<Shared>, Id(id): Id<EnrolmentId>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let cancel: Cancel = body::json_or_nothing(&bytes)?;
    let command = cancel.command(id.clone()).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    let settled = submit(&edge, asked, Kind::Other, &bytes, &command, FIELDS).await?;
    thing::now(&edge, Kind::Other, (PATH, &id), settled, document).await
}

fn document(read: &dyn Read, id: &EnrolmentId) -> Result<Option<Versioned<Vec<u8>>>, String> {
    let Some(Versioned { version, value }) = views::enrolment(read, id)? else { return Ok(None) };
    Ok(Some(Versioned { version, value: written(&EnrolmentAnswer::from(&value))? }))
}

async fn one(State(edge): State<Shared>, Id(id): Id<EnrolmentId>, headers: HeaderMap) -> Result<Response, Problem> {
    thing::one(&edge, &headers, "enrolment", id, document).await
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let given = Given::of(&uri, &["partner", "campaign", "status", "kind"])?;
    let of = partner::http::enrolments(
        given.get("partner"),
        given.get("campaign"),
        given.get("status"),
        given.get("kind"),
        given.get("sort"),
    );
    pages::listed(&edge, &given, of, views::enrolments, views::count_enrolments, |items, next, total| {
        pages::page(items.iter().map(EnrolmentAnswer::from), next, total)
    })
    .await
}
