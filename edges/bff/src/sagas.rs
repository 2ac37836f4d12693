//! Sagas: where each stands, what is done, running and still to come, and what would be undone if it failed now.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use seedwork::saga::PlanRow;
use seedwork::view::{Read, Value, saga};
use seedwork::{Context, SagaRecord};
use serde::Deserialize;
use wire::values::check_id;

use crate::answer::{json, written};
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::{Shared, Text};

mod told;

use told::{Summary, Told};

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/v1/sagas", get(list)).route("/v1/sagas/{id}", get(one))
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
    key: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor, key } = pages::parameters(&uri)?;
    let limit = pages::limit(limit.as_deref())?;
    let after = pages::cursor(cursor.as_deref(), |text| of_a_saga(text).then(|| text.to_owned()))?;
    if let Some(key) = &key {
        check_id(key).map_err(|error| Problem::malformed("query-invalid", error).at("key"))?;
    }
    let edge = edge.clone();
    let plans = edge.clone();
    let body = edge.query(move |read| {
        let rows = page(read, key.as_deref(), after.as_deref(), limit + 1)?;
        let records = rows.iter().take(limit).map(record).collect::<Result<Vec<_>, _>>()?;
        let next = records.last().filter(|_| rows.len() > limit).map(|(id, _)| (*id).to_owned());
        let items = records.iter().map(|(id, record)| Summary::of(id, record, plan(&plans.plans, record))).collect();
        written(&Page { items, next })
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// Ids joined by `~`: the key under which a saga lives, and its own part.
fn of_a_saga(text: &str) -> bool {
    text.contains('~') && text.split('~').all(|part| check_id(part).is_ok())
}

/// Rows in the order of ids, of one key if one is given. A saga's id is its key, `~` and a part of its own; no id holds a character
/// behind `~`.
fn page(read: &dyn Read, key: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Vec<Value>>, String> {
    let (first, end) = match key {
        Some(key) => (format!("{key}~"), format!("{key}~\u{7f}")),
        None => (String::new(), "\u{7f}".to_owned()),
    };
    let after = after.filter(|after| *after > first.as_str()).unwrap_or(&first);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT id, body FROM saga WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    read.select(sql, &[after.into(), end.into(), limit.into()])
}

fn record(row: &Vec<Value>) -> Result<(&str, SagaRecord), String> {
    let [id, body] = row.as_slice() else { return Err("a saga's row without its columns".to_owned()) };
    let id = id.text().ok_or("a saga's row without an id")?;
    let body = body.text().ok_or("a saga's row without a body")?;
    let record = serde_json::from_str(body).map_err(|error| format!("the record of saga {id:?} cannot be read: {error}"))?;
    Ok((id, record))
}

fn plan<'a>(plans: &'a [Plan], record: &SagaRecord) -> Option<&'a Plan> {
    plans.iter().find(|plan| plan.context == &*record.context && plan.name == &*record.name && plan.version == record.version)
}

async fn one(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    let (wanted, plans): (String, Arc<_>) = (id.clone(), edge.clone());
    let found = edge.query(move |read| {
        let Some((record, log)) = saga(read, &wanted)? else { return Ok(None) };
        written(&Told::of(&wanted, &record, plan(&plans.plans, &record), &log)).map(Some)
    });
    match found.await? {
        Some(body) => Ok(json(StatusCode::OK, body)),
        None => Err(Problem::unknown("saga", &id)),
    }
}
