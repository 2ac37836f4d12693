//! What became of a command, by its id.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use seedwork::executor::CommandRecord;
use seedwork::view::{Read, Value};
use serde::Serialize;
use wire::values::Timestamp;

use crate::answer::{Reason, json, written};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::{Shared, Text};

pub(crate) fn routes() -> Routes {
    Routes::new().route("/v1/commands/{id}", get(one))
}

/// A command, as it is answered. `status` is accepted, done, refused or dead-letter.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    kind: &'a str,
    key: &'a str,
    received: Timestamp,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    told: &'a serde_json::Value,
}

async fn one(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(body) => Ok(json(StatusCode::OK, body)),
        None => Err(Problem::unknown("command", &id)),
    }
}

/// What the fields of a command are called in requests.
fn fields(kind: &str) -> Fields {
    match kind.split_once('.') {
        Some(("campaign", _)) => campaign::http::field,
        Some(("partner", _)) => partner::http::field,
        Some(("tracking", _)) => tracking::http::field,
        _ => |field| field.into(),
    }
}

fn document(read: &dyn Read, id: &str) -> Result<Option<Vec<u8>>, String> {
    let rows = read.select("SELECT body FROM command WHERE id = $1", &[id.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let body = row.first().and_then(Value::text).ok_or("a command's row without a body")?;
    let record: CommandRecord =
        serde_json::from_str(body).map_err(|error| format!("the record of command {id:?} cannot be read: {error}"))?;
    let answer = Answer {
        id,
        kind: &record.kind,
        key: &record.key,
        received: Timestamp::saturating_from_micros(record.received),
        status: &record.status,
        saga: record.saga.as_deref(),
        reason: record.refusal.as_ref().map(|refusal| Reason::of(refusal, fields(&record.kind))),
        told: &record.told,
    };
    written(&answer).map(Some)
}
