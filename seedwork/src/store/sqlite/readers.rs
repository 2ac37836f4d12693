//! Queries: by the owner's own connection, and by connections that only read.

use super::*;
use crate::view::Read;

fn select(db: &Connection, sql: &str, parameters: &[Value]) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = db.prepare_cached(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(number) => Value::Integer(number),
                    ValueRef::Text(text) | ValueRef::Blob(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Null | ValueRef::Real(_) => Value::Null,
                })
            })
            .collect()
    })?;
    rows.collect()
}

impl Read for Sqlite {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let session = match &self.beside {
            Some(beside) => return select(&beside.reader.db, sql, parameters).map_err(|error| error.to_string()),
            None => self.writer.lock().unwrap_or_else(PoisonError::into_inner),
        };
        select(&session.db, sql, parameters).map_err(|error| error.to_string())
    }
}

/// Connections that only read, beside the one that writes: each sees the last commit. Opened as they are needed, kept, bounded.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of this file, which a [`Sqlite`] has opened before.
    pub fn new(path: &Path) -> Readers {
        Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -2048")?;
        session::plan_once(&db)?;
        Ok(db)
    }
}

impl Read for Readers {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match kept {
            Some(db) => db,
            None => self.open().map_err(|error| format!("cannot open {} to read: {error}", self.path.display()))?,
        };
        let rows = select(&db, sql, parameters).map_err(|error| error.to_string());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_ok() && idle.len() < 8 {
            idle.push(db);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_query_is_not_planned_again_for_each_limit_that_it_is_asked_with() {
        let folder = std::env::temp_dir().join(format!("alpes-readers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("store.db");
        let mut store = Sqlite::open(&path).unwrap();
        store.open(&Schema { epoch: 1, ..Schema::default() }).unwrap();
        let readers = Readers::new(&path);
        let sql = "SELECT id FROM saga WHERE id > $1 ORDER BY id LIMIT $2";
        for limit in 1..5 {
            assert_eq!(readers.select(sql, &["a".into(), limit.into()]), Ok(vec![]));
        }
        let db = readers.idle.lock().unwrap().pop().unwrap();
        assert_eq!(db.prepare_cached(sql).unwrap().get_status(StatementStatus::RePrepare), 0);
        drop((db, store));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
