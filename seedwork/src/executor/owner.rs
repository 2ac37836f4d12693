//! The owner's thread: drives an executor as inputs arrive, and sleeps when there are none. No polling.
#![expect(clippy::disallowed_methods, reason = "the one thread that owns a store")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::operate::Reply;
use super::{Ask, Counters, Executor, Measured, Meters, Operation, Reading, Stop};
use crate::store::{Partition, StoreError};

/// Commands that may wait for the owner.
pub const CAPACITY: usize = 4096;

enum Order {
    Ask(Ask),
    Operation(Operation, Reply),
    Counters(Box<dyn FnOnce(Counters) + Send>),
    Readings(Box<dyn FnOnce(Vec<Reading>) + Send>),
    Take(Partition, Box<dyn FnOnce(Result<(), StoreError>) + Send>),
    Release(Partition, Box<dyn FnOnce() + Send>),
    Holding(Box<dyn FnOnce(Vec<Partition>) + Send>),
}

#[derive(Default)]
struct Intake {
    orders: Mutex<VecDeque<Order>>,
    arrived: Condvar,
    depth: AtomicUsize,
    stopping: AtomicBool,
    /// The broker has something to say.
    rung: AtomicBool,
    started: AtomicBool,
}

/// Wakes an owner's thread: made before the broker, which rings it when there is something to hear, and given to the owner. Cheap to
/// clone.
#[derive(Clone, Default)]
pub struct Bell(Arc<Intake>);

/// What becomes of an owner's thread when its executor meets [`Stop::Crash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// The thread ends, and the process with it: the next start reads what is there.
    End,
    /// Everything is forgotten and the partitions are taken again, with backoff, until the store is back ([`Executor::outlive`]).
    Again,
}

/// The door to an owner's thread; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    intake: Arc<Intake>,
    meters: Arc<Meters>,
}

/// The queue is full, or the owner is stopping: try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Handle {
    /// Whether a command would be taken now: asked before its body is read.
    pub fn has_room(&self) -> bool {
        self.intake.depth.load(Ordering::Relaxed) < CAPACITY && !self.intake.stopping.load(Ordering::Relaxed)
    }

    /// Hands a command to the owner; its listener hears what becomes of it. Never blocks.
    ///
    /// # Errors
    /// [`Busy`], and the command is not taken.
    pub fn ask(&self, ask: Ask) -> Result<(), Busy> {
        self.order(Order::Ask(ask))
    }

    /// Hands over an operator's decision.
    ///
    /// # Errors
    /// [`Busy`], and it is not taken.
    pub fn operate(&self, operation: Operation, answer: Reply) -> Result<(), Busy> {
        self.order(Order::Operation(operation, answer))
    }

    /// What the owner has done since it started.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn counters(&self, answer: Box<dyn FnOnce(Counters) + Send>) -> Result<(), Busy> {
        self.order(Order::Counters(answer))
    }

    /// What its partitions read, and how that goes.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn readings(&self, answer: Box<dyn FnOnce(Vec<Reading>) + Send>) -> Result<(), Busy> {
        self.order(Order::Readings(answer))
    }

    /// What the owner has done since it started, without asking it.
    pub fn measured(&self) -> Measured {
        self.meters.read()
    }

    /// How many commands wait for it, [`CAPACITY`] at most.
    pub fn depth(&self) -> usize {
        self.intake.depth.load(Ordering::Relaxed)
    }

    /// Takes a partition, whose lease was taken; the answer is given on the owner's thread.
    ///
    /// # Errors
    /// [`Busy`] when the owner is stopping, and the partition is not taken.
    pub fn take(&self, partition: Partition, answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>) -> Result<(), Busy> {
        self.manage(Order::Take(partition, answer))
    }

    /// Gives a partition up at the end of a batch: nothing of it is under way when the answer is given, on the owner's thread. Who asks
    /// for something of it afterwards is told that its owner is elsewhere.
    ///
    /// # Errors
    /// [`Busy`] when the owner is stopping, and the answer is never given: the partition is given up with the thread's end.
    pub fn release(&self, partition: Partition, answer: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        self.manage(Order::Release(partition, answer))
    }

    /// The partitions that the executor holds now: another owner's fence may have taken some away.
    ///
    /// # Errors
    /// [`Busy`] when the owner is stopping.
    pub fn holding(&self, answer: Box<dyn FnOnce(Vec<Partition>) + Send>) -> Result<(), Busy> {
        self.manage(Order::Holding(answer))
    }

    fn order(&self, order: Order) -> Result<(), Busy> {
        if self.has_room() { self.push(order) } else { Err(Busy) }
    }

    /// What keeps the cluster going waits behind the commands, but is never turned away because there are many.
    fn manage(&self, order: Order) -> Result<(), Busy> {
        if self.intake.stopping.load(Ordering::Relaxed) { Err(Busy) } else { self.push(order) }
    }

    fn push(&self, order: Order) -> Result<(), Busy> {
        let mut orders = self.intake.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let first = orders.is_empty();
        orders.push_back(order);
        self.intake.depth.store(orders.len(), Ordering::Relaxed);
        drop(orders);
        if first {
            self.intake.arrived.notify_one();
        }
        Ok(())
    }

    /// Asks the owner to finish: what it has taken is answered, nothing more is taken.
    pub fn stop(&self) {
        self.intake.stopping.store(true, Ordering::Relaxed);
        let _orders = self.intake.orders.lock().unwrap_or_else(PoisonError::into_inner);
        self.intake.arrived.notify_one();
    }
}

impl Bell {
    /// There is something to hear: wakes the owner if it sleeps. Never blocks for long; from any thread.
    pub fn ring(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // Not between the owner's last look and its sleep.
            let _orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.arrived.notify_one();
        }
    }

    /// Starts the owner's thread. It ends when [`Handle::stop`] was called, or, with [`OnCrash::End`], when the executor can no longer
    /// go on.
    ///
    /// # Errors
    /// When the operating system gives no thread, or this bell or a clone of it has woken another owner already.
    pub fn start(self, executor: Executor, on_crash: OnCrash) -> std::io::Result<(Handle, JoinHandle<Result<(), Stop>>)> {
        let intake = self.0;
        if intake.started.swap(true, Ordering::Relaxed) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                "this bell belongs to another owner: make a new one",
            ));
        }
        let handle = Handle { intake: intake.clone(), meters: executor.meters.clone() };
        let thread = std::thread::Builder::new().name("owner".to_owned()).spawn(move || drive(executor, &intake, on_crash))?;
        Ok((handle, thread))
    }
}

fn drive(mut executor: Executor, intake: &Intake, on_crash: OnCrash) -> Result<(), Stop> {
    let mut taken = VecDeque::new();
    loop {
        let stopping = intake.stopping.load(Ordering::Relaxed);
        {
            // What the executor cannot take yet stays in the queue, whose bound is what turns clients away.
            let mut orders = intake.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let some = orders.len().min(executor.room());
            taken.extend(orders.drain(..some));
            intake.depth.store(orders.len(), Ordering::Relaxed);
        }
        let arrived = !taken.is_empty();
        for order in taken.drain(..) {
            match order {
                Order::Ask(ask) => executor.ask(ask),
                Order::Operation(operation, answer) => executor.operate(operation, answer),
                Order::Counters(answer) => answer(executor.counters),
                Order::Readings(answer) => answer(executor.readings()),
                Order::Take(partition, answer) => answer(executor.take(&partition)),
                Order::Release(partition, answer) => {
                    executor.release(&partition);
                    answer();
                }
                Order::Holding(answer) => answer(executor.partitions()),
            }
        }
        // What is rung for after this is looked for once more.
        intake.rung.swap(false, Ordering::AcqRel);
        let did_something = match executor.turn() {
            Err(stop) if on_crash == OnCrash::Again => {
                executor.outlive(&stop);
                false
            }
            turned => turned?,
        };
        if did_something || arrived {
            continue;
        }
        if stopping {
            let written = executor.write_postponed();
            // Where the process outlives its store, what was postponed comes again.
            return if on_crash == OnCrash::Again { Ok(()) } else { written };
        }
        let wait = executor.due().map(|due| due.saturating_sub(executor.now()));
        let orders = intake.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_empty() && !intake.stopping.load(Ordering::Relaxed) && !intake.rung.load(Ordering::Acquire) {
            let wait = wait.unwrap_or(Duration::from_secs(60)).clamp(Duration::from_millis(1), Duration::from_secs(60));
            let waited = intake.arrived.wait_timeout(orders, wait).unwrap_or_else(PoisonError::into_inner);
            drop(waited);
        }
    }
}

impl Executor {
    /// The monotonic clock that its alarms go by.
    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}
