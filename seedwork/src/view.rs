//! The read side: view rows, and the queries over them.
//!
//! A context's own view row is a function of one aggregate, written in the same commit, so the next query sees it. Query text is one
//! SQL for both engines: `$1` parameters, `TEXT` and `BIGINT` columns.

use crate::aggregate::Aggregate;
use crate::identity::{LogLine, SagaRecord};

/// One value of a row or a query's parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A BIGINT.
    Integer(i64),
    /// A TEXT.
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Null | Value::Text(_) => None,
        }
    }
}

/// A view: its table, and how an aggregate becomes its row.
///
/// The first column is the aggregate's id and the table's primary key. Rows are never deleted, as aggregates are not; an aggregate for
/// which `row` gives `None` has none yet.
pub struct View<A> {
    /// The table's name; unique in the context.
    pub table: &'static str,
    /// `CREATE TABLE IF NOT EXISTS …` and its indexes, portable.
    pub create: &'static [&'static str],
    /// The columns in the order of `row`; the id first.
    pub columns: &'static [&'static str],
    /// The row of one aggregate.
    pub row: fn(&A) -> Option<Vec<Value>>,
}

/// What queries ask.
pub trait Read {
    /// The rows that a query selects.
    ///
    /// # Errors
    /// When the store is away or the text is not SQL: a text for the log, not for the client.
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String>;
}

/// An aggregate that is its own view when nothing needs to be searched: the state is read by id.
///
/// # Errors
/// As [`Read::select`], or when the stored state cannot be read.
pub fn state<A: Aggregate>(read: &(impl Read + ?Sized), context: &str, id: &str) -> Result<Option<A>, String> {
    let sql = format!("SELECT format, body FROM {} WHERE id = $1", crate::store::state_table(context, A::KIND));
    let rows = read.select(&sql, &[id.into()])?;
    rows.first().map(|row| stored::<A>(row)).transpose()
}

/// A saga and its whole log, oldest line first; its record's own `log` is empty then.
///
/// # Errors
/// As [`Read::select`], or when the stored record cannot be read.
pub fn saga(read: &(impl Read + ?Sized), id: &str) -> Result<Option<(SagaRecord, Vec<LogLine>)>, String> {
    let broken = |error: serde_json::Error| format!("saga {id:?} cannot be read: {error}");
    let rows = read.select("SELECT body FROM saga WHERE id = $1", &[id.into()])?;
    let Some(body) = rows.first().and_then(|row| row.first()).and_then(Value::text) else { return Ok(None) };
    let mut record: SagaRecord = serde_json::from_str(body).map_err(broken)?;
    let mut log = Vec::new();
    if record.lines > 0 {
        // Lines that moved there after the record was read are still in it.
        let sql = "SELECT entries FROM saga_log WHERE saga = $1 AND line < $2 ORDER BY line";
        let before = i64::try_from(record.lines).unwrap_or(i64::MAX);
        for row in read.select(sql, &[id.into(), before.into()])? {
            let lines = row.first().and_then(Value::text).unwrap_or_default();
            log.extend(serde_json::from_str::<Vec<LogLine>>(lines).map_err(broken)?);
        }
    }
    log.append(&mut record.log);
    Ok(Some((record, log)))
}

/// Reads an aggregate from a row whose first columns are `format` and `body` of its state table: for views that join it, so a document
/// is stored once.
///
/// # Errors
/// When the row has other columns, or the stored state cannot be read.
pub fn stored<A: Aggregate>(row: &[Value]) -> Result<A, String> {
    let [format, body, ..] = row else { return Err("a row without a state".to_owned()) };
    let version = format.integer().and_then(|version| u32::try_from(version).ok()).ok_or("a state without a version")?;
    crate::context::parse_state::<A>(version, body.text().unwrap_or_default().as_bytes())
}
