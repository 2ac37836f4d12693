//! The log as history: what a partition has said, read beside the owner.

use crate::store::{Partition, Place};
use crate::view::{Read, Value};

/// A log row's key in the store: the stream's number, then the position.
pub(crate) const POSITION_BITS: u32 = 40;

/// A stream as it stands in the store: whose, in which epoch, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose stream.
    pub partition: Partition,
    /// Its epoch.
    pub epoch: u64,
    number: i64,
}

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Where it stands.
    pub place: Place,
    /// The message, JSON as it was sent.
    pub raw: String,
    /// When the handler that said it began: microseconds since 1970.
    pub started: i64,
    /// When it was written: microseconds since 1970.
    pub written: i64,
}

/// All streams of the store, by partition, the epochs of each in order.
///
/// # Errors
/// As [`Read::select`].
pub fn streams(read: &(impl Read + ?Sized)) -> Result<Vec<Stored>, String> {
    let sql = "SELECT name.text, stream.epoch, stream.id FROM stream JOIN name ON name.id = stream.partition ORDER BY 1, 2";
    let stored = |row: &Vec<Value>| {
        let [name, epoch, number] = row.as_slice() else { return None };
        let (context, partition) = name.text()?.rsplit_once('/')?;
        let partition = Partition { context: context.into(), number: partition.parse().ok()? };
        Some(Stored { partition, epoch: u64::try_from(epoch.integer()?).ok()?, number: number.integer()? })
    };
    let rows = read.select(sql, &[])?;
    rows.iter().map(|row| stored(row).ok_or_else(|| format!("a stream without its columns: {row:?}"))).collect()
}

/// The rows of a stream that went to one topic, after a position, in order, at most `limit`.
///
/// # Errors
/// As [`Read::select`].
pub fn after(
    read: &(impl Read + ?Sized),
    stream: &Stored,
    position: u64,
    topic: &str,
    limit: usize,
) -> Result<Vec<Past>, String> {
    let sql = "SELECT id, raw, started, written FROM log
        WHERE id > $1 AND id < $2 AND topic = (SELECT id FROM name WHERE text = $3) ORDER BY id LIMIT $4";
    let (first, end) = stream.keys(position);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = read.select(sql, &[first.into(), end.into(), topic.into(), limit.into()])?;
    let mut past = Vec::with_capacity(rows.len());
    for row in rows {
        let Ok([Value::Integer(id), Value::Text(raw), Value::Integer(started), Value::Integer(written)]) =
            <[Value; 4]>::try_from(row)
        else {
            return Err("a row of the log without its columns".to_owned());
        };
        past.push(Past { place: Place { epoch: stream.epoch, position: stream.position(id) }, raw, started, written });
    }
    Ok(past)
}

/// The first position after this one that the log still has; None: nothing was written after it. Positions are dense, so a later one
/// than the next means that rows between were dropped.
///
/// # Errors
/// As [`Read::select`].
pub fn next_kept(read: &(impl Read + ?Sized), stream: &Stored, position: u64) -> Result<Option<u64>, String> {
    let (first, end) = stream.keys(position);
    let sql = "SELECT id FROM log WHERE id > $1 AND id < $2 ORDER BY id LIMIT 1";
    let rows = read.select(sql, &[first.into(), end.into()])?;
    Ok(rows.first().and_then(|row| row.first()?.integer()).map(|id| stream.position(id)))
}

impl Stored {
    /// The keys between which the rows after a position stand.
    fn keys(&self, position: u64) -> (i64, i64) {
        let first = i64::try_from(position).unwrap_or(i64::MAX).min((1 << POSITION_BITS) - 1);
        ((self.number << POSITION_BITS) | first, (self.number + 1) << POSITION_BITS)
    }

    fn position(&self, id: i64) -> u64 {
        u64::try_from(id & ((1 << POSITION_BITS) - 1)).unwrap_or(0)
    }
}
