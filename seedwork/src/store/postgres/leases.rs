//! Which replica owns which partition: a row for each, in the context's own database, renewed by a heartbeat.
//!
//! A lease says who should own a partition; the fence of its head sees to it that nobody else writes. So a lease may be judged wrongly
//! for a moment (a replica that stood still, a clock that lags is not even asked: all times are the database's), and no harm is done.
#![expect(clippy::disallowed_methods, reason = "a thread of the leases' own")]

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::executor::owner::Handle;
use table::{Beat, Table};

mod table;
#[cfg(test)]
mod tests;

/// How leases are kept.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// How long a lease holds when it is not renewed.
    pub lease: Duration,
    /// Between two renewals: several must fit into a lease.
    pub heartbeat: Duration,
    /// The format of what this build writes. A partition that a newer one has held is not taken.
    pub format: u32,
    /// Where others reach this replica over HTTP, `host:port`: what [`holders`] tells of the partitions that it holds.
    pub address: Option<String>,
}

impl Default for LeaseSettings {
    fn default() -> LeaseSettings {
        LeaseSettings { lease: Duration::from_secs(8), heartbeat: Duration::from_secs(2), format: FORMAT, address: None }
    }
}

/// A lease is free only when its time is over: whoever waits for that looks a little later.
const AFTER: Duration = Duration::from_millis(20);

impl LeaseSettings {
    /// How long after a heartbeat the next one is due: at once when another's lease has just expired, so that what a dead replica held is
    /// taken then and not with the heartbeat after. A lease that lives is renewed long before, and brings no heartbeat forward.
    fn next(&self, expires: Option<Duration>) -> Duration {
        expires.map_or(self.heartbeat, |expires| self.heartbeat.min(expires + AFTER))
    }
}

/// A partition's number, and where its holder is reached over HTTP, if it said so.
pub type Holding = (u16, Option<String>);

/// Who holds which partition of a context now, by their leases: a replica that has just gone holds them until they run out.
///
/// # Errors
/// As [`Read::select`](crate::view::Read::select).
pub fn holders(read: &dyn crate::view::Read, context: &str) -> Result<Vec<Holding>, String> {
    let rows = read.select(table::HOLDERS, &[context.into()])?;
    let holding = |row: &Vec<crate::view::Value>| {
        let number = row.first().and_then(crate::view::Value::integer).and_then(|number| u16::try_from(number).ok());
        let address = row.get(1).and_then(crate::view::Value::text).map(str::to_owned);
        Ok((number.ok_or("a lease without a number")?, address))
    };
    rows.iter().map(holding).collect()
}

type Told<T> = Box<dyn FnOnce(T) + Send>;

/// What takes partitions and gives them up: an owner's thread. Each answer may come late, and none comes when the owner is stopping.
pub trait Holder: Send + 'static {
    /// Takes a partition.
    fn take(&self, partition: Partition, answer: Told<Result<(), StoreError>>);
    /// Gives a partition up; nothing of it is under way when the answer comes.
    fn release(&self, partition: Partition, answer: Told<()>);
    /// What it holds now.
    fn holding(&self, answer: Told<Vec<Partition>>);
}

/// An owner that is stopping takes and gives up nothing more.
impl Holder for Handle {
    fn take(&self, partition: Partition, answer: Told<Result<(), StoreError>>) {
        let _busy = Handle::take(self, partition, answer);
    }

    fn release(&self, partition: Partition, answer: Told<()>) {
        let _busy = Handle::release(self, partition, Box::new(move || answer(())));
    }

    fn holding(&self, answer: Told<Vec<Partition>>) {
        let _busy = Handle::holding(self, answer);
    }
}

/// How it stands with a replica's leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseReport {
    /// The numbers of the partitions that its owner holds under a lease.
    pub held: Vec<u16>,
    /// Why it does not hold what it should, in words.
    pub trouble: Option<String>,
}

enum Event {
    Taken(u16, Result<(), StoreError>),
    Released(u16),
    Holding(Vec<Partition>),
    Stop,
}

/// The thread that keeps a replica's leases. Dropped without [`Leases::stop`], it keeps them until the process ends.
pub struct Leases {
    events: Sender<Event>,
    thread: JoinHandle<()>,
    report: Arc<Mutex<LeaseReport>>,
}

impl Leases {
    /// Takes a fair share of a context's partitions for an owner, and goes on doing so. The database has been opened before.
    ///
    /// # Errors
    /// When the URL cannot be read, or the operating system gives no thread. A database that is away is waited for.
    pub fn run(
        url: &str,
        context: &str,
        replica: &str,
        partitions: u16,
        holder: impl Holder,
        settings: LeaseSettings,
    ) -> StoreResult<Leases> {
        let table = Table::new(url, context, replica, partitions, &settings)?;
        let (events, heard) = channel();
        let report = Arc::new(Mutex::new(LeaseReport::default()));
        let keeper = Keeper {
            table,
            context: context.into(),
            holder,
            settings,
            events: events.clone(),
            report: report.clone(),
            leased: BTreeSet::new(),
            taking: BTreeSet::new(),
            releasing: BTreeSet::new(),
            holding: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new().name("leases".to_owned()).spawn(move || keeper.run(&heard));
        let thread = thread.map_err(|error| StoreError(format!("cannot start a thread that keeps leases: {error}")))?;
        Ok(Leases { events, thread, report })
    }

    /// How it stands.
    pub fn report(&self) -> LeaseReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives everything up, at a batch's end, and frees the leases, so that others take them with their next heartbeat. Returns when
    /// that is done, or could not be done within the time of a lease. The owner must still run.
    pub fn stop(self) {
        // When the thread has ended there is nobody to tell, and nothing to wait for.
        let _ = self.events.send(Event::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that keeps leases had panicked");
        }
    }
}

struct Keeper<H> {
    table: Table,
    context: Arc<str>,
    holder: H,
    settings: LeaseSettings,
    events: Sender<Event>,
    report: Arc<Mutex<LeaseReport>>,
    /// Partitions whose lease is ours, as of the last heartbeat.
    leased: BTreeSet<u16>,
    /// What the owner was asked to take, and has not answered.
    taking: BTreeSet<u16>,
    /// What it was asked to give up.
    releasing: BTreeSet<u16>,
    /// What it holds, as it said last.
    holding: BTreeSet<u16>,
}

impl<H: Holder> Keeper<H> {
    fn run(mut self, heard: &Receiver<Event>) {
        let mut due = std::time::Instant::now();
        loop {
            match heard.recv_timeout(due.saturating_duration_since(std::time::Instant::now())) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return self.give_all_up(heard),
                Ok(event) => self.heard(event),
                Err(RecvTimeoutError::Timeout) => {
                    let expires = self.beat();
                    due = std::time::Instant::now() + self.settings.next(expires);
                }
            }
            self.tell();
        }
    }

    /// Renews, takes what is free up to the fair share, and gives up what is beyond it. When the first lease of another expires.
    fn beat(&mut self) -> Option<Duration> {
        let Beat { mine, share, newer, expires } = match self.table.beat() {
            Ok(beat) => beat,
            Err(error) => {
                self.trouble(Some(error.0));
                return None;
            }
        };
        self.leased = mine;
        self.trouble(newer.first().map(|(number, format)| {
            format!(
                "partition {number} was held by a newer build (format {format}): this one must not take it; start the newer build"
            )
        }));
        let spare = self.leased.len().saturating_sub(share);
        let given: Vec<u16> = self.leased.iter().rev().take(spare).copied().collect();
        for number in given {
            self.give_up(number);
        }
        // What the owner says it holds is compared with the leases when it says so.
        let events = self.events.clone();
        self.holder.holding(Box::new(move |holding| drop(events.send(Event::Holding(holding)))));
        expires
    }

    fn partition(&self, number: u16) -> Partition {
        Partition { context: self.context.clone(), number }
    }

    fn give_up(&mut self, number: u16) {
        if self.releasing.insert(number) {
            let events = self.events.clone();
            self.holder.release(self.partition(number), Box::new(move |()| drop(events.send(Event::Released(number)))));
        }
    }

    fn heard(&mut self, event: Event) {
        match event {
            Event::Taken(number, taken) => {
                self.taking.remove(&number);
                match taken {
                    Ok(()) => drop(self.holding.insert(number)),
                    Err(error) => {
                        tracing::warn!(partition = %self.partition(number), %error, "cannot take a partition whose lease is held");
                    }
                }
            }
            Event::Released(number) => {
                self.releasing.remove(&number);
                self.holding.remove(&number);
                self.free(&[number]);
            }
            Event::Holding(holding) => {
                let ours = holding.iter().filter(|partition| partition.context == self.context);
                self.holding = ours.map(|partition| partition.number).collect();
                let wanted: Vec<u16> = self.leased.difference(&self.holding).copied().collect();
                for number in wanted {
                    if !self.releasing.contains(&number) && self.taking.insert(number) {
                        let events = self.events.clone();
                        let answer = move |taken| drop(events.send(Event::Taken(number, taken)));
                        self.holder.take(self.partition(number), Box::new(answer));
                    }
                }
                // Its lease has expired, and perhaps another has it: the fence keeps what is written apart, and this the rest.
                let lost: Vec<u16> = self.holding.difference(&self.leased).copied().collect();
                for number in lost {
                    tracing::warn!(partition = %self.partition(number), "the lease of this partition was lost");
                    self.give_up(number);
                }
            }
            Event::Stop => {}
        }
    }

    fn free(&mut self, numbers: &[u16]) {
        match self.table.free(numbers) {
            Ok(()) => self.leased.retain(|number| !numbers.contains(number)),
            // It expires by itself.
            Err(error) => tracing::warn!(context = %self.context, %error, "a lease could not be freed"),
        }
    }

    fn give_all_up(mut self, heard: &Receiver<Event>) {
        let until = std::time::Instant::now() + self.table.lease();
        let all: BTreeSet<u16> = self.leased.iter().chain(&self.holding).chain(&self.taking).copied().collect();
        all.iter().for_each(|number| self.give_up(*number));
        while !self.releasing.is_empty() {
            match heard.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(Event::Released(number)) => {
                    self.releasing.remove(&number);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let released: Vec<u16> = all.difference(&self.releasing).copied().collect();
        self.free(&released);
        if let Err(error) = self.table.leave() {
            tracing::warn!(context = %self.context, %error, "the others are not told that this replica has stopped");
        }
        self.tell();
    }

    /// What [`Leases::report`] says.
    fn tell(&self) {
        let held = self.leased.intersection(&self.holding).copied().collect();
        self.report.lock().unwrap_or_else(PoisonError::into_inner).held = held;
    }

    fn trouble(&self, trouble: Option<String>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = trouble.as_ref().filter(|_| report.trouble != trouble) {
            tracing::error!(context = %self.context, why, "the leases are not as they should be");
        }
        report.trouble = trouble;
    }
}
