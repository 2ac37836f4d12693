//! Lists: a page of items, a cursor to the next, and the total for those who ask for it.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use seedwork::Refusal;
use seedwork::view::{Listed, Read, Total};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::Edge;
use crate::answer::{json, written};
use crate::ids::{seal, unseal};
use crate::problem::Problem;

/// The items of a page when it is not said.
pub const LIMIT_DEFAULT: usize = 50;
/// The most items of a page.
pub const LIMIT_MAX: usize = 200;

/// A page, as it is answered.
#[derive(Serialize)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; null when this was the last. It is written as the cursor that asks for it.
    #[serde(serialize_with = "sealed")]
    pub next: Option<String>,
}

/// A page whose next place anybody may name: a position.
#[derive(Serialize)]
pub(crate) struct Positions<T> {
    pub items: Vec<T>,
    /// The position after which the next page begins; null when this was the last.
    pub next: Option<String>,
}

fn sealed<S: Serializer>(next: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    next.as_deref().map(seal).serialize(serializer)
}

/// A page with the total, if that was asked for.
#[derive(Serialize)]
struct Counted<T> {
    #[serde(flatten)]
    page: Page<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<TotalAnswer>,
}

/// How many items the list has; when that is not exact, so many at least.
#[derive(Serialize)]
struct TotalAnswer {
    count: usize,
    exact: bool,
}

impl From<Total> for TotalAnswer {
    fn from(Total { count, exact }: Total) -> TotalAnswer {
        TotalAnswer { count, exact }
    }
}

/// Which page is asked for.
pub(crate) struct Wanted<T> {
    pub limit: usize,
    pub after: Option<T>,
    pub total: bool,
}

/// The parameters that every list of the business has.
const EVERY: [&str; 4] = ["limit", "cursor", "sort", "total"];

/// The parameters of such a list, each there once at most.
pub(crate) struct Given(BTreeMap<String, String>);

impl Given {
    /// Reads those that every list has, and these.
    pub fn of(uri: &Uri, own: &[&str]) -> Result<Given, Problem> {
        let mut given = BTreeMap::new();
        for (name, value) in parameters::<Vec<(String, String)>>(uri)? {
            if !EVERY.contains(&name.as_str()) && !own.contains(&name.as_str()) {
                let known = [own, &EVERY].concat().join(", ");
                return Err(Problem::malformed("query-invalid", format!("there is no parameter {name:?}, only {known}")).at(name));
            }
            if given.insert(name.clone(), value).is_some() {
                return Err(Problem::malformed("query-invalid", format!("the parameter {name:?} is there twice")).at(name));
            }
        }
        Ok(Given(given))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Which page is meant; `parse` reads the place that a cursor holds.
    pub fn wanted<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Wanted<T>, Problem> {
        Wanted::of(self.get("limit"), self.get("cursor"), self.get("total"), parse)
    }
}

impl<T> Wanted<T> {
    /// Reads what is said of the page.
    pub fn of(
        limit: Option<&str>,
        cursor: Option<&str>,
        total: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Wanted<T>, Problem> {
        let total = match total {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::malformed("query-invalid", "total is true or false").at("total")),
        };
        Ok(Wanted { limit: self::limit(limit)?, after: self::cursor(cursor, parse)?, total })
    }
}

/// The query of a list: what it holds, after which id, how many at most.
type Find<Q, T> = fn(&dyn Read, &Q, Option<&str>, usize) -> Result<Listed<T>, String>;
/// How a page is written: its items, where the next begins, and the total.
type Write<T> = fn(&[T], Option<String>, Option<Total>) -> Result<Vec<u8>, String>;

/// Answers a page of a list whose places are ids: what its context found its parameters to mean, its query, its count, and how its items
/// are written.
pub(crate) async fn listed<Q: Send + 'static, T: 'static>(
    edge: &Edge,
    given: &Given,
    of: Result<Q, Refusal>,
    query: Find<Q, T>,
    count: fn(&dyn Read, &Q) -> Result<Total, String>,
    write: Write<T>,
) -> Result<Response, Problem> {
    let wanted = given.wanted(id)?;
    let of = of.map_err(|refusal| refused(&refusal))?;
    let body = edge.query(move |read| {
        let Listed { items, next } = query(read, &of, wanted.after.as_deref(), wanted.limit)?;
        let total = wanted.total.then(|| count(read, &of)).transpose()?;
        write(&items, next, total)
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// A place in a list that goes by ids.
pub(crate) fn id(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Writes a page.
pub(crate) fn page<T: Serialize>(
    items: impl Iterator<Item = T>,
    next: Option<String>,
    total: Option<Total>,
) -> Result<Vec<u8>, String> {
    written(&Counted { page: Page { items: items.collect(), next }, total: total.map(TotalAnswer::from) })
}

/// The parameters of a query.
pub(crate) fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(parameters) = Query::<T>::try_from_uri(uri).map_err(|rejection| {
        let why = rejection.body_text();
        let named = why.split_once(" field `").and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name.to_owned());
        let problem = Problem::malformed("query-invalid", &why);
        match named {
            Some(name) => problem.at(name),
            None => problem,
        }
    })?;
    Ok(parameters)
}

/// How many items a page has.
pub(crate) fn limit(asked: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = asked else { return Ok(LIMIT_DEFAULT) };
    match text.parse() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        _ => Err(Problem::malformed("limit-invalid", format!("a page has 1 to {LIMIT_MAX} items")).at("limit")),
    }
}

/// Whether the newest stand first: `order=newest` (the default) or `order=oldest`.
pub(crate) fn newest_first(asked: Option<&str>) -> Result<bool, Problem> {
    match asked {
        None | Some("newest") => Ok(true),
        Some("oldest") => Ok(false),
        Some(_) => Err(Problem::malformed("query-invalid", "the order is newest or oldest").at("order")),
    }
}

/// A cursor of so many numbers.
pub(crate) fn numbers(asked: Option<&str>, count: usize) -> Result<Option<Vec<i64>>, Problem> {
    cursor(asked, |text| {
        let numbers: Option<Vec<i64>> = text.split('.').map(|number| number.parse().ok().filter(|number| *number >= 0)).collect();
        numbers.filter(|numbers| numbers.len() == count)
    })
}

/// A cursor that is a number.
pub(crate) fn number(asked: Option<&str>) -> Result<Option<i64>, Problem> {
    Ok(numbers(asked, 1)?.and_then(|numbers| numbers.first().copied()))
}

/// Numbers as a cursor.
pub(crate) fn joined(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(".")
}

/// Where a page begins.
pub(crate) fn cursor<T>(asked: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let bad = || Problem::malformed("cursor-invalid", "a cursor is the `next` of an earlier page, as it came").at("cursor");
    asked.map(|text| unseal(text).and_then(|place| parse(&place)).ok_or_else(bad)).transpose()
}

/// A refusal of a query's parameter: it is the form of the request that is wrong.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    let problem = Problem::malformed("query-invalid", &refusal.message);
    match &refusal.field {
        Some(field) => problem.at(field.as_ref()),
        None => problem,
    }
}
