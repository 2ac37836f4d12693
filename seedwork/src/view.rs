//! The read side: view rows, and the queries over them.
//!
//! A context's own view row is a function of one aggregate and stands beside its state, in the same row of the same table: it is
//! written in the same statement, so the next query sees it. Query text is one SQL for both engines: `$1` parameters, `TEXT` and
//! `BIGINT` columns.

use crate::aggregate::Aggregate;
use crate::identity::{LogLine, SagaRecord};

mod list;

pub use list::{By, FETCH_MAX, List, Listed, SCAN_MAX, TOTAL_MAX, Total, list, total};

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

/// A view: what of an aggregate lists are filtered and sorted by, as columns beside its state.
///
/// A store that was written without them, or with others, gets them when it is opened, computed from its states. So a column whose
/// meaning changes is given another name.
pub struct View<A> {
    /// The columns and their types, `TEXT` or `BIGINT`, in the order of `row`. The table has `id`, `version`, `format` and `body` already.
    pub columns: &'static [(&'static str, &'static str)],
    /// Indexes: a name, unique in the view, and the columns. Each costs every write; one that ends with `id` gives pages a place to go on.
    pub indexes: &'static [(&'static str, &'static str)],
    /// The columns' values for one aggregate, a function of its state alone: one is not written again while its value stays.
    pub row: fn(&A) -> Vec<Value>,
}

/// A state and how often it was written: what tells one version of a document from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// 1 for what has just been made, one more with each commit that changes it; 0 for what is not stored.
    pub version: u64,
    /// The state, or what was made of it.
    pub value: T,
}

impl<T> Versioned<T> {
    /// The same version of something made of it.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned { version: self.version, value: make(self.value) }
    }
}

/// The table that holds a context's aggregates of one kind, for the text of queries.
pub fn table<A: Aggregate>(context: &str) -> String {
    crate::store::state_table(context, A::KIND)
}

/// What queries ask.
pub trait Read {
    /// The rows that a query selects.
    ///
    /// # Errors
    /// When the store is away or the text is not SQL: a text for the log, not for the client.
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String>;
}

/// The aggregate with this id.
///
/// # Errors
/// As [`Read::select`], or when the stored state cannot be read.
pub fn state<A: Aggregate>(read: &(impl Read + ?Sized), context: &str, id: &str) -> Result<Option<Versioned<A>>, String> {
    let sql = format!("SELECT version, format, body FROM {} WHERE id = $1", table::<A>(context));
    let rows = read.select(&sql, &[id.into()])?;
    rows.first().map(|row| stored::<A>(row)).transpose()
}

/// A saga's record, and its log.
pub type Told = (SagaRecord, Vec<LogLine>);

/// A saga and its whole log, oldest line first; its record's own `log` is empty then. Its version is another after each commit that moved it.
///
/// # Errors
/// As [`Read::select`], or when the stored record cannot be read.
pub fn saga(read: &(impl Read + ?Sized), id: &str) -> Result<Option<Versioned<Told>>, String> {
    let broken = |error: serde_json::Error| format!("saga {id:?} cannot be read: {error}");
    let rows = read.select("SELECT version, body FROM saga WHERE id = $1", &[id.into()])?;
    let Some([version, body]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let version = version.integer().and_then(|version| u64::try_from(version).ok());
    let version = version.ok_or_else(|| format!("saga {id:?} has no version"))?;
    let body = body.text().unwrap_or_default();
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
    Ok(Some(Versioned { version, value: (record, log) }))
}

/// Reads an aggregate from a row whose first columns are `version`, `format` and `body` of its table.
///
/// # Errors
/// When the row has other columns, or the stored state cannot be read.
pub fn stored<A: Aggregate>(row: &[Value]) -> Result<Versioned<A>, String> {
    let [version, format, body, ..] = row else { return Err("a row without a state".to_owned()) };
    let version = version.integer().and_then(|version| u64::try_from(version).ok()).ok_or("a state without a version")?;
    let format = format.integer().and_then(|format| u32::try_from(format).ok()).ok_or("a state without a format")?;
    let value = crate::context::parse_state::<A>(format, body.text().unwrap_or_default().as_bytes())?;
    Ok(Versioned { version, value })
}
