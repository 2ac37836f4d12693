//! Lists of campaigns, by the time of their registration or by name.

use seedwork::message::Owner;
use seedwork::view::{By, List, Listed, Read, TOTAL_MAX, Total, Value, Versioned, list, stored, table};
use wire::campaign_v1::Campaign as Here;
use wire::values::{BrandId, CampaignKind};

use super::{CampaignDoc, ended, folded};
use crate::campaign::{Campaign, Status};

/// The most campaigns of one page.
pub const PAGE_MAX: usize = 500;

/// Which campaigns a list holds, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that stand there; all when it names none.
    pub statuses: Vec<Status>,
    /// Only those of this kind.
    pub kind: Option<CampaignKind>,
    /// Only those of this brand.
    pub brand: Option<BrandId>,
    /// By name instead of by time.
    pub names: Option<Names>,
    /// The oldest first; otherwise the newest. By name, nothing.
    pub oldest_first: bool,
}

/// A list of campaigns by name, whatever its capitals, then by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Only names that begin so; empty: all.
    pub beginning: String,
    /// The last name of the alphabet first.
    pub descending: bool,
}

/// A place in the list of campaigns: what follows was registered before it, or after it when the oldest come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the campaign before it was registered: microseconds since 1970. In a list by name it says nothing, and is 0.
    pub created: i64,
    /// That campaign's id.
    pub id: String,
}

/// A page of campaigns.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order that the filter says.
    pub campaigns: Vec<Versioned<CampaignDoc>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// The text of a query as it grows, and its parameters, which are numbered in the order in which they first stand in it.
#[derive(Default)]
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    /// Adds a parameter and gives its name.
    fn add(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

impl Filter {
    /// The list by name: a range of one index, of which the rest of the filter lets some pass.
    fn by_name(&self, names: &Names) -> Result<List<'_>, String> {
        let status = match self.statuses.as_slice() {
            [] => None,
            [status] => Some(("status", status.as_str().into())),
            _ => return Err("a list by name is of one status, or of all".to_owned()),
        };
        let kind = self.kind.map(|kind| ("kind", kind.as_str().into()));
        let brand = self.brand.as_ref().map(|brand| ("brand", ended(brand).into()));
        Ok(List {
            matching: status.into_iter().chain(kind).chain(brand).collect(),
            by: Some(By::beginning("folded_name", &folded(&names.beginning))),
            descending: names.descending,
            ..List::default()
        })
    }

    /// The list as pieces, one for each status and kind: each is a range of one index, in order, so whatever is asked for, no more is
    /// looked at than a page of each. `rest` adds what ends each piece, with its parameters.
    fn pieces(&self, query: &mut Query, columns: &str, rest: impl FnOnce(&mut Query) -> String) {
        let table = table::<Campaign>(Here::NAME);
        let statuses = if self.statuses.is_empty() { Status::ALL.as_slice() } else { self.statuses.as_slice() };
        let kinds = self.kind.as_ref().map_or(CampaignKind::ALL, std::slice::from_ref);
        let brand = self.brand.as_ref().map(|brand| format!("brand = {} AND ", query.add(ended(brand))));
        let brand = brand.unwrap_or_default();
        let mut rest = Some(rest);
        let mut end = String::new();
        let each = statuses.iter().flat_map(|status| kinds.iter().map(move |kind| (status, kind)));
        for (number, (status, kind)) in each.enumerate() {
            let (status, kind) = (query.add(status.as_str()), query.add(kind.as_str()));
            if let Some(rest) = rest.take() {
                end = rest(query);
            }
            let before = if number == 0 { "" } else { " UNION ALL " };
            query.sql.push_str(&format!(
                "{before}SELECT {columns} FROM (SELECT {columns} FROM {table} WHERE {brand}status = {status} AND kind = {kind}{end}) \
                 AS piece_{number}"
            ));
        }
    }
}

/// A page of campaigns: at most `limit` (and [`PAGE_MAX`]) of those that the filter lets pass, after the cursor.
///
/// # Errors
/// When the store is away or a row cannot be read: a text for the log, not for the client.
pub fn campaigns(read: &dyn Read, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, String> {
    let limit = limit.clamp(1, PAGE_MAX);
    if let Some(names) = &filter.names {
        let after = after.map(|after| after.id.as_str());
        let Listed { items, next } = list::<Campaign>(read, Here::NAME, &filter.by_name(names)?, after, limit)?;
        let campaigns = items.into_iter().map(|found| found.map(|campaign| CampaignDoc::of(&campaign))).collect();
        return Ok(Page { campaigns, next: next.map(|id| Cursor { created: 0, id }) });
    }
    let mut query = Query::default();
    let (order, beyond) = if filter.oldest_first { ("", ">") } else { (" DESC", "<") };
    let sorted = format!(" ORDER BY created{order}, id{order}");
    let mut more = String::new();
    query.sql.push_str("SELECT state.version, state.format, state.body FROM (SELECT id, created FROM (");
    filter.pieces(&mut query, "id, created", |query| {
        let after = after.map(|after| {
            let (created, id) = (query.add(after.created), query.add(after.id.as_str()));
            format!(" AND (created, id) {beyond} ({created}, {id})")
        });
        // One more than asked for tells whether there is a next page.
        more = query.add(i64::try_from(limit + 1).unwrap_or(i64::MAX));
        format!("{}{sorted} LIMIT {more}", after.unwrap_or_default())
    });
    let table = table::<Campaign>(Here::NAME);
    // By an expression, so that SQLite sorts all pieces at once: by the column it would merge them, and sort each for that once more.
    query.sql.push_str(&format!(
        ") AS pieces ORDER BY created + 0{order}, id{order} LIMIT {more}) AS page JOIN {table} AS state ON state.id = page.id \
         ORDER BY page.created{order}, page.id{order}"
    ));
    let rows = read.select(&query.sql, &query.values)?;
    let document = |row: &Vec<Value>| Ok(stored::<Campaign>(row)?.map(|campaign| CampaignDoc::of(&campaign)));
    let campaigns = rows.iter().take(limit).map(document).collect::<Result<Vec<_>, String>>()?;
    let last = campaigns.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| Cursor { created: last.value.created.as_micros(), id: last.value.id.to_string() });
    Ok(Page { campaigns, next })
}

/// How many campaigns the filter lets pass, as far as [`TOTAL_MAX`] of each status and kind tell.
///
/// # Errors
/// As [`campaigns()`].
pub fn total(read: &dyn Read, filter: &Filter) -> Result<Total, String> {
    if let Some(names) = &filter.names {
        return seedwork::view::total::<Campaign>(read, Here::NAME, &filter.by_name(names)?);
    }
    let mut query = Query::default();
    let mut most = String::new();
    query.sql.push_str("SELECT count(*) FROM (SELECT id FROM (");
    filter.pieces(&mut query, "id", |query| {
        most = query.add(i64::try_from(TOTAL_MAX + 1).unwrap_or(i64::MAX));
        format!(" LIMIT {most}")
    });
    query.sql.push_str(&format!(") AS pieces LIMIT {most}) AS counted"));
    let rows = read.select(&query.sql, &query.values)?;
    let count = rows.first().and_then(|row| row.first()).and_then(Value::integer);
    let count = count.and_then(|count| usize::try_from(count).ok()).ok_or("a count that is no number")?;
    Ok(Total { count: count.min(TOTAL_MAX), exact: count <= TOTAL_MAX })
}
