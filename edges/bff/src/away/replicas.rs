//! The replicas of a service: what is about a partition that another one holds is sent on to that one, once.
//!
//! Who holds what is read off the leases when it is needed, and is not remembered. A partition may change hands between that look and the
//! request's arrival; then the other replica says so, and it is looked again, for as long as a first answer is waited for.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use seedwork::store::Partition;
use seedwork::view::Read;

use super::services::{PATIENCE, READ_MAX, client, end_to_end};
use crate::body::{JSON, read};
use crate::problem::{ELSEWHERE, Problem};
use crate::submit::FIRST_MAX;
use crate::{Edge, Here};

/// Says that a request was sent on by another replica, and is not sent on again.
const SENT_ON: HeaderName = HeaderName::from_static("alpes-sent-on");
/// Between two looks for the holder of a partition that changes hands.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// Reads who holds which partition of a context: its number, and `host:port` of its holder if that said where it is.
pub type Find = fn(&dyn Read, &str) -> Result<Vec<(u16, Option<String>)>, String>;

/// See the module's text.
#[derive(Debug)]
pub struct Replicas {
    client: Client<HttpConnector, Body>,
    partitions: u16,
    find: Find,
}

impl Replicas {
    /// The replicas of a service whose context has so many partitions.
    pub fn new(partitions: u16, find: Find) -> Replicas {
        Replicas { client: client(), partitions, find }
    }

    /// Partitions of the context.
    pub(crate) fn partitions(&self) -> u16 {
        self.partitions
    }
}

/// What came of asking another replica.
pub(crate) enum Asked {
    /// Its answer.
    Answer(Response<Bytes>),
    /// Nothing was done: nobody holds the partition now, or whoever held it does no more or cannot be reached. Why, for whoever asked.
    Not(Problem),
}

/// Whether another replica has sent this on.
pub(crate) fn is_sent_on(headers: &HeaderMap) -> bool {
    headers.contains_key(SENT_ON)
}

/// Nobody holds it (503).
pub(crate) fn unheld(partition: &Partition) -> Problem {
    let why = format!("no replica holds {partition} at the moment: one has stopped, and another takes it within some seconds");
    Problem::unavailable("partition-unheld", why)
}

/// Answers here, or has it answered by the replica that holds what it is about.
pub(super) async fn answer(edge: &Edge, request: Request, next: Next) -> Result<Response, Problem> {
    if is_sent_on(request.headers()) {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
    // It is needed once for each who is asked.
    let body = if is_read { Default::default() } else { read(edge, &parts.headers, body, JSON).await? };
    let until = edge.ids.monotonic() + FIRST_MAX;
    loop {
        let here = Request::from_parts(parts.clone(), Body::from(body.bytes()));
        let response = next.clone().run(here).await;
        let Some(partition) = response.headers().get(ELSEWHERE).and_then(named) else { return Ok(response) };
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        match ask_holder(edge, &partition, &parts, path, body.bytes()).await? {
            Asked::Answer(answer) => return Ok(answer.map(Body::from)),
            Asked::Not(why) if edge.ids.monotonic() + AGAIN >= until => return Err(why),
            Asked::Not(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A partition as a header names it.
fn named(value: &HeaderValue) -> Option<Partition> {
    let (context, number) = value.to_str().ok()?.split_once('/')?;
    Some(Partition { context: context.into(), number: number.parse().ok()? })
}

/// Asks the replica that holds a partition, once, with the method and the headers of a request.
///
/// # Errors
/// When the leases cannot be read, or when it is not known what became of it.
pub(crate) async fn ask_holder(
    edge: &Edge,
    partition: &Partition,
    parts: &Parts,
    to: PathAndQuery,
    body: Bytes,
) -> Result<Asked, Problem> {
    let Here { replicas: Some(replicas), .. } = edge.here()? else { return Err(Problem::elsewhere(partition.clone())) };
    let (find, context) = (replicas.find, partition.context.clone());
    let holders = edge.query(move |read| find(read, &context)).await?;
    let Some((_, address)) = holders.into_iter().find(|(number, _)| *number == partition.number) else {
        return Ok(Asked::Not(unheld(partition)));
    };
    let away = |place: &str| {
        let why =
            format!("the replica that holds {partition} ({place}) cannot be reached; another takes over when its lease ends");
        Problem::unavailable("partition-away", why)
    };
    // A build before this one says nothing of where it is.
    let Some(authority) = address.as_deref().and_then(|address| address.parse::<Authority>().ok()) else {
        return Ok(Asked::Not(away(address.as_deref().unwrap_or("it has not said where it is"))));
    };
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority.clone()).path_and_query(to).build();
    let mut request = Request::new(Body::from(body));
    *request.uri_mut() = uri.map_err(|_| away(authority.as_str()))?;
    *request.method_mut() = parts.method.clone();
    *request.headers_mut() = parts.headers.clone();
    end_to_end(request.headers_mut());
    request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONTENT_LENGTH);
    request.headers_mut().insert(SENT_ON, HeaderValue::from_static("1"));
    // It may have been carried out, so it is not asked again for whoever wants it.
    let unknown = |why: &dyn std::fmt::Display| {
        tracing::warn!(%partition, %authority, %why, "another replica was asked and has not answered");
        Problem::unavailable(
            "no-answer",
            format!("the replica that holds {partition} has not answered; look whether it was done"),
        )
    };
    let answer = match tokio::time::timeout(PATIENCE, replicas.client.request(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.is_connect() => return Ok(Asked::Not(away(authority.as_str()))),
        Ok(Err(error)) => return Err(unknown(&error)),
        Err(late) => return Err(unknown(&late)),
    };
    if answer.headers().contains_key(ELSEWHERE) {
        return Ok(Asked::Not(unheld(partition)));
    }
    let (mut parts, body) = answer.into_parts();
    end_to_end(&mut parts.headers);
    match tokio::time::timeout(PATIENCE, Limited::new(body, READ_MAX).collect()).await {
        Ok(Ok(body)) => Ok(Asked::Answer(Response::from_parts(parts, body.to_bytes()))),
        Ok(Err(error)) => Err(unknown(&error)),
        Err(late) => Err(unknown(&late)),
    }
}
