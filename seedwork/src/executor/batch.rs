//! What a batch has gathered, and how one run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answered, Arrival, Ask, CommandRecord, First, operate};
use crate::broker::Subscription;
use crate::command::Refusal;
use crate::message::{Packet, Role};
use crate::saga::engine::Entry;
use crate::store::{LogRow, OperationWrite, Partition, PauseWrite, Place, Route, Table, WaitingHead, WaitingWrite};
use crate::work::{Alarm, Ended, Sent};

/// What one batch has gathered so far.
#[derive(Default)]
pub(super) struct Batch {
    pub states: BTreeSet<(usize, Box<str>)>,
    pub sagas: BTreeMap<Arc<str>, (usize, Vec<Entry>)>,
    /// What was said by the inputs that have just been run.
    pub sent: Vec<Outgo>,
    /// The rows that have become of it, and the place of each one's partition among those that are held.
    pub rows: Vec<(usize, LogRow)>,
    /// How many of them it has taken itself.
    pub taken: usize,
    /// Which rows of the batch's log are whose, once they have been made.
    pub ranges: Vec<(usize, std::ops::Range<usize>)>,
    pub commands: BTreeMap<Arc<str>, CommandRecord>,
    pub waiting: Vec<WaitingWrite>,
    pub acknowledged: BTreeMap<Subscription, u64>,
    pub firsts: Vec<(Ask, First)>,
    /// What edges elsewhere are told, and where they listen.
    pub answers: Vec<(Arc<str>, Answered)>,
    pub alarms: Vec<(usize, Arc<str>, Alarm)>,
    pub ended: Vec<Ended>,
    pub replies: Vec<(operate::Reply, operate::Answer)>,
    pub operations: Vec<OperationWrite>,
    pub pauses: Vec<PauseWrite>,
    /// Routes to be read again from after a place, once the batch is committed.
    pub turned: Vec<(Route, Place)>,
    /// Partitions that begin a new epoch.
    pub begun: Vec<Partition>,
    /// Keys whose earlier input waits for what the store must fetch.
    pub held_back: BTreeSet<(usize, Box<str>)>,
    pub missing: BTreeSet<(Table, Box<str>)>,
    /// Its inputs run one at a time: it takes nothing that it says itself.
    pub alone: bool,
    /// Why the store refuses what its one input changes: that is settled as a fault.
    pub refused: Option<String>,
}

impl Batch {
    /// Whether nothing came of its inputs but that they have been seen: nothing is written beside marks, and nobody is told anything.
    pub fn only_acknowledges(&self) -> bool {
        // Without a rest pattern: what is added to a batch has to be looked at here.
        let Batch {
            states,
            sagas,
            sent,
            rows,
            taken: _,
            ranges,
            commands,
            waiting,
            acknowledged: _,
            firsts,
            answers,
            alarms,
            ended,
            replies,
            operations,
            pauses,
            turned,
            begun,
            held_back,
            missing,
            alone: _,
            refused: _,
        } = self;
        states.is_empty()
            && sagas.is_empty()
            && sent.is_empty()
            && rows.is_empty()
            && ranges.is_empty()
            && commands.is_empty()
            && waiting.is_empty()
            && firsts.is_empty()
            && answers.is_empty()
            && alarms.is_empty()
            && ended.is_empty()
            && replies.is_empty()
            && operations.is_empty()
            && pauses.is_empty()
            && turned.is_empty()
            && begun.is_empty()
            && held_back.is_empty()
            && missing.is_empty()
    }

    /// A message of a subscription is settled by this batch.
    pub fn acknowledge(&mut self, subscription: &Subscription, number: u64) {
        match self.acknowledged.get_mut(subscription) {
            Some(upto) => *upto = number.max(*upto),
            None => drop(self.acknowledged.insert(subscription.clone(), number)),
        }
    }
}

/// A message on its way into the log.
pub(super) struct Outgo {
    pub partition: usize,
    pub cause: Arc<Packet>,
    /// None: its cause itself, a command of this context from outside, goes on to another partition as it came.
    pub sent: Option<Sent>,
    pub received: i64,
    pub started: i64,
}

/// How a run ended.
pub(super) enum Verdict {
    Done,
    Refused(Refusal),
    Unknown(&'static str, Box<str>),
    Invalid(String),
    Fault(String),
}

/// Where an input came from, as far as settling it differs.
pub(super) enum Origin {
    Ask,
    Message,
    Waiting(WaitingHead),
}

pub(super) struct Run<'a> {
    pub arrival: Arrival,
    pub packet: &'a Arc<Packet>,
    pub role: Role,
    pub origin: Origin,
    pub record: Option<CommandRecord>,
}
