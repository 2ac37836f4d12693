//! Why: what a saga's first command caused, message by message, and where the time went.
//!
//! A row's id is where it stands, and its envelope names what caused it, so causes are followed upward by id. Downward, a saga's log
//! notes with each answer where that stands (a position, some fourteen bytes of JSON a line), and all that one handler said stands
//! together, so from an answer everything else is a few rows away. Only what has not been answered yet is looked for by its time:
//! rows were written in the order of time, so a search by halves finds the batch. No log is read through.

use std::collections::{BTreeMap, BTreeSet};

use super::streams::{self, Row, Stream};
use crate::identity::{LogLine, SagaRecord};
use crate::message::{Envelope, Packet};
use crate::view::{Read, Value};

/// Messages that one story tells at most.
pub const MESSAGES: usize = 2_000;
/// Rows of one batch that are looked through for those of a saga.
const BATCH: usize = 4_000;
/// Events whose effects elsewhere are looked for, and rows that each is looked for in.
const EVENTS: usize = 20;
const AFTER_EVENT: usize = 500;

/// A message of a story.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its envelope; of what is no row of the log (the first command, an alarm, an operator's decision) only id and key are known.
    pub id: String,
    /// The id of what caused it, if that is part of the story.
    pub cause: Option<String>,
    /// How many causes stand above it.
    pub depth: usize,
    /// Its envelope, when it is a row of the log.
    pub envelope: Option<Envelope>,
    /// The topic that it went by.
    pub topic: Option<String>,
    /// When the batch that said it was written: microseconds since 1970.
    pub said: Option<i64>,
    /// When it was received, its handler started, and that batch was written, if that left a row: microseconds since 1970.
    pub handled: Option<[i64; 3]>,
}

/// A story, told.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its messages, each behind what caused it.
    pub messages: Vec<Told>,
    /// The causes of what was said last, the first cause first: where the time went.
    pub path: Vec<String>,
    /// Whether all that its log names was found, nothing was left out, and all that was said behind each event was looked through for what
    /// that event caused.
    pub complete: bool,
}

struct Node {
    envelope: Envelope,
    cause: String,
    topic: String,
    times: [i64; 3],
}

struct Search<'a, R: ?Sized> {
    read: &'a R,
    streams: Vec<Stream>,
    nodes: BTreeMap<String, Node>,
    open: Vec<String>,
    complete: bool,
}

/// What a saga's first command caused.
///
/// # Errors
/// As [`Read::select`].
pub fn story(read: &(impl Read + ?Sized), id: &str, record: &SagaRecord, log: &[LogLine]) -> Result<Story, String> {
    let streams = streams::streams(read)?;
    let mut search = Search { read, streams, nodes: BTreeMap::new(), open: Vec::new(), complete: true };
    for line in log {
        if let Some(position) = line.entry.by {
            search.answer(id, line, position)?;
        }
    }
    search.follow()?;
    // What was sent and not answered yet.
    let mut sent = log.iter().filter(|line| matches!(&*line.entry.what, "started" | "sent" | "undo-sent" | "retried"));
    if !record.run.stage.ended()
        && let Some(last) = sent.next_back()
    {
        search.written_at(id, last.at)?;
        search.follow()?;
    }
    search.effects_of_events()?;
    search.follow()?;
    Ok(search.told(record))
}

impl<R: Read + ?Sized> Search<'_, R> {
    /// The answer that a line of the saga's log was written for. Which stream it stands in is found by looking.
    fn answer(&mut self, saga: &str, line: &LogLine, position: u64) -> Result<(), String> {
        for at in 0..self.streams.len() {
            let Some(stream) = self.streams.get(at).cloned() else { break };
            let Some(row) = self.row(&stream, position)? else { continue };
            let Some(envelope) = envelope(&row) else { continue };
            let its = envelope.saga.as_ref().is_some_and(|of| {
                &*of.id == saga && of.row == line.entry.row && line.entry.index.is_none_or(|index| index == of.index)
            });
            if its && row.to.topic.ends_with(".replies") {
                // The next one most likely stands in the same stream.
                self.streams.swap(0, at);
                self.add(row, envelope);
                return Ok(());
            }
        }
        self.complete = false;
        Ok(())
    }

    fn row(&self, stream: &Stream, position: u64) -> Result<Option<Row>, String> {
        let Some(before) = position.checked_sub(1) else { return Ok(None) };
        let page = streams::rows(self.read, stream, None, before, 1)?;
        Ok(page.items.into_iter().next().filter(|row| row.position == position))
    }

    fn add(&mut self, row: Row, envelope: Envelope) {
        let id = envelope.id.to_string();
        if self.nodes.contains_key(&id) {
            return;
        }
        if self.nodes.len() >= MESSAGES {
            self.complete = false;
            return;
        }
        // Alarms and operators have no ids of their own; what one of them caused was received at one time.
        let cause = match envelope.causation.as_deref() {
            Some(cause) if cause.starts_with("alarm/") => format!("{cause}@{}", row.times[0]),
            Some(cause) => cause.to_owned(),
            None => String::new(),
        };
        self.nodes.insert(id.clone(), Node { envelope, cause, topic: row.to.topic.to_string(), times: row.times });
        self.open.push(id);
    }

    /// From each row to all that was said with it, and to what caused it.
    fn follow(&mut self) -> Result<(), String> {
        let mut families = BTreeSet::new();
        while let Some(id) = self.open.pop() {
            let Some((cause, raw_cause)) = self.nodes.get(&id).map(|node| (node.cause.clone(), node.envelope.causation.clone()))
            else {
                continue;
            };
            let Some((stream, position)) = self.place(&id) else { continue };
            if families.insert((stream.partition.clone(), cause.clone())) {
                self.siblings(&stream, position, raw_cause.as_deref())?;
            }
            if !self.nodes.contains_key(&cause)
                && let Some((stream, position)) = self.place(&cause)
            {
                match self.row(&stream, position)?.and_then(|row| Some((envelope(&row)?, row))) {
                    Some((envelope, row)) => self.add(row, envelope),
                    None => self.complete = false,
                }
            }
        }
        Ok(())
    }

    /// The stream and the position that a row's id names.
    fn place(&self, id: &str) -> Option<(Stream, u64)> {
        let mut parts = id.rsplitn(3, '/');
        let position: u64 = parts.next()?.parse().ok()?;
        let epoch: u64 = parts.next()?.parse().ok()?;
        let partition = parts.next()?;
        let of = super::partition(partition);
        let stream = self.streams.iter().find(|stream| stream.partition == of && stream.epoch == epoch)?;
        Some((stream.clone(), position))
    }

    /// All that was said by the same handling of one cause stands together.
    fn siblings(&mut self, stream: &Stream, position: u64, cause: Option<&str>) -> Result<(), String> {
        let same = |row: &Row| envelope(row).filter(|envelope| envelope.causation.as_deref() == cause);
        let mut after = position;
        'forward: loop {
            let page = streams::rows(self.read, stream, None, after, 16)?;
            for row in page.items {
                let (Some(envelope), true) = (same(&row), self.nodes.len() < MESSAGES) else { break 'forward };
                after = row.position;
                self.add(row, envelope);
            }
            if page.next.is_none() {
                break;
            }
        }
        let mut before = position;
        while let Some(row) = self.row(stream, before.saturating_sub(1))? {
            let (Some(envelope), true) = (same(&row), self.nodes.len() < MESSAGES) else { break };
            before = row.position;
            self.add(row, envelope);
        }
        Ok(())
    }

    /// The first position of a stream that was written at this time or later.
    fn since(&self, stream: &Stream, at: i64) -> Result<u64, String> {
        let (mut low, mut high) = (stream.first.unwrap_or(1), stream.head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.row(stream, middle)? {
                Some(row) if row.times[2] < at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Rows of a saga in the batch that was written at this time.
    fn written_at(&mut self, saga: &str, at: i64) -> Result<(), String> {
        let sql = "SELECT p.text FROM saga s JOIN name p ON p.id = s.partition WHERE s.id = $1";
        let rows = self.read.select(sql, &[saga.into()])?;
        let of = super::partition(rows.first().and_then(|row| row.first()).and_then(Value::text).unwrap_or_default());
        for stream in self.streams.clone().into_iter().filter(|stream| stream.partition == of) {
            let mut after = self.since(&stream, at)?.saturating_sub(1);
            let mut looked = 0;
            'batch: while looked < BATCH {
                let page = streams::rows(self.read, &stream, None, after, 200)?;
                for row in page.items {
                    if row.times[2] != at {
                        break 'batch;
                    }
                    (after, looked) = (row.position, looked + 1);
                    if let Some(envelope) = envelope(&row)
                        && envelope.saga.as_ref().is_some_and(|of| &*of.id == saga)
                    {
                        self.add(row, envelope);
                    }
                }
                if page.next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What contexts that heard an event said of it: looked for close behind it.
    fn effects_of_events(&mut self) -> Result<(), String> {
        let events = self.nodes.iter().filter(|(_, node)| node.topic.ends_with(".events"));
        let mut events: Vec<(String, i64)> = events.map(|(id, node)| (id.clone(), node.times[2])).collect();
        // Whatever is not looked at may hold more of the story.
        self.complete &= events.len() <= EVENTS;
        events.truncate(EVENTS);
        for (id, said) in events {
            for stream in self.streams.clone() {
                let after = self.since(&stream, said)?.saturating_sub(1);
                let page = streams::rows(self.read, &stream, None, after, AFTER_EVENT)?;
                self.complete &= page.next.is_none();
                for row in page.items {
                    if let Some(envelope) = envelope(&row)
                        && envelope.causation.as_deref() == Some(&*id)
                    {
                        self.add(row, envelope);
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows in order, each behind its cause.
    fn told(self, record: &SagaRecord) -> Story {
        let Search { nodes, complete, .. } = self;
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, node) in &nodes {
            children.entry(&node.cause).or_default().push(id);
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|id| nodes.get(*id).map(|node| (node.times, node.envelope.id.len(), node.envelope.id.clone())));
        }
        let handled = |id: &str| {
            let of = children.get(id)?.iter().filter_map(|child| nodes.get(*child)).map(|child| child.times);
            of.min()
        };
        let mut roots: Vec<&str> = children.keys().filter(|cause| !nodes.contains_key(**cause)).copied().collect();
        roots.sort_by_key(|root| (*root != &*record.command, handled(root)));
        let mut messages = Vec::new();
        let mut open: Vec<(&str, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
        while let Some((id, depth)) = open.pop() {
            let node = nodes.get(id);
            messages.push(Told {
                id: id.to_owned(),
                cause: node.map(|node| node.cause.clone()),
                depth,
                envelope: node.map(|node| node.envelope.clone()),
                topic: node.map(|node| node.topic.clone()),
                said: node.map(|node| node.times[2]),
                handled: handled(id),
            });
            open.extend(children.get(id).into_iter().flatten().rev().map(|child| (*child, depth + 1)));
        }
        let mut path = Vec::new();
        let last = nodes.iter().max_by_key(|(id, node)| (node.times[2], node.times[1], id.len(), (*id).clone()));
        let mut at = last.map(|(id, _)| id.as_str());
        while let Some(id) = at {
            path.push(id.to_owned());
            at = nodes.get(id).map(|node| node.cause.as_str()).filter(|cause| !cause.is_empty());
        }
        path.reverse();
        Story { messages, path, complete }
    }
}

fn envelope(row: &Row) -> Option<Envelope> {
    Packet::parse(row.raw.as_bytes(), |_| None).ok().map(|packet| packet.envelope)
}
