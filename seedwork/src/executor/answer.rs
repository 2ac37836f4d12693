//! What is asked from outside, and what whoever asked hears.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Refusal;
use crate::message::{Envelope, Packet};
use crate::saga::engine::{Exception, Reason};

/// A command from outside.
pub struct Ask {
    /// The command.
    pub packet: Packet,
    /// A hash of the body as it was sent: the same id with another body is refused.
    pub hash: Box<str>,
    /// Who waits for the answer.
    pub listener: Box<dyn Listener>,
}

/// Whoever waits for an answer. Called on the owner's thread: must not block.
pub trait Listener: Send {
    /// The first answer, after the commit that made it true.
    fn first(&mut self, first: &First);
    /// How the saga that the command started has ended. Called only if [`Listener::waits`] said so.
    fn outcome(&mut self, outcome: &Outcome);
    /// Whether the outcome is awaited too, asked after the first answer.
    fn waits(&self) -> bool;
    /// Whether nobody awaits the first answer any more, asked before the command is begun: then it is not, so that after more was asked than
    /// could be done no time goes to what nobody waits for. Nobody was told that it is done.
    fn gone(&self) -> bool {
        false
    }
}

/// The first answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum First {
    /// It is done; a saga may have been started, or asked to be undone.
    Done {
        /// That saga.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saga: Option<Arc<str>>,
        /// What the handler adds: an object, or null.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        told: serde_json::Value,
    },
    /// The business says no.
    Refused(Refusal),
    /// It is durable, and waits for its turn.
    Waiting,
    /// This id was used for another body.
    Mismatch,
    /// It cannot be read as a command of this system.
    Invalid(String),
    /// It could not be taken now, and is not kept.
    Unavailable(String),
}

/// How a saga ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The saga.
    pub saga: Arc<str>,
    /// Completed (true) or undone.
    pub completed: bool,
    /// Why it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The command of the row at which it turned round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Cow<'static, str>>,
    /// What operators signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// What is said to an edge that listens elsewhere, about one of its commands: JSON, by [`Broker::answer`](crate::broker::Broker::answer).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The command's id.
    pub command: Arc<str>,
    /// The first answer, when this is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// How the saga that it started has ended, when this is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What became of a command, by its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The hash of its body.
    pub hash: Box<str>,
    /// Its `type`.
    pub kind: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// When it was received: microseconds since 1970.
    pub received: i64,
    /// `accepted`, `done`, `refused` or `dead-letter`. `sent-on`: another partition has it now, and keeps a record of its own.
    pub status: Cow<'static, str>,
    /// The saga that it started, or asked to be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<Arc<str>>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What the handler added to the answer.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub told: serde_json::Value,
    /// Whether a producer of its own sent it past the edges: it may come before what it names is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
}

impl CommandRecord {
    /// Of a command that has just come from an edge.
    pub(super) fn new(hash: Box<str>, envelope: &Envelope, received: i64) -> CommandRecord {
        CommandRecord {
            hash,
            kind: envelope.kind.clone(),
            key: envelope.key.clone(),
            received,
            status: "accepted".into(),
            saga: None,
            refusal: None,
            told: serde_json::Value::Null,
            foreign: false,
        }
    }

    /// Of a message that was no command.
    pub(super) fn aside(received: i64) -> CommandRecord {
        CommandRecord {
            hash: "".into(),
            kind: "".into(),
            key: "".into(),
            received,
            status: "dead-letter".into(),
            saga: None,
            refusal: None,
            told: serde_json::Value::Null,
            foreign: true,
        }
    }

    /// Whether it is the record of this very command, not of another with its id.
    pub(super) fn is_of(&self, hash: &str, envelope: &Envelope) -> bool {
        *self.hash == *hash && self.kind == envelope.kind && self.key == envelope.key
    }

    /// Whether nothing more becomes of it.
    pub(super) fn settled(&self) -> bool {
        matches!(&*self.status, "done" | "refused")
    }

    /// The first answer that this record stands for.
    pub(super) fn first(&self) -> First {
        match (&self.refusal, &*self.status) {
            (Some(refusal), _) => First::Refused(refusal.clone()),
            (None, "done") => First::Done { saga: self.saga.clone(), told: self.told.clone() },
            (None, _) => First::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_edge_elsewhere_is_read_back_as_it_was_said() {
        let told = serde_json::json!({"id": "c-1"});
        let firsts = [
            First::Done { saga: Some("c-1~7".into()), told },
            First::Done { saga: None, told: serde_json::Value::Null },
            First::Refused(Refusal::conflict("full", "there is no room")),
            First::Waiting,
            First::Mismatch,
            First::Invalid("no JSON".to_owned()),
            First::Unavailable("later".to_owned()),
        ];
        let reason = Reason { row: 2, index: 1, refusal: Refusal::conflict("full", "there is no room") };
        let outcomes = [
            Outcome { saga: "c-1~7".into(), completed: true, reason: None, step: None, exceptions: Vec::new() },
            Outcome {
                saga: "c-1~7".into(),
                completed: false,
                reason: Some(reason),
                step: Some("lot.enter.v1".into()),
                exceptions: Vec::new(),
            },
        ];
        let firsts = firsts.into_iter().map(|first| (Some(first), None));
        for (first, outcome) in firsts.chain(outcomes.into_iter().map(|outcome| (None, Some(outcome)))) {
            let answered = Answered { command: "k-1".into(), first, outcome };
            let json = serde_json::to_vec(&answered).unwrap();
            assert_eq!(serde_json::from_slice::<Answered>(&json).unwrap(), answered);
        }
        let later = br#"{"command":"k-1","first":{"done":{"saga":"s","later":1}},"later":{}}"#;
        assert!(serde_json::from_slice::<Answered>(later).is_ok(), "what a newer build adds is passed over");
    }
}
