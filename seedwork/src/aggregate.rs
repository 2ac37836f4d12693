//! Who decides, and what the world may know of it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{Event, Message};

/// A plain struct that guards its own rules. Its methods return the domain event, or `None` when it was so already.
///
/// It is stored as one JSON document under its id. It does no I/O and knows no clock: what it needs comes as arguments.
pub trait Aggregate: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its kind within the context; names the table of its states: `car`. Letters, digits and `_`.
    const KIND: &'static str;
    /// The version of its stored form. Raise it when a field changes its meaning, and teach [`Aggregate::upcast`] the old form; a new
    /// field with `#[serde(default)]` needs neither.
    const VERSION: u32 = 1;

    /// Its id. The part before the first `~` is the key that it lives under.
    fn id(&self) -> &str;

    /// Turns a state stored as `version` into the present form.
    ///
    /// # Errors
    /// When that version was never written by any build; the message that needed it becomes a fault.
    fn upcast(version: u32, state: serde_json::Value) -> Result<serde_json::Value, String> {
        let _ = state;
        Err(format!("a {} of state version {version} is not known to this build, which writes {}", Self::KIND, Self::VERSION))
    }
}

/// What the world may know: each domain event becomes a wire message, or is said to stay inside. Written out case by case.
pub trait Publish: Aggregate {
    /// Its domain events: private to the context.
    type Event;
    /// Translates one event; `self` is the aggregate after the change.
    fn publish(&self, event: Self::Event, out: &mut Outbox);
}

/// Where [`Publish`] puts wire events. There is no other way to publish one.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(crate) events: Vec<Outgoing>,
    pub(crate) error: Option<String>,
}

/// A message on its way out of a unit of work; its envelope is made when the batch is written.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub context: &'static str,
    pub role: crate::message::Role,
    pub kind: &'static str,
    pub record: &'static str,
    pub key: Arc<str>,
    pub body: Vec<u8>,
}

impl Outgoing {
    pub(crate) fn of<M: Message>(message: &M) -> Result<Outgoing, serde_json::Error> {
        use crate::message::Owner;
        Ok(Outgoing {
            context: M::Owner::NAME,
            role: M::ROLE,
            kind: M::KIND,
            record: M::RECORD,
            key: message.key().into(),
            body: serde_json::to_vec(message)?,
        })
    }
}

impl Outbox {
    /// Publishes a wire event, in the same commit as the change.
    pub fn event<E: Event>(&mut self, event: E) {
        match Outgoing::of(&event) {
            Ok(outgoing) => self.events.push(outgoing),
            Err(error) => self.error = Some(format!("{} cannot be written as JSON: {error}", E::KIND)),
        }
    }

    /// Says in so many words that an event stays inside.
    pub fn nothing(&mut self) {}
}
