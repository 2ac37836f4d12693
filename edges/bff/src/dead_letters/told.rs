//! A waiting message, told.

use seedwork::operator::letters::{self, Letter};
use seedwork::operator::streams::topic_of;
use serde::Serialize;
use wire::values::Timestamp;

use crate::message::Message;

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
        Told {
            id: id_of(letter),
            revision: letter.revision,
            state,
            context: &letter.partition.context,
            partition: letter.partition.number,
            topic: topic_of(&letter.partition, &letter.topic, letter.source.as_deref()).to_string(),
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
    #[serde(flatten)]
    message: Message<'a>,
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

impl<'a> Whole<'a> {
    pub fn of(whole: &'a letters::Whole) -> Whole<'a> {
        Whole {
            told: Told::of(&whole.letter),
            message: Message::of(&whole.raw),
            original: whole.original.as_deref(),
            behind: Behind { count: whole.behind, first: whole.next.iter().map(Told::of).collect() },
        }
    }
}
