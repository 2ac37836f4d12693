//! Answers: JSON documents, and what is said of a command and its saga.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use seedwork::Refusal;
use seedwork::executor::Outcome;
use seedwork::saga::engine::Exception;
use seedwork::view::Versioned;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::problem::{Fields, Problem, outward};
use crate::submit::{Kind, Settled};

/// Writes a document.
pub(crate) fn written(document: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(document).map_err(|error| format!("an answer cannot be written as JSON: {error}"))
}

/// A written document with its status.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A document that is written here.
pub(crate) fn document(status: StatusCode, document: &impl Serialize) -> Result<Response, Problem> {
    written(document).map(|body| json(status, body)).map_err(|error| {
        tracing::error!(error, "an answer is lost");
        Problem::internal()
    })
}

/// The entity tag of a version of a thing (RFC 9110 §8.8.3): `If-Match` sends it back, and the commit compares the version.
fn version_tag(version: u64) -> HeaderValue {
    // Digits in quotes are always a header's value; were they not, no tag is better than a wrong one.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("W/\"0\""))
}

/// A written document of a thing, with the tag of its version; without its body for whoever has it already.
pub(crate) fn versioned(headers: &HeaderMap, document: Versioned<Vec<u8>>) -> Response {
    let tag = version_tag(document.version);
    let known = |known: &str| known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes();
    let has = |value: &HeaderValue| value.to_str().unwrap_or_default().split(',').map(str::trim).any(known);
    let mut response = if headers.get_all(IF_NONE_MATCH).iter().any(has) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(StatusCode::OK, document.value)
    };
    response.headers_mut().insert(ETAG, tag);
    response
}

/// A thing as a change has left it, with the tag of its version.
pub(crate) fn changed(status: StatusCode, document: Versioned<Vec<u8>>) -> Response {
    let mut response = json(status, document.value);
    response.headers_mut().insert(ETAG, version_tag(document.version));
    response
}

/// A thing that a command has made (201, with where it is) or changed (200).
pub(crate) fn made(kind: Kind, document: Versioned<Vec<u8>>, location: String) -> Response {
    match kind {
        Kind::Creation => at(changed(StatusCode::CREATED, document), location),
        Kind::Other => changed(StatusCode::OK, document),
    }
}

/// The same response with a `Location`.
pub(crate) fn at(mut response: Response, location: String) -> Response {
    if let Ok(value) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// A text as a segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// A refusal inside an answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
}

impl<'a> Reason<'a> {
    /// Of a command that a request asked for: the field is called as it is there.
    pub fn of(refusal: &'a Refusal, fields: Fields) -> Reason<'a> {
        let Refusal { code, message, field, details, .. } = refusal;
        Reason { code, message, field: field.as_deref().map(fields), details: outward(details) }
    }
}

impl<'a> From<&'a Refusal> for Reason<'a> {
    /// Of a command that a saga sent: the field is the command's own.
    fn from(refusal: &'a Refusal) -> Reason<'a> {
        Reason::of(refusal, |field| field.into())
    }
}

#[derive(Serialize)]
struct Said<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Exception]>::is_empty")]
    exceptions: &'a [Exception],
    #[serde(flatten)]
    told: Map<String, Value>,
}

impl<'a> Said<'a> {
    fn of(id: &'a str, status: &'a str) -> Said<'a> {
        Said { id, saga: None, command: None, status, reason: None, step: None, exceptions: &[], told: Map::new() }
    }
}

/// What is said of a command that is settled, about the thing with this id, which is found at this location.
///
/// A saga that is under way is 202, with the thing's location. Its outcome is 201 for what was created and 200 for all else; a command
/// without a saga is 200, or 201 for what was created.
pub(crate) fn said(kind: Kind, id: &str, location: String, settled: Settled) -> Result<Response, Problem> {
    let (saga, told, outcome) = match settled {
        Settled::Waiting { command } => {
            let response = document(StatusCode::ACCEPTED, &Said { command: Some(&command), ..Said::of(id, "waiting") })?;
            return Ok(at(response, format!("/v1/commands/{}", segment(&command))));
        }
        Settled::Done { saga, told, outcome } => (saga, told, outcome),
    };
    let saga = saga.as_deref();
    if let Some(Outcome { completed, reason, step, exceptions, .. }) = outcome.as_deref() {
        let reason = reason.as_ref().map(|reason| Reason::from(&reason.refusal));
        let status = if *completed { "completed" } else { "undone" };
        let said = Said { saga, reason, step: step.as_deref(), exceptions, ..Said::of(id, status) };
        return match (kind, completed) {
            (Kind::Creation, true) => Ok(at(document(StatusCode::CREATED, &said)?, location)),
            _ => document(StatusCode::OK, &said),
        };
    }
    let mut told = match told {
        Value::Object(told) => told,
        _ => Map::new(),
    };
    let status = told.remove("status");
    let (usual, code) = match (saga, kind) {
        (Some(_), _) => ("accepted", StatusCode::ACCEPTED),
        (None, Kind::Creation) => ("done", StatusCode::CREATED),
        (None, Kind::Other) => ("done", StatusCode::OK),
    };
    let status = status.as_ref().and_then(Value::as_str).unwrap_or(usual);
    let response = document(code, &Said { saga, told, ..Said::of(id, status) })?;
    Ok(if code == StatusCode::OK { response } else { at(response, location) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_a_path_holds_any_text() {
        assert_eq!(segment("p-1~c.1_x:y"), "p-1~c.1_x:y");
        assert_eq!(segment("a/b?c%20#ñ"), "a%2Fb%3Fc%2520%23%C3%B1");
    }

    #[test]
    fn an_entity_tag_saves_the_body_for_whoever_has_it() {
        let document = || Versioned { version: 7, value: b"{}".to_vec() };
        let tag = versioned(&HeaderMap::new(), document()).headers()[ETAG].clone();
        assert_eq!(changed(StatusCode::OK, document()).headers()[ETAG], tag, "who has changed it has the tag as well");
        for (known, status) in [("\"7\"", 304), ("W/\"7\"", 304), ("\"8\"", 200), ("7", 200), ("\"8\", *", 304)] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            let response = versioned(&headers, document());
            assert_eq!((response.status().as_u16(), &response.headers()[ETAG]), (status, &tag), "{known}");
        }
    }
}
