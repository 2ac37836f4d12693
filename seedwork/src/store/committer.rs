//! The thread on which a batch is written while its owner runs the next one.
#![expect(clippy::disallowed_methods, reason = "a thread of the store's own")]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{CommitError, StoreError, StoreResult, Writes};

/// What writes batches: a connection of a store's.
pub(super) trait Writer: Send + 'static {
    /// Writes a batch, and returns when it is on the disk.
    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError>;
}

/// Writes one batch at a time. Its thread has ended when this has been dropped.
pub(super) struct Committer {
    batches: Option<SyncSender<Arc<Writes>>>,
    outcomes: Receiver<Result<(), CommitError>>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.batches = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that commits had panicked");
        }
    }
}

impl Committer {
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(writer: Arc<Mutex<impl Writer>>) -> StoreResult<Committer> {
        let (batches, taken) = sync_channel::<Arc<Writes>>(1);
        let (told, outcomes) = sync_channel(1);
        let run = move || {
            while let Ok(writes) = taken.recv() {
                let outcome = writer.lock().unwrap_or_else(PoisonError::into_inner).commit(&writes);
                // The batch is let go of here, beside the owner.
                drop(writes);
                if told.send(outcome).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError(format!("cannot start a thread that commits: {error}")))?;
        Ok(Committer { batches: Some(batches), outcomes, thread: Some(thread), under_way: false })
    }

    /// Begins to write a batch. The one before it has been waited for.
    pub fn begin(&mut self, writes: Arc<Writes>) {
        if self.batches.as_ref().is_none_or(|batches| batches.send(writes).is_err()) {
            tracing::error!("the thread that commits is gone");
        }
        // If it is gone, waiting for the outcome says so.
        self.under_way = true;
    }

    /// What became of the batch under way. None when there is none.
    pub fn wait(&mut self) -> Option<Result<(), CommitError>> {
        if !std::mem::take(&mut self.under_way) {
            return None;
        }
        let gone = |_| Err(CommitError::Unknown("the thread that commits has ended".to_owned()));
        Some(self.outcomes.recv().unwrap_or_else(gone))
    }
}
