//! Waiting messages, dead letters among them.

use super::{Page, scan};
use crate::store::Partition;
use crate::view::{Read, Value};

/// Which waiting messages.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    /// Dead letters, or those that are still tried by themselves.
    pub dead: bool,
    /// The context in which they wait.
    pub context: Option<String>,
    /// Their `type`.
    pub kind: Option<String>,
    /// Their key.
    pub key: Option<String>,
    /// Their lane.
    pub lane: Option<String>,
    /// The saga that sent them, or that they answer.
    pub saga: Option<String>,
    /// A part of the reason why they wait.
    pub reason: Option<String>,
    /// Whether the newest stand first, or the oldest.
    pub newest_first: bool,
}

/// A waiting message, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Where it waits.
    pub partition: Partition,
    /// Its number there.
    pub number: u64,
    /// Raised with each change.
    pub revision: u64,
    /// Whether it is a dead letter.
    pub dead: bool,
    /// Its lane.
    pub lane: String,
    /// The part of its topic: `commands`, `events` or `replies`.
    pub topic: String,
    /// Its `type`; none when it cannot be read.
    pub kind: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// The context or edge that said it.
    pub source: Option<String>,
    /// The saga that sent it, or that it answers.
    pub saga: Option<String>,
    /// Attempts so far.
    pub attempts: i64,
    /// When it is tried next: microseconds since 1970.
    pub due: Option<i64>,
    /// Until when it waits for what it names to be known: microseconds since 1970.
    pub not_yet: Option<i64>,
    /// When it was moved here: microseconds since 1970.
    pub since: i64,
    /// Why it waits.
    pub reason: String,
    /// Whether an operator gave it another body.
    pub edited: bool,
}

/// A waiting message, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// All but the bytes.
    pub letter: Letter,
    /// The message; what is no UTF-8 in it is replaced.
    pub raw: String,
    /// The message as it came, when an operator has edited it.
    pub original: Option<String>,
    /// Messages that wait behind it in its lane.
    pub behind: i64,
    /// The first of them.
    pub next: Vec<Letter>,
}

/// Messages behind a letter that [`Whole::next`] lists.
const BEHIND: i64 = 20;

const COLUMNS: &str = "w.number, w.partition, p.text, w.revision, w.dead, w.lane, t.text, w.kind, w.key, w.source, w.saga, \
                       w.attempts, w.due, w.not_yet, w.since, w.reason, CASE WHEN w.original IS NULL THEN 0 ELSE 1 END";
const TABLES: &str = "waiting w JOIN name p ON p.id = w.partition JOIN name t ON t.id = w.topic";

/// Waiting messages, at most `limit`, after a cursor.
///
/// # Errors
/// As [`Read::select`].
pub fn letters(
    read: &(impl Read + ?Sized),
    filter: &Letters,
    after: Option<&[i64]>,
    limit: usize,
) -> Result<Page<Letter>, String> {
    let (before, order, end) = if filter.newest_first { ("<", "DESC", i64::MAX) } else { (">", "ASC", 0) };
    let dead = i64::from(filter.dead);
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE (w.number, w.partition) {before} ($1, $2) AND w.dead = {dead} \
         ORDER BY w.number {order}, w.partition {order} LIMIT $3"
    );
    let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
    let fits = |letter: &Letter| {
        is(&filter.context, Some(&letter.partition.context))
            && is(&filter.kind, letter.kind.as_deref())
            && is(&filter.key, letter.key.as_deref())
            && is(&filter.saga, letter.saga.as_deref())
            && is(&filter.lane, Some(&letter.lane))
            && filter.reason.as_ref().is_none_or(|part| letter.reason.contains(part.as_str()))
    };
    let start = after.map_or(vec![end, end], <[i64]>::to_vec);
    scan(
        limit,
        &start,
        &[],
        |parameters| read.select(&sql, parameters),
        |row| {
            let letter = letter(row)?;
            Ok(fits(&letter).then_some(letter))
        },
    )
}

/// One waiting message.
///
/// # Errors
/// As [`Read::select`].
pub fn letter_of(read: &(impl Read + ?Sized), partition: &Partition, number: u64) -> Result<Option<Whole>, String> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let sql = format!("SELECT {COLUMNS}, w.raw, w.original FROM {TABLES} WHERE p.text = $1 AND w.number = $2");
    let rows = read.select(&sql, &[partition.to_string().into(), number.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let columns = row.len().saturating_sub(2);
    let (of_letter, bytes) = row.split_at(columns);
    let [raw, original] = bytes else { return Err("a waiting message without its bytes".to_owned()) };
    let letter = letter(of_letter)?;
    let lane: [Value; 3] = [of_letter.get(1).cloned().unwrap_or(Value::Null), letter.lane.as_str().into(), number.into()];
    let sql = "SELECT count(*) FROM waiting w WHERE w.partition = $1 AND w.lane = $2 AND w.number > $3";
    let behind = read.select(sql, &lane)?.first().and_then(|row| row.first()).and_then(Value::integer).unwrap_or(0);
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE w.partition = $1 AND w.lane = $2 AND w.number > $3 ORDER BY w.number LIMIT {BEHIND}"
    );
    let next = read.select(&sql, &lane)?.iter().map(|row| self::letter(row)).collect::<Result<_, _>>()?;
    let text = |value: &Value| value.text().map(str::to_owned);
    Ok(Some(Whole { letter, raw: text(raw).unwrap_or_default(), original: text(original), behind, next }))
}

fn letter(row: &[Value]) -> Result<Letter, String> {
    let [
        number,
        _,
        partition,
        revision,
        dead,
        lane,
        topic,
        kind,
        key,
        source,
        saga,
        attempts,
        due,
        not_yet,
        since,
        reason,
        edited,
    ] = row
    else {
        return Err("a waiting message without its columns".to_owned());
    };
    let text = |value: &Value| value.text().map(str::to_owned);
    let unsigned = |value: &Value| value.integer().and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
    Ok(Letter {
        partition: super::partition(partition.text().unwrap_or_default()),
        number: unsigned(number),
        revision: unsigned(revision),
        dead: dead.integer() == Some(1),
        lane: text(lane).unwrap_or_default(),
        topic: text(topic).unwrap_or_default(),
        kind: text(kind),
        key: text(key),
        source: text(source),
        saga: text(saga),
        attempts: attempts.integer().unwrap_or(0),
        due: due.integer(),
        not_yet: not_yet.integer(),
        since: since.integer().unwrap_or(0),
        reason: text(reason).unwrap_or_default(),
        edited: edited.integer() == Some(1),
    })
}
