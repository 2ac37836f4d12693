//! The tables of a store's states: made, and given the columns and indexes that their views have now.
//!
//! Replicas of two builds may run side by side, so a column that this build's view does not have is left to the other one.

use super::*;

/// Rows that are in memory while the columns of a view are filled.
const CHUNK: i64 = 1000;

/// The type of a view's column, whose texts are compared byte by byte.
fn typed(kind: &str) -> String {
    if kind == "TEXT" { "TEXT COLLATE \"C\"".to_owned() } else { kind.to_owned() }
}

fn failed(trouble: Trouble) -> StoreError {
    StoreError(format!("cannot make the tables: {trouble}"))
}

/// Makes the tables that are not there, and the columns and indexes of views that are not there or were others.
pub(super) fn make(link: &mut Link, schema: &Schema) -> StoreResult<()> {
    // Earlier builds of this format make and write the table without it, and may run beside this one.
    if !columns(link, "replica")?.contains("address") {
        let add = "ALTER TABLE replica ADD COLUMN address TEXT COLLATE \"C\"";
        link.once(async |session| session.run(add).await).map_err(failed)?;
    }
    for table in &schema.states {
        let name = &table.name;
        let present = columns(link, name)?;
        let known = !present.is_empty();
        if !known {
            let columns: String = table.columns.iter().map(|(name, kind)| format!(", {name} {}", typed(kind))).collect();
            let new = format!(
                "CREATE TABLE {name} (id TEXT COLLATE \"C\" PRIMARY KEY, version BIGINT NOT NULL, format BIGINT NOT NULL,
                 body TEXT NOT NULL{columns}) WITH (fillfactor = 80)"
            );
            link.once(async |session| session.run(&new).await).map_err(failed)?;
        }
        // A change of a table waits for everyone who is at it, and whoever comes then waits for the change: it is not made for nothing.
        for (column, kind) in table.columns.iter().filter(|(column, _)| known && !present.contains(*column)) {
            let add = format!("ALTER TABLE {name} ADD COLUMN {column} {}", typed(kind));
            link.once(async |session| session.run(&add).await).map_err(failed)?;
        }
        // What the build before this one filled is remembered, so columns that it did not know are seen to be empty.
        let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let columns = columns.join(", ");
        if made(link, name)?.as_deref() != Some(columns.as_str()) {
            if known && !table.columns.is_empty() {
                tracing::info!(table = %name, "filling the columns of a view that the store was written without");
                fill(link, table)?;
            }
            remember(link, name, &columns)?;
        }
        indexes(link, table)?;
    }
    Ok(())
}

/// The columns that a table has; none when it is not there.
fn columns(link: &mut Link, name: &str) -> StoreResult<BTreeSet<String>> {
    let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped";
    let rows = link.once(async |session| session.query(&Bound::new(sql).with(name)).await).map_err(failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(|error| failed(error.into()))
}

/// What was last made under a name.
fn made(link: &mut Link, name: &str) -> StoreResult<Option<String>> {
    let asked = Bound::new("SELECT made FROM view_made WHERE name = $1").with(name);
    let rows = link.once(async |session| session.query(&asked).await).map_err(failed)?;
    rows.first().map(|row| row.try_get(0)).transpose().map_err(|error| failed(error.into()))
}

fn remember(link: &mut Link, name: &str, what: &str) -> StoreResult<()> {
    let sql = "INSERT INTO view_made (name, made) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET made = excluded.made";
    let note = Bound::new(sql).with(name).with(what);
    link.once(async |session| session.query(&note).await).map(drop).map_err(failed)
}

/// Makes the indexes of a view, and drops those that it has no more, or has otherwise.
fn indexes(link: &mut Link, table: &StateTable) -> StoreResult<()> {
    let name = &table.name;
    let sql = "SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = to_regclass($1::text) AND NOT x.indisprimary";
    let present = link.once(async |session| session.query(&Bound::new(sql).with(name)).await).map_err(failed)?;
    let mut present =
        present.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>().map_err(|e| failed(e.into()))?;
    for (of, columns) in table.indexes {
        let index = format!("{name}_{of}");
        if present.remove(&index) && made(link, &index)?.as_deref() == Some(*columns) {
            continue;
        }
        let sql = format!("BEGIN; DROP INDEX IF EXISTS {index}; CREATE INDEX {index} ON {name} ({columns}); COMMIT");
        link.once(async |session| ddl::in_transaction(session, &sql).await).map_err(failed)?;
        remember(link, &index, columns)?;
    }
    for index in present {
        link.once(async |session| session.run(&format!("DROP INDEX IF EXISTS {index}")).await).map_err(failed)?;
    }
    Ok(())
}

/// Computes the view's columns of every state, some rows at a time: their owners wait no longer than that.
fn fill(link: &mut Link, table: &StateTable) -> StoreResult<()> {
    let name = &table.name;
    let select = format!("SELECT id, format, body FROM {name} WHERE id > $1 ORDER BY id LIMIT {CHUNK} FOR UPDATE");
    let sets: Vec<String> = table.columns.iter().map(|(column, _)| format!("{column} = n.{column}")).collect();
    let (arrays, names) = view_arrays(table, 2);
    let update =
        format!("UPDATE {name} s SET {} FROM unnest($1::text[]{arrays}) AS n(id{names}) WHERE s.id = n.id", sets.join(", "));
    let mut last = String::new();
    loop {
        let mut filled = Ok(());
        let next = link
            .once(async |session| {
                session.run("BEGIN").await?;
                let rows = session.query(&Bound::new(&select).with(&last)).await?;
                let mut ids: Vec<String> = Vec::with_capacity(rows.len());
                let mut values: Vec<Vec<Value>> = Vec::with_capacity(rows.len());
                for row in &rows {
                    let (id, format, body): (String, i64, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                    match (table.row)(u32::try_from(format).unwrap_or(0), body.as_bytes()) {
                        Ok(row) => values.push(row),
                        Err(why) => filled = Err(StoreError(format!("{name} {id:?}: {why}"))),
                    }
                    ids.push(id);
                }
                if filled.is_ok() && !ids.is_empty() {
                    let bound = view_columns(Bound::new(&update).with(&ids), table, values.iter().map(Vec::as_slice));
                    session.query(&bound).await?;
                }
                session.run(if filled.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
                Ok(ids.pop())
            })
            .map_err(failed);
        filled?;
        match next? {
            Some(id) => last = id,
            None => return Ok(()),
        }
    }
}

/// What stands in `unnest(…)` for a view's columns whose first parameter has this number, and their names.
pub(super) fn view_arrays(table: &StateTable, first: usize) -> (String, String) {
    let arrays = table.columns.iter().zip(first..).map(|((_, kind), place)| format!(", ${place}::{kind}[]")).collect();
    let names = table.columns.iter().map(|(column, _)| format!(", {column}")).collect();
    (arrays, names)
}

/// Binds the values of a view's columns, an array for each. A row that is too short has NULL there.
pub(super) fn view_columns<'a>(
    mut bound: Bound<'a>,
    table: &StateTable,
    rows: impl Iterator<Item = &'a [Value]> + Clone,
) -> Bound<'a> {
    for place in 0..table.columns.len() {
        let column: Vec<&Value> = rows.clone().map(|row| row.get(place).unwrap_or(&Value::Null)).collect();
        bound = bound.with(column);
    }
    bound
}
