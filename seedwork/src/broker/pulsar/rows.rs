//! A row of the log as a message of the broker's, and back.
//!
//! The payload is the row's bytes, unchanged. What a consumer needs to move its mark stands in the properties, so a body that nobody can
//! read moves it too; beside it the CloudEvents attributes and the W3C trace context, for whoever looks without reading bodies.

use std::sync::Arc;

use pulsar::message::proto;

use crate::message::{Envelope, Packet, partition_key};
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route};

/// `context/partition/epoch`: whose row it is.
pub(super) const STREAM: &str = "stream";
/// Its position in the stream.
pub(super) const POSITION: &str = "position";
/// `epoch/position` of the row before it on the same route; not there: the first.
pub(super) const PREDECESSOR: &str = "predecessor";
/// The hash that an edge gives along with a command.
pub(super) const HASH: &str = "hash";

/// Bytes that a message may have: the broker's limit of 5 MiB, less what the properties take.
pub(super) const LARGEST: usize = 5 * 1024 * 1024 - 64 * 1024;
/// Longer attributes are left out of the properties, as they are in the payload too; nothing longer is taken from one.
pub(super) const LONGEST: usize = 1024;

/// A message of the crate's with its key and the attributes of its envelope.
pub(super) fn message(raw: &[u8], envelope: Option<&Envelope>) -> pulsar::producer::Message {
    let mut message = pulsar::producer::Message { payload: raw.to_vec(), ..Default::default() };
    let Some(envelope) = envelope else { return message };
    message.partition_key = Some(partition_key(&envelope.key).to_owned());
    message.event_time = u64::try_from(envelope.time / 1000).ok();
    let time = jiff::Timestamp::from_microsecond(envelope.time).map(|time| time.to_string()).ok();
    let attributes = [
        ("ce-specversion", Some("1.0")),
        ("ce-id", Some(&*envelope.id)),
        ("ce-source", Some(&*envelope.source)),
        ("ce-type", Some(&*envelope.kind)),
        ("ce-subject", Some(&*envelope.key)),
        ("ce-time", time.as_deref()),
        ("traceparent", envelope.trace.as_deref()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value.filter(|value| value.len() <= LONGEST) {
            message.properties.insert(name.to_owned(), value.to_owned());
        }
    }
    message
}

/// A row as it goes out. One that the broker would never take goes out without its body: its receiver then has a dead letter and a mark
/// behind it, and what follows is not held up for ever.
pub(super) fn outgoing(row: &LogRow) -> pulsar::producer::Message {
    let read;
    let envelope = match &row.packet {
        Some(packet) => Some(&packet.envelope),
        None => {
            read = Packet::parse(&row.raw, |_| None).ok();
            read.as_ref().map(|packet| &packet.envelope)
        }
    };
    let raw = if row.raw.len() > LARGEST {
        tracing::error!(from = %row.route.from, topic = %row.route.to.topic, bytes = row.raw.len(),
            "a message is too large for the broker: its receiver gets an empty one, the log keeps it whole");
        &[][..]
    } else {
        &row.raw
    };
    let mut message = message(raw, envelope);
    let Partition { context, number } = &row.route.from;
    let mut put = |name: &str, value: String| message.properties.insert(name.to_owned(), value);
    put(STREAM, format!("{context}/{number}/{}", row.place.epoch));
    put(POSITION, row.place.position.to_string());
    if let Some(before) = row.predecessor {
        put(PREDECESSOR, place_text(before));
    }
    message
}

/// A message as the row that it is; none when it is no row of a stream of ours.
pub(super) fn incoming(to: &Destination, properties: &[proto::KeyValue], raw: &Arc<[u8]>) -> Option<LogRow> {
    let (from, epoch) = stream(property(properties, STREAM)?)?;
    let position = number(property(properties, POSITION)?)?;
    let predecessor = match properties.iter().any(|property| property.key == PREDECESSOR) {
        true => Some(place(property(properties, PREDECESSOR)?)?),
        false => None,
    };
    let place = Place { epoch, position };
    // Such a row would move a mark backwards, or past everything that is still to come.
    if position == 0 || predecessor.is_some_and(|before| before >= place) {
        return None;
    }
    let route = Route { from, to: to.clone() };
    Some(LogRow { route, place, predecessor, raw: raw.clone(), packet: None, times: [0; 3] })
}

/// A property, if it is there once: twice is nobody of ours.
pub(super) fn property<'a>(properties: &'a [proto::KeyValue], name: &str) -> Option<&'a str> {
    let mut values = properties.iter().filter(|property| property.key == name).map(|property| property.value.as_str());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn stream(text: &str) -> Option<(Partition, u64)> {
    let mut parts = text.split('/');
    let (context, partition, epoch) = (parts.next()?, parts.next()?, parts.next()?);
    let known = !context.is_empty()
        && context.len() <= 64
        && context.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !known || parts.next().is_some() {
        return None;
    }
    Some((Partition { context: context.into(), number: u16::try_from(number(partition)?).ok()? }, number(epoch)?))
}

/// A number as we write it: nothing but digits, and no more than 63 bits, which is what a store keeps.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|number| i64::try_from(*number).is_ok())
}

/// `epoch/position`.
pub(super) fn place_text(place: Place) -> String {
    format!("{}/{}", place.epoch, place.position)
}

pub(super) fn place(text: &str) -> Option<Place> {
    let (epoch, position) = text.split_once('/')?;
    Some(Place { epoch: number(epoch)?, position: number(position)? })
}

/// What is asked of a producer: from whom, to where, and the mark, as text.
pub(super) fn turn_text(route: &Route, mark: Place0) -> String {
    let mark = mark.map_or_else(|| "-".to_owned(), place_text);
    format!("{} {} {} {} {mark}", route.from.context, route.from.number, route.to.topic, route.to.partition)
}

pub(super) fn turn(text: &str) -> Option<(Route, Place0)> {
    if text.len() > LONGEST {
        return None;
    }
    let parts: Vec<&str> = text.split(' ').collect();
    let [context, from, topic, to, mark] = parts.as_slice() else { return None };
    let from = Partition { context: (*context).into(), number: u16::try_from(number(from)?).ok()? };
    let to = Destination { topic: (*topic).into(), partition: u16::try_from(number(to)?).ok()? };
    let mark = if *mark == "-" { None } else { Some(place(mark)?) };
    Some((Route { from, to }, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(predecessor: Place0) -> LogRow {
        let raw = br#"{"specversion":"1.0","id":"lot/1/3/9","source":"lot","type":"lot.entered.v1","subject":"car-1~a","time":1500000,"traceparent":"00-aa-bb-01","Entered":{}}"#;
        LogRow {
            route: Route {
                from: Partition { context: "lot".into(), number: 1 },
                to: Destination { topic: "lot.events".into(), partition: 1 },
            },
            place: Place { epoch: 3, position: 9 },
            predecessor,
            raw: Arc::from(&raw[..]),
            packet: None,
            times: [0; 3],
        }
    }

    fn properties(message: &pulsar::producer::Message) -> Vec<proto::KeyValue> {
        let pair = |(key, value): (&String, &String)| proto::KeyValue { key: key.clone(), value: value.clone() };
        message.properties.iter().map(pair).collect()
    }

    #[test]
    fn a_row_comes_back_as_it_went_out() {
        for predecessor in [None, Some(Place { epoch: 3, position: 8 }), Some(Place { epoch: 2, position: 80 })] {
            let row = row(predecessor);
            let message = outgoing(&row);
            let raw: Arc<[u8]> = message.payload.clone().into();
            assert_eq!(incoming(&row.route.to, &properties(&message), &raw), Some(row));
        }
    }

    #[test]
    fn whoever_does_not_read_bodies_sees_the_attributes_and_the_key_that_decides_the_partition() {
        let message = outgoing(&row(None));
        assert_eq!(message.partition_key.as_deref(), Some("car-1"));
        let value = |name: &str| message.properties.get(name).map(String::as_str);
        assert_eq!(value("ce-type"), Some("lot.entered.v1"));
        assert_eq!(value("ce-time"), Some("1970-01-01T00:00:01.5Z"));
        assert_eq!(value("traceparent"), Some("00-aa-bb-01"));
    }

    #[test]
    fn a_body_that_nobody_can_read_is_a_row_all_the_same() {
        let row = LogRow { raw: Arc::from(&b"\xff\x00{"[..]), ..row(None) };
        let message = outgoing(&row);
        assert_eq!(message.payload, row.raw.to_vec());
        assert!(incoming(&row.route.to, &properties(&message), &row.raw).is_some());
    }

    #[test]
    fn what_the_broker_would_never_take_goes_out_empty_and_holds_up_nothing() {
        let row = LogRow { raw: vec![b'x'; LARGEST + 1].into(), ..row(None) };
        let message = outgoing(&row);
        assert!(message.payload.is_empty());
        assert_eq!(incoming(&row.route.to, &properties(&message), &Arc::from(&b""[..])).map(|row| row.place), Some(row.place));
    }

    #[test]
    fn hostile_properties_are_no_row() {
        let to = Destination { topic: "lot.events".into(), partition: 1 };
        let raw: Arc<[u8]> = Arc::from(&b""[..]);
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<proto::KeyValue> =
                pairs.iter().map(|(key, value)| proto::KeyValue { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
            incoming(&to, &pairs, &raw)
        };
        assert!(of(&[(STREAM, "lot/1/3"), (POSITION, "9")]).is_some());
        let long = format!("{}/1/3", "x".repeat(65));
        for stream in ["", "lot", "lot/1", "lot/1/3/4", "/1/3", "l t/1/3", "lot/70000/3", "lot/-1/3", "lot/1/+3", "ö/1/3", &long]
        {
            assert!(of(&[(STREAM, stream), (POSITION, "9")]).is_none(), "{stream:?}");
        }
        for position in ["", "0", "-1", "9223372036854775808", "99999999999999999999999", "1.0", " 1"] {
            assert!(of(&[(STREAM, "lot/1/3"), (POSITION, position)]).is_none(), "{position:?}");
        }
        for predecessor in ["", "3", "3/", "/8", "3/9", "4/1", "3/8/1"] {
            assert!(of(&[(STREAM, "lot/1/3"), (POSITION, "9"), (PREDECESSOR, predecessor)]).is_none(), "{predecessor:?}");
        }
        assert!(of(&[(STREAM, "lot/1/3"), (STREAM, "lot/1/4"), (POSITION, "9")]).is_none(), "twice is nobody of ours");
        assert!(of(&[(STREAM, "lot/1/3"), (POSITION, "9"), (PREDECESSOR, "3/7"), (PREDECESSOR, "3/8")]).is_none());
    }

    #[test]
    fn what_is_asked_of_a_producer_is_read_back_or_not_at_all() {
        for mark in [None, Some(Place { epoch: 3, position: 8 })] {
            let route = row(None).route;
            assert_eq!(turn(&turn_text(&route, mark)), Some((route, mark)));
        }
        let long = format!("lot 1 {} 1 -", "x".repeat(LONGEST));
        for hostile in ["", "lot 1 lot.events", "lot 1 lot.events 1 x", "lot x lot.events 1 -", "lot 1 lot.events 1 - -", &long] {
            assert_eq!(turn(hostile), None, "{hostile:?}");
        }
    }
}
