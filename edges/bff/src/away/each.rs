//! What every context has: asked of one after the other.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};

use super::{CONTEXTS, Services};
use crate::answer::{json, written};
use crate::body::BODY_MAX;
use crate::ids::{seal, unseal};
use crate::problem::Problem;

/// Asks the contexts: for a list one page of one context, for all else the first that knows it.
pub(super) async fn ask(services: &Services, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    parts.headers.remove(CONTENT_LENGTH);
    let too_large =
        |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", format!("a body has at most {BODY_MAX} bytes"));
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(too_large)?.to_bytes();
    let asked = Query::of(parts.uri.query().unwrap_or_default());
    let contexts = match asked.context.as_deref() {
        None => CONTEXTS.as_slice(),
        Some(name) => match CONTEXTS.iter().position(|context| *context == name) {
            Some(place) => CONTEXTS.get(place..=place).unwrap_or_default(),
            None => {
                let why = format!("a context is one of {}", CONTEXTS.join(", "));
                return Err(Problem::malformed("query-invalid", why).at("context"));
            }
        },
    };
    let depth = parts.uri.path().trim_end_matches('/').split('/').count();
    // A decision on many things at once would be carried out by the first context that has any, and by no other.
    if parts.method == Method::POST && depth == 4 && asked.context.is_none() {
        let why = format!("many are decided on in one context at a time: add context= and one of {}", CONTEXTS.join(", "));
        return Err(Problem::malformed("query-invalid", why).at("context"));
    }
    let is_list = parts.method == Method::GET && depth == 3;
    if is_list { page(services, &parts, asked, contexts).await } else { first(services, &parts, body, &asked, contexts).await }
}

/// The parameters that are for us, and the others as they came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    context: Option<String>,
    cursor: Option<String>,
    rest: Vec<String>,
}

impl Query {
    fn of(text: &str) -> Query {
        let mut query = Query::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("context", value)) => query.context = Some(value.to_owned()),
                Some(("cursor", value)) => query.cursor = Some(value.to_owned()),
                _ => query.rest.push(pair.to_owned()),
            }
        }
        query
    }

    /// Where a service is asked.
    fn to(&self, path: &str, cursor: Option<&str>) -> Result<PathAndQuery, Problem> {
        let cursor = cursor.map(|cursor| format!("cursor={cursor}"));
        let query: Vec<&str> = self.rest.iter().chain(&cursor).map(String::as_str).collect();
        let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        text.parse().map_err(|_| Problem::malformed("query-invalid", "the path and its query cannot be read"))
    }
}

/// The answer of the first context that has the thing. Not there is only what none of them has.
async fn first(
    services: &Services,
    parts: &Parts,
    body: Bytes,
    asked: &Query,
    contexts: &[&'static str],
) -> Result<Response, Problem> {
    let to = asked.to(parts.uri.path(), asked.cursor.as_deref())?;
    let (mut unknown, mut away) = (None, None);
    for context in contexts {
        match services.ask(context, parts.method.clone(), to.clone(), parts.headers.clone(), body.clone()).await {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => unknown = Some(answer),
            Ok(answer) => return Ok(answer.map(Body::from)),
            Err(problem) => away = Some(problem),
        }
    }
    match (away, unknown) {
        (Some(problem), _) => Err(problem),
        (None, Some(answer)) => Ok(answer.map(Body::from)),
        (None, None) => Err(Problem::internal()),
    }
}

/// A page of one context; after its last comes the first of the next.
async fn page(services: &Services, parts: &Parts, asked: Query, contexts: &[&'static str]) -> Result<Response, Problem> {
    let bad = || Problem::malformed("cursor-invalid", "a cursor is the `next` of an earlier page, as it came").at("cursor");
    let (mut place, mut cursor) = (0, None);
    if let Some(sealed) = &asked.cursor {
        let text = unseal(sealed).ok_or_else(bad)?;
        let (context, inner) = text.split_once('|').ok_or_else(bad)?;
        place = contexts.iter().position(|known| *known == context).ok_or_else(bad)?;
        cursor = (!inner.is_empty()).then(|| inner.to_owned());
    }
    while let Some(context) = contexts.get(place) {
        let to = asked.to(parts.uri.path(), cursor.as_deref())?;
        let answer = services.ask(context, Method::GET, to, parts.headers.clone(), Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Ok(answer.map(Body::from));
        }
        let mut page: Map<String, Value> = serde_json::from_slice(answer.body()).map_err(|error| {
            tracing::error!(%error, context, "a page of a service cannot be read");
            Problem::internal()
        })?;
        let inner = page.get("next").and_then(Value::as_str).map(|inner| format!("{context}|{inner}"));
        let next = inner.or_else(|| contexts.get(place + 1).map(|context| format!("{context}|")));
        let empty = page.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if empty && page.get("next").is_none_or(Value::is_null) && next.is_some() {
            (place, cursor) = (place + 1, None);
            continue;
        }
        page.insert("next".to_owned(), next.map_or(Value::Null, |next| Value::from(seal(&next))));
        let body = written(&page).map_err(|error| {
            tracing::error!(error, "a page is lost");
            Problem::internal()
        })?;
        return Ok(json(StatusCode::OK, body));
    }
    Err(bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_us_is_taken_out_of_the_query_and_the_rest_goes_on_as_it_came() {
        let query = Query::of("limit=2&context=partner&cursor=abc&state=stuck&odd");
        assert_eq!((query.context.as_deref(), query.cursor.as_deref()), (Some("partner"), Some("abc")));
        assert_eq!(query.to("/v1/sagas", Some("x")).unwrap(), "/v1/sagas?limit=2&state=stuck&odd&cursor=x");
        assert_eq!(Query::of("").to("/v1/sagas", None).unwrap(), "/v1/sagas");
    }
}
