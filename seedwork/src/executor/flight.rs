//! A batch whose commit is under way while the next one runs.
//!
//! The owner's thread and the store work side by side: while batch *n* is on its way to the disk, batch *n* + 1 runs on the identity
//! map, which holds what *n* changed. Nothing of *n* is told to anybody before its commit has ended, and *n* + 1, which waits behind it, is
//! not begun to be written before that either: commits are as ordered as the batches are. When *n* fails, *n* + 1 is dropped with it, for it may rest
//! on what never was. This is the flush pipelining of Johnson et al., *Aether: a scalable approach to logging* (VLDB 2010), §4.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::{Executor, First, Input, PAUSE, Stop, Undecided, What};
use crate::store::{CommitError, Partition, Writes};

/// A batch that has been run: what it writes, and what waits for its commit.
pub(super) struct Flight {
    pub batch: Batch,
    pub writes: Arc<Writes>,
    /// The identity map's number of it.
    pub number: u64,
    pub inputs: usize,
    /// When it had been run, on the monotonic clock.
    pub sealed: Duration,
}

/// What a lost fence or an unwritable store leaves of a batch.
enum Lost {
    Again,
    Pause(String),
    Alone(String),
}

impl Executor {
    /// Runs inputs as one batch. It is written beside the next one when there is something to run meanwhile, else at once.
    pub(super) fn batch(&mut self, inputs: Vec<Input>) -> Result<(), Stop> {
        let cautious = self.cautious > 0;
        self.cautious = self.cautious.saturating_sub(inputs.len());
        let count = inputs.len();
        self.identity.begin();
        if let Err(error) = self.store.begin() {
            self.land()?;
            let batch = Batch { firsts: unanswered(inputs), ..Batch::default() };
            return self.lose(
                error,
                vec![Flight {
                    batch,
                    writes: Arc::default(),
                    number: self.identity.batch(),
                    inputs: count,
                    sealed: self.clock.monotonic(),
                }],
            );
        }
        let mut batch = Batch { alone: cautious, ..Batch::default() };
        self.run_all(inputs, &mut batch)?;
        if self.postpone(&mut batch, count) {
            self.identity.take_back();
            return Ok(());
        }
        let flight = self.seal(batch, count)?;
        let heard = self.broker.ahead(&flight.writes.log);
        // A new epoch is on the disk before anything is read in it.
        let alone = cautious || !flight.batch.begun.is_empty();
        let beside = !alone && (heard || !self.heard.is_empty() || !self.asks.is_empty());
        let before = self.flight.take();
        if beside {
            // Behind the one before it, so that the disk need not wait until this thread has heard how that went.
            self.store.start(flight.writes.clone());
        }
        if before.is_some()
            && let Err(error) = self.store.finish()
        {
            if beside {
                // It was not written either, and how that is said does not matter.
                let _not_written = self.store.finish();
            }
            return self.lose(error, before.into_iter().chain([flight]).collect());
        }
        if beside {
            self.flight = Some(flight);
            before.into_iter().for_each(|before| self.after(before));
            return Ok(());
        }
        let committed = self.store.commit(&flight.writes);
        before.into_iter().for_each(|before| self.after(before));
        match committed {
            Ok(()) => self.after(flight),
            Err(error) => return self.lose(error, vec![flight]),
        }
        Ok(())
    }

    /// A batch that has been run becomes what the store is given.
    fn seal(&mut self, mut batch: Batch, inputs: usize) -> Result<Flight, Stop> {
        let inputs = inputs + batch.taken + self.catch_up(&mut batch);
        let writes = Arc::new(self.writes(&mut batch)?);
        self.identity.sealed(batch.states.iter());
        Ok(Flight { batch, writes, number: self.identity.batch(), inputs, sealed: self.clock.monotonic() })
    }

    /// Whether the commit under way must have ended before the next inputs are run: they read what it writes past the identity map,
    /// or the map must be emptied, or inputs are run one by one.
    pub(super) fn must_land(&self, received: i64) -> bool {
        self.flight.is_some()
            && (self.cautious > 0
                || !self.operations.is_empty()
                || self.identity.full()
                || self.held.iter().any(|held| held.lanes.next_due().is_some_and(|due| due <= received)))
    }

    /// Waits for the commit under way, if there is one.
    pub(super) fn land(&mut self) -> Result<(), Stop> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        match self.store.finish() {
            Ok(()) => {
                self.after(flight);
                Ok(())
            }
            Err(error) => self.lose(error, vec![flight]),
        }
    }

    /// Batches that were not written: what they took is taken again, or turned away.
    fn lose(&mut self, error: CommitError, flights: Vec<Flight>) -> Result<(), Stop> {
        let count = flights.iter().map(|flight| flight.inputs).sum();
        let mut asks = Vec::new();
        let mut replies = Vec::new();
        for flight in flights {
            asks.extend(flight.batch.firsts.into_iter().map(|(ask, _)| ask));
            replies.extend(flight.batch.replies);
        }
        let lost = match self.lost(error) {
            Ok(lost) => lost,
            Err(stop) => {
                // Whoever outlives this tells them.
                self.ask_again(asks);
                for (answer, _) in replies {
                    answer(Err(Undecided::Unavailable("whether this was decided is not known: look again".to_owned())));
                }
                return Err(stop);
            }
        };
        match lost {
            Lost::Pause(why) => {
                tracing::error!(why, "the store cannot write: waiting");
                for mut ask in asks {
                    ask.listener.first(&First::Unavailable(why.clone()));
                }
                self.paused_until = Some(self.clock.monotonic() + PAUSE);
                self.measure_pause();
            }
            Lost::Again => {
                self.ask_again(asks);
                self.take_again()?;
            }
            Lost::Alone(why) if count > 1 => {
                tracing::warn!(why, inputs = count, "the store refuses a batch: running its inputs one by one");
                self.cautious = count;
                self.ask_again(asks);
                self.take_again()?;
            }
            Lost::Alone(why) => self.alone(&why, asks)?,
        }
        for (answer, _) in replies {
            answer(Err(Undecided::Unavailable("the store could not write it; try again".to_owned())));
        }
        Ok(())
    }

    fn lost(&mut self, error: CommitError) -> Result<Lost, Stop> {
        match error {
            CommitError::Unknown(why) => Err(Stop::Crash(why)),
            CommitError::Outage(why) => Ok(Lost::Pause(why)),
            CommitError::Refused(why) => Ok(Lost::Alone(why)),
            CommitError::Fenced(partitions) => {
                partitions.iter().for_each(|partition| self.let_go(partition));
                Ok(Lost::Again)
            }
        }
    }

    /// Gives up a partition that another owner has taken.
    pub(super) fn let_go(&mut self, partition: &Partition) {
        tracing::warn!(%partition, "another owner has taken this partition");
        self.drop_held(partition);
    }

    /// A batch that cannot be run to its end: its commands go back to where they came from.
    pub(super) fn not_run(&mut self, left: Vec<Input>, batch: Batch) {
        let asks = batch.firsts.into_iter().chain(unanswered(left)).map(|(ask, _)| ask).collect();
        self.ask_again(asks);
        for (answer, _) in batch.replies {
            answer(Err(Undecided::Unavailable("the store cannot be used at the moment; try again".to_owned())));
        }
    }

    pub(super) fn ask_again(&mut self, asks: Vec<super::Ask>) {
        for ask in asks.into_iter().rev() {
            let (now, seed) = (self.clock.now(), self.chance.bits());
            self.asks.push_front((ask, now, seed));
        }
    }

    /// An input whose commit the database refuses even alone is a fault, and is settled as one.
    fn alone(&mut self, why: &str, asks: Vec<super::Ask>) -> Result<(), Stop> {
        self.ask_again(asks);
        self.take_again()?;
        self.cautious = 1;
        let now = self.clock.monotonic();
        let inputs = self.inputs(now)?;
        let (mut batch, count) = (Batch { alone: true, refused: Some(why.to_owned()), ..Batch::default() }, inputs.len());
        self.identity.begin();
        self.run_all(inputs, &mut batch)?;
        let flight = self.seal(batch, count)?;
        match self.store.commit(&flight.writes) {
            Ok(()) => {
                self.after(flight);
                Ok(())
            }
            Err(error) => match self.lost(error)? {
                Lost::Again | Lost::Pause(_) | Lost::Alone(_) => {
                    Err(Stop::Crash(format!("the store refuses even to note a fault: {why}")))
                }
            },
        }
    }
}

/// The commands among inputs of a batch that was not run; whoever decided something is told at once.
fn unanswered(inputs: Vec<Input>) -> Vec<(super::Ask, First)> {
    let mut asks = Vec::new();
    for input in inputs {
        match input.what {
            What::Ask(ask) => asks.push((ask, First::Waiting)),
            What::Operation(_, answer) => {
                answer(Err(Undecided::Unavailable("the store cannot be used at the moment; try again".to_owned())))
            }
            What::Message { .. } | What::Foreign { .. } | What::Waiting(_) | What::Alarm(_) => {}
        }
    }
    asks
}
