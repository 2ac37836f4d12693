//! A message, told: its envelope's attributes and its body.

use std::sync::Arc;

use seedwork::message::{Envelope, Packet, SagaRef};
use serde::Serialize;
use serde_json::value::RawValue;
use wire::values::Timestamp;

/// See the module's text.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// The message as text, when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub fn of(raw: &'a str) -> Message<'a> {
        // Our own messages have one member that is no attribute: their body.
        let packet = Packet::parse(raw.as_bytes(), |_| None).ok();
        Message {
            body: packet.as_ref().and_then(|packet| serde_json::from_slice(packet.body()).ok()),
            envelope: packet.as_ref().map(|packet| Attributes::from(&packet.envelope)),
            unreadable: packet.is_none().then_some(raw),
        }
    }
}

/// An envelope's attributes, by their names in CloudEvents.
#[derive(Serialize)]
struct Attributes {
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    correlationid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<SagaRef>,
}

impl From<&Envelope> for Attributes {
    fn from(envelope: &Envelope) -> Attributes {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Attributes {
            id: envelope.id.to_string(),
            source: envelope.source.to_string(),
            r#type: envelope.kind.to_string(),
            subject: envelope.key.to_string(),
            time: Timestamp::saturating_from_micros(envelope.time),
            correlationid: envelope.correlation.to_string(),
            causationid: text(&envelope.causation),
            actor: envelope.actor.to_string(),
            tenant: text(&envelope.tenant),
            traceparent: text(&envelope.trace),
            saga: envelope.saga.clone(),
        }
    }
}
