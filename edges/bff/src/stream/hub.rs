//! The hub: what the owner has committed becomes frames once, in one ring that all subscribers read, each from its own place.
//!
//! The owner only adds its events to the bursts that are being made. One task puts those into the ring and wakes whoever listens, at most
//! a hundred times a second. Nobody has a buffer of its own: who has not taken a burst when the ring has no more room for it has lost it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seedwork::executor::Tap;
use seedwork::store::{LogRow, Partition, Place, Writes};
use tokio::sync::{Notify, watch};

use super::burst::{Burst, Making};
use super::place::Places;

/// Bytes of bursts that the ring holds for those who are slow.
const RING: usize = 16 << 20;
/// Bytes of frames that wait to be put into it: more than it holds would be lost there, so everybody reads the log anew.
const INTAKE: usize = RING;
/// How long after a burst the next is made, so that a subscriber is woken for many rows and not for each.
const PACE: Duration = Duration::from_millis(10);

/// What the owner has left.
struct Intake {
    making: Making,
    /// Where the log is, whether or not anybody listens.
    places: Places,
    subscribers: usize,
    overflowed: bool,
}

/// The bursts, by number.
struct Ring {
    bursts: VecDeque<Arc<Burst>>,
    first: u64,
    bytes: usize,
    /// Where the log was after the last burst.
    places: Places,
}

/// See the module's text.
pub(super) struct Hub {
    pub partitions: Vec<Partition>,
    intake: Mutex<Intake>,
    ring: Mutex<Ring>,
    arrived: Notify,
    /// The number of the next burst.
    next: watch::Sender<u64>,
    runs: AtomicBool,
    pub closed: AtomicBool,
    pub subscribers: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a subscriber finds in the ring.
#[derive(Debug)]
pub(super) enum Found {
    Burst(Arc<Burst>),
    Nothing,
    /// What it wanted is there no more.
    Lost,
}

impl Hub {
    /// A hub over a log that is at these places.
    pub fn new(heads: Vec<(Partition, Place)>) -> Hub {
        let (partitions, places): (Vec<_>, Vec<_>) = heads.into_iter().map(|(of, place)| (of, Some(place))).unzip();
        Hub::over(partitions, Places(places))
    }

    /// A hub over the logs of these partitions, of which nobody has said where they are.
    pub fn unknown(partitions: Vec<Partition>) -> Hub {
        let places = Places::beginning(&partitions);
        Hub::over(partitions, places)
    }

    fn over(partitions: Vec<Partition>, places: Places) -> Hub {
        Hub {
            partitions,
            intake: Mutex::new(Intake { making: Making::default(), places: places.clone(), subscribers: 0, overflowed: false }),
            ring: Mutex::new(Ring { bursts: VecDeque::new(), first: 0, bytes: 0, places }),
            arrived: Notify::new(),
            next: watch::Sender::new(0),
            runs: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            subscribers: AtomicUsize::new(0),
        }
    }

    /// Where the log is.
    pub fn head(&self) -> Places {
        lock(&self.intake).places.clone()
    }

    /// A row that a broker has brought, and that may come twice. One that names a predecessor which has not come shows that rows passed by:
    /// then everybody reads the log anew.
    pub fn heard(&self, row: LogRow) {
        let mut intake = lock(&self.intake);
        let Some(partition) = self.partitions.iter().position(|partition| *partition == row.route.from) else { return };
        let before = intake.places.of(partition);
        if before >= Some(row.place) {
            return;
        }
        let missing = before.is_some() && row.predecessor > before;
        if missing {
            intake.lose();
        }
        if intake.leave(partition, &row, &self.partitions) || missing {
            self.arrived.notify_one();
        }
    }

    /// Rows may have passed by: everybody reads the log anew.
    pub fn interrupted(&self) {
        lock(&self.intake).lose();
        self.arrived.notify_one();
    }

    /// The logs are at these places, or beyond them: whoever comes now begins there.
    pub fn is_at(&self, heads: &[(Partition, Place)]) {
        let mut intake = lock(&self.intake);
        for (of, place) in heads {
            if let Some(partition) = self.partitions.iter().position(|partition| partition == of) {
                intake.places.advance(partition, *place);
            }
        }
        lock(&self.ring).lose(&intake.places);
        intake.making = Making::default();
        drop(intake);
        self.arrived.notify_one();
    }

    /// Counts one more subscriber, up to so many; the first makes the hub run. None: there is no room.
    pub fn join(self: &Arc<Hub>, most: usize) -> Option<Member> {
        let mut intake = lock(&self.intake);
        if intake.subscribers >= most {
            return None;
        }
        intake.subscribers += 1;
        self.subscribers.store(intake.subscribers, Ordering::Relaxed);
        if intake.subscribers == 1 {
            lock(&self.ring).places = intake.places.clone();
        }
        drop(intake);
        if !self.runs.swap(true, Ordering::Relaxed) {
            tokio::spawn(run(self.clone()));
        }
        Some(Member { hub: self.clone(), next: self.next.subscribe() })
    }

    /// Ends every stream: the server stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.arrived.notify_one();
        self.next.send_modify(|_| {});
    }

    /// The number that the next burst will have, and where the log is before it.
    pub fn now(&self) -> (u64, Places) {
        let ring = lock(&self.ring);
        (ring.first + ring.bursts.len() as u64, ring.places.clone())
    }

    pub fn burst(&self, number: u64) -> Found {
        let ring = lock(&self.ring);
        match number.checked_sub(ring.first).map(usize::try_from) {
            Some(Ok(index)) => ring.bursts.get(index).map_or(Found::Nothing, |burst| Found::Burst(burst.clone())),
            _ => Found::Lost,
        }
    }

    /// Puts what the owner has left into the ring.
    fn pass_on(&self) {
        let mut intake = lock(&self.intake);
        let (making, overflowed) = (std::mem::take(&mut intake.making), std::mem::take(&mut intake.overflowed));
        let places = intake.places.clone();
        if overflowed {
            lock(&self.ring).lose(&places);
        }
        drop(intake);
        let bursts = making.finish(&places);
        let mut ring = lock(&self.ring);
        bursts.into_iter().for_each(|burst| ring.put(burst));
        drop(ring);
        let next = self.now().0;
        self.next.send_if_modified(|number| std::mem::replace(number, next) != next);
    }
}

impl Intake {
    /// The log goes on to this event, which is left for those who listen. Whether it is the first that is left.
    fn leave(&mut self, partition: usize, row: &LogRow, partitions: &[Partition]) -> bool {
        let packet = row.packet.as_ref().filter(|_| self.subscribers > 0 && !self.overflowed);
        let Some(packet) = packet else {
            self.places.advance(partition, row.place);
            return false;
        };
        if self.making.bytes() >= INTAKE {
            self.places.advance(partition, row.place);
            self.lose();
            return true;
        }
        let first = self.making.is_empty();
        self.making.add(partition, row.place, packet, &mut self.places, partitions);
        first
    }

    /// Drops what was left: everybody reads the log anew.
    fn lose(&mut self) {
        self.making = Making::default();
        self.overflowed = self.subscribers > 0;
    }
}

impl Ring {
    /// A burst that nobody gets: whoever waits for it has lost it. The log is at these places.
    fn lose(&mut self, places: &Places) {
        self.first += self.bursts.len() as u64 + 1;
        self.bursts.clear();
        self.bytes = 0;
        self.places = places.clone();
    }

    fn put(&mut self, burst: Burst) {
        // Made of rows that were left before the first subscriber came, it may be of the past.
        for (partition, place) in burst.after.0.iter().enumerate() {
            if let Some(place) = place {
                self.places.advance(partition, *place);
            }
        }
        self.bytes += burst.weight();
        self.bursts.push_back(Arc::new(burst));
        while self.bytes > RING && self.bursts.len() > 1 {
            if let Some(oldest) = self.bursts.pop_front() {
                self.bytes -= oldest.weight();
                self.first += 1;
            }
        }
    }
}

/// Passes on what there is, until the hub is closed.
async fn run(hub: Arc<Hub>) {
    while !hub.closed.load(Ordering::Relaxed) {
        hub.arrived.notified().await;
        hub.pass_on();
        tokio::time::sleep(PACE).await;
    }
}

/// The owner's end: leaves events, and never waits for anybody.
pub(super) struct Tapped(pub Arc<Hub>);

impl Tap for Tapped {
    fn committed(&mut self, writes: &Writes) {
        let rows = merged(&writes.log);
        let mut intake = lock(&self.0.intake);
        let intake = &mut *intake;
        let mut first = false;
        for row in rows {
            if let Some(partition) = self.0.partitions.iter().position(|partition| *partition == row.route.from) {
                first |= intake.leave(partition, row, &self.0.partitions);
            }
        }
        if first {
            self.0.arrived.notify_one();
        }
    }
}

/// The events among the rows of one commit, in the order in which their handlers began; those of a stream in theirs.
fn merged(rows: &[LogRow]) -> Vec<&LogRow> {
    let events = |row: &&LogRow| row.route.to.topic.ends_with(".events");
    let mut streams: Vec<_> = rows
        .chunk_by(|one, other| one.route.from == other.route.from)
        .map(|rows| rows.iter().filter(events).peekable())
        .collect();
    let mut merged = Vec::with_capacity(rows.len());
    loop {
        let fronts = streams.iter_mut().enumerate().filter_map(|(index, rows)| Some((rows.peek()?.times[1], index)));
        let Some((_, index)) = fronts.min() else { return merged };
        merged.extend(streams.get_mut(index).and_then(Iterator::next));
    }
}

/// A subscriber's place among the others; given up when it goes.
pub(super) struct Member {
    pub hub: Arc<Hub>,
    /// Changes when there is another burst, or the hub is closed.
    pub next: watch::Receiver<u64>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut intake = lock(&self.hub.intake);
        intake.subscribers -= 1;
        self.hub.subscribers.store(intake.subscribers, Ordering::Relaxed);
        if intake.subscribers == 0 {
            intake.making = Making::default();
            let mut ring = lock(&self.hub.ring);
            ring.first += ring.bursts.len() as u64;
            ring.bursts.clear();
            ring.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use seedwork::message::{Envelope, Packet};

    use super::*;

    #[test]
    fn what_surrounds_small_events_counts_as_memory_of_the_ring() {
        let partitions = vec![Partition { context: "partner".into(), number: 0 }];
        let envelope = Envelope::asked("1", "x", "x", 0);
        let packet = Packet::encode(envelope, "X", b"{}").unwrap();
        let mut places = Places::beginning(&partitions);
        let mut ring = Ring { bursts: VecDeque::new(), first: 0, bytes: 0, places: places.clone() };
        // One event at a time, as when little happens: each is a burst of its own.
        for position in 1..=100_000 {
            let mut making = Making::default();
            making.add(0, Place { epoch: 1, position }, &packet, &mut places, &partitions);
            making.finish(&places).into_iter().for_each(|burst| ring.put(burst));
        }
        let held: usize = ring.bursts.iter().map(|burst| burst.weight()).sum();
        assert!(held <= RING && held == ring.bytes, "{held} and {}", ring.bytes);
        let frame = ring.bursts.back().map_or(0, |burst| burst.bytes.len());
        assert!(ring.bursts.len() * frame < RING * 3 / 4, "the events alone are not all that is held");
        assert_eq!(ring.first + ring.bursts.len() as u64, 100_000);
    }
}
