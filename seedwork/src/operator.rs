//! What an operator sees: queries over the store's own tables. They only read; what an operator decides is an
//! [`Operation`](crate::executor::Operation).
//!
//! A list comes in pages, ordered by numbers that the store gives as things arrive. What a filter asks for and no column holds is
//! looked for in the rows themselves, of which one page looks at [`SCAN`] at most: it may then be short, and still have a next.

use crate::identity::SagaRecord;
use crate::store::Partition;
use crate::view::{Read, Value};

pub mod letters;
pub mod story;
pub mod streams;

/// Rows that one page looks at.
pub const SCAN: usize = 2_000;

/// Items of a page, and where the next begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What the next page is asked for with; none when there is nothing more.
    pub next: Option<Vec<i64>>,
}

/// Where the sagas stand that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Going forward.
    Running,
    /// Going back.
    Undoing,
    /// An operator must decide.
    Stuck,
    /// Past its row's deadline, and still waiting.
    Late,
    /// All rows happened.
    Completed,
    /// All that happened was undone.
    Undone,
    /// Ended, with exceptions that an operator signed.
    Exceptions,
}

impl State {
    /// All of them, by name.
    pub const ALL: [(&'static str, State); 7] = [
        ("running", State::Running),
        ("undoing", State::Undoing),
        ("stuck", State::Stuck),
        ("late", State::Late),
        ("completed", State::Completed),
        ("undone", State::Undone),
        ("exceptions", State::Exceptions),
    ];

    /// The rows among which they are. All but the ended ones are in a small index of their own, which its own condition selects.
    fn condition(self) -> &'static str {
        match self {
            State::Running => "stage = 'running' AND stage NOT IN ('completed', 'undone')",
            State::Undoing => "stage = 'undoing' AND stage NOT IN ('completed', 'undone')",
            State::Stuck => "stage = 'stuck' AND stage NOT IN ('completed', 'undone')",
            State::Late => "stage IN ('running', 'undoing', 'stuck') AND stage NOT IN ('completed', 'undone')",
            State::Completed => "stage IN ('completed', 'completed-with-exceptions')",
            State::Undone => "stage IN ('undone', 'undone-with-exceptions')",
            State::Exceptions => {
                "stage IN ('completed-with-exceptions', 'undone-with-exceptions') AND stage NOT IN ('completed', 'undone')"
            }
        }
    }
}

/// Which sagas.
#[derive(Clone, Debug, Default)]
pub struct Sagas {
    /// The context that runs them.
    pub context: Option<String>,
    /// The name of their table.
    pub name: Option<String>,
    /// The key that they live under.
    pub key: Option<String>,
    /// Where they stand.
    pub state: Option<State>,
    /// Whether the newest stand first, or the oldest.
    pub newest_first: bool,
}

/// Sagas with their ids, in the order of their start, at most `limit`, after a cursor.
///
/// # Errors
/// As [`Read::select`], or when a stored record cannot be read.
pub fn sagas(
    read: &(impl Read + ?Sized),
    filter: &Sagas,
    after: Option<i64>,
    limit: usize,
) -> Result<Page<(String, SagaRecord)>, String> {
    let (before, order) = if filter.newest_first { ("<", "DESC") } else { (">", "ASC") };
    let end = if filter.newest_first { i64::MAX } else { 0 };
    let mut sql = format!("SELECT number, id, body FROM saga WHERE number {before} $1");
    let mut others = Vec::new();
    if let Some(key) = &filter.key {
        // A saga's id is its key, `~` and a part of its own; no id holds a character behind `~`.
        sql.push_str(" AND id > $2 AND id < $3");
        others.extend([format!("{key}~").into(), format!("{key}~\u{7f}").into()]);
    }
    if let Some(state) = filter.state {
        sql.push_str(" AND ");
        sql.push_str(state.condition());
    }
    let place = others.len() + 2;
    sql.push_str(&format!(" ORDER BY number {order} LIMIT ${place}"));
    let fits = |record: &SagaRecord| {
        filter.context.as_ref().is_none_or(|context| **context == *record.context)
            && filter.name.as_ref().is_none_or(|name| **name == *record.name)
            && (filter.state != Some(State::Late) || record.run.late)
    };
    scan(
        limit,
        &[after.unwrap_or(end)],
        &others,
        |parameters| read.select(&sql, parameters),
        |row| {
            let [_, id, body] = row else { return Err("a saga's row without its columns".to_owned()) };
            let (id, body) = (id.text().unwrap_or_default(), body.text().unwrap_or_default());
            let record: SagaRecord =
                serde_json::from_str(body).map_err(|error| format!("the record of saga {id:?} cannot be read: {error}"))?;
            Ok(fits(&record).then(|| (id.to_owned(), record)))
        },
    )
}

/// Reads rows until enough fit or enough have been looked at. Their first columns are the cursor, which are the query's first
/// parameters; its last is how many rows it may give.
fn scan<T>(
    limit: usize,
    start: &[i64],
    others: &[Value],
    mut select: impl FnMut(&[Value]) -> Result<Vec<Vec<Value>>, String>,
    mut fit: impl FnMut(&[Value]) -> Result<Option<T>, String>,
) -> Result<Page<T>, String> {
    let (mut items, mut looked, mut chunk) = (Vec::new(), 0, limit + 1);
    let mut at = start.to_vec();
    loop {
        let cursor = at.iter().map(|number| Value::Integer(*number));
        let count = Value::Integer(i64::try_from(chunk).unwrap_or(i64::MAX));
        let parameters: Vec<Value> = cursor.chain(others.iter().cloned()).chain([count]).collect();
        let rows = select(&parameters)?;
        let more = rows.len() == chunk;
        for row in rows {
            if items.len() == limit {
                return Ok(Page { items, next: Some(at) });
            }
            items.extend(fit(&row)?);
            looked += 1;
            at = row.iter().take(start.len()).filter_map(Value::integer).collect();
        }
        if !more {
            return Ok(Page { items, next: None });
        }
        if looked >= SCAN {
            return Ok(Page { items, next: Some(at) });
        }
        chunk = (chunk * 4).min(SCAN + 1 - looked);
    }
}

fn partition(text: &str) -> Partition {
    let (context, number) = text.rsplit_once('/').unwrap_or((text, "0"));
    Partition { context: context.into(), number: number.parse().unwrap_or(0) }
}

/// A decision as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its number, in the order of decisions.
    pub number: i64,
    /// When: microseconds since 1970.
    pub at: i64,
    /// Who decided.
    pub actor: String,
    /// What.
    pub decision: String,
    /// The id of what it is about.
    pub about: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// What was done: JSON.
    pub told: String,
}

/// What operators have decided, the newest first, about one thing if it is named.
///
/// # Errors
/// As [`Read::select`].
pub fn decisions(
    read: &(impl Read + ?Sized),
    about: Option<&str>,
    after: Option<i64>,
    limit: usize,
) -> Result<Page<Kept>, String> {
    let sql = "SELECT number, at, actor, decision, about, reason, told FROM operation WHERE number < $1 \
               ORDER BY number DESC LIMIT $2";
    scan(
        limit,
        &[after.unwrap_or(i64::MAX)],
        &[],
        |parameters| read.select(sql, parameters),
        |row| {
            let [number, at, actor, decision, of, reason, told] = row else {
                return Err("a decision without its columns".to_owned());
            };
            if about.is_some_and(|about| of.text() != Some(about)) {
                return Ok(None);
            }
            let text = |value: &Value| value.text().unwrap_or_default().to_owned();
            Ok(Some(Kept {
                number: number.integer().unwrap_or(0),
                at: at.integer().unwrap_or(0),
                actor: text(actor),
                decision: text(decision),
                about: text(of),
                reason: reason.text().map(str::to_owned),
                told: text(told),
            }))
        },
    )
}
