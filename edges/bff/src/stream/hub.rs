//! The hub: what the owner has committed becomes frames once, in one ring that all subscribers read, each from its own place.
//!
//! The owner only leaves its rows in the intake. One task makes bursts of frames of them and wakes whoever listens, at most a hundred
//! times a second. Nobody has a buffer of its own: who has not taken a burst when the ring has no more room for it has lost it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use seedwork::executor::Tap;
use seedwork::store::{LogRow, Partition, Place, Writes};
use tokio::sync::{Notify, watch};

use super::place::Places;

/// Bytes of frames that the ring holds for those who are slow.
const RING: usize = 16 << 20;
/// Bytes of frames in one burst, unless its only frame is larger.
pub(super) const BURST: usize = 64 << 10;
/// Rows that wait to be made into frames; with more, everybody reads the log anew.
const INTAKE: usize = 50_000;
/// How long after a burst the next is made, so that a subscriber is woken for many rows and not for each.
const PACE: Duration = Duration::from_millis(10);

/// An event as a subscriber reads it: where it stands, what a filter asks of it, and which bytes of its burst it is.
#[derive(Debug)]
pub(super) struct Frame {
    pub partition: usize,
    pub place: Place,
    pub kind: Arc<str>,
    pub key: Arc<str>,
    pub tenant: Option<Arc<str>>,
    pub bytes: Range<usize>,
}

/// Frames that are handed on together.
#[derive(Debug)]
pub(super) struct Burst {
    /// Where the log was before the first of them, and after the last.
    pub before: Places,
    pub after: Places,
    pub frames: Vec<Frame>,
    pub bytes: Bytes,
}

/// What the owner has left.
struct Intake {
    rows: Vec<LogRow>,
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
            intake: Mutex::new(Intake { rows: Vec::new(), places: places.clone(), subscribers: 0, overflowed: false }),
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
        intake.places.advance(partition, row.place);
        if intake.leave(row) || missing {
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
        intake.rows = Vec::new();
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

    /// Takes what the owner has left, makes it into bursts and puts them into the ring.
    fn pass_on(&self) {
        let mut intake = lock(&self.intake);
        let (rows, overflowed) = (std::mem::take(&mut intake.rows), std::mem::take(&mut intake.overflowed));
        let mut ring = lock(&self.ring);
        if overflowed {
            ring.lose(&intake.places);
        }
        drop(intake);
        let mut places = ring.places.clone();
        drop(ring);
        let mut rows = rows.as_slice();
        while !rows.is_empty() {
            let (burst, left) = self.make(rows, places);
            rows = left;
            places = burst.after.clone();
            lock(&self.ring).put(burst);
        }
        let next = self.now().0;
        self.next.send_if_modified(|number| std::mem::replace(number, next) != next);
    }

    /// Makes a burst of the first of these rows; which are left.
    fn make<'a>(&self, rows: &'a [LogRow], before: Places) -> (Burst, &'a [LogRow]) {
        let (mut text, mut after) = (String::new(), before.clone());
        let mut frames = Vec::new();
        let mut taken = 0;
        for row in rows {
            if text.len() >= BURST {
                break;
            }
            taken += 1;
            let Some(partition) = self.partitions.iter().position(|partition| *partition == row.route.from) else { continue };
            let Some(packet) = &row.packet else { continue };
            let start = text.len();
            after.advance(partition, row.place);
            write_frame(&after, &self.partitions, &String::from_utf8_lossy(&row.raw), &mut text);
            let (envelope, bytes) = (&packet.envelope, start..text.len());
            frames.push(Frame {
                partition,
                place: row.place,
                kind: envelope.kind.clone(),
                key: envelope.key.clone(),
                tenant: envelope.tenant.clone(),
                bytes,
            });
        }
        text.shrink_to_fit();
        (Burst { before, after, frames, bytes: text.into() }, rows.get(taken..).unwrap_or_default())
    }
}

/// An event, as the specification of server-sent events wants it (WHATWG HTML §9.2).
pub(super) fn write_frame(places: &Places, partitions: &[Partition], raw: &str, into: &mut String) {
    into.push_str("id: ");
    places.write(partitions, into);
    // JSON that we have written is one line; whatever else it is stays one event.
    for line in raw.split(['\n', '\r']) {
        into.push_str("\ndata: ");
        into.push_str(line);
    }
    into.push_str("\n\n");
}

impl Intake {
    /// Leaves a row for those who listen. Whether it is the first that is left.
    fn leave(&mut self, row: LogRow) -> bool {
        if self.subscribers == 0 || self.overflowed {
            return false;
        }
        if self.rows.len() == INTAKE {
            self.lose();
            return true;
        }
        self.rows.push(row);
        self.rows.len() == 1
    }

    /// Drops what was left: everybody reads the log anew.
    fn lose(&mut self) {
        self.rows = Vec::new();
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
        self.bytes += burst.bytes.len();
        self.bursts.push_back(Arc::new(burst));
        while self.bytes > RING && self.bursts.len() > 1 {
            if let Some(oldest) = self.bursts.pop_front() {
                self.bytes -= oldest.bytes.len();
                self.first += 1;
            }
        }
    }
}

/// Makes bursts while there are rows, until the hub is closed.
async fn run(hub: Arc<Hub>) {
    while !hub.closed.load(Ordering::Relaxed) {
        hub.arrived.notified().await;
        hub.pass_on();
        tokio::time::sleep(PACE).await;
    }
}

/// The owner's end: leaves rows, and never waits for anybody.
pub(super) struct Tapped(pub Arc<Hub>);

impl Tap for Tapped {
    fn committed(&mut self, writes: &Writes) {
        let rows = merged(&writes.log);
        let mut intake = lock(&self.0.intake);
        let intake = &mut *intake;
        let mut first = false;
        for row in rows {
            if let Some(partition) = self.0.partitions.iter().position(|partition| *partition == row.route.from) {
                intake.places.advance(partition, row.place);
            }
            if intake.subscribers > 0 && !intake.overflowed {
                first |= intake.leave(row.clone());
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
            intake.rows = Vec::new();
            let mut ring = lock(&self.hub.ring);
            ring.first += ring.bursts.len() as u64;
            ring.bursts.clear();
            ring.bytes = 0;
        }
    }
}
