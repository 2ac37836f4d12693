//! A message as it crosses a broker: its envelope, and the one member that is its body.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Message, partition_key};

/// Do or undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The row's step.
    Do,
    /// The row's compensation.
    Undo,
}

/// Where in which saga a command, or the answer to it, belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaRef {
    /// The saga's id: the key that it lives under, `~`, and a minted part.
    pub id: Arc<str>,
    /// The context that runs it, to which the answer goes.
    pub context: Arc<str>,
    /// The row of its table; 1 is the unit of work that started it.
    pub row: u16,
    /// Which child of a fan-out, from 0.
    pub index: u32,
    /// Do or undo.
    pub direction: Direction,
    /// Counted from 1 for each direction.
    pub attempt: u16,
}

impl SagaRef {
    /// The same JSON as serde writes. Most messages hold one, and their ids hardly ever need escaping.
    fn write(&self, raw: &mut Vec<u8>) -> serde_json::Result<()> {
        let SagaRef { id, context, row, index, direction, attempt } = self;
        let from = raw.len();
        text(raw, "id", id)?;
        text(raw, "context", context)?;
        whole(raw, "row", *row);
        whole(raw, "index", *index);
        member(raw, "direction", direction)?;
        whole(raw, "attempt", *attempt);
        // Its first member has no comma before it.
        if let Some(comma) = raw.get_mut(from) {
            *comma = b'{';
        }
        raw.push(b'}');
        Ok(())
    }
}

/// Which versions of the aggregate with its key a command is about: it is refused when that has another by the time of its commit.
///
/// As text it is `*`, or versions with commas between them, or nothing when none would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any, so there must be one.
    Any,
    /// One of these; 0 is the one that is not there yet.
    Versions(Arc<[u64]>),
}

impl Expected {
    /// Whether this version will do.
    pub fn allows(&self, version: u64) -> bool {
        match self {
            Expected::Any => version > 0,
            Expected::Versions(versions) => versions.contains(&version),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Any => f.write_str("*"),
            Expected::Versions(versions) => {
                let texts: Vec<String> = versions.iter().map(u64::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl std::str::FromStr for Expected {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Expected, Self::Err> {
        match text {
            "*" => Ok(Expected::Any),
            "" => Ok(Expected::Versions(Arc::from([]))),
            versions => versions.split(',').map(str::parse).collect::<Result<_, _>>().map(Expected::Versions),
        }
    }
}

/// Who asked, when, for whom, and why: everything about a message that is not its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Unique: an idempotency key or a UUID for a command from outside, else the row of the log that it is (`context/partition/epoch/position`).
    pub id: Arc<str>,
    /// The context or edge that said it.
    pub source: Arc<str>,
    /// Its [`Message::KIND`].
    pub kind: Arc<str>,
    /// Its [`Message::key`].
    pub key: Arc<str>,
    /// When it was said: microseconds since 1970, UTC.
    pub time: i64,
    /// W3C trace context, if the caller sent one.
    pub trace: Option<Arc<str>>,
    /// The id of the first command of the story.
    pub correlation: Arc<str>,
    /// The id of the message that caused this one.
    pub causation: Option<Arc<str>>,
    /// Who asked. Names a person.
    pub actor: Arc<str>,
    /// For which tenant.
    pub tenant: Option<Arc<str>>,
    /// The saga that sent it, or that it answers.
    pub saga: Option<SagaRef>,
    /// Where whoever waits for the first answer and the outcome listens.
    pub answer_to: Option<Arc<str>>,
    /// Which versions of the aggregate with its key it is about, if whoever asked has said so.
    pub expected: Option<Expected>,
}

impl Envelope {
    /// The envelope of a command from outside, with which a story begins: it is the first of it, and nothing has caused it. Nobody is answered
    /// and nothing is expected; set what is different. [`Packet::of`] sets `kind` and `key`. `time` is in microseconds since 1970, UTC.
    pub fn asked(id: impl Into<Arc<str>>, source: impl Into<Arc<str>>, actor: impl Into<Arc<str>>, time: i64) -> Envelope {
        let (id, source): (Arc<str>, Arc<str>) = (id.into(), source.into());
        Envelope {
            id: id.clone(),
            // Until they are set: it costs nothing to share a text.
            kind: source.clone(),
            key: source.clone(),
            source,
            time,
            trace: None,
            correlation: id,
            causation: None,
            actor: actor.into(),
            tenant: None,
            saga: None,
            answer_to: None,
            expected: None,
        }
    }

    /// The part of the key that decides the partition.
    pub fn partition_key(&self) -> &str {
        partition_key(&self.key)
    }
}

/// A message as bytes, its envelope read.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Its envelope.
    pub envelope: Envelope,
    raw: Arc<[u8]>,
    body: Range<usize>,
}

impl Packet {
    /// Writes a message with its envelope. The caller has set `kind` and `key` from the message (see [`Packet::of`]).
    ///
    /// # Errors
    /// When the body cannot be written as JSON (a map whose keys are not text).
    pub fn encode(envelope: Envelope, record: &str, body: &[u8]) -> Result<Packet, serde_json::Error> {
        let mut raw = Vec::with_capacity(body.len() + 640);
        raw.extend_from_slice(br#"{"specversion":"1.0""#);
        text(&mut raw, "id", &envelope.id)?;
        text(&mut raw, "source", &envelope.source)?;
        text(&mut raw, "type", &envelope.kind)?;
        text(&mut raw, "subject", &envelope.key)?;
        whole(&mut raw, "time", envelope.time);
        if let Some(trace) = &envelope.trace {
            text(&mut raw, "traceparent", trace)?;
        }
        text(&mut raw, "correlationid", &envelope.correlation)?;
        if let Some(causation) = &envelope.causation {
            text(&mut raw, "causationid", causation)?;
        }
        text(&mut raw, "actor", &envelope.actor)?;
        if let Some(tenant) = &envelope.tenant {
            text(&mut raw, "tenant", tenant)?;
        }
        if let Some(saga) = &envelope.saga {
            name(&mut raw, "saga");
            saga.write(&mut raw)?;
        }
        if let Some(answer_to) = &envelope.answer_to {
            text(&mut raw, "answerto", answer_to)?;
        }
        if let Some(expected) = &envelope.expected {
            text(&mut raw, "ifmatch", &expected.to_string())?;
        }
        name(&mut raw, record);
        let start = raw.len();
        raw.extend_from_slice(body);
        let body = start..raw.len();
        raw.push(b'}');
        Ok(Packet { envelope, raw: raw.into(), body })
    }

    /// An envelope without a body: the cause of what a clock or an operator started. It is never sent.
    pub fn bare(envelope: Envelope) -> Packet {
        Packet { envelope, raw: Arc::from(&b""[..]), body: 0..0 }
    }

    /// Writes a message; `kind` and `key` of the envelope are taken from it.
    ///
    /// # Errors
    /// As [`Packet::encode`].
    pub fn of<M: Message>(message: &M, mut envelope: Envelope) -> Result<Packet, serde_json::Error> {
        envelope.kind = M::KIND.into();
        envelope.key = message.key().into();
        Packet::encode(envelope, M::RECORD, &serde_json::to_vec(message)?)
    }

    /// Reads a message. `record_of` gives the record's name of a `type`; of an unknown type the body is the only member that is no
    /// attribute of the envelope.
    ///
    /// # Errors
    /// When the bytes are not a JSON object, an attribute is missing or of the wrong type, or the body is not there.
    pub fn parse(raw: &[u8], record_of: impl Fn(&str) -> Option<&'static str>) -> Result<Packet, serde_json::Error> {
        let read: EnvelopeIn<'_> = serde_json::from_slice(raw)?;
        let record = record_of(&read.envelope.kind);
        let body = match record {
            Some(record) => read.others.iter().find(|(name, _)| name == record).map(|(_, body)| *body),
            None => match read.others.as_slice() {
                [(_, body)] => Some(*body),
                _ => None,
            },
        };
        let body = body.ok_or_else(|| {
            serde_json::Error::custom(format!("the member {:?} that should hold the body is missing", record.unwrap_or("?")))
        })?;
        let body = body.get().as_bytes();
        let start = body.as_ptr() as usize - raw.as_ptr() as usize;
        Ok(Packet { envelope: read.envelope, raw: raw.into(), body: start..start + body.len() })
    }

    /// The bytes, as in the log and on the wire.
    pub fn raw(&self) -> &Arc<[u8]> {
        &self.raw
    }

    /// The body's JSON.
    pub fn body(&self) -> &[u8] {
        self.raw.get(self.body.clone()).unwrap_or_default()
    }
}

/// A comma, and a member's name with its colon.
fn name(raw: &mut Vec<u8>, name: &str) {
    raw.extend_from_slice(b",\"");
    raw.extend_from_slice(name.as_bytes());
    raw.extend_from_slice(b"\":");
}

fn member(raw: &mut Vec<u8>, of: &str, value: &impl Serialize) -> serde_json::Result<()> {
    name(raw, of);
    serde_json::to_writer(raw, value)
}

/// A member that is text. Ids hardly ever hold what JSON must escape, and looking for that in one go is many times faster than writing
/// each byte by itself: an envelope is mostly ids, and a saga writes a dozen.
fn text(raw: &mut Vec<u8>, of: &str, value: &str) -> serde_json::Result<()> {
    if value.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
        return member(raw, of, &value);
    }
    name(raw, of);
    raw.push(b'"');
    raw.extend_from_slice(value.as_bytes());
    raw.push(b'"');
    Ok(())
}

fn whole(raw: &mut Vec<u8>, of: &str, value: impl itoa::Integer) {
    name(raw, of);
    raw.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The attributes of an incoming envelope, and its other members in the order in which they stand.
struct EnvelopeIn<'a> {
    envelope: Envelope,
    others: Vec<(String, &'a RawValue)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for EnvelopeIn<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = EnvelopeIn<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message: an object with CloudEvents attributes and one body")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut id, mut source, mut kind, mut key, mut time) = (None, None, None, None, None);
                let (mut trace, mut correlation, mut causation, mut actor, mut tenant) = (None, None, None, None, None);
                let (mut saga, mut answer_to, mut expected, mut others) = (None, None, None, Vec::new());
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    match name.as_ref() {
                        "specversion" => drop(map.next_value::<IgnoredAny>()?),
                        "id" => id = Some(map.next_value::<Arc<str>>()?),
                        "source" => source = Some(map.next_value::<Arc<str>>()?),
                        "type" => kind = Some(map.next_value::<Arc<str>>()?),
                        "subject" => key = Some(map.next_value::<Arc<str>>()?),
                        "time" => time = Some(map.next_value::<i64>()?),
                        "traceparent" => trace = map.next_value()?,
                        "correlationid" => correlation = map.next_value::<Option<Arc<str>>>()?,
                        "causationid" => causation = map.next_value()?,
                        "actor" => actor = map.next_value::<Option<Arc<str>>>()?,
                        "tenant" => tenant = map.next_value()?,
                        "saga" => saga = map.next_value()?,
                        "answerto" => answer_to = map.next_value()?,
                        "ifmatch" => expected = map.next_value::<Option<std::borrow::Cow<'de, str>>>()?,
                        _ => others.push((name.into_owned(), map.next_value::<&RawValue>()?)),
                    }
                }
                let id: Arc<str> = id.ok_or_else(|| A::Error::missing_field("id"))?;
                let envelope = Envelope {
                    source: source.ok_or_else(|| A::Error::missing_field("source"))?,
                    kind: kind.ok_or_else(|| A::Error::missing_field("type"))?,
                    key: key.ok_or_else(|| A::Error::missing_field("subject"))?,
                    time: time.ok_or_else(|| A::Error::missing_field("time"))?,
                    correlation: correlation.unwrap_or_else(|| id.clone()),
                    actor: actor.unwrap_or_else(|| "unknown".into()),
                    id,
                    trace,
                    causation,
                    tenant,
                    saga,
                    answer_to,
                    expected: expected.map(|text| text.parse().map_err(A::Error::custom)).transpose()?,
                };
                Ok(EnvelopeIn { envelope, others })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            id: "m-1".into(),
            source: "parking".into(),
            kind: "parking.enter.v1".into(),
            key: "car-1~2".into(),
            time: 1_700_000_000_000_000,
            trace: None,
            correlation: "m-0".into(),
            causation: Some("m-0".into()),
            actor: "local".into(),
            tenant: None,
            saga: Some(SagaRef {
                id: "car-1~x".into(),
                context: "parking".into(),
                row: 2,
                index: 0,
                direction: Direction::Undo,
                attempt: 1,
            }),
            answer_to: None,
            expected: None,
        }
    }

    #[test]
    fn what_is_expected_is_read_back_and_nonsense_is_an_error() {
        let versions = |list: &[u64]| Expected::Versions(list.into());
        for (expected, text) in [(Expected::Any, "*"), (versions(&[7]), "7"), (versions(&[0, 12]), "0,12"), (versions(&[]), "")] {
            assert_eq!((expected.to_string().as_str(), text.parse()), (text, Ok(expected.clone())));
            let packet = Packet::encode(Envelope { expected: Some(expected), ..envelope() }, "EnterCar", b"{}").unwrap();
            assert_eq!(Packet::parse(packet.raw(), |_| Some("EnterCar")).unwrap(), packet);
        }
        for nonsense in ["x", "1,", "-1", "**"] {
            assert!(nonsense.parse::<Expected>().is_err(), "{nonsense}");
        }
        assert!(Expected::Any.allows(1) && !Expected::Any.allows(0), "there must be one");
        assert!(versions(&[0]).allows(0) && !versions(&[0]).allows(1) && !versions(&[]).allows(0));
    }

    #[test]
    fn what_was_written_is_read_back_byte_for_byte() {
        let packet = Packet::encode(envelope(), "EnterCar", br#"{"car":"car-1"}"#).unwrap();
        let read = Packet::parse(packet.raw(), |_| Some("EnterCar")).unwrap();
        assert_eq!(read, packet);
        assert_eq!(read.body(), br#"{"car":"car-1"}"#);
        assert_eq!(read.envelope.partition_key(), "car-1");
    }

    #[test]
    fn text_that_json_must_escape_is_escaped() {
        for odd in ["a\"b", "a\\b", "a\nb", "\u{0}", "\u{1f}", "ñ", "\u{7f}", ""] {
            let packet =
                Packet::encode(Envelope { key: odd.into(), actor: odd.into(), ..envelope() }, "EnterCar", b"{}").unwrap();
            assert_eq!(Packet::parse(packet.raw(), |_| Some("EnterCar")).unwrap(), packet, "{odd:?}");
            let json: serde_json::Value = serde_json::from_slice(packet.raw()).unwrap();
            assert_eq!((json["subject"].as_str(), json["actor"].as_str()), (Some(odd), Some(odd)));
        }
    }

    #[test]
    fn a_saga_is_written_by_hand_as_serde_writes_it() {
        for id in ["car-1~x", "a\"\\\n~ñ"] {
            for (row, index, direction) in [(0, 0, Direction::Do), (u16::MAX, u32::MAX, Direction::Undo)] {
                let saga = SagaRef { id: id.into(), context: "parking".into(), row, index, direction, attempt: 65 };
                let mut raw = Vec::new();
                saga.write(&mut raw).unwrap();
                assert_eq!(String::from_utf8(raw).unwrap(), serde_json::to_string(&saga).unwrap());
            }
        }
    }

    #[test]
    fn the_type_decides_which_member_is_the_body() {
        let raw = br#"{"EnterCar":{"car":"c"},"CarEntered":null,"id":"1","source":"x","type":"t","subject":"c","time":1}"#;
        let packet = Packet::parse(raw, |_| Some("EnterCar")).unwrap();
        assert_eq!(packet.body(), br#"{"car":"c"}"#);
        assert_eq!(packet.envelope.correlation.as_ref(), "1", "a message without correlation begins its own story");
        assert!(Packet::parse(raw, |_| None).is_err(), "two candidates and an unknown type are not guessed");
    }

    #[test]
    fn an_unreadable_message_is_an_error_that_names_what_is_missing() {
        let error = Packet::parse(br#"{"id":"1","source":"x","type":"t","time":1,"B":{}}"#, |_| None).unwrap_err();
        assert!(error.to_string().contains("subject"), "{error}");
        for raw in [&b"[]"[..], b"", b"{", b"\xff\xff", b"null"] {
            assert!(Packet::parse(raw, |_| None).is_err());
        }
    }
}
