//! Lists of aggregates in the order of their ids or of an indexed column, page by page, at a bounded cost whatever is asked.

use super::{Read, Value, Versioned, stored, table};
use crate::aggregate::Aggregate;

/// Rows that a page looks at, at most. Where an index does not narrow a filter down, a page ends there, with fewer items than asked for
/// or none, and the next goes on from there.
pub const SCAN_MAX: usize = 2_000;
/// … and so many where each has to be fetched before it is known whether it belongs: a list by a column whose index does not have the rest.
pub const FETCH_MAX: usize = 400;
/// Rows that are counted, at most.
pub const TOTAL_MAX: usize = 10_000;

/// Which aggregates of one kind a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<'a> {
    /// Only ids of so many parts joined by `~`, and more: `p-1` holds `p-1~c-1`, and not `p-10~c-1`. Empty: all. A list by a column is not
    /// narrowed down by it, only filtered.
    pub under: &'a str,
    /// A column that an index begins with, followed by what the list goes by, and its value.
    pub within: Option<(&'static str, Value)>,
    /// Other columns and their values.
    pub matching: Vec<(&'static str, Value)>,
    /// The column that the list goes by, then by id; only by id when there is none.
    pub by: Option<By>,
    /// The greatest first.
    pub descending: bool,
}

/// A column that a list goes by: an index has it, then the id. It never changes once it is written, so that a page knows where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The column.
    pub column: &'static str,
    /// Only what is not less than this.
    pub from: Value,
    /// Only what is less than this.
    pub to: Value,
}

impl By {
    /// A column of numbers: those from this one on, and before that one.
    pub fn numbers(column: &'static str, from: Option<i64>, to: Option<i64>) -> By {
        By { column, from: from.unwrap_or(i64::MIN).into(), to: to.unwrap_or(i64::MAX).into() }
    }

    /// A column of texts: those that begin so.
    pub fn beginning(column: &'static str, with: &str) -> By {
        By { column, from: with.into(), to: format!("{with}\u{10ffff}").into() }
    }
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
    /// The first and the last id that are not in it: no id holds a character behind `~`.
    fn ids(&self) -> (String, String) {
        match self.under {
            "" => (String::new(), "\u{7f}".to_owned()),
            under => (format!("{under}~"), format!("{under}~\u{7f}")),
        }
    }

    /// `FROM … WHERE …` of what an index narrows down, after an id.
    fn near(&self, query: &mut Query, table: &str, after: Option<&str>) {
        match &self.by {
            Some(by) => self.near_by(by, query, table, after),
            None => self.near_id(query, table, after),
        }
        query.and_each(self.within.as_slice());
    }

    fn near_id(&self, query: &mut Query, table: &str, after: Option<&str>) {
        let (first, end) = self.ids();
        let (first, end) = match after {
            Some(after) if self.descending => (first, end.min(after.to_owned())),
            Some(after) => (first.max(after.to_owned()), end),
            None => (first, end),
        };
        let (first, end) = (query.add(first), query.add(end));
        query.sql.push_str(&format!(" FROM {table} WHERE id > {first} AND id < {end}"));
    }

    fn near_by(&self, by: &By, query: &mut Query, table: &str, after: Option<&str>) {
        let column = by.column;
        query.sql.push_str(&format!(" FROM {table} WHERE "));
        let bound = |query: &mut Query, beyond: &str, value: &Value| {
            let value = query.add(value.clone());
            format!("{column} {beyond} {value}")
        };
        // On the side where a page goes on, its place is the closer bound, and the only one that an index is asked for.
        let place = |query: &mut Query, beyond: &str, after: &str| {
            let id = query.add(after);
            format!("({column}, id) {beyond} ((SELECT {column} FROM {table} WHERE id = {id}), {id})")
        };
        let (low, high) = match after {
            Some(after) if self.descending => (bound(query, ">=", &by.from), place(query, "<", after)),
            Some(after) => (place(query, ">", after), bound(query, "<", &by.to)),
            None => (bound(query, ">=", &by.from), bound(query, "<", &by.to)),
        };
        query.sql.push_str(&format!("{low} AND {high}"));
    }

    /// Whether rows that are near may still not belong to it.
    fn filters(&self) -> bool {
        !self.matching.is_empty() || self.by.is_some() && !self.under.is_empty()
    }

    /// How many rows a page looks at, at most.
    fn looks_at(&self) -> usize {
        if self.by.is_some() && !self.matching.is_empty() { FETCH_MAX } else { SCAN_MAX }
    }

    /// What of the rows that are near belongs to it.
    fn and_filters(&self, query: &mut Query) {
        query.and_each(&self.matching);
        if self.by.is_some() && !self.under.is_empty() {
            let (first, end) = self.ids();
            let (first, end) = (query.add(first), query.add(end));
            query.sql.push_str(&format!(" AND id > {first} AND id < {end}"));
        }
    }

    /// The columns that it is in the order of, of this table, and in which direction.
    fn order(&self, of: &str) -> String {
        let direction = if self.descending { " DESC" } else { "" };
        let by = self.by.as_ref().map(|by| format!("{of}{}{direction}, ", by.column)).unwrap_or_default();
        format!(" ORDER BY {by}{of}id{direction}")
    }

    /// The columns that a page is made with: the id and what it is ordered by …
    fn keys(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(", {}", by.column)).unwrap_or_default();
        format!("id{by}")
    }

    /// … and what it is filtered by.
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
    let (table, limit, keys) = (table::<A>(context), limit.max(1), list.keys());
    let mut query =
        Query { sql: format!("SELECT state.version, state.format, state.body, state.id FROM (SELECT {keys}"), values: vec![] };
    let order = list.order("");
    if list.filters() {
        query.sql.push_str(&format!(" FROM (SELECT {keys}{}", list.columns()));
        list.near(&mut query, &table, after);
        let scan = query.add(number(list.looks_at()));
        query.sql.push_str(&format!("{order} LIMIT {scan}) AS near WHERE 1 = 1"));
        list.and_filters(&mut query);
    } else {
        list.near(&mut query, &table, after);
    }
    // One more than asked for tells whether there is a next page.
    let more = query.add(number(limit + 1));
    let last = list.order("page.");
    query.sql.push_str(&format!("{order} LIMIT {more}) AS page JOIN {table} AS state ON state.id = page.id{last}"));
    let rows = read.select(&query.sql, &query.values)?;
    let items = rows.iter().take(limit).map(|row| stored::<A>(row)).collect::<Result<Vec<_>, _>>()?;
    let id = |row: &Vec<Value>| row.get(3).and_then(Value::text).map(str::to_owned);
    let next = match rows.get(limit) {
        Some(_) => rows.get(limit - 1).and_then(id),
        None if !list.filters() => None,
        None => scanned_to(read, list, &table, after)?,
    };
    Ok(Listed { items, next })
}

/// Where a page ends that has looked at as many rows as it may; none when it saw the end of the list.
fn scanned_to(read: &(impl Read + ?Sized), list: &List<'_>, table: &str, after: Option<&str>) -> Result<Option<String>, String> {
    let mut query = Query { sql: "SELECT id".into(), values: vec![] };
    list.near(&mut query, table, after);
    let (one, before) = (query.add(1), query.add(number(list.looks_at() - 1)));
    query.sql.push_str(&format!("{} LIMIT {one} OFFSET {before}", list.order("")));
    let rows = read.select(&query.sql, &query.values)?;
    Ok(rows.first().and_then(|row| row.first()).and_then(Value::text).map(str::to_owned))
}

/// How many aggregates a list holds, as far as [`TOTAL_MAX`] rows tell.
///
/// # Errors
/// As [`Read::select`].
pub fn total<A: Aggregate>(read: &(impl Read + ?Sized), context: &str, list: &List<'_>) -> Result<Total, String> {
    let mut query = Query { sql: "SELECT count(*), count(CASE WHEN 1 = 1".into(), values: vec![] };
    list.and_filters(&mut query);
    query.sql.push_str(&format!(" THEN 1 END) FROM (SELECT {}{}", list.keys(), list.columns()));
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
        let columns = &[("lot", "TEXT"), ("colour", "TEXT"), ("built", "BIGINT")];
        let name = crate::store::state_table("parking", "car");
        let row = Arc::new(|_: u32, _: &[u8]| Ok(Vec::new()));
        let indexes = &[("by_lot", "lot, id"), ("by_built", "built, id"), ("by_lot_built", "lot, built, id")];
        let states = vec![StateTable { name, columns, indexes, row }];
        store.open(&Schema { states, epoch: 1, ..Schema::default() }).unwrap();
        let partition = Partition { context: "parking".into(), number: 0 };
        store.take(&partition, None).unwrap().unwrap();
        let states = ids.zip(0..).map(|(id, number)| StateWrite {
            table: 0,
            version: 1,
            format: 1,
            body: serde_json::to_vec(&Car { id: id.clone() }).unwrap(),
            // Two are built at a time, the last first.
            row: vec![
                if number % 2 == 0 { "even" } else { "odd" }.into(),
                if number % 100 == 0 { "red" } else { "blue" }.into(),
                (-(number / 2)).into(),
            ],
            id: id.into(),
            before: None,
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
    fn a_list_goes_by_a_column_between_bounds_page_by_page() {
        of_both((0..9).map(|number| format!("p-{}~{number}", number % 3)), |store| {
            let number = |id: &String| id[4..].to_owned();
            let by = |from, to| List { by: Some(By::numbers("built", from, to)), ..List::default() };
            let seen = |list: &List<'_>, limit| all(store, list, limit).0.iter().map(number).collect::<String>();
            for limit in [1, 2, 3, 20] {
                assert_eq!(seen(&by(None, None), limit), "867453201", "two of one time by their ids");
                assert_eq!(seen(&List { descending: true, ..by(None, None) }, limit), "102354768");
                assert_eq!(seen(&by(Some(-3), Some(-1)), limit), "6745", "the first bound is in it, the last is not");
                let odd = List { within: Some(("lot", "odd".into())), ..by(Some(-3), None) };
                assert_eq!(seen(&odd, limit), "7531");
                let under = List { under: "p-1", descending: true, ..by(None, Some(0)) };
                assert_eq!(seen(&under, limit), "47");
                assert_eq!(total::<Car>(store, "parking", &under), Ok(Total { count: 2, exact: true }));
                let red = List { matching: vec![("colour", "red".into())], ..by(None, None) };
                assert_eq!(seen(&red, limit), "0");
            }
        });
    }

    #[test]
    fn a_list_by_a_text_holds_what_begins_so() {
        of_both(["a", "b"].into_iter().map(str::to_owned), |store| {
            let by = |with: &str| List { by: Some(By::beginning("colour", with)), ..List::default() };
            assert_eq!(all(store, &by("b"), 9).0, ["b"]);
            assert_eq!(all(store, &by("re"), 9).0, ["a"]);
            assert_eq!(all(store, &by(""), 9).0, ["b", "a"]);
            assert_eq!(all(store, &by("blues"), 9).0, Vec::<String>::new());
        });
    }

    #[test]
    fn a_page_by_a_column_walks_its_index_from_where_it_goes_on() {
        struct Explained<'a>(&'a Sqlite, Vec<String>);
        impl Read for Explained<'_> {
            fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
                let plan = self.0.select(&format!("EXPLAIN QUERY PLAN {sql}"), parameters)?;
                let lines: Vec<_> = plan.iter().filter_map(|row| row.last().and_then(Value::text)).collect();
                for expected in &self.1 {
                    assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
                }
                assert!(!lines.iter().any(|line| line.contains("SCAN parking_car")), "{lines:#?}");
                Ok(vec![vec![0.into(), 0.into()]].into_iter().filter(|_| sql.contains("count(*)")).collect())
            }
        }
        let store = cars(Sqlite::memory().unwrap(), std::iter::empty());
        for (within, index) in [(None, "by_built ("), (Some(("lot", Value::from("odd"))), "by_lot_built (lot=? AND ")] {
            for matching in [vec![], vec![("colour", Value::from("red"))]] {
                for (descending, beyond) in [(false, "(built,id)>("), (true, "(built,id)<(")] {
                    let by = Some(By::numbers("built", Some(1), None));
                    let of = List { within: within.clone(), matching: matching.clone(), by, descending, ..List::default() };
                    let plan = Explained(&store, vec![format!("{index}built>? AND built<?")]);
                    list::<Car>(&plan, "parking", &of, None, 9).unwrap();
                    total::<Car>(&plan, "parking", &of).unwrap();
                    list::<Car>(&Explained(&store, vec![index.to_owned(), beyond.to_owned()]), "parking", &of, Some("x"), 9)
                        .unwrap();
                }
            }
        }
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
