//! The owner's thread: drives an executor as inputs arrive, and sleeps when there are none. No polling.
#![expect(clippy::disallowed_methods, reason = "the one thread that owns a store")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::operate::Reply;
use super::{Ask, Counters, Executor, Measured, Meters, Operation, Reading, Stop};

/// Commands that may wait for the owner.
pub const CAPACITY: usize = 4096;

enum Order {
    Ask(Ask),
    Operation(Operation, Reply),
    Counters(Box<dyn FnOnce(Counters) + Send>),
    Readings(Box<dyn FnOnce(Vec<Reading>) + Send>),
}

#[derive(Default)]
struct Intake {
    orders: Mutex<VecDeque<Order>>,
    arrived: Condvar,
    depth: AtomicUsize,
    stopping: AtomicBool,
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

    fn order(&self, order: Order) -> Result<(), Busy> {
        if !self.has_room() {
            return Err(Busy);
        }
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

/// Starts the owner's thread. It ends when [`Handle::stop`] was called, or the executor can no longer go on.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(executor: Executor) -> std::io::Result<(Handle, JoinHandle<Result<(), Stop>>)> {
    let intake = Arc::new(Intake::default());
    let handle = Handle { intake: intake.clone(), meters: executor.meters.clone() };
    let thread = std::thread::Builder::new().name("owner".to_owned()).spawn(move || drive(executor, &intake))?;
    Ok((handle, thread))
}

fn drive(mut executor: Executor, intake: &Intake) -> Result<(), Stop> {
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
            }
        }
        if executor.turn()? || arrived {
            continue;
        }
        if stopping {
            return Ok(());
        }
        let wait = executor.due().map(|due| due.saturating_sub(executor.now()));
        let orders = intake.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_empty() && !intake.stopping.load(Ordering::Relaxed) {
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
