//! The thread on which a batch is written while its owner runs the next one.
#![expect(clippy::disallowed_methods, reason = "a thread of the store's own")]

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{CommitError, StoreError, StoreResult, Writes};

/// The batch that is being written and the one behind it.
const AT_ONCE: usize = 2;

/// What writes batches: a connection of a store's.
pub(super) trait Writer: Send + 'static {
    /// Writes a batch, and returns when it is on the disk.
    fn commit(&mut self, writes: &Writes) -> Outcome;
}

/// Writes one batch after the other, in the order in which they were begun; none after one that failed, until its outcome was asked for.
/// Its thread has ended when this has been dropped.
pub(super) struct Committer {
    /// None without a thread: whoever has it writes where it is.
    batches: Option<SyncSender<Begun>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
    /// Batches whose outcome the thread has not told yet.
    under_way: usize,
    /// Outcomes that nobody asked for yet, oldest first.
    settled: VecDeque<Outcome>,
}

type Outcome = Result<(), CommitError>;

struct Begun {
    writes: Arc<Writes>,
    /// Another was under way when this was begun: if that one failed, this must not be written.
    behind: bool,
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.batches = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that commits had panicked");
        }
    }
}

fn not_after_a_failure() -> Outcome {
    Err(CommitError::Outage("the batch before it was not written".to_owned()))
}

impl Committer {
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(writer: Arc<Mutex<impl Writer>>) -> StoreResult<Committer> {
        let (batches, taken) = sync_channel::<Begun>(AT_ONCE);
        let (told, outcomes) = sync_channel(AT_ONCE);
        let run = move || {
            let mut written = true;
            while let Ok(Begun { writes, behind }) = taken.recv() {
                let outcome = if behind && !written {
                    not_after_a_failure()
                } else {
                    writer.lock().unwrap_or_else(PoisonError::into_inner).commit(&writes)
                };
                written = outcome.is_ok();
                if told.send(outcome).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError(format!("cannot start a thread that commits: {error}")))?;
        Ok(Committer { batches: Some(batches), outcomes, thread: Some(thread), under_way: 0, settled: VecDeque::new() })
    }

    /// One that has no thread: for [`Committer::here`] alone.
    pub fn without_a_thread() -> Committer {
        let (_, outcomes) = sync_channel(0);
        Committer { batches: None, outcomes, thread: None, under_way: 0, settled: VecDeque::new() }
    }

    /// Begins to write a batch, behind those that were begun and have not ended yet.
    pub fn begin(&mut self, writes: Arc<Writes>) {
        if self.failed() {
            return self.settled.push_back(not_after_a_failure());
        }
        let behind = self.under_way > 0;
        if self.batches.as_ref().is_none_or(|batches| batches.send(Begun { writes, behind }).is_err()) {
            tracing::error!("the thread that commits is gone");
        }
        // If it is gone, asking for the outcome says so.
        self.under_way += 1;
    }

    /// Writes a batch on the caller's thread, when none is under way any more.
    pub fn here(&mut self, commit: impl FnOnce() -> Outcome) {
        self.settle();
        let outcome = if self.failed() { not_after_a_failure() } else { commit() };
        self.settled.push_back(outcome);
    }

    /// Waits until none is under way.
    pub fn settle(&mut self) {
        while self.under_way > 0 {
            let outcome = self.wait();
            self.settled.push_back(outcome);
        }
    }

    /// Nobody will ask for the outcomes of what was begun.
    pub fn forget(&mut self) {
        self.settle();
        self.settled.clear();
    }

    /// What became of the oldest batch whose outcome was not asked for.
    pub fn finish(&mut self) -> Outcome {
        match self.settled.pop_front() {
            Some(outcome) => outcome,
            None if self.under_way > 0 => self.wait(),
            None => Err(CommitError::Unknown("no commit was started".to_owned())),
        }
    }

    fn failed(&self) -> bool {
        self.settled.iter().any(Result::is_err)
    }

    fn wait(&mut self) -> Outcome {
        self.under_way -= 1;
        let gone = |_| Err(CommitError::Unknown("the thread that commits has ended".to_owned()));
        self.outcomes.recv().unwrap_or_else(gone)
    }
}
