//! Sagas: where each stands, what is done, running and still to come, and what would be undone if it failed now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decided, Decision};
use seedwork::operator;
use seedwork::saga::PlanRow;
use seedwork::saga::engine::Entry;
use seedwork::view::{Read, Versioned, saga};
use seedwork::{Context, SagaRecord};
use serde::Deserialize;
use wire::values::check_id;

use crate::answer::{json, versioned, written};
use crate::asked;
use crate::body;
use crate::operate::{self, By};
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Document, Edge, Shared, Text};

mod moves;
mod told;
mod why;

pub(crate) use moves::SERVICE_MAX;
use moves::{AGAIN, Awaiting, Woken};
pub use moves::{Moves, WAITING_MAX};
use told::{Summary, Told};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/sagas", get(list))
        .route("/v1/sagas/{id}", get(one))
        .route("/v1/sagas/{id}/why", get(why))
        .route("/v1/sagas/{id}/retry", post(retry))
        .route("/v1/sagas/{id}/resolve", post(resolve))
        .route("/v1/sagas/{id}/abort", post(abort))
}

/// The table of one version of a saga, as data: what an operator is shown beside where one stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The context that runs it.
    pub context: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The version of the table.
    pub version: u32,
    /// Row 1 first.
    pub rows: Vec<PlanRow>,
}

/// The plans of all sagas that these contexts run, old versions included.
pub fn plans(contexts: &[Context]) -> Vec<Plan> {
    let of = |context: &Context| {
        let context_name = context.name();
        let plan = move |saga: &seedwork::saga::Definition| Plan {
            context: context_name,
            name: saga.name,
            version: saga.version,
            rows: saga.plan.clone(),
        };
        context.plans().iter().map(plan).collect::<Vec<_>>()
    };
    contexts.iter().flat_map(of).collect()
}

/// The parameters of a list of sagas.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    order: Option<String>,
    key: Option<String>,
    name: Option<String>,
    context: Option<String>,
    status: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor, order, key, name, context, status } = pages::parameters(&uri)?;
    let limit = pages::limit(limit.as_deref())?;
    let after = pages::number(cursor.as_deref())?;
    if let Some(key) = &key {
        check_id(key).map_err(|error| Problem::malformed("query-invalid", error).at("key"))?;
    }
    let state = status.map(|status| state(&status)).transpose()?;
    let filter = operator::Sagas { context, name, key, state, newest_first: pages::newest_first(order.as_deref())? };
    let plans = edge.clone();
    let body = edge.query(move |read| {
        let page = operator::sagas(read, &filter, after, limit)?;
        let items = page.items.iter().map(|(id, record)| Summary::of(id, record, plan(&plans.plans, record))).collect();
        written(&Page { items, next: page.next.map(|next| pages::joined(&next)) })
    });
    Ok(json(StatusCode::OK, body.await?))
}

fn state(text: &str) -> Result<operator::State, Problem> {
    let found = operator::State::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, state)| *state).ok_or_else(|| {
        let names: Vec<&str> = operator::State::ALL.iter().map(|(name, _)| *name).collect();
        Problem::malformed("query-invalid", format!("a saga's status is one of {}", names.join(", "))).at("status")
    })
}

fn plan<'a>(plans: &'a [Plan], record: &SagaRecord) -> Option<&'a Plan> {
    plans.iter().find(|plan| plan.context == &*record.context && plan.name == &*record.name && plan.version == record.version)
}

/// A saga as it is now; for whoever has that already and prefers to wait, as soon as it is otherwise. One that has ended moves no more.
async fn one(State(edge): State<Shared>, headers: HeaderMap, Text(id): Text) -> Result<Response, Problem> {
    let here = edge.here()?;
    let mut left = asked::wait(&headers).unwrap_or_default();
    if here.replicas.is_some() {
        left = left.min(SERVICE_MAX);
    }
    let mut awaiting = None;
    loop {
        let (wanted, plans): (String, Arc<_>) = (id.clone(), edge.clone());
        let found = edge.query(move |read| document(read, &wanted, &plans.plans, None)).await?;
        let (found, ended) = found.ok_or_else(|| Problem::unknown("saga", &id))?;
        let response = versioned(&headers, found);
        if response.status() != StatusCode::NOT_MODIFIED || ended || left.is_zero() {
            return Ok(response);
        }
        match &mut awaiting {
            // It may have moved since it was read: what is heard from here on counts from here on.
            None => {
                let full = || {
                    Problem::unavailable("busy", format!("{WAITING_MAX} requests wait for sagas, and there is no room for more"))
                };
                awaiting = Some(here.moves.of(&id).ok_or_else(full)?);
            }
            Some(awaiting) => left = left.saturating_sub(waited(&edge, awaiting, left, here.replicas.is_some()).await),
        }
    }
}

/// Waits for a saga to move, up to so long: how long that was, all of it when the server stops.
async fn waited(edge: &Edge, awaiting: &mut Awaiting, left: Duration, others_write: bool) -> Duration {
    let began = edge.ids.monotonic();
    let longest = if others_write { left.min(AGAIN) } else { left };
    match awaiting.moved(longest).await {
        Woken::Over if awaiting.is_over() => left,
        Woken::Over => longest,
        Woken::Moved => edge.ids.monotonic().saturating_sub(began),
    }
}

/// What its first command caused, and where the time went.
async fn why(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| {
        let Some(Versioned { value: (record, log), .. }) = saga(read, &wanted)? else { return Ok(None) };
        let story = operator::story::story(read, &wanted, &record, &log)?;
        written(&why::Why::of(&wanted, &record, &story)).map(Some)
    });
    found.await?.map(|body| json(StatusCode::OK, body)).ok_or_else(|| Problem::unknown("saga", &id))
}

/// A saga, written, and whether it has ended.
fn document(read: &dyn Read, id: &str, plans: &[Plan], did: Option<&[Entry]>) -> Result<Option<(Document, bool)>, String> {
    let Some(Versioned { version, value: (record, log) }) = saga(read, id)? else { return Ok(None) };
    let value = written(&Told::of(id, &record, plan(plans, &record), &log, did))?;
    Ok(Some((Document { version, value }, record.run.stage.ended())))
}

/// What an operator says of a decision on a saga.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Why {
    reason: Option<String>,
}

/// What an operator found.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Found {
    reason: Option<String>,
    outcome: Option<Outcome>,
}

/// Whether the pivot happened.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Happened,
    DidNotHappen,
}

async fn retry(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    decide(&edge, order.by, id, |context, saga| Decision::Retry { context, saga, reason }).await
}

async fn resolve(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Found { reason, outcome } = body::json(&order.body)?;
    let reason = operate::reason(reason)?;
    let happened = outcome.map(|outcome| outcome == Outcome::Happened);
    decide(&edge, order.by, id, |context, saga| Decision::Resolve { context, saga, happened, reason }).await
}

async fn abort(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::reason(reason)?;
    decide(&edge, order.by, id, |context, saga| Decision::Abort { context, saga, reason }).await
}

/// Decides on a saga and answers it as it is now, with what it wrote down of the decision.
async fn decide(
    edge: &Shared,
    by: By,
    id: String,
    decision: impl FnOnce(Arc<str>, Arc<str>) -> Decision,
) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| Ok(saga(read, &wanted)?.map(|found| found.value.0.context)));
    let context = found.await?.ok_or_else(|| Problem::unknown("saga", &id))?;
    let decided = operate::decide(edge, by, decision(context, id.as_str().into())).await?;
    let Decided::Saga(did) = decided else { return Err(Problem::internal()) };
    let found = edge.just_written(|read| document(read, &id, &edge.plans, Some(&did)))?;
    found.map(|(found, _)| json(StatusCode::OK, found.value)).ok_or_else(|| Problem::unknown("saga", &id))
}
