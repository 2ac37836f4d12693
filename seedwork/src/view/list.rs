//! Lists of aggregates in the order of their ids, page by page, at a bounded cost whatever is asked.

use super::{Read, Value, Versioned, stored, table};
use crate::aggregate::Aggregate;

/// Rows that a page looks at, at most. Where an index does not narrow a filter down, a page ends there, with fewer items than asked for
/// or none, and the next goes on from there.
pub const SCAN_MAX: usize = 2_000;
/// Rows that are counted, at most.
pub const TOTAL_MAX: usize = 10_000;

/// Which aggregates of one kind a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<'a> {
    /// Only ids of so many parts joined by `~`, and more: `p-1` holds `p-1~c-1`, and not `p-10~c-1`. Empty: all.
    pub under: &'a str,
    /// A column that an index begins with, followed by the id, and its value.
    pub within: Option<(&'static str, Value)>,
    /// Other columns and their values.
    pub matching: Vec<(&'static str, Value)>,
    /// The greatest id first.
    pub descending: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// In order.
    pub items: Vec<T>,
    /// The id after which the next page begins, if there may be one.
    pub next: Option<String>,
}

/// How many items a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// So many, at least.
    pub count: usize,
    /// And no more than that.
    pub exact: bool,
}

/// The text of a query as it grows, and its parameters, which are numbered in the order in which they first stand in it.
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

    fn and_each(&mut self, columns: &[(&'static str, Value)]) {
        for (column, value) in columns {
            let value = self.add(value.clone());
            self.sql.push_str(&format!(" AND {column} = {value}"));
        }
    }
}

impl List<'_> {
    /// `FROM … WHERE …` of what an index narrows down, after an id.
    fn near(&self, query: &mut Query, table: &str, after: Option<&str>) {
        // No id holds a character behind `~`.
        let (first, end) = match self.under {
            "" => (String::new(), "\u{7f}".to_owned()),
            under => (format!("{under}~"), format!("{under}~\u{7f}")),
        };
        let (first, end) = match after {
            Some(after) if self.descending => (first, end.min(after.to_owned())),
            Some(after) => (first.max(after.to_owned()), end),
            None => (first, end),
        };
        let (first, end) = (query.add(first), query.add(end));
        query.sql.push_str(&format!(" FROM {table} WHERE id > {first} AND id < {end}"));
        query.and_each(self.within.as_slice());
    }

    fn order(&self) -> &'static str {
        if self.descending { " ORDER BY id DESC LIMIT " } else { " ORDER BY id LIMIT " }
    }

    fn columns(&self) -> String {
        self.matching.iter().map(|(column, _)| format!(", {column}")).collect()
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A page of a list: at most `limit` aggregates, and one at least where there are any near, after this id.
///
/// # Errors
/// As [`Read::select`], or when a stored state cannot be read.
pub fn list<A: Aggregate>(
    read: &(impl Read + ?Sized),
    context: &str,
    list: &List<'_>,
    after: Option<&str>,
    limit: usize,
) -> Result<Listed<Versioned<A>>, String> {
    let (table, limit) = (table::<A>(context), limit.max(1));
    let mut query =
        Query { sql: "SELECT state.version, state.format, state.body, state.id FROM (SELECT id".into(), values: vec![] };
    if list.matching.is_empty() {
        list.near(&mut query, &table, after);
    } else {
        query.sql.push_str(&format!(" FROM (SELECT id{}", list.columns()));
        list.near(&mut query, &table, after);
        let scan = query.add(number(SCAN_MAX));
        query.sql.push_str(&format!("{}{scan}) AS near WHERE 1 = 1", list.order()));
        query.and_each(&list.matching);
    }
    // One more than asked for tells whether there is a next page.
    let more = query.add(number(limit + 1));
    let last = if list.descending { " ORDER BY state.id DESC" } else { " ORDER BY state.id" };
    query.sql.push_str(&format!("{}{more}) AS page JOIN {table} AS state ON state.id = page.id{last}", list.order()));
    let rows = read.select(&query.sql, &query.values)?;
    let items = rows.iter().take(limit).map(|row| stored::<A>(row)).collect::<Result<Vec<_>, _>>()?;
    let id = |row: &Vec<Value>| row.get(3).and_then(Value::text).map(str::to_owned);
    let next = match rows.get(limit) {
        Some(_) => rows.get(limit - 1).and_then(id),
        None if list.matching.is_empty() => None,
        None => scanned_to(read, list, &table, after)?,
    };
    Ok(Listed { items, next })
}

/// Where a page ends that has looked at as many rows as it may; none when it saw the end of the list.
fn scanned_to(read: &(impl Read + ?Sized), list: &List<'_>, table: &str, after: Option<&str>) -> Result<Option<String>, String> {
    let mut query = Query { sql: "SELECT id".into(), values: vec![] };
    list.near(&mut query, table, after);
    let (one, before) = (query.add(1), query.add(number(SCAN_MAX - 1)));
    query.sql.push_str(&format!("{}{one} OFFSET {before}", list.order()));
    let rows = read.select(&query.sql, &query.values)?;
    Ok(rows.first().and_then(|row| row.first()).and_then(Value::text).map(str::to_owned))
}

/// How many aggregates a list holds, as far as [`TOTAL_MAX`] rows tell.
///
/// # Errors
/// As [`Read::select`].
pub fn total<A: Aggregate>(read: &(impl Read + ?Sized), context: &str, list: &List<'_>) -> Result<Total, String> {
    let mut query = Query { sql: "SELECT count(*), count(CASE WHEN 1 = 1".into(), values: vec![] };
    query.and_each(&list.matching);
    query.sql.push_str(&format!(" THEN 1 END) FROM (SELECT id{}", list.columns()));
    list.near(&mut query, &table::<A>(context), None);
    let most = query.add(number(TOTAL_MAX + 1));
    query.sql.push_str(&format!(" LIMIT {most}) AS near"));
    let rows = read.select(&query.sql, &query.values)?;
    let cell = |place: usize| {
        let number = rows.first().and_then(|row| row.get(place)).and_then(Value::integer);
        number.and_then(|number| usize::try_from(number).ok()).ok_or("a count that is no number")
    };
    let (seen, count) = (cell(0)?, cell(1)?);
    Ok(Total { count: count.min(TOTAL_MAX), exact: seen <= TOTAL_MAX })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::store::{Partition, Schema, Sqlite, StateTable, StateWrite, Store, Writes};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Car {
        id: String,
    }

    impl Aggregate for Car {
        const KIND: &'static str = "car";
        fn id(&self) -> &str {
            &self.id
        }
    }

    /// Cars of two lots, every hundredth of them red.
    fn cars<S: Store>(mut store: S, ids: impl Iterator<Item = String>) -> S {
        let columns = &[("lot", "TEXT"), ("colour", "TEXT")];
        let name = crate::store::state_table("parking", "car");
        let row = Arc::new(|_: u32, _: &[u8]| Ok(Vec::new()));
        let states = vec![StateTable { name, columns, indexes: &[("by_lot", "lot, id")], row }];
        store.open(&Schema { states, epoch: 1 }).unwrap();
        let partition = Partition { context: "parking".into(), number: 0 };
        store.take(&partition, None).unwrap().unwrap();
        let states = ids.zip(0..).map(|(id, number)| StateWrite {
            table: 0,
            version: 1,
            format: 1,
            body: serde_json::to_vec(&Car { id: id.clone() }).unwrap(),
            row: vec![if number % 2 == 0 { "even" } else { "odd" }.into(), if number % 100 == 0 { "red" } else { "blue" }.into()],
            id: id.into(),
        });
        store.commit(&Writes { states: states.collect(), ..Writes::default() }).unwrap();
        store
    }

    /// The same of both engines, as far as a server is there.
    fn of_both(ids: impl Iterator<Item = String> + Clone, check: impl Fn(&dyn Read)) {
        check(&cars(Sqlite::memory().unwrap(), ids.clone()));
        #[cfg(feature = "distributed")]
        if let Some(mut databases) = crate::testing::databases::Databases::find() {
            let store = crate::store::Postgres::connect(&databases.make()).unwrap();
            check(&cars(store, ids));
        }
    }

    fn ids(listed: &Listed<Versioned<Car>>) -> Vec<&str> {
        listed.items.iter().map(|car| car.value.id.as_str()).collect()
    }

    /// All pages, and how many they were.
    fn all(store: &dyn Read, of: &List<'_>, limit: usize) -> (Vec<String>, usize) {
        let (mut seen, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = list::<Car>(store, "parking", of, after.as_deref(), limit).unwrap();
            assert!(page.items.len() <= limit);
            seen.extend(ids(&page).iter().map(|id| (*id).to_owned()));
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => return (seen, pages),
            }
        }
    }

    #[test]
    fn a_list_goes_by_ids_in_either_direction_page_by_page() {
        of_both(["b", "a", "b~1", "b~2", "b.1~1", "b~2~x", "c"].into_iter().map(str::to_owned), |store| {
            let up = List::default();
            assert_eq!(all(store, &up, 2), (["a", "b", "b.1~1", "b~1", "b~2", "b~2~x", "c"].map(str::to_owned).to_vec(), 4));
            let down = List { descending: true, ..up.clone() };
            assert_eq!(all(store, &down, 3).0, ["c", "b~2~x", "b~2", "b~1", "b.1~1", "b", "a"]);
            for descending in [false, true] {
                let under = List { under: "b", descending, ..List::default() };
                let mut expected = vec!["b~1", "b~2", "b~2~x"];
                if descending {
                    expected.reverse();
                }
                assert_eq!(all(store, &under, 2).0, expected, "not the longer id that begins so, nor the one without a part");
                assert_eq!(all(store, &under, 3), (expected.iter().map(|id| (*id).to_owned()).collect(), 1), "a full last page");
            }
        });
    }

    #[test]
    fn a_rare_item_is_found_over_pages_that_each_look_at_so_many_rows_only() {
        let count = 2 * SCAN_MAX + 500;
        of_both((0..count).map(|number| format!("car-{number:06}")), |store| {
            let nothing = List { matching: vec![("colour", "green".into())], ..List::default() };
            assert_eq!(all(store, &nothing, 50), (vec![], 3));
            let red = List { matching: vec![("colour", "red".into())], ..List::default() };
            let expected: Vec<_> = (0..count).step_by(100).map(|number| format!("car-{number:06}")).collect();
            assert_eq!(all(store, &red, 7).0, expected);
            assert_eq!(
                all(store, &List { descending: true, ..red.clone() }, 50).0,
                expected.into_iter().rev().collect::<Vec<_>>()
            );
            let odd_and_red = List { within: Some(("lot", "odd".into())), ..red.clone() };
            assert_eq!(all(store, &odd_and_red, 50).0, Vec::<String>::new());
            let even_and_red = List { within: Some(("lot", "even".into())), ..red };
            assert_eq!(all(store, &even_and_red, 200).0.len(), 45);
        });
    }

    #[test]
    fn a_total_is_exact_until_it_costs_too_much() {
        of_both((0..TOTAL_MAX + 1).map(|number| format!("car-{number:06}")), |store| {
            let count = |list: &List<'_>| total::<Car>(store, "parking", list).unwrap();
            assert_eq!(count(&List::default()), Total { count: TOTAL_MAX, exact: false });
            assert_eq!(count(&List { under: "car-1", ..List::default() }), Total { count: 0, exact: true });
            let odd = List { within: Some(("lot", "odd".into())), ..List::default() };
            assert_eq!(count(&odd), Total { count: TOTAL_MAX / 2, exact: true });
            let red = List { matching: vec![("colour", "red".into())], ..List::default() };
            assert_eq!(count(&red), Total { count: TOTAL_MAX / 100 + 1, exact: false }, "of the rows that were looked at");
        });
    }

    #[test]
    fn a_page_walks_the_index_of_its_filter_and_sorts_no_more_than_itself() {
        let store = cars(Sqlite::memory().unwrap(), std::iter::empty());
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM parking_car WHERE id > $1 AND id < $2 AND lot = $3 ORDER BY id LIMIT $4";
        let plan = store.select(sql, &["".into(), "z".into(), "even".into(), 1.into()]).unwrap();
        let text = format!("{plan:?}");
        assert!(text.contains("by_lot (lot=? AND id>? AND id<?)") && !text.contains("TEMP B-TREE"), "{text}");
    }
}
