//! What a subscriber of an edge without a store has missed: the past of each service, put together by the time of the events.

use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt;
use seedwork::store::Partition;
use serde::Deserialize;

use super::LAST_EVENT_ID;
use super::burst::write_frame;
use super::place::Places;
use crate::away::{CONTEXTS, Services};
use crate::problem::Problem;

/// About how many bytes a piece has, so that a subscriber who does not read holds little.
const BYTES: usize = 16 << 10;
/// How long a service may say nothing of its past.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest event that is read, in bytes: more than any message may have.
const EVENT_MAX: usize = 8 << 20;

/// The past, as it is being read.
pub(super) struct Past {
    /// The burst of the hub's that goes on where it ends.
    pub joins: u64,
    sources: Vec<Source>,
}

/// What came of asking for it.
pub(super) enum Opened {
    Past(Past),
    /// A service's problem: what it says is for whoever subscribed.
    Problem(Response),
}

/// A piece of it.
pub(super) struct Piece {
    /// Frames, ready to be sent.
    pub text: String,
    /// Whether there is no more.
    pub end: bool,
}

/// One service's past.
struct Source {
    /// Which of all partitions are its own.
    own: Range<usize>,
    partitions: Vec<Partition>,
    body: Body,
    /// What has come and is no whole block yet.
    bytes: Vec<u8>,
    next: Option<Event>,
    ended: bool,
}

struct Event {
    time: i64,
    places: Places,
    data: String,
}

/// When an event happened: microseconds since 1970.
#[derive(Deserialize)]
struct Time {
    time: i64,
}

impl Past {
    /// Asks each service for what its log has after these places, unless that is where it is now. `wanted` is the filter, as parameters.
    pub async fn open(
        services: &Services,
        partitions: &[Partition],
        places: &Places,
        (joins, now): &(u64, Places),
        wanted: &str,
    ) -> Result<Opened, Problem> {
        let mut sources = Vec::new();
        for context in CONTEXTS {
            let first = partitions.iter().position(|partition| &*partition.context == context).unwrap_or(partitions.len());
            let own = first..first + partitions.iter().filter(|partition| &*partition.context == context).count();
            let of = |places: &Places| Places(places.0.get(own.clone()).unwrap_or_default().to_vec());
            if of(places) == of(now) {
                continue;
            }
            let partitions = partitions.get(own.clone()).unwrap_or_default().to_vec();
            let mut id = String::new();
            of(places).write(&partitions, &mut id);
            let request = Request::get(format!("/v1/stream?follow=false{wanted}")).header(LAST_EVENT_ID, id).body(Body::empty());
            let request = request.map_err(|_| Problem::malformed("query-invalid", "the parameters cannot be read"))?;
            let answer = services.forward(context, request).await?;
            if answer.status() != StatusCode::OK {
                return Ok(Opened::Problem(answer));
            }
            let body = answer.into_body();
            sources.push(Source { own, partitions, body, bytes: Vec::new(), next: None, ended: false });
        }
        Ok(Opened::Past(Past { joins: *joins, sources }))
    }

    /// The next piece, and how far it leads.
    ///
    /// # Errors
    /// When a service's past has broken off.
    pub async fn piece(&mut self, places: &mut Places, partitions: &[Partition]) -> Result<Piece, String> {
        let mut text = String::new();
        while text.len() < BYTES {
            for source in &mut self.sources {
                // How far it has looked in vain is worth telling too.
                if source.fill(places).await? && text.is_empty() {
                    return Ok(Piece { text, end: false });
                }
            }
            let waiting = self.sources.iter_mut().filter(|source| source.next.is_some());
            let first = waiting.min_by_key(|source| source.next.as_ref().map_or(i64::MAX, |event| event.time));
            let Some((event, own)) = first.and_then(|source| Some((source.next.take()?, source.own.clone()))) else {
                return Ok(Piece { text, end: true });
            };
            advance(places, &own, &event.places);
            write_frame(places, partitions, &event.data, &mut text);
        }
        Ok(Piece { text, end: false })
    }
}

fn advance(places: &mut Places, own: &Range<usize>, to: &Places) {
    for (partition, place) in own.clone().zip(&to.0) {
        if let Some(place) = place {
            places.advance(partition, *place);
        }
    }
}

impl Source {
    /// Reads until there is an event, the end, or a comment that says how far it is: whether it is that.
    async fn fill(&mut self, places: &mut Places) -> Result<bool, String> {
        while self.next.is_none() && !self.ended {
            let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") else {
                let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.map_err(|_| "a service says nothing more")?;
                let frame = frame.ok_or("a service has broken off")?.map_err(|error| error.to_string())?;
                if let Ok(data) = frame.into_data() {
                    self.bytes.extend_from_slice(&data);
                }
                if self.bytes.len() > EVENT_MAX {
                    return Err("a service says something that has no end".to_owned());
                }
                continue;
            };
            let block = self.bytes.drain(..end + 2).collect::<Vec<u8>>();
            let block = String::from_utf8_lossy(&block);
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if line("event: ").is_some() {
                return Err(line("data: ").unwrap_or_default());
            }
            let id = line("id: ").ok_or("a service says no place")?;
            let reached = Places::parse(&id, &self.partitions)?;
            if let Some(data) = line("data: ") {
                let Time { time } = serde_json::from_str(&data).map_err(|error| error.to_string())?;
                self.next = Some(Event { time, places: reached, data });
                continue;
            }
            advance(places, &self.own, &reached);
            self.ended = block.lines().any(|line| line == ":live");
            return Ok(!self.ended);
        }
        Ok(false)
    }
}
