//! A waiting message, told.

use seedwork::message::{Envelope, Packet, SagaRef};
use seedwork::operator::letters::{self, Letter};
use serde::Serialize;
use serde_json::value::RawValue;
use wire::values::Timestamp;

pub(super) fn id_of(letter: &Letter) -> String {
    seedwork::executor::letter_id(&letter.partition, letter.number)
}

/// A waiting message in a list.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    id: String,
    revision: u64,
    /// dead; else queued behind its lane, retrying, or not-yet: it waits for what it names to be known.
    state: &'static str,
    context: &'a str,
    partition: u16,
    topic: String,
    lane: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<&'a str>,
    attempts: i64,
    reason: &'a str,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    edited: bool,
}

impl<'a> Told<'a> {
    pub fn of(letter: &'a Letter) -> Told<'a> {
        let state = match (letter.dead, letter.not_yet, letter.attempts) {
            (true, ..) => "dead",
            (false, Some(_), _) => "not-yet",
            (false, None, 0) => "queued",
            (false, None, _) => "retrying",
        };
        // Events come by the topic of the context that said them, the rest by the reader's own.
        let owner = match (letter.topic.as_str(), &letter.source) {
            ("events", Some(source)) => source,
            _ => &*letter.partition.context,
        };
        Told {
            id: id_of(letter),
            revision: letter.revision,
            state,
            context: &letter.partition.context,
            partition: letter.partition.number,
            topic: format!("{owner}.{}", letter.topic),
            lane: &letter.lane,
            kind: letter.kind.as_deref(),
            key: letter.key.as_deref(),
            source: letter.source.as_deref(),
            saga: letter.saga.as_deref(),
            attempts: letter.attempts,
            reason: &letter.reason,
            since: Timestamp::saturating_from_micros(letter.since),
            due: letter.due.filter(|_| !letter.dead).map(Timestamp::saturating_from_micros),
            edited: letter.edited,
        }
    }
}

/// A waiting message, whole.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    #[serde(flatten)]
    told: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// The message as text, when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<&'a str>,
    /// The message as it came, when an operator has edited it.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a str>,
    behind: Behind<'a>,
}

#[derive(Serialize)]
struct Behind<'a> {
    count: i64,
    first: Vec<Told<'a>>,
}

/// An envelope's attributes, by their names in CloudEvents.
#[derive(Serialize)]
pub(crate) struct Attributes {
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
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
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

impl<'a> Whole<'a> {
    pub fn of(whole: &'a letters::Whole) -> Whole<'a> {
        // Our own messages have one member that is no attribute: their body.
        let packet = Packet::parse(whole.raw.as_bytes(), |_| None).ok();
        let body = packet.as_ref().and_then(|packet| serde_json::from_slice(packet.body()).ok());
        Whole {
            told: Told::of(&whole.letter),
            envelope: packet.as_ref().map(|packet| Attributes::from(&packet.envelope)),
            body,
            unreadable: packet.is_none().then_some(whole.raw.as_str()),
            original: whole.original.as_deref(),
            behind: Behind { count: whole.behind, first: whole.next.iter().map(Told::of).collect() },
        }
    }
}
