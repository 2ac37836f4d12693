//! The broker's port: rows go to destinations after their commit, and come to whoever owns the destination's partition.
//!
//! At least once, in any order that faults make; the inbox's marks turn that into once and in order. Every adapter passes [`contract`].

use std::sync::Arc;

use crate::executor::Answered;
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreResult};

pub mod contract;
pub mod embedded;
pub mod loopback;
#[cfg(feature = "distributed")]
pub mod pulsar;

pub use embedded::Embedded;
pub use loopback::Loopback;

/// Who hears what: a partition of a context that reads a destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// The reader.
    pub reader: Partition,
    /// What it reads.
    pub to: Destination,
}

/// The number of a message that the broker elsewhere has not brought: smaller than any of its own, whose count it does not move.
pub const OWN: u64 = 0;

/// What a broker has to say when it is asked.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A message of a subscription, with a number that rises per subscription: what [`Broker::acknowledge`] takes.
    Message(Subscription, u64, LogRow),
    /// A message of a subscription that is no row of a stream of ours: an edge or a foreign client sent it. Its number is of the same
    /// count as [`Heard::Message`]'s.
    Foreign(Subscription, u64, Foreign),
    /// Every row sent on this route up to this place is safe with the broker. A reader's mark that the sender's own store holds says the
    /// same.
    Receipt(Route, Place),
    /// A send on this route failed or timed out; it may have arrived all the same.
    Failed(Route),
    /// A consumer misses rows: send this route again from after its mark, or from its beginning.
    Turn(Route, Place0),
}

impl Heard {
    /// Of which subscription it is a message, if it is one.
    pub fn subscription(&self) -> Option<&Subscription> {
        match self {
            Heard::Message(subscription, ..) | Heard::Foreign(subscription, ..) => Some(subscription),
            Heard::Receipt(..) | Heard::Failed(_) | Heard::Turn(..) => None,
        }
    }
}

/// A message that is no row of a stream of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Unique on this destination for ever, also when the message comes again: the broker's own id of it, as text.
    pub id: Arc<str>,
    /// Its bytes, whatever they are.
    pub raw: Arc<[u8]>,
    /// The hash of the body as it was asked, which an edge gives along; none: a foreign client's, and the body itself counts.
    pub hash: Option<Box<str>>,
}

/// Whether a sent row is safe at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The broker's topic is the log itself: the commit was the receipt.
    Already,
    /// [`Heard::Receipt`] follows, or [`Heard::Failed`].
    Later,
}

/// Carries log rows. Called by one owner's thread; never blocks it.
pub trait Broker: Send {
    /// This process holds a partition from now on, under a fence that is higher than anybody's before. A broker that is elsewhere lets the
    /// highest fence read, also while an earlier owner seems to be alive.
    fn took(&mut self, partition: &Partition, fence: u64) {
        let _ = (partition, fence);
    }

    /// Begins to hear, after `marks` (a route that is not among them: from its beginning). What was heard and not
    /// acknowledged comes again. `store` is for a broker whose topics are the store's log.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn subscribe(&mut self, subscription: &Subscription, marks: &[(Route, Place)], store: &mut dyn Store) -> StoreResult<()>;

    /// Both ends of a route are held by this process now, and its reader has taken everything up to `mark`: told when the sender's
    /// partition was taken, for a broker that hands such rows on by itself.
    fn joined(&mut self, route: &Route, mark: Place0) {
        let _ = (route, mark);
    }

    /// No longer hears.
    fn unsubscribe(&mut self, subscription: &Subscription);

    /// Sends committed rows, in order per route.
    fn send(&mut self, rows: &[LogRow]) -> Taken;

    /// What is sent next on this route need not follow what was sent on it before: rows between were taken another way.
    fn begin(&mut self, route: &Route) {
        let _ = route;
    }

    /// Rows whose commit is about to begin. A broker whose topics are the log of the very store that they are written to may hand them to
    /// its readers at once: all that these do is written to the same store, after these rows or not at all. Any other waits for
    /// [`Broker::send`]. Returns whether somebody here has something to hear now.
    fn ahead(&mut self, rows: &[LogRow]) -> bool {
        let _ = rows;
        false
    }

    /// Whether the one reader of a row takes it in the very batch that writes it: then it is not handed to it any more. False: by a broker
    /// through which it goes out, or that has something else to bring to this reader before.
    fn takes(&mut self, subscription: &Subscription, row: &LogRow) -> bool {
        let _ = (subscription, row);
        false
    }

    /// Everything that is there now, at most about `limit` messages.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn hear(&mut self, limit: usize, store: &mut dyn Store, into: &mut Vec<Heard>) -> StoreResult<()>;

    /// Every message of this subscription up to this number has been settled by a commit, or dropped.
    fn acknowledge(&mut self, subscription: &Subscription, upto: u64);

    /// Asks the producer of a route, by an unlogged control message, to turn back to a mark.
    fn turn_back(&mut self, route: &Route, mark: Place0);

    /// The last row of a partition's stream that lies on its context's own events topic; none when there is none, or when the topics are
    /// the store's log. A store that does not know it is an older copy. Asked when a partition is taken, and may take a moment.
    ///
    /// # Errors
    /// When the broker cannot be asked: the partition cannot be taken now.
    fn last_sent(&mut self, partition: &Partition) -> StoreResult<Place0> {
        let _ = partition;
        Ok(None)
    }

    /// Sends the first answer to a command, or its saga's outcome, to whoever asked: `to` is the `answer_to` of the command's envelope.
    /// Best effort and unlogged; never blocks. A broker in process has nobody elsewhere to tell.
    fn answer(&mut self, to: &str, answer: &Answered) {
        let _ = (to, answer);
    }
}
