//! Folds the WAL into the file beside the writer, so that the writer's own checkpoint, which a request may have to wait for, finds
//! little left to do.
#![expect(clippy::disallowed_methods, reason = "a thread of the store's own")]

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

/// Commits between two checkpoints: some four megabytes of WAL at most times.
const COMMITS: u32 = 16;

/// The thread that checkpoints. It has ended, and closed its connection, when this has been dropped: whoever closes the file last folds
/// the whole WAL into it.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    commits: u32,
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that checkpoints beside the writer had panicked");
        }
    }
}

impl Checkpointer {
    /// None when no second connection or thread can be had: the writer then checkpoints alone.
    pub fn start(path: &Path) -> Option<Checkpointer> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).ok()?;
        db.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -64").ok()?;
        let (wake, woken) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let run = move || {
            while woken.recv().is_ok() {
                // PASSIVE waits for nobody. What it cannot do now, the next one or the writer does.
                if let Err(error) = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    tracing::debug!(%error, "a checkpoint beside the writer failed");
                }
            }
        };
        let thread = thread.spawn(run).ok()?;
        Some(Checkpointer { wake: Some(wake), thread: Some(thread), commits: 0 })
    }

    /// The writer has committed.
    pub fn committed(&mut self) {
        self.commits += 1;
        // When the thread is still at the last one it need not be told.
        if self.commits >= COMMITS && self.wake.as_ref().is_some_and(|wake| wake.try_send(()).is_ok()) {
            self.commits = 0;
        }
    }
}
