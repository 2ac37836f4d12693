//! An operator's decisions: read from a request, handed to the owner, kept with who took them and why.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use seedwork::executor::{Decided, Decision, Operation, Reading, Undecided};
use seedwork::operator;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::values::Timestamp;

use crate::answer::{json, written};
use crate::asked::Asked;
use crate::body::{self, JSON, Whole, busy};
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::submit::FIRST_MAX;
use crate::{Edge, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new().route("/v1/operations", get(list))
}

/// The longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 500;

/// Who decides, and in which trace it was asked.
#[derive(Clone)]
pub(crate) struct By {
    pub actor: Arc<str>,
    pub trace: Option<Arc<str>>,
}

/// Who decides, and the body that says what.
pub(crate) struct Order {
    pub by: By,
    pub body: Whole,
}

/// Reads an operator's request.
pub(crate) async fn order(edge: &Edge, request: Request) -> Result<(Parts, Order), Problem> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let body = body::read(edge, &parts.headers, body, JSON).await?;
    let actor = asked.actor.map_or_else(|| edge.words.actor.clone(), Arc::from);
    Ok((parts, Order { by: By { actor, trace: asked.trace }, body }))
}

/// Hands a decision to the owner and waits for the commit that it is kept in.
pub(crate) async fn decide(edge: &Edge, by: By, decision: Decision) -> Result<Decided, Problem> {
    let (sender, answer) = oneshot::channel();
    // Whoever asked may have gone.
    let reply = Box::new(move |answer| drop(sender.send(answer)));
    let By { actor, trace } = by;
    edge.here()?.owner.operate(Operation { actor, trace, decision }, reply).map_err(|_| busy())?;
    match timeout(FIRST_MAX, answer).await {
        Ok(Ok(Ok(decided))) => Ok(decided),
        Ok(Ok(Err(Undecided::Refused(refusal)))) => Err(Problem::refused(&refusal, |field| field.into())),
        Ok(Ok(Err(Undecided::Unavailable(why)))) => Err(Problem::unavailable("unavailable", why)),
        Ok(Ok(Err(Undecided::Elsewhere(partition)))) => Err(Problem::elsewhere(partition)),
        Ok(Err(_)) => Err(Problem::unavailable("stopping", "the server stops; look whether this was done before you ask again")),
        Err(_) => {
            Err(Problem::unavailable("no-answer", "there is no answer yet; look whether this was done before you ask again"))
        }
    }
}

/// What the owner reads, asked of itself.
pub(crate) async fn readings(edge: &Edge) -> Result<Vec<Reading>, Problem> {
    let (sender, readings) = oneshot::channel();
    // Whoever asked may have gone.
    edge.here()?.owner.readings(Box::new(move |readings| sender.send(readings).unwrap_or_default())).map_err(|_| busy())?;
    match timeout(FIRST_MAX, readings).await {
        Ok(Ok(readings)) => Ok(readings),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("no-answer", "there is no answer yet; ask again in a second")),
    }
}

/// A reason that must be given.
pub(crate) fn reason(text: Option<String>) -> Result<String, Problem> {
    let missing = || {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason-missing", "say why: the reason is kept with the decision")
            .at("reason")
    };
    optional_reason(text)?.ok_or_else(missing)
}

/// A reason that may be given.
pub(crate) fn optional_reason(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let wrong = |why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason-invalid", why).at("reason");
    if text.chars().count() > REASON_MAX_CHARS {
        return Err(wrong(format!("a reason has at most {REASON_MAX_CHARS} characters")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(wrong("a reason is printable text".to_owned()));
    }
    Ok(Some(text))
}

/// A decision as it is answered.
#[derive(Serialize)]
struct Kept<'a> {
    at: Timestamp,
    actor: &'a str,
    decision: &'a str,
    about: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    told: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    about: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor, about } = pages::parameters(&uri)?;
    let limit = pages::limit(limit.as_deref())?;
    let after = pages::number(cursor.as_deref())?;
    let body = edge.query(move |read| {
        let page = operator::decisions(read, about.as_deref(), after, limit)?;
        let items = page.items.iter().map(|kept| {
            let told = serde_json::from_str(&kept.told).map_err(|error| format!("a decision cannot be read: {error}"))?;
            Ok(Kept {
                at: Timestamp::saturating_from_micros(kept.at),
                actor: &kept.actor,
                decision: &kept.decision,
                about: &kept.about,
                reason: kept.reason.as_deref(),
                told,
            })
        });
        let items = items.collect::<Result<Vec<Kept<'_>>, String>>()?;
        written(&Page { items, next: page.next.map(|next| pages::joined(&next)) })
    });
    Ok(json(StatusCode::OK, body.await?))
}
