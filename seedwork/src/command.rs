//! What is asked, and the kinds of "no".
//!
//! A handler says no in one of few ways, and each has one consequence everywhere (inbox, HTTP, sagas): the business refuses, a thing
//! is not known, or the handler itself broke.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How a refusal reads over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It disagrees with the present state; later it may not (409).
    Conflict,
    /// It can never be done as asked (422).
    Unprocessable,
    /// It names something that is not known (404).
    Unknown,
    /// It is about another version than there is (412).
    Precondition,
}

/// The business says no. Stored, sent to the asker, and shown over HTTP; never tried again by its receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable, kebab-case: `limit-exceeded`. Programs match on it.
    pub code: Cow<'static, str>,
    /// Conflict, unprocessable, unknown or precondition.
    pub class: Class,
    /// The field of the command that it is about, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// A sentence for people, lower case, no full stop.
    pub message: String,
    /// Figures and ids for programs.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
}

impl Refusal {
    /// A refusal because of the present state.
    pub fn conflict(code: &'static str, message: impl fmt::Display) -> Refusal {
        Refusal {
            code: code.into(),
            class: Class::Conflict,
            field: None,
            message: message.to_string(),
            details: serde_json::Value::Null,
        }
    }

    /// A refusal of what can never be done as asked.
    pub fn unprocessable(code: &'static str, field: &'static str, message: impl fmt::Display) -> Refusal {
        Refusal { class: Class::Unprocessable, field: Some(field.into()), ..Refusal::conflict(code, message) }
    }

    /// A refusal because something that the command names is not known.
    pub fn unknown(kind: &str, id: &str) -> Refusal {
        Refusal {
            class: Class::Unknown,
            details: serde_json::json!({"kind": kind, "id": id}),
            ..Refusal::conflict("unknown", format!("no {kind} {id:?} is known"))
        }
    }

    /// A refusal because what it is about has another version than the command expects.
    pub(crate) fn precondition(version: u64) -> Refusal {
        let why = match version {
            0 => "it is not there, and the request is about a version that is".to_owned(),
            version => format!("it has version {version} now, and the request is about another: read it again"),
        };
        let details = serde_json::json!({"version": version});
        Refusal { class: Class::Precondition, details, ..Refusal::conflict("version-differs", why) }
    }

    /// A refusal because the handler looks at nothing of which a version could be expected.
    pub(crate) fn no_version() -> Refusal {
        let why = "what this command is about has no version: ask without one";
        Refusal { class: Class::Unprocessable, ..Refusal::conflict("no-version", why) }
    }

    /// The same refusal with figures for programs.
    #[must_use]
    pub fn with(mut self, details: serde_json::Value) -> Refusal {
        self.details = details;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// An aggregate's own enum of refusals: each variant becomes a [`Refusal`], so `?` carries it out of a handler.
pub trait Refuse {
    /// The refusal that this is, with code, class and field.
    fn refusal(&self) -> Refusal;
}

/// Why a handler did not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The business says no.
    Refused(Refusal),
    /// It names an aggregate that is not known (not yet, or never).
    Unknown {
        /// The aggregate's kind.
        kind: &'static str,
        /// The id that was looked up.
        id: Box<str>,
    },
    /// What it needs is not in memory yet: the executor fetches it and runs the handler again. A handler only passes it on.
    Miss,
    /// The handler, or the data that it found, is broken.
    Fault(Fault),
}

/// A message broke its handler: an error, a panic or a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => refusal.fmt(f),
            Error::Unknown { kind, id } => write!(f, "no {kind} {id:?} is known"),
            Error::Miss => f.write_str("not in memory yet"),
            Error::Fault(Fault(why)) => f.write_str(why),
        }
    }
}

impl<R: Refuse> From<R> for Error {
    fn from(refused: R) -> Error {
        Error::Refused(refused.refusal())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

impl Error {
    /// A fault with this reason.
    pub fn fault(why: impl fmt::Display) -> Error {
        Error::Fault(Fault(why.to_string()))
    }
}

/// What a handler returns.
pub type Result<T = ()> = std::result::Result<T, Error>;
