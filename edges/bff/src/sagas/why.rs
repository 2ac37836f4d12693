//! Why: a saga's messages, each behind what caused it, and where the time went.

use seedwork::SagaRecord;
use seedwork::message::Direction;
use seedwork::operator::story::{Story, Told};
use serde::Serialize;
use wire::values::Timestamp;

/// A story, as it is answered.
#[derive(Serialize)]
pub(super) struct Why<'a> {
    saga: &'a str,
    command: &'a str,
    started: Timestamp,
    updated: Timestamp,
    /// Whether all of it was found and nothing was left out.
    complete: bool,
    /// Where the time went, on the way from the first cause to what was said last.
    spent: Spent,
    path: Vec<&'a str>,
    messages: Vec<Shown<'a>>,
}

/// Microseconds.
#[derive(Default, Serialize)]
struct Spent {
    /// From when a message was said until it was received: the commit that said it, and its way.
    waiting_us: i64,
    /// From when it was received until its handler began.
    queued_us: i64,
    /// From when its handler began until its batch was written.
    handling_us: i64,
}

/// A message of the story. Depth 0 has no cause in it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    cause: Option<&'a str>,
    depth: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<Spent>,
}

/// Where the time of a message went, at most until the next one on its path was received.
fn spent(told: &Told, next: Option<i64>) -> Option<Spent> {
    let [received, started, committed] = told.handled?;
    // Times are of a wall clock, which may be set back.
    let between = |from: i64, to: i64| to.saturating_sub(from).max(0);
    Some(Spent {
        waiting_us: told.said.map_or(0, |said| between(said, received)),
        queued_us: between(received, started),
        handling_us: between(started, next.map_or(committed, |next| next.min(committed))),
    })
}

impl<'a> Why<'a> {
    pub fn of(saga: &'a str, record: &'a SagaRecord, story: &'a Story) -> Why<'a> {
        let mut total = Spent::default();
        let steps: Vec<&Told> = story.messages.iter().filter(|told| story.path.contains(&told.id)).collect();
        for (at, told) in steps.iter().enumerate() {
            // What the same batch took next was received before that was written: its time is not counted twice.
            let next = steps.get(at + 1).and_then(|next| next.handled).map(|[received, ..]| received);
            let spent = spent(told, next).unwrap_or_default();
            total.waiting_us += spent.waiting_us;
            total.queued_us += spent.queued_us;
            total.handling_us += spent.handling_us;
        }
        Why {
            saga,
            command: &record.command,
            started: Timestamp::saturating_from_micros(record.started),
            updated: Timestamp::saturating_from_micros(record.updated),
            complete: story.complete,
            spent: total,
            path: story.path.iter().map(String::as_str).collect(),
            messages: story.messages.iter().map(Shown::of).collect(),
        }
    }
}

impl<'a> Shown<'a> {
    fn of(told: &'a Told) -> Shown<'a> {
        let envelope = told.envelope.as_ref();
        let saga = envelope.and_then(|envelope| envelope.saga.as_ref());
        let at = |which: usize| told.handled.and_then(|times| times.get(which).copied()).map(Timestamp::saturating_from_micros);
        Shown {
            id: &told.id,
            cause: told.cause.as_deref(),
            depth: told.depth,
            kind: envelope.map(|envelope| &*envelope.kind),
            key: envelope.map(|envelope| &*envelope.key),
            source: envelope.map(|envelope| &*envelope.source),
            topic: told.topic.as_deref(),
            row: saga.map(|saga| saga.row),
            index: saga.map(|saga| saga.index),
            direction: saga.map(|saga| saga.direction),
            attempt: saga.map(|saga| saga.attempt),
            said: told.said.map(Timestamp::saturating_from_micros),
            received: at(0),
            started: at(1),
            committed: at(2),
            spent: spent(told, None),
        }
    }
}
