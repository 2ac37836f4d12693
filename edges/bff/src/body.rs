//! Bodies: read whole within bounds, and taken apart so that whoever sent a wrong one learns which field it is.

use std::ops::Deref;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::Deserialize;
use serde_json::error::Category;
use tokio::sync::OwnedSemaphorePermit;

use crate::Edge;
use crate::problem::Problem;

/// The largest body, in bytes.
pub const BODY_MAX: usize = 1 << 20;
/// How much of a body that is too large is read and thrown away, in bytes: a sender that is cut off while it still sends may never see
/// the answer.
const DRAINED_MAX: u64 = 32 << 20;
/// From which size, in bytes, a body needs a place …
const LARGE: usize = 64 << 10;
/// … of which there are so many, held until the request is answered.
pub(crate) const LARGE_MAX: usize = 64;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The media types of bodies that a route takes.
pub(crate) type Types = &'static [&'static str];

/// The body of a request of which all is said by its path: nothing, or an empty object.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Nothing {}

/// JSON, as everybody spells it.
pub(crate) const JSON: Types = &["application/json"];

/// A body, and its place if it is large.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Whole {
    /// Its bytes, shared.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Deref for Whole {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the body. When the owner would not take a command now, or too many large bodies are in hand, it is answered before the body is
/// read.
pub(crate) async fn read(edge: &Edge, headers: &HeaderMap, body: Body, types: Types) -> Result<Whole, Problem> {
    if !edge.door.has_room() {
        return Err(busy());
    }
    if body.is_end_stream() {
        return Ok(Whole::default());
    }
    check_type(headers, types)?;
    let size = body.size_hint().lower();
    let mut body = body;
    if size > BODY_MAX as u64 {
        // Who asks before it sends is told not to.
        if size <= DRAINED_MAX && !headers.contains_key(EXPECT) {
            drain(&mut body).await;
        }
        return Err(too_large());
    }
    // What does not say how large it is may be large.
    let _place = match body.size_hint().exact() {
        Some(size) if size <= LARGE as u64 => None,
        _ => Some(edge.large.clone().try_acquire_owned().map_err(|_| busy())?),
    };
    match tokio::time::timeout(PATIENCE, collect(&mut body)).await {
        Ok(collected) => Ok(Whole { bytes: collected?, _place }),
        Err(_) => {
            let why = format!("the body did not come within {} seconds", PATIENCE.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-late", why))
        }
    }
}

pub(crate) fn busy() -> Problem {
    Problem::unavailable("busy", "too much is waiting to be done; try again in a second")
}

async fn collect(body: &mut Body) -> Result<Bytes, Problem> {
    // Nearly every body comes in one piece, which is not copied.
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::malformed("body-broken", format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > BODY_MAX {
            drain(body).await;
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all = Vec::from(std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

async fn drain(body: &mut Body) {
    let all = async {
        let mut left = DRAINED_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                break;
            }
        }
    };
    // Whether all of it came or not, the answer is the same.
    let _in_time = tokio::time::timeout(Duration::from_secs(5), all).await;
}

fn too_large() -> Problem {
    let why = format!("the body is larger than {BODY_MAX} bytes, which is the most that is read");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", why)
}

fn check_type(headers: &HeaderMap, types: Types) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("something that is no text");
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let known = types.iter().any(|known| essence.eq_ignore_ascii_case(known));
    let utf_8 = parts.filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    if known && utf_8 {
        return Ok(());
    }
    let shown: String = text.chars().take(100).collect();
    let why = format!("the body is {shown:?}, but application/json in UTF-8 is expected");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", why).at("Content-Type"))
}

/// Reads a body that is a JSON object.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let why = format!("the body is not UTF-8: byte {} does not belong there", error.valid_up_to() + 1);
        Problem::malformed("body-not-utf-8", why)
    })?;
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Err(Problem::malformed("json-malformed", "the body is empty: a JSON object is expected"));
    }
    // A list of the members' values would be taken for the object.
    if start.starts_with('[') {
        return Err(Problem::malformed("type-wrong", "the body is a JSON list: an object is expected"));
    }
    // Where the fault is costs time to keep, so it is looked for only when there is one.
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

/// As [`json`], but an empty body is an empty object.
pub(crate) fn json_or_nothing<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, Problem> {
    if body.trim_ascii().is_empty() { Ok(T::default()) } else { json(body) }
}

fn explain<'a, T: Deserialize<'a>>(text: &'a str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return Problem::malformed("json-malformed", format!("the body is not JSON: {error}"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => error.path().to_string(),
        Ok(_) => String::new(),
    };
    let path = if path == "." { "" } else { path.as_str() };
    let why = error.to_string();
    let named = |start: &str| Some(why.strip_prefix(start)?.split_once('`')?.0.to_owned());
    let (code, name) = match (named("missing field `"), named("unknown field `"), named("duplicate field `")) {
        (Some(name), ..) => ("field-missing", Some(name)),
        (_, Some(name), _) => ("field-unknown", Some(name)),
        (_, _, Some(name)) => ("field-twice", Some(name)),
        _ => ("type-wrong", None),
    };
    let problem = Problem::malformed(code, &why);
    match name {
        Some(name) if path.is_empty() => problem.at(name),
        // A surplus or doubled member is the end of the path already, a missing one is not.
        Some(name) if path == name || path.ends_with(&format!(".{name}")) && code != "field-missing" => problem.at(path),
        Some(name) => problem.at(format!("{path}.{name}")),
        None if path.is_empty() => problem,
        None => problem.at(path),
    }
}
