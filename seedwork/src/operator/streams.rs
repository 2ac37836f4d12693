//! Streams, and how far who reads them is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Page, partition};
use crate::store::sqlite::log_number;
use crate::store::{Destination, Partition, Place, Place0, Route};
use crate::view::{Read, Value};

/// Rows of the log that one look at a reader's lag counts at most.
pub const COUNTED: i64 = 20_000;

/// A stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Whose it is.
    pub partition: Partition,
    /// Its epoch.
    pub epoch: u64,
    /// Whether rows are written to it now; older epochs are only kept.
    pub current: bool,
    /// The first row that is kept; none: no row is.
    pub first: Option<u64>,
    /// The last row written; 0: none yet.
    pub head: u64,
    /// Up to which row the broker has all; of the current epoch only.
    pub relayed: Option<u64>,
    /// The last row sent to each destination, of those whose last row is of this epoch.
    pub destinations: Vec<(Destination, u64)>,
    number: i64,
}

/// A row of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its position.
    pub position: u64,
    /// Where it goes.
    pub to: Destination,
    /// The row before it on the same way.
    pub predecessor: Place0,
    /// The message.
    pub raw: String,
    /// When what caused it was received, its handler started, and its batch was written: microseconds since 1970.
    pub times: [i64; 3],
}

/// How far a reader is on one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// The reader.
    pub reader: Partition,
    /// Whose rows, on which way.
    pub route: Route,
    /// The last row that it has taken.
    pub mark: Place0,
    /// The last row that was sent there; none when another store keeps that stream.
    pub sent: Place0,
    /// Rows between the two, as far as they were counted.
    pub rows: i64,
    /// Whether there are more than were counted.
    pub more: bool,
}

/// A pause.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause {
    /// The reader.
    pub reader: Partition,
    /// What it does not read.
    pub to: Destination,
    /// Since when: microseconds since 1970.
    pub at: i64,
    /// Who paused it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What waits of one reader, by the part of the topic (`commands`, `events`, `replies`) and who said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    /// The reader.
    pub reader: Partition,
    /// `commands`, `events` or `replies`.
    pub topic: String,
    /// The context or edge that said it.
    pub source: Option<String>,
    /// Messages that wait and are tried by themselves.
    pub waiting: i64,
    /// Dead letters.
    pub dead: i64,
    /// Since when the oldest of either waits: microseconds since 1970.
    pub oldest: i64,
}

fn integer(value: Option<&Value>) -> i64 {
    value.and_then(Value::integer).unwrap_or(0)
}

fn unsigned(value: Option<&Value>) -> u64 {
    u64::try_from(integer(value)).unwrap_or(0)
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::text).unwrap_or_default()
}

fn destination(topic: Option<&Value>, number: Option<&Value>) -> Destination {
    Destination { topic: text(topic).into(), partition: u16::try_from(integer(number)).unwrap_or(0) }
}

fn place(epoch: Option<&Value>, position: Option<&Value>) -> Place0 {
    let (epoch, position) = (epoch?.integer()?, position?.integer()?);
    Some(Place { epoch: u64::try_from(epoch).ok()?, position: u64::try_from(position).ok()? })
}

/// Every stream of this store.
///
/// # Errors
/// As [`Read::select`].
pub fn streams(read: &(impl Read + ?Sized)) -> Result<Vec<Stream>, String> {
    let sql = "SELECT s.id, p.text, s.epoch, h.epoch, h.position, h.relayed FROM stream s JOIN name p ON p.id = s.partition \
               JOIN head h ON h.partition = s.partition ORDER BY p.text, s.epoch";
    let sent = sent(read)?;
    let edge = |number: i64, order: &str| -> Result<Option<u64>, String> {
        let sql = format!("SELECT id FROM log WHERE id > $1 AND id < $2 ORDER BY id {order} LIMIT 1");
        let rows = read.select(&sql, &[log_number(number, 0).into(), log_number(number + 1, 0).into()])?;
        let id = rows.first().and_then(|row| row.first()).and_then(Value::integer);
        Ok(id.map(|id| u64::try_from(id - log_number(number, 0)).unwrap_or(0)))
    };
    let mut streams = Vec::new();
    for row in read.select(sql, &[])? {
        let (number, partition, epoch) = (integer(row.first()), partition(text(row.get(1))), unsigned(row.get(2)));
        let current = unsigned(row.get(3)) == epoch;
        let last = edge(number, "DESC")?;
        let destinations = sent.iter().filter(|(route, place)| route.from == partition && place.epoch == epoch);
        streams.push(Stream {
            epoch,
            current,
            first: edge(number, "ASC")?,
            head: if current { unsigned(row.get(4)) } else { last.unwrap_or(0) },
            relayed: current.then(|| unsigned(row.get(5))),
            destinations: destinations.map(|(route, place)| (route.to.clone(), place.position)).collect(),
            number,
            partition,
        });
    }
    Ok(streams)
}

/// The last row sent on each route of this store's.
fn sent(read: &(impl Read + ?Sized)) -> Result<BTreeMap<Route, Place>, String> {
    let sql = "SELECT p.text, t.text, d.number, d.epoch, d.position FROM destination d JOIN name p ON p.id = d.partition \
               JOIN name t ON t.id = d.topic";
    let rows = read.select(sql, &[])?;
    let of = |row: &Vec<Value>| {
        let route = Route { from: partition(text(row.first())), to: destination(row.get(1), row.get(2)) };
        Some((route, place(row.get(3), row.get(4))?))
    };
    Ok(rows.iter().filter_map(of).collect())
}

/// Rows of a stream after a position, at most `limit`; of one topic if it is named.
///
/// # Errors
/// As [`Read::select`].
pub fn rows(
    read: &(impl Read + ?Sized),
    stream: &Stream,
    topic: Option<&str>,
    after: u64,
    limit: usize,
) -> Result<Page<Row>, String> {
    let sql = "SELECT l.id, t.text, l.number, l.before_epoch, l.before_position, l.raw, l.received, l.started, l.written \
               FROM log l JOIN name t ON t.id = l.topic WHERE l.id > $1 AND l.id < $2 ORDER BY l.id LIMIT $3";
    let (base, end) = (log_number(stream.number, 0), log_number(stream.number + 1, 0));
    let start = base.saturating_add(i64::try_from(after).unwrap_or(i64::MAX)).min(end - 1);
    let page = super::scan(
        limit,
        &[start],
        &[end.into()],
        |parameters| read.select(sql, parameters),
        |row| {
            if topic.is_some_and(|topic| text(row.get(1)) != topic) {
                return Ok(None);
            }
            Ok(Some(Row {
                position: u64::try_from(integer(row.first()) - base).unwrap_or(0),
                to: destination(row.get(1), row.get(2)),
                predecessor: place(row.get(3), row.get(4)),
                raw: text(row.get(5)).to_owned(),
                times: [integer(row.get(6)), integer(row.get(7)), integer(row.get(8))],
            }))
        },
    )?;
    Ok(Page { items: page.items, next: page.next.map(|next| next.iter().map(|id| id - base).collect()) })
}

/// How far each reader of this store is on each route that it has a mark on, or that ends here.
///
/// # Errors
/// As [`Read::select`].
pub fn lags(read: &(impl Read + ?Sized), readers: &[(Partition, Destination)]) -> Result<Vec<Lag>, String> {
    let sent = sent(read)?;
    let sql = "SELECT r.text, o.text, t.text, m.number, m.epoch, m.position FROM mark m JOIN name r ON r.id = m.partition \
               JOIN name o ON o.id = m.origin JOIN name t ON t.id = m.topic";
    let mut marks: BTreeMap<(Partition, Route), Place> = BTreeMap::new();
    for row in read.select(sql, &[])? {
        let route = Route { from: partition(text(row.get(1))), to: destination(row.get(2), row.get(3)) };
        marks.extend(place(row.get(4), row.get(5)).map(|place| ((partition(text(row.first())), route), place)));
    }
    let streams = streams(read)?;
    let mut lags = Vec::new();
    for (reader, to) in readers {
        let marked = marks.keys().filter(|(of, route)| of == reader && route.to == *to).map(|(_, route)| route);
        let mut routes: Vec<Route> = sent.keys().filter(|route| route.to == *to).chain(marked).cloned().collect();
        routes.sort();
        routes.dedup();
        for route in routes {
            let mark = marks.get(&(reader.clone(), route.clone())).copied();
            let last = sent.get(&route).copied();
            let (rows, more) = if last > mark { behind(read, &streams, &route, mark)? } else { (0, false) };
            lags.push(Lag { reader: reader.clone(), route, mark, sent: last, rows, more });
        }
    }
    Ok(lags)
}

/// Rows of a route after a mark.
fn behind(read: &(impl Read + ?Sized), streams: &[Stream], route: &Route, mark: Place0) -> Result<(i64, bool), String> {
    let sql = "SELECT count(*), count(CASE WHEN t.text = $1 AND l.number = $2 THEN 1 END) FROM \
               (SELECT topic, number FROM log WHERE id > $3 AND id < $4 ORDER BY id LIMIT $5) l JOIN name t ON t.id = l.topic";
    let (mut rows, mut looked) = (0, 0);
    for stream in streams.iter().filter(|stream| stream.partition == route.from) {
        let after = match mark {
            Some(mark) if stream.epoch < mark.epoch => continue,
            Some(mark) if stream.epoch == mark.epoch => mark.position,
            _ => 0,
        };
        let start = log_number(stream.number, after);
        let parameters: [Value; 5] = [
            (&*route.to.topic).into(),
            i64::from(route.to.partition).into(),
            start.into(),
            log_number(stream.number + 1, 0).into(),
            (COUNTED - looked).into(),
        ];
        let counted = read.select(sql, &parameters)?;
        let row = counted.first();
        looked += integer(row.and_then(|row| row.first()));
        rows += integer(row.and_then(|row| row.get(1)));
        if looked >= COUNTED {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

/// Everything that operators have paused.
///
/// # Errors
/// As [`Read::select`].
pub fn pauses(read: &(impl Read + ?Sized)) -> Result<Vec<Pause>, String> {
    let sql = "SELECT r.text, t.text, p.number, p.at, p.actor, p.reason FROM pause p JOIN name r ON r.id = p.partition \
               JOIN name t ON t.id = p.topic";
    let of = |row: &Vec<Value>| Pause {
        reader: partition(text(row.first())),
        to: destination(row.get(1), row.get(2)),
        at: integer(row.get(3)),
        actor: text(row.get(4)).to_owned(),
        reason: text(row.get(5)).to_owned(),
    };
    Ok(read.select(sql, &[])?.iter().map(of).collect())
}

/// What waits, by reader and where it came from.
///
/// # Errors
/// As [`Read::select`].
pub fn backlogs(read: &(impl Read + ?Sized)) -> Result<Vec<Backlog>, String> {
    let sql = "SELECT p.text, t.text, w.source, count(CASE WHEN w.dead = 0 THEN 1 END), count(CASE WHEN w.dead = 1 THEN 1 END), \
               min(w.since) FROM waiting w JOIN name p ON p.id = w.partition JOIN name t ON t.id = w.topic \
               GROUP BY p.text, t.text, w.source";
    let of = |row: &Vec<Value>| Backlog {
        reader: partition(text(row.first())),
        topic: text(row.get(1)).to_owned(),
        source: row.get(2).and_then(Value::text).map(str::to_owned),
        waiting: integer(row.get(3)),
        dead: integer(row.get(4)),
        oldest: integer(row.get(5)),
    };
    Ok(read.select(sql, &[])?.iter().map(of).collect())
}

/// The topic by which a reader hears of a message: events by that of whoever said them, the rest by its own.
pub fn topic_of(reader: &Partition, topic: &str, source: Option<&str>) -> Arc<str> {
    let owner = source.filter(|_| topic == "events").unwrap_or(&reader.context);
    format!("{owner}.{topic}").into()
}
