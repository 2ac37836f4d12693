//! What a subscriber has missed, read from the log: piece by piece, as fast as it takes it.

use std::collections::VecDeque;

use seedwork::log::history::{self, Past, Stored};
use seedwork::store::{Partition, Place};
use seedwork::view::Read;

use super::burst::write_frame;
use super::filter::{Asked, Filter};
use super::place::Places;

/// Rows of one stream that a piece takes at most …
const ROWS: usize = 64;
/// … and about as many bytes, so that a subscriber who does not read holds little.
const BYTES: usize = 16 << 10;

/// A piece of the past.
#[derive(Debug)]
pub(super) struct Piece {
    /// Frames, ready to be sent.
    pub text: String,
    /// Where the log is after them.
    pub places: Places,
    /// Whether there is no more.
    pub end: bool,
}

/// Why there is no piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The log no longer has what comes next.
    Dropped,
    /// The store cannot be read.
    Broken(String),
}

/// Whether these places are some of this log: why not, in words.
pub(super) fn check(
    read: &dyn Read,
    partitions: &[Partition],
    places: &Places,
    head: &Places,
) -> Result<Result<(), String>, String> {
    let streams = history::streams(read)?;
    for (index, partition) in partitions.iter().enumerate() {
        let (Some(place), head) = (places.of(index), head.of(index)) else { continue };
        if Some(place) > head {
            return Ok(Err(format!(
                "it is beyond the end of the log of {partition}: it comes from another server, or from before a backup was restored"
            )));
        }
        let known = head.is_some_and(|head| head.epoch == place.epoch)
            || streams.iter().any(|stream| stream.partition == *partition && stream.epoch == place.epoch);
        if !known {
            return Ok(Err(format!("{partition} has no epoch {}: it comes from another server", place.epoch)));
        }
    }
    Ok(Ok(()))
}

/// The next piece after these places. Streams are merged by the time of their commits, and in one commit by that of the
/// handlers, so a cause comes before what it caused there; in each stream, order is exact.
pub(super) fn piece(read: &dyn Read, partitions: &[Partition], from: &Places, filter: &Filter) -> Result<Piece, Missing> {
    let streams = history::streams(read).map_err(Missing::Broken)?;
    let mut found = Vec::with_capacity(partitions.len());
    for (index, partition) in partitions.iter().enumerate() {
        let own: Vec<&Stored> = streams.iter().filter(|stream| stream.partition == *partition).collect();
        found.push(rows(read, &own, &format!("{}.events", partition.context), from.of(index))?);
    }
    let mut piece = Piece { text: String::new(), places: from.clone(), end: false };
    // Whoever has more that was not read may have the next.
    while piece.text.len() < BYTES && found.iter().all(|(rows, all)| *all || !rows.is_empty()) {
        let fronts = found.iter().enumerate().filter_map(|(index, (rows, _))| Some((rows.front()?, index)));
        let Some((_, _, index)) = fronts.map(|(row, index)| (row.written, row.started, index)).min() else {
            piece.end = true;
            break;
        };
        let Some(row) = found.get_mut(index).and_then(|(rows, _)| rows.pop_front()) else { break };
        piece.places.advance(index, row.place);
        if passes(filter, &row.raw) {
            write_frame(&piece.places, partitions, &row.raw, &mut piece.text);
        }
    }
    Ok(piece)
}

/// Rows of a partition after a place, over its epochs, and whether that is all.
fn rows(read: &dyn Read, streams: &[&Stored], topic: &str, from: Option<Place>) -> Result<(VecDeque<Past>, bool), Missing> {
    let mut rows = VecDeque::new();
    for stream in streams.iter().filter(|stream| from.is_none_or(|from| stream.epoch >= from.epoch)) {
        let position = from.filter(|from| from.epoch == stream.epoch).map_or(0, |from| from.position);
        if from.is_some() {
            let kept = history::next_kept(read, stream, position).map_err(Missing::Broken)?;
            if kept.is_some_and(|kept| kept > position + 1) {
                return Err(Missing::Dropped);
            }
        }
        let found = history::after(read, stream, position, topic, ROWS).map_err(Missing::Broken)?;
        let all = found.len() < ROWS;
        rows.extend(found);
        if !all {
            return Ok((rows, false));
        }
    }
    Ok((rows, true))
}

/// A message that cannot be read passes no filter but the open one.
fn passes(filter: &Filter, raw: &str) -> bool {
    let read = || serde_json::from_str::<Asked<'_>>(raw);
    filter.is_open() || read().is_ok_and(|asked| filter.passes(&asked))
}
