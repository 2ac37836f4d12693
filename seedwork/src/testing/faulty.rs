//! A store that fails now and then, and the bugs that can be planted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::{Faults, lock};
use crate::clock::Chance;
use crate::store::*;

/// Once in how many times each fault happens; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreFaults {
    /// A commit whose outcome is unknown: the process crashes, and the batch was written or not.
    pub crash: u64,
    /// A row is not in memory at first.
    pub missing: u64,
    /// The store cannot write for a while.
    pub outage: u64,
    /// The database refuses a batch of several inputs, for no reason of theirs.
    pub refused: u64,
}

/// A bug in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The marks are written in a commit of their own, after the batch's.
    MarkInAnotherCommit,
    /// Of each batch that sends undos one is left out.
    UndoSkipped,
    /// The marks are not written at all.
    MarkForgotten,
}

pub(super) struct Faulty {
    inner: Arc<Mutex<Sqlite>>,
    faults: Arc<Mutex<Faults>>,
    plant: Arc<Mutex<Option<Plant>>>,
    chance: Chance,
    refused: bool,
    /// Batches that were started, oldest first: written at once, or only when their outcome is asked for.
    started: VecDeque<Arc<Writes>>,
    outcomes: VecDeque<Result<(), CommitError>>,
}

impl Faulty {
    pub fn new(inner: Arc<Mutex<Sqlite>>, faults: Arc<Mutex<Faults>>, plant: Arc<Mutex<Option<Plant>>>, seed: u64) -> Faulty {
        Faulty {
            inner,
            faults,
            plant,
            chance: Chance::seeded(seed),
            refused: false,
            started: VecDeque::new(),
            outcomes: VecDeque::new(),
        }
    }

    /// Writes what was started and has not been written yet; nothing after one that failed.
    fn land(&mut self) {
        while let Some(writes) = self.started.pop_front() {
            let failed = self.outcomes.iter().any(Result::is_err);
            let outcome =
                if failed { Err(CommitError::Outage("the batch before it failed".to_owned())) } else { self.commit(&writes) };
            self.outcomes.push_back(outcome);
        }
    }

    fn write(&mut self, writes: &Writes) -> Result<(), CommitError> {
        let plant = *lock(&self.plant);
        match plant {
            None => lock(&self.inner).commit(writes),
            Some(Plant::MarkInAnotherCommit) => {
                let marks = Writes { heads: writes.heads.clone(), marks: writes.marks.clone(), ..Writes::default() };
                let rest = Writes { marks: Vec::new(), ..writes.clone() };
                lock(&self.inner).commit(&rest)?;
                if self.chance.one_in(8) {
                    return Err(CommitError::Unknown("crashed between two commits".to_owned()));
                }
                lock(&self.inner).commit(&marks)
            }
            Some(Plant::UndoSkipped) => {
                let mut writes = writes.clone();
                let undo = writes.log.iter().position(|row| {
                    let saga = row.packet.as_ref().and_then(|packet| packet.envelope.saga.as_ref());
                    row.route.to.topic.ends_with(".commands")
                        && saga.is_some_and(|saga| saga.direction == crate::message::Direction::Undo)
                });
                if let Some(undo) = undo {
                    // As if the row had been written with the body of a message that does nothing.
                    if let Some(row) = writes.log.get_mut(undo) {
                        row.packet = None;
                        row.raw = Arc::from(
                            &br#"{"id":"x","source":"x","type":"x.nothing.v1","subject":"x","time":0,"Nothing":{}}"#[..],
                        );
                    }
                }
                lock(&self.inner).commit(&writes)
            }
            Some(Plant::MarkForgotten) => lock(&self.inner).commit(&Writes { marks: Vec::new(), ..writes.clone() }),
        }
    }
}

impl Store for Faulty {
    fn open(&mut self, schema: &Schema) -> StoreResult<()> {
        self.land();
        lock(&self.inner).open(schema)
    }

    fn take(&mut self, partition: &Partition, held: Option<u64>) -> StoreResult<Option<Taken>> {
        self.land();
        self.outcomes.clear();
        lock(&self.inner).take(partition, held)
    }

    fn begin(&mut self) -> Result<(), CommitError> {
        lock(&self.inner).begin()
    }

    fn peek(&mut self, table: Table, id: &str) -> StoreResult<Peek> {
        let missing = lock(&self.faults).store.missing;
        if self.chance.one_in(missing) {
            return Ok(Peek::Missing);
        }
        lock(&self.inner).peek(table, id)
    }

    fn fetch(&mut self, wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
        lock(&self.inner).fetch(wanted)
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), CommitError> {
        let faults = lock(&self.faults).store;
        if self.chance.one_in(faults.outage) {
            return Err(CommitError::Outage("the disk is full".to_owned()));
        }
        if self.chance.one_in(faults.crash) {
            if self.chance.one_in(2) {
                self.write(writes)?;
            }
            return Err(CommitError::Unknown("the connection was lost in a commit".to_owned()));
        }
        // Refused once, then let through when the inputs come one by one.
        if !self.refused && self.chance.one_in(faults.refused) {
            self.refused = true;
            return Err(CommitError::Refused("too large together".to_owned()));
        }
        self.refused = false;
        self.write(writes)
    }

    fn start(&mut self, writes: Arc<Writes>) {
        self.started.push_back(writes);
        if self.chance.one_in(2) {
            self.land();
        }
    }

    fn finish(&mut self) -> Result<(), CommitError> {
        self.land();
        let none = || Err(CommitError::Unknown("no commit was started".to_owned()));
        self.outcomes.pop_front().unwrap_or_else(none)
    }

    fn log_after(&mut self, from: &Partition, after: Place0, to: Option<&Destination>, limit: usize) -> StoreResult<Vec<LogRow>> {
        lock(&self.inner).log_after(from, after, to, limit)
    }

    fn oldest(&mut self, from: &Partition, limit: usize) -> StoreResult<Vec<(Place, i64, u64)>> {
        lock(&self.inner).oldest(from, limit)
    }

    fn log_bytes(&mut self, from: &Partition) -> StoreResult<u64> {
        lock(&self.inner).log_bytes(from)
    }

    fn marks_on(&mut self, from: &Partition) -> StoreResult<Vec<(Partition, Route, Place)>> {
        lock(&self.inner).marks_on(from)
    }

    fn last_sent(&mut self, route: &Route) -> StoreResult<Place0> {
        lock(&self.inner).last_sent(route)
    }

    fn waiting(&mut self, partition: &Partition, number: u64) -> StoreResult<Option<Waiting>> {
        lock(&self.inner).waiting(partition, number)
    }

    fn forget_commands(&mut self, now: i64) -> StoreResult<usize> {
        lock(&self.inner).forget_commands(now)
    }
}
