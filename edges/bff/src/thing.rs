//! One thing of the business, as it is now: what every route of one thing does alike.

use std::fmt::Display;

use axum::http::HeaderMap;
use axum::response::Response;
use seedwork::view::{Read, Versioned};

use crate::Edge;
use crate::answer::{made, said, versioned};
use crate::problem::Problem;
use crate::submit::{Kind, Settled};

/// Finds a thing and writes it.
pub(crate) type Document<I> = fn(&dyn Read, &I) -> Result<Option<Versioned<Vec<u8>>>, String>;

/// Answers the thing with this id.
pub(crate) async fn one<I: Display + Clone + Send + 'static>(
    edge: &Edge,
    headers: &HeaderMap,
    kind: &str,
    id: I,
    document: Document<I>,
) -> Result<Response, Problem> {
    let wanted = id.clone();
    match edge.query(move |read| document(read, &wanted)).await? {
        Some(document) => Ok(versioned(headers, document)),
        None => Err(Problem::unknown(kind, &id.to_string())),
    }
}

/// Answers a command about the thing below this path: the thing as it is now; or what becomes of the saga that it started, or where to look
/// when it waits.
pub(crate) async fn now<I: Display>(
    edge: &Edge,
    kind: Kind,
    (path, id): (&str, &I),
    settled: Settled,
    document: Document<I>,
) -> Result<Response, Problem> {
    let (location, id_text) = (format!("{path}/{id}"), id.to_string());
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(document) = edge.left(&location, |read| document(read, id)).await?
    {
        return Ok(made(kind, document, location));
    }
    said(kind, &id_text, location, settled)
}
