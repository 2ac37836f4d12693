//! The tables of a SQLite store, and how an older file becomes a present one.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::super::{FORMAT, StoreError, StoreResult};

// OR FAIL: a batch that fails is rolled back whole, so SQLite need not keep a copy of each page to undo the one statement.
macro_rules! log_insert {
    () => {
        "INSERT OR FAIL INTO log (id, topic, number, before_epoch, before_position, raw, received, started, written) VALUES "
    };
}
macro_rules! log_row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

/// What makes a store of format n − 1 one of format n; the first makes an empty one.
pub(super) const STEPS: &[(u32, &str)] = &[(
    1,
    "CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
     CREATE TABLE stream (id INTEGER PRIMARY KEY, partition BIGINT NOT NULL, epoch BIGINT NOT NULL, UNIQUE (partition, epoch));
     CREATE TABLE head (partition INTEGER PRIMARY KEY, fence BIGINT NOT NULL, epoch BIGINT NOT NULL, position BIGINT NOT NULL,
         relayed BIGINT NOT NULL);
     CREATE TABLE destination (partition BIGINT NOT NULL, topic BIGINT NOT NULL, number BIGINT NOT NULL, epoch BIGINT NOT NULL,
         position BIGINT NOT NULL, PRIMARY KEY (partition, topic, number)) WITHOUT ROWID;
     CREATE TABLE mark (partition BIGINT NOT NULL, origin BIGINT NOT NULL, topic BIGINT NOT NULL, number BIGINT NOT NULL,
         epoch BIGINT NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (partition, origin, topic, number)) WITHOUT ROWID;
     CREATE TABLE log (id INTEGER PRIMARY KEY, topic BIGINT NOT NULL, number BIGINT NOT NULL, before_epoch BIGINT,
         before_position BIGINT, raw TEXT NOT NULL, received BIGINT NOT NULL, started BIGINT NOT NULL, written BIGINT NOT NULL);
     CREATE TABLE saga (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, partition BIGINT NOT NULL, version BIGINT NOT NULL,
         stage TEXT NOT NULL, body TEXT NOT NULL);
     CREATE INDEX saga_open ON saga (stage) WHERE stage NOT IN ('completed', 'undone');
     CREATE TABLE start (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
     CREATE TABLE saga_log (saga TEXT NOT NULL, line BIGINT NOT NULL, entries TEXT NOT NULL, PRIMARY KEY (saga, line)) WITHOUT ROWID;
     CREATE TABLE command (id TEXT NOT NULL UNIQUE, expires BIGINT NOT NULL, body TEXT NOT NULL);
     CREATE TABLE waiting (partition BIGINT NOT NULL, number BIGINT NOT NULL, lane TEXT NOT NULL, attempts BIGINT NOT NULL,
         due BIGINT, dead BIGINT NOT NULL, not_yet BIGINT, topic BIGINT NOT NULL, reason TEXT NOT NULL, raw BLOB NOT NULL,
         since BIGINT NOT NULL, kind TEXT, key TEXT, source TEXT, saga TEXT, revision BIGINT NOT NULL, original BLOB,
         PRIMARY KEY (partition, number)) WITHOUT ROWID;
     CREATE INDEX waiting_dead ON waiting (dead, number, partition);
     CREATE INDEX waiting_lane ON waiting (partition, lane, number);
     CREATE TABLE pause (partition BIGINT NOT NULL, topic BIGINT NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL,
         actor TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (partition, topic, number)) WITHOUT ROWID;
     CREATE TABLE operation (number INTEGER PRIMARY KEY, partition BIGINT NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL,
         decision TEXT NOT NULL, about TEXT NOT NULL, reason TEXT, told TEXT NOT NULL);",
)];

/// Brings the file to the format of this build. A copy is made first, beside it, unless the file is new.
pub(super) fn migrate(db: &mut Connection, path: Option<&Path>, steps: &[(u32, &str)]) -> StoreResult<()> {
    let failed = |error: rusqlite::Error| StoreError(format!("cannot bring the store to the present format: {error}"));
    let target = steps.last().map_or(FORMAT, |(format, _)| *format);
    let has_meta: bool =
        db.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'meta'", [], |_| Ok(())).optional().map_err(failed)?.is_some();
    let present: u32 = if has_meta {
        db.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0)).map_err(failed)?
    } else {
        let others: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
        if others > 0 {
            return Err(StoreError("the file is a database, but not one of Alpes: name another data directory".to_owned()));
        }
        0
    };
    if present > target {
        return Err(StoreError(format!(
            "the store has format {present}, written by a newer build; this one knows {target}. Use the newer build: an older one could misread it"
        )));
    }
    if present == target {
        return Ok(());
    }
    if let Some(path) = path.filter(|_| present > 0) {
        let copy = path.with_extension(format!("format-{present}.db"));
        if !copy.exists() {
            db.execute("VACUUM INTO ?1", [copy.display().to_string()]).map_err(failed)?;
        }
    }
    let change = db.transaction().map_err(failed)?;
    for (_, sql) in steps.iter().filter(|(format, _)| *format > present) {
        change.execute_batch(sql).map_err(failed)?;
    }
    change
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BIGINT NOT NULL) WITHOUT ROWID;
             INSERT INTO meta (key, value) VALUES ('format', {target}) ON CONFLICT (key) DO UPDATE SET value = excluded.value;"
        ))
        .map_err(failed)?;
    change.commit().map_err(failed)
}

/// Writes one row of the log, and eight.
pub(super) const LOG_ONE: &str = concat!(log_insert!(), log_row!());
pub(super) const LOG_EIGHT: &str = concat!(
    log_insert!(),
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!(),
    ",",
    log_row!()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_copied_before_it_is_changed_and_a_newer_one_is_refused() {
        let folder = std::env::temp_dir().join(format!("alpes-ddl-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("store.db");
        let mut db = Connection::open(&path).unwrap();
        migrate(&mut db, Some(&path), &[(1, "CREATE TABLE a (x BIGINT)")]).unwrap();
        db.execute("INSERT INTO a VALUES (7)", []).unwrap();
        let steps = [(1, "CREATE TABLE a (x BIGINT)"), (2, "ALTER TABLE a ADD COLUMN y BIGINT DEFAULT 1")];
        migrate(&mut db, Some(&path), &steps).unwrap();
        let sum: i64 = db.query_row("SELECT x + y FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 8);
        let copy = Connection::open(folder.join("store.format-1.db")).unwrap();
        assert!(copy.prepare("SELECT y FROM a").is_err(), "the copy is as it was");
        let refused = migrate(&mut db, Some(&path), &steps[..1]).unwrap_err();
        assert!(refused.0.contains("newer build"), "{refused}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_database_of_somebody_else_is_left_alone() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(migrate(&mut db, None, STEPS).unwrap_err().0.contains("not one of Alpes"));
    }
}
