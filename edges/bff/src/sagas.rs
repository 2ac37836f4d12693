//! Sagas: where each stands, what is done, running and still to come, and what would be undone if it failed now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decided, Decision};
use seedwork::operator;
use seedwork::saga::PlanRow;
use seedwork::saga::engine::Entry;
use seedwork::view::{Read, saga};
use seedwork::{Context, SagaRecord};
use serde::Deserialize;
use wire::values::check_id;

use crate::answer::{json, written};
use crate::body;
use crate::operate;
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Shared, Text};

mod told;
mod why;

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

async fn one(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    let (wanted, plans): (String, Arc<_>) = (id.clone(), edge.clone());
    match edge.query(move |read| document(read, &wanted, &plans.plans, None)).await? {
        Some(body) => Ok(json(StatusCode::OK, body)),
        None => Err(Problem::unknown("saga", &id)),
    }
}

/// What its first command caused, and where the time went.
async fn why(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| {
        let Some((record, log)) = saga(read, &wanted)? else { return Ok(None) };
        let story = operator::story::story(read, &wanted, &record, &log)?;
        written(&why::Why::of(&wanted, &record, &story)).map(Some)
    });
    found.await?.map(|body| json(StatusCode::OK, body)).ok_or_else(|| Problem::unknown("saga", &id))
}

fn document(read: &dyn Read, id: &str, plans: &[Plan], did: Option<&[Entry]>) -> Result<Option<Vec<u8>>, String> {
    let Some((record, log)) = saga(read, id)? else { return Ok(None) };
    written(&Told::of(id, &record, plan(plans, &record), &log, did)).map(Some)
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
    decide(&edge, order.actor, id, |context, saga| Decision::Retry { context, saga, reason }).await
}

async fn resolve(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Found { reason, outcome } = body::json(&order.body)?;
    let reason = operate::reason(reason)?;
    let happened = outcome.map(|outcome| outcome == Outcome::Happened);
    decide(&edge, order.actor, id, |context, saga| Decision::Resolve { context, saga, happened, reason }).await
}

async fn abort(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::reason(reason)?;
    decide(&edge, order.actor, id, |context, saga| Decision::Abort { context, saga, reason }).await
}

/// Decides on a saga and answers it as it is now, with what it wrote down of the decision.
async fn decide(
    edge: &Shared,
    actor: Arc<str>,
    id: String,
    decision: impl FnOnce(Arc<str>, Arc<str>) -> Decision,
) -> Result<Response, Problem> {
    let wanted = id.clone();
    let found = edge.query(move |read| Ok(saga(read, &wanted)?.map(|(record, _)| record.context)));
    let context = found.await?.ok_or_else(|| Problem::unknown("saga", &id))?;
    let decided = operate::decide(edge, actor, decision(context, id.as_str().into())).await?;
    let Decided::Saga(did) = decided else { return Err(Problem::internal()) };
    let body = edge.just_written(|read| document(read, &id, &edge.plans, Some(&did)))?;
    body.map(|body| json(StatusCode::OK, body)).ok_or_else(|| Problem::unknown("saga", &id))
}
