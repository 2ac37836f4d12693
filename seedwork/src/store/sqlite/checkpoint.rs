//! Folds the WAL into the file beside the writer, so that the writer's own checkpoint, which a request may have to wait for, finds
//! little left to do.
#![expect(clippy::disallowed_methods, reason = "a thread of the store's own")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::WAL_FRAMES;

/// Rows written between two checkpoints: some four megabytes of WAL under load. A page that many of them wrote is folded in once; more of
/// them, and the disk is busy with one checkpoint for so long that the commits beside it wait.
const ROWS: usize = 2000;

/// The thread that checkpoints. It has ended, and closed its connection, when this has been dropped: whoever closes the file last folds
/// the whole WAL into it.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    rows: usize,
    frames: Arc<AtomicU32>,
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
        let frames = Arc::new(AtomicU32::new(0));
        let counted = frames.clone();
        let run = move || {
            // PASSIVE waits for nobody. What it cannot do now, the next one or the writer does.
            let fold = || match db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1)) {
                Ok(frames) => u32::try_from(frames).unwrap_or(0),
                Err(error) => {
                    tracing::debug!(%error, "a checkpoint beside the writer failed");
                    0
                }
            };
            while woken.recv().is_ok() {
                let mut frames = fold();
                if frames >= WAL_FRAMES {
                    // The writer folds in the rest as soon as it sees this number: what was committed meanwhile goes first.
                    frames = fold();
                }
                counted.store(frames, Ordering::Relaxed);
            }
        };
        let thread = thread.spawn(run).ok()?;
        Some(Checkpointer { wake: Some(wake), thread: Some(thread), rows: 0, frames })
    }

    /// Whether the WAL, as the last checkpoint found it, is so long that the writer should let it begin anew.
    pub fn long(&self) -> bool {
        self.frames.load(Ordering::Relaxed) >= WAL_FRAMES
    }

    /// The WAL may have begun anew.
    pub fn anew(&self) {
        self.frames.store(0, Ordering::Relaxed);
    }

    /// The writer commits so many rows.
    pub fn written(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// A commit has ended.
    pub fn committed(&mut self) {
        // When the thread is still at the last one it need not be told.
        if self.rows >= ROWS && self.wake.as_ref().is_some_and(|wake| wake.try_send(()).is_ok()) {
            self.rows = 0;
        }
    }
}
