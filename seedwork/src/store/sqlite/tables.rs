//! The tables of a store's states: made, and given the columns and indexes that their views have now.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction, params};

use super::super::{Schema, StateTable, StoreError, StoreResult};
use super::broken;
use super::session::Statements;

/// The columns that every such table has.
const OWN: [&str; 4] = ["id", "version", "format", "body"];
/// The number of the first parameter that is a view's.
pub(super) const VIEW: usize = OWN.len() + 1;
/// Rows that are in memory while the columns of a view are filled.
const CHUNK: i64 = 1000;

/// Makes the tables that are not there, and the columns and indexes of views that are not there or were others.
pub(super) fn make(db: &mut Connection, schema: &Schema) -> StoreResult<()> {
    let failed = || broken("cannot make the tables");
    let change = db.transaction().map_err(failed())?;
    for table in &schema.states {
        let name = &table.name;
        let columns: String = table.columns.iter().map(|(name, kind)| format!(", {name} {kind}")).collect();
        let new = format!(
            "CREATE TABLE IF NOT EXISTS {name} (id TEXT PRIMARY KEY, version BIGINT NOT NULL, format BIGINT NOT NULL, \
             body TEXT NOT NULL{columns}) WITHOUT ROWID"
        );
        change.execute_batch(&new).map_err(failed())?;
        let stale = indexes(&change, table).and_then(|()| self::columns(&change, table)).map_err(failed())?;
        if stale {
            tracing::info!(table = %name, "filling the columns of a view that the store was written without");
            fill(&change, table)?;
        }
        for (of, columns) in table.indexes {
            change.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {name}_{of} ON {name} ({columns})")).map_err(failed())?;
        }
    }
    change.commit().map_err(failed())
}

/// Drops the indexes that the view has no more, or has otherwise.
fn indexes(change: &Transaction<'_>, table: &StateTable) -> rusqlite::Result<()> {
    let name = &table.name;
    let wanted: BTreeMap<String, String> = table
        .indexes
        .iter()
        .map(|(of, columns)| (format!("{name}_{of}"), format!("CREATE INDEX {name}_{of} ON {name} ({columns})")))
        .collect();
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
    let mut statement = change.prepare(sql)?;
    let present: Vec<(String, String)> =
        statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (index, sql) in present {
        if wanted.get(&index) != Some(&sql) {
            change.execute_batch(&format!("DROP INDEX {index}"))?;
        }
    }
    Ok(())
}

/// Adds and drops columns; true when some were added to a table that was there.
fn columns(change: &Transaction<'_>, table: &StateTable) -> rusqlite::Result<bool> {
    let name = &table.name;
    let mut statement = change.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let present: BTreeSet<String> = statement.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    for old in present.iter().map(String::as_str) {
        if !OWN.contains(&old) && !table.columns.iter().any(|(name, _)| *name == old) {
            change.execute_batch(&format!("ALTER TABLE {name} DROP COLUMN {old}"))?;
        }
    }
    let mut added = false;
    for (column, kind) in table.columns.iter().filter(|(column, _)| !present.contains(*column)) {
        change.execute_batch(&format!("ALTER TABLE {name} ADD COLUMN {column} {kind}"))?;
        added = true;
    }
    Ok(added)
}

/// Computes the view's columns of every state.
fn fill(change: &Transaction<'_>, table: &StateTable) -> StoreResult<()> {
    let name = &table.name;
    let failed = || broken("cannot fill the columns of a view");
    let sets: Vec<String> = table.columns.iter().zip(2..).map(|((name, _), place)| format!("{name} = ?{place}")).collect();
    let update = format!("UPDATE {name} SET {} WHERE id = ?1", sets.join(", "));
    let select = format!("SELECT id, format, body FROM {name} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut update = change.prepare(&update).map_err(failed())?;
    let mut select = change.prepare(&select).map_err(failed())?;
    let mut last = String::new();
    loop {
        let rows = select
            .query_map(params![last, CHUNK], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<(String, u32, String)>>>)
            .map_err(failed())?;
        for (id, format, body) in &rows {
            let row = (table.row)(*format, body.as_bytes()).map_err(|why| StoreError(format!("{name} {id:?}: {why}")))?;
            update.raw_bind_parameter(1, id).map_err(failed())?;
            for (value, place) in row.iter().zip(2..) {
                update.raw_bind_parameter(place, value).map_err(failed())?;
            }
            update.raw_execute().map_err(failed())?;
        }
        match rows.into_iter().next_back() {
            Some((id, ..)) => last = id,
            None => return Ok(()),
        }
    }
}

/// The statements that read and write a table's rows.
pub(super) fn statements(table: &StateTable) -> Statements {
    let name = &table.name;
    let columns: String = table.columns.iter().map(|(name, _)| format!(", {name}")).collect();
    let places: String = (VIEW..).take(table.columns.len()).map(|place| format!(", ?{place}")).collect();
    Statements {
        name: name.clone(),
        select: format!("SELECT version, format, body FROM {name} WHERE id = ?1"),
        insert: format!("INSERT INTO {name} (id, version, format, body{columns}) VALUES (?1, ?2, ?3, ?4{places})"),
        update: BTreeMap::new(),
        page: format!("SELECT id, version, format, body FROM {name} WHERE id > ?1 ORDER BY id"),
        columns: table.columns.iter().map(|(name, _)| *name).collect(),
    }
}

impl Statements {
    /// The statement that writes these columns, by their places in the view, and no others: SQLite writes an index anew whenever a column
    /// of it is set, though it be to what it was.
    pub fn update(&mut self, columns: &[usize]) -> &str {
        if !self.update.contains_key(columns) {
            let sets: String = columns
                .iter()
                .filter_map(|column| Some(format!(", {} = ?{}", self.columns.get(*column)?, column + VIEW)))
                .collect();
            let name = &self.name;
            let sql = format!("UPDATE {name} SET version = ?2, format = ?3, body = ?4{sets} WHERE id = ?1 AND version = ?2 - 1");
            self.update.insert(columns.into(), sql);
        }
        self.update.get(columns).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::view::Value;

    fn schema(columns: &'static [(&'static str, &'static str)], indexes: &'static [(&'static str, &'static str)]) -> Schema {
        let row = |_: u32, body: &[u8]| {
            let body: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            Ok(vec![Value::from(body["floor"].as_i64())])
        };
        let states = vec![StateTable { name: "lot_car".to_owned(), columns, indexes, row: Arc::new(row) }];
        Schema { states, epoch: 1, ..Schema::default() }
    }

    fn floors(db: &Connection, column: &str) -> Vec<Option<i64>> {
        let mut statement = db.prepare(&format!("SELECT {column} FROM lot_car ORDER BY id")).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    fn indexed(db: &Connection) -> Vec<String> {
        let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_view_that_comes_later_is_filled_from_the_states_that_are_there() {
        let mut db = Connection::open_in_memory().unwrap();
        make(&mut db, &schema(&[], &[])).unwrap();
        // More than are filled at a time.
        for number in 0..2 * CHUNK + 1 {
            let row = params![format!("car-{number:06}"), format!("{{\"floor\":{number}}}")];
            db.execute("INSERT INTO lot_car (id, version, format, body) VALUES (?1, 1, 1, ?2)", row).unwrap();
        }
        let with = schema(&[("floor", "BIGINT")], &[("by_floor", "floor, id")]);
        make(&mut db, &with).unwrap();
        let expected: Vec<_> = (0..).take(2001).map(Some).collect();
        assert_eq!(floors(&db, "floor"), expected);
        assert_eq!(indexed(&db), ["CREATE INDEX lot_car_by_floor ON lot_car (floor, id)"]);

        // Another name is another meaning; the index of the old column goes with it.
        make(&mut db, &schema(&[("level", "BIGINT")], &[("by_floor", "level, id")])).unwrap();
        assert_eq!(floors(&db, "level"), expected);
        assert_eq!(indexed(&db), ["CREATE INDEX lot_car_by_floor ON lot_car (level, id)"]);
        assert!(db.prepare("SELECT floor FROM lot_car").is_err());

        // What has not changed is left alone.
        db.execute("UPDATE lot_car SET level = -1", []).unwrap();
        make(&mut db, &schema(&[("level", "BIGINT")], &[])).unwrap();
        assert_eq!((floors(&db, "level")[7], indexed(&db).len()), (Some(-1), 0));
    }

    #[test]
    fn a_state_that_cannot_be_read_is_named_and_nothing_has_changed() {
        let mut db = Connection::open_in_memory().unwrap();
        make(&mut db, &schema(&[], &[])).unwrap();
        db.execute("INSERT INTO lot_car (id, version, format, body) VALUES ('car-1', 1, 1, '{')", []).unwrap();
        let error = make(&mut db, &schema(&[("floor", "BIGINT")], &[])).unwrap_err();
        assert!(error.0.contains("lot_car \"car-1\""), "{error}");
        assert!(db.prepare("SELECT floor FROM lot_car").is_err());
    }
}
