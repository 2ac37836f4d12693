//! Errors, as RFC 9457 problem details: every "no" of the edge reads the same, says why, and names the field.

use std::borrow::Cow;
use std::fmt::Display;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use seedwork::Refusal;
use seedwork::command::Class;
use seedwork::store::Partition;
use serde::Serialize;
use serde_json::Value;
use wire::values::Money;

pub(crate) mod codes;
pub(crate) mod pages;

/// What a field of a command is called in the request that it came from.
pub(crate) type Fields = for<'a> fn(&'a str) -> Cow<'a, str>;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem: a status, a code for programs, a sentence for people, and the field, if it is about one.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    field: Option<String>,
    details: Value,
    /// A partition that it is about and that this process does not hold.
    elsewhere: Option<Partition>,
}

/// Says of a problem that another replica holds the partition that is named.
pub(crate) const ELSEWHERE: HeaderName = HeaderName::from_static("alpes-elsewhere");

/// As it is written; `type` is a reference below `/problems/`, its last part the code.
#[derive(Serialize)]
struct Written<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Named<'a>; 1]>,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: &'a Value,
}

#[derive(Serialize)]
struct Named<'a> {
    field: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A problem without a field.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Display) -> Problem {
        let detail = detail.to_string();
        Problem(Box::new(Parts { status, code: code.into(), detail, field: None, details: Value::Null, elsewhere: None }))
    }

    /// The request is not of the form that is expected (400).
    pub fn malformed(code: &'static str, detail: impl Display) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// There is no such thing (404).
    pub fn unknown(kind: &str, id: &str) -> Problem {
        Problem::refused(&Refusal::unknown(kind, id), |field| field.into())
    }

    /// It cannot be done at the moment, for no fault of the client (503); it may ask again after a second.
    pub fn unavailable(code: &'static str, detail: impl Display) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// A defect of the server (500): the log says more.
    pub fn internal() -> Problem {
        let detail = "the server failed to answer this request; its log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The business says no.
    pub fn refused(refusal: &Refusal, fields: Fields) -> Problem {
        let status = match refusal.class {
            Class::Conflict => StatusCode::CONFLICT,
            Class::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Class::Unknown => StatusCode::NOT_FOUND,
            Class::Precondition => StatusCode::PRECONDITION_FAILED,
        };
        Problem(Box::new(Parts {
            status,
            code: refusal.code.clone(),
            detail: refusal.message.clone(),
            field: refusal.field.as_deref().map(|field| fields(field).into_owned()),
            details: outward(&refusal.details),
            elsewhere: None,
        }))
    }

    /// It is about a partition that this process does not hold (503): whoever asked sends it on to the one that does.
    pub fn elsewhere(partition: Partition) -> Problem {
        let why = format!("this replica does not hold {partition} at the moment");
        let mut problem = Problem::unavailable("partition-elsewhere", why);
        problem.0.elsewhere = Some(partition);
        problem
    }

    /// The partition that it is about, when this process does not hold it.
    pub fn is_elsewhere(&self) -> Option<&Partition> {
        self.0.elsewhere.as_ref()
    }

    /// The same problem, about this field of the request.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Problem {
        self.0.field = Some(field.into());
        self
    }

    /// The same problem, with figures and ids for programs.
    #[must_use]
    pub fn with(mut self, details: Value) -> Problem {
        self.0.details = details;
        self
    }
}

/// Details as the outside reads them: amounts are decimal texts in major units there.
pub(crate) fn outward(details: &Value) -> Value {
    match details {
        Value::Object(members) => {
            let only_money = members.len() == 2 && members.contains_key("amount") && members.contains_key("currency");
            match only_money.then(|| serde_json::from_value::<Money>(details.clone())) {
                Some(Ok(money)) => {
                    serde_json::json!({"amount": money.to_decimal_string(), "currency": money.currency})
                }
                _ => members.iter().map(|(name, value)| (name.clone(), outward(value))).collect(),
            }
        }
        Value::Array(values) => values.iter().map(outward).collect(),
        other => other.clone(),
    }
}

/// What a code says to people: `limit-exceeded` is "Limit exceeded".
fn title(code: &str) -> String {
    let mut title = code.replace('-', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, code, detail, field, details, elsewhere } = &*self.0;
        let field = field.as_deref();
        let written = Written {
            r#type: format!("/problems/{code}"),
            title: title(code),
            status: status.as_u16(),
            detail,
            code,
            field,
            errors: field.map(|field| [Named { field, detail }]),
            details,
        };
        // Texts and values are always JSON; if they were not, the status would still say it.
        let body = serde_json::to_vec(&written).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = *status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if *status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(named) = elsewhere.as_ref().and_then(|partition| HeaderValue::try_from(partition.to_string()).ok()) {
            response.headers_mut().insert(ELSEWHERE, named);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_in_details_read_as_they_do_everywhere_outside() {
        let inside = json!({"asked": {"amount": 1_500_000, "currency": "USD"}, "of": [{"amount": 1, "currency": "JPY"}],
            "amount": 7, "more": {"amount": 1, "currency": "nothing"}});
        let outside = json!({"asked": {"amount": "15000.00", "currency": "USD"}, "of": [{"amount": "1", "currency": "JPY"}],
            "amount": 7, "more": {"amount": 1, "currency": "nothing"}});
        assert_eq!(outward(&inside), outside);
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!((title("limit-exceeded"), title("")), ("Limit exceeded".to_owned(), String::new()));
    }
}
