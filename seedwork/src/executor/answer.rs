//! What is asked from outside, and what whoever asked hears.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Refusal;
use crate::message::Packet;
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
#[derive(Clone, Debug, PartialEq)]
pub enum First {
    /// It is done; a saga may have been started, or asked to be undone.
    Done {
        /// That saga.
        saga: Option<Arc<str>>,
        /// What the handler adds: an object, or null.
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
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The saga.
    pub saga: Arc<str>,
    /// Completed (true) or undone.
    pub completed: bool,
    /// Why it was undone.
    pub reason: Option<Reason>,
    /// The command of the row at which it turned round.
    pub step: Option<&'static str>,
    /// What operators signed.
    pub exceptions: Vec<Exception>,
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
    /// `accepted`, `done`, `refused` or `dead-letter`.
    pub status: std::borrow::Cow<'static, str>,
    /// The saga that it started, or asked to be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<Arc<str>>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What the handler added to the answer.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub told: serde_json::Value,
}

impl CommandRecord {
    /// The first answer that this record stands for.
    pub(super) fn first(&self) -> First {
        match (&self.refusal, &*self.status) {
            (Some(refusal), _) => First::Refused(refusal.clone()),
            (None, "done") => First::Done { saga: self.saga.clone(), told: self.told.clone() },
            (None, _) => First::Waiting,
        }
    }
}
