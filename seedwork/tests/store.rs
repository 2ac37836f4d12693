//! SQLite passes the store's suite, and says clearly what is wrong with a file that it cannot use.

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use seedwork::store::contract::{self, Make};
use seedwork::store::{Partition, Schema, Sqlite, StateTable, Store, StoreError};

/// A directory of this test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("alpes-store-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &std::path::Path) -> Result<Sqlite, StoreError> {
    let mut store = Sqlite::open(path)?;
    store.open(&Schema { states: vec![StateTable::plain("lot_car")], epoch: 1, ..Schema::default() })?;
    Ok(store)
}

fn refusal(path: &std::path::Path) -> String {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(StoreError(why)) => why,
    }
}

#[test]
fn a_store_in_memory_passes_the_suite() {
    contract::check(&mut |make| match make {
        Make::New => Some(Box::new(Sqlite::memory().unwrap())),
        Make::Beside => None,
    });
}

#[test]
fn a_store_in_a_file_passes_the_suite() {
    let folder = Folder::new("suite");
    let mut count = 0;
    contract::check(&mut |make| {
        count += u32::from(make == Make::New);
        Some(Box::new(Sqlite::open(&folder.file(&format!("{count}.db"))).unwrap()))
    });
}

#[test]
fn a_file_of_a_newer_build_is_refused_and_left_as_it_was() {
    let folder = Folder::new("newer");
    let path = folder.file("store.db");
    drop(open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE meta SET value = 99 WHERE key = 'format'", []).unwrap();
    drop(db);
    let why = refusal(&path);
    assert!(why.contains("format 99") && why.contains("newer build"), "{why}");
    let db = rusqlite::Connection::open(&path).unwrap();
    let format: i64 = db.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0)).unwrap();
    assert_eq!(format, 99);
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = Folder::new("text");
    let path = folder.file("notes.txt");
    let notes = "Remember the milk. ".repeat(100);
    std::fs::write(&path, &notes).unwrap();
    let why = refusal(&path);
    assert!(why.contains("notes.txt") && why.contains("not a database"), "{why}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
}

#[test]
fn a_database_of_somebody_else_is_refused_and_left_alone() {
    let folder = Folder::new("foreign");
    let path = folder.file("theirs.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(db);
    let why = refusal(&path);
    assert!(why.contains("not one of Alpes"), "{why}");
    let db = rusqlite::Connection::open(&path).unwrap();
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_damaged_file_is_an_error_that_says_so_not_a_panic_and_not_an_empty_store() {
    let folder = Folder::new("damaged");
    let path = folder.file("store.db");
    let lot = Partition { context: "lot".into(), number: 0 };
    let mut store = open(&path).unwrap();
    store.take(&lot, None).unwrap();
    drop(store);
    // Whatever is still in the write-ahead log would mend the damage.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 4096]).unwrap();
    drop(file);
    let why = open(&path).and_then(|mut store| store.take(&lot, None)).map(|_| ()).unwrap_err();
    assert!(why.0.contains("malformed"), "{why}");
}

#[test]
fn a_path_that_cannot_be_opened_is_named() {
    let folder = Folder::new("path");
    for path in [folder.0.clone(), folder.file("nowhere/store.db")] {
        let why = refusal(&path);
        assert!(why.contains(&path.display().to_string()), "{why}");
    }
}
