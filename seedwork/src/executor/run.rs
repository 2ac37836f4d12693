//! One input: its handler is run on the batch's identity map, and what comes of it is settled into the batch.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{Ask, CommandRecord, Executor, First, Input, Operation, Stop, alarms, crash, operate};
use crate::aggregate::Outgoing;
use crate::broker::Subscription;
use crate::clock::Chance;
use crate::command::{Error, Fault, Refusal, Result};
use crate::identity::Trouble;
use crate::inbox::{self, Seen};
use crate::message::{Direction, Envelope, Packet, Role};
use crate::saga::engine::{Entry, Input as Move};
use crate::saga::{ANSWER_KIND, ANSWER_RECORD, Answer, Outcome};
use crate::store::{LogRow, Table, Waiting, WaitingHead, WaitingWrite};
use crate::work::{Alarm, Changes, Ended, Sent, UnitOfWork};

/// What one batch has gathered so far.
#[derive(Default)]
pub(super) struct Batch {
    pub states: BTreeSet<(usize, Box<str>)>,
    pub sagas: BTreeMap<Arc<str>, (usize, Vec<Entry>)>,
    pub sent: Vec<Outgo>,
    /// Which rows of the batch's log are whose, once they have been made.
    pub ranges: Vec<(usize, std::ops::Range<usize>)>,
    pub commands: BTreeMap<Arc<str>, CommandRecord>,
    pub waiting: Vec<WaitingWrite>,
    pub marks: BTreeMap<(usize, crate::store::Route), crate::store::Place>,
    pub acknowledged: BTreeMap<Subscription, u64>,
    pub firsts: Vec<(Box<Ask>, First)>,
    pub alarms: Vec<(usize, Arc<str>, Alarm)>,
    pub ended: Vec<Ended>,
    pub replies: Vec<(operate::Reply, std::result::Result<(), String>)>,
    /// Keys whose earlier input waits for what the store must fetch.
    pub held_back: BTreeSet<(usize, Box<str>)>,
    pub missing: BTreeSet<(Table, Box<str>)>,
}

/// A message on its way into the log.
pub(super) struct Outgo {
    pub partition: usize,
    pub cause: Arc<Packet>,
    pub sent: Sent,
    pub received: i64,
    pub started: i64,
}

/// How a run ended.
enum Verdict {
    Done,
    Refused(Refusal),
    Unknown(&'static str, Box<str>),
    Invalid(String),
    Fault(String),
}

/// Where an input came from, as far as settling it differs.
enum Origin {
    Ask,
    Message,
    Waiting(WaitingHead),
}

struct Run<'a> {
    partition: usize,
    packet: &'a Arc<Packet>,
    role: Role,
    origin: Origin,
    received: i64,
    record: Option<CommandRecord>,
}

impl Executor {
    /// Runs one input. Gives it back when something must be fetched first.
    pub(super) fn process(&mut self, input: Input, batch: &mut Batch, force: Option<&str>) -> std::result::Result<Option<Input>, Stop> {
        match input {
            Input::Ask { ask, received, seed, partition } => self.ask_input(ask, received, seed, partition, batch, force),
            Input::Message { subscription, number, row, received, seed, partition, admitted } => {
                batch.acknowledged.insert(subscription.clone(), number);
                // The mark moves once, in the order of arrival; what is run again later in the batch has passed it.
                if !admitted && !self.admit(&row, partition, batch) {
                    return Ok(None);
                }
                let back = self.message_input(&row, received, seed, partition, batch, force);
                let again = Input::Message { subscription, number, row, received, seed, partition, admitted: true };
                Ok(back.then_some(again))
            }
            Input::Waiting { number, received, seed, partition } => {
                self.waiting_input(number, received, seed, partition, batch, force)
            }
            Input::Alarm { alarm, received, seed, partition } => {
                Ok(self.alarm_input(&alarm, received, seed, partition, batch).then_some(Input::Alarm { alarm, received, seed, partition }))
            }
            Input::Operation { operation, received, seed, partition, answer } => {
                self.operation_input(operation, received, seed, partition, answer, batch)
            }
        }
    }

    fn ask_input(
        &mut self,
        ask: Box<Ask>,
        received: i64,
        seed: u64,
        partition: usize,
        batch: &mut Batch,
        force: Option<&str>,
    ) -> std::result::Result<Option<Input>, Stop> {
        let envelope = &ask.packet.envelope;
        if self.kept_back(partition, envelope, batch) {
            return Ok(Some(Input::Ask { ask, received, seed, partition }));
        }
        match self.record(&envelope.id, batch) {
            Err(Trouble::Missing(table, id)) => {
                self.miss(partition, envelope, vec![(table, id)], batch);
                return Ok(Some(Input::Ask { ask, received, seed, partition }));
            }
            Err(Trouble::Broken(why)) => return Err(Stop::Crash(why)),
            Ok(Some(known)) => {
                let same = known.hash == ask.hash && known.kind == envelope.kind && known.key == envelope.key;
                let first = if same { known.first() } else { First::Mismatch };
                batch.firsts.push((ask, first));
                return Ok(None);
            }
            Ok(None) => {}
        }
        let record = CommandRecord {
            hash: ask.hash.clone(),
            kind: envelope.kind.clone(),
            key: envelope.key.clone(),
            received,
            status: "accepted".into(),
            saga: None,
            refusal: None,
            told: serde_json::Value::Null,
        };
        let packet = Arc::new(ask.packet.clone());
        let run = Run { partition, packet: &packet, role: Role::Command, origin: Origin::Ask, received, record: Some(record) };
        match self.lane_then_run(run, seed, batch, force) {
            None => Ok(Some(Input::Ask { ask, received, seed, partition })),
            Some(first) => {
                batch.firsts.push((ask, first));
                Ok(None)
            }
        }
    }

    /// Compares a message with its route's mark, and moves the mark if it is the next one.
    fn admit(&mut self, row: &LogRow, partition: usize, batch: &mut Batch) -> bool {
        let now = self.clock.monotonic();
        let Some(held) = self.held.get_mut(partition) else { return false };
        match inbox::seen(row, held.marks.get(&row.route).copied()) {
            Seen::Next => {
                held.marks.insert(row.route.clone(), row.place);
                held.gaps.remove(&row.route);
                batch.marks.insert((partition, row.route.clone()), row.place);
                true
            }
            Seen::Duplicate => {
                self.counters.duplicates += 1;
                false
            }
            Seen::Gap => {
                self.counters.gaps += 1;
                held.gaps.entry(row.route.clone()).or_insert(now);
                false
            }
        }
    }

    /// True when the message must be run again later in this batch.
    fn message_input(
        &mut self,
        row: &LogRow,
        received: i64,
        seed: u64,
        partition: usize,
        batch: &mut Batch,
        force: Option<&str>,
    ) -> bool {
        let role = match row.route.to.topic.rsplit_once('.') {
            Some((_, "commands")) => Role::Command,
            Some((_, "events")) => Role::Event,
            _ => Role::Reply,
        };
        let packet = match &row.packet {
            Some(packet) => Ok(packet.clone()),
            None => Packet::parse(&row.raw, |kind| self.registry.record_of(kind)).map(Arc::new),
        };
        match packet {
            Ok(packet) => {
                if self.kept_back(partition, &packet.envelope, batch) {
                    return true;
                }
                let record = match self.outside_record(&packet.envelope, role, batch) {
                    Ok(record) => record,
                    Err(missing) => {
                        self.miss(partition, &packet.envelope, missing, batch);
                        return true;
                    }
                };
                let run = Run { partition, packet: &packet, role, origin: Origin::Message, received, record };
                self.lane_then_run(run, seed, batch, force).is_none()
            }
            Err(error) => {
                self.unreadable(partition, row, received, &error.to_string(), batch);
                false
            }
        }
    }

    fn waiting_input(
        &mut self,
        number: u64,
        received: i64,
        seed: u64,
        partition: usize,
        batch: &mut Batch,
        force: Option<&str>,
    ) -> std::result::Result<Option<Input>, Stop> {
        let Some(held) = self.held.get(partition) else { return Ok(None) };
        let Some(head) = held.lanes.head(number).cloned() else { return Ok(None) };
        let Some(waiting) = self.store.waiting(&held.partition, number).map_err(crash)? else { return Ok(None) };
        let role = match &*waiting.topic {
            "commands" => Role::Command,
            "events" => Role::Event,
            _ => Role::Reply,
        };
        let back = Input::Waiting { number, received, seed, partition };
        let packet = match Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)) {
            Ok(packet) => Arc::new(packet),
            Err(error) => {
                let dead = WaitingHead { dead: true, due: None, ..head };
                self.change_waiting(partition, dead, error.to_string(), batch);
                return Ok(None);
            }
        };
        if self.kept_back(partition, &packet.envelope, batch) {
            return Ok(Some(back));
        }
        let record = match self.outside_record(&packet.envelope, role, batch) {
            Ok(record) => record,
            Err(missing) => {
                self.miss(partition, &packet.envelope, missing, batch);
                return Ok(Some(back));
            }
        };
        let run = Run { partition, packet: &packet, role, origin: Origin::Waiting(head), received, record };
        Ok(self.run(run, seed, batch, force).is_none().then_some(back))
    }

    fn alarm_input(&mut self, alarm: &alarms::Alarm, received: i64, seed: u64, partition: usize, batch: &mut Batch) -> bool {
        let packet = Arc::new(own_cause(&alarm.saga, received));
        let moved = self.with_work(partition, &packet, received, seed, |work| work.move_saga(&alarm.saga, alarm.input.clone()));
        match moved {
            Ok((Verdict::Done, changes)) => self.apply(changes, partition, &packet, received, batch),
            Ok((Verdict::Unknown(..), _)) => {}
            Ok((Verdict::Refused(_) | Verdict::Invalid(_) | Verdict::Fault(_), _)) => {
                // Its next message will fault in the same way and be seen as a dead letter; the alarm itself has nowhere to wait.
                tracing::error!(saga = %alarm.saga, "an alarm of this saga could not be handled");
            }
            Err(missing) => {
                self.miss(partition, &packet.envelope, missing, batch);
                return true;
            }
        }
        false
    }

    fn operation_input(
        &mut self,
        operation: Operation,
        received: i64,
        seed: u64,
        partition: usize,
        answer: operate::Reply,
        batch: &mut Batch,
    ) -> std::result::Result<Option<Input>, Stop> {
        let nothing = |number: u64| Err(format!("nothing waits under number {number}"));
        let result = match &operation {
            Operation::Replay { number, .. } => match self.held.get(partition).and_then(|held| held.lanes.head(*number)).cloned() {
                None => nothing(*number),
                Some(head) => {
                    let again = WaitingHead { attempts: 0, due: Some(received), dead: false, not_yet: None, ..head };
                    self.change_waiting(partition, again, "replayed by an operator".to_owned(), batch);
                    Ok(())
                }
            },
            Operation::Discard { number, reason, .. } => {
                let waiting = match self.held.get(partition) {
                    Some(held) if held.lanes.head(*number).is_some() => self.store.waiting(&held.partition, *number).map_err(crash)?,
                    _ => None,
                };
                match waiting {
                    None => nothing(*number),
                    Some(waiting) => {
                        if let Ok(packet) = Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)) {
                            let refusal = Refusal::conflict("discarded", reason);
                            let packet = Arc::new(packet);
                            self.answer_saga(partition, &packet, Outcome::Refused(refusal.clone()), received, batch);
                            if let Ok(Some(mut record)) = self.record(&packet.envelope.id, batch) {
                                record.status = "refused".into();
                                record.refusal = Some(refusal);
                                batch.commands.insert(packet.envelope.id.clone(), record);
                            }
                        }
                        self.remove_waiting(partition, *number, batch);
                        Ok(())
                    }
                }
            }
            Operation::Saga { saga, input, .. } => {
                let packet = Arc::new(own_cause(&Arc::from(saga.as_str()), received));
                match self.with_work(partition, &packet, received, seed, |work| work.move_saga(saga, input.clone())) {
                    Err(missing) => {
                        self.miss(partition, &packet.envelope, missing, batch);
                        return Ok(Some(Input::Operation { operation, received, seed, partition, answer }));
                    }
                    Ok((Verdict::Done, changes)) if changes.sagas.is_empty() => {
                        Err("the saga is not in a state in which this can be done".to_owned())
                    }
                    Ok((Verdict::Done, changes)) => {
                        self.apply(changes, partition, &packet, received, batch);
                        Ok(())
                    }
                    Ok((Verdict::Unknown(..), _)) => Err(format!("no saga {saga:?} is known")),
                    Ok((Verdict::Refused(refusal), _)) => Err(refusal.to_string()),
                    Ok((Verdict::Invalid(why) | Verdict::Fault(why), _)) => Err(why),
                }
            }
        };
        batch.replies.push((answer, result));
        Ok(None)
    }

    fn kept_back(&self, partition: usize, envelope: &Envelope, batch: &Batch) -> bool {
        !batch.held_back.is_empty() && batch.held_back.contains(&(partition, envelope.partition_key().into()))
    }

    fn miss(&self, partition: usize, envelope: &Envelope, missing: Vec<(Table, Box<str>)>, batch: &mut Batch) {
        batch.held_back.insert((partition, envelope.partition_key().into()));
        batch.missing.extend(missing);
    }

    /// What is known of a command's id.
    fn record(&mut self, id: &Arc<str>, batch: &Batch) -> std::result::Result<Option<CommandRecord>, Trouble> {
        if let Some(record) = batch.commands.get(id) {
            return Ok(Some(record.clone()));
        }
        let row = self.identity.once(&mut *self.store, Table::Command, id)?;
        row.map(|row| serde_json::from_slice(&row.body))
            .transpose()
            .map_err(|error| Trouble::Broken(format!("the record of command {id:?} cannot be read: {error}")))
    }

    /// The record of a message that is a command from outside.
    fn outside_record(
        &mut self,
        envelope: &Envelope,
        role: Role,
        batch: &Batch,
    ) -> std::result::Result<Option<CommandRecord>, Vec<(Table, Box<str>)>> {
        if role != Role::Command || envelope.causation.is_some() {
            return Ok(None);
        }
        match self.record(&envelope.id, batch) {
            Ok(record) => Ok(record),
            Err(Trouble::Missing(table, id)) => Err(vec![(table, id)]),
            Err(Trouble::Broken(_)) => Ok(None),
        }
    }

    /// Queues up behind the lane, or runs. None: something must be fetched first.
    fn lane_then_run(&mut self, run: Run<'_>, seed: u64, batch: &mut Batch, force: Option<&str>) -> Option<First> {
        let held = self.held.get(run.partition)?;
        if !held.lanes.is_empty() {
            let lane = inbox::lane(&run.packet.envelope, run.role);
            if held.lanes.blocked(&lane) {
                let due = Some(run.received);
                self.put_waiting(&run, lane, due, false, None, 0, "queued behind its lane".to_owned(), batch);
                self.keep_record(run.record, &run.packet.envelope.id, batch);
                return Some(First::Waiting);
            }
        }
        self.run(run, seed, batch, force)
    }

    fn run(&mut self, run: Run<'_>, seed: u64, batch: &mut Batch, force: Option<&str>) -> Option<First> {
        let started = self.clock.now();
        if let Some(why) = force {
            return Some(self.settle(run, Verdict::Fault(format!("the store refuses what it changes: {why}")), Changes::default(), started, batch));
        }
        let packet = run.packet.clone();
        let ran = match run.role {
            Role::Reply => self.with_work(run.partition, &packet, run.received, seed, |work| answered(work, &packet)),
            Role::Command | Role::Event => self.with_handler(run.partition, &packet, run.received, seed),
        };
        match ran {
            Ok((verdict, changes)) => Some(self.settle(run, verdict, changes, started, batch)),
            Err(missing) => {
                self.miss(run.partition, &packet.envelope, missing, batch);
                None
            }
        }
    }

    fn with_handler(
        &mut self,
        partition: usize,
        packet: &Arc<Packet>,
        received: i64,
        seed: u64,
    ) -> std::result::Result<(Verdict, Changes), Vec<(Table, Box<str>)>> {
        let mut invalid = None;
        let kind = packet.envelope.kind.clone();
        let ran = self.with_work(partition, packet, received, seed, |work| {
            let Some(handler) = work.registry.contexts.get(work.context).and_then(|context| context.handlers.get(&*kind)) else {
                invalid = Some(format!("{kind} is not handled here"));
                return Ok(());
            };
            match (handler.handle)(packet.body(), work) {
                Ok(result) => result,
                Err(error) => {
                    invalid = Some(error.to_string());
                    Ok(())
                }
            }
        })?;
        match invalid {
            // An event that this context does not listen to shares its topic with those it does.
            Some(_) if packet.envelope.saga.is_none() && self.not_ours(partition, packet) => Ok((Verdict::Done, Changes::default())),
            Some(why) => Ok((Verdict::Invalid(why), Changes::default())),
            None => Ok(ran),
        }
    }

    fn not_ours(&self, partition: usize, packet: &Packet) -> bool {
        let held = self.held.get(partition);
        held.and_then(|held| self.registry.contexts.get(held.context)).is_some_and(|context| {
            !context.handlers.contains_key(&*packet.envelope.kind) && !packet.envelope.kind.starts_with(&format!("{}.", context.name))
        })
    }

    fn with_work(
        &mut self,
        partition: usize,
        packet: &Arc<Packet>,
        received: i64,
        seed: u64,
        body: impl FnOnce(&mut UnitOfWork<'_>) -> Result,
    ) -> std::result::Result<(Verdict, Changes), Vec<(Table, Box<str>)>> {
        let mut work = UnitOfWork {
            registry: &self.registry,
            context: self.held.get(partition).map_or(0, |held| held.context),
            identity: &mut self.identity,
            store: &mut *self.store,
            cause: &packet.envelope,
            now: received,
            chance: Chance::seeded(seed),
            changes: Changes::default(),
            missed: Vec::new(),
            broken: None,
        };
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut work)));
        if !work.missed.is_empty() {
            return Err(work.missed);
        }
        let verdict = match (result, work.broken.take()) {
            (Err(panic), _) => Verdict::Fault(format!("the handler panicked: {}", panic_text(&*panic))),
            (Ok(_), Some(why)) => Verdict::Fault(why),
            (Ok(Ok(())), None) => Verdict::Done,
            (Ok(Err(Error::Refused(refusal))), None) => Verdict::Refused(refusal),
            (Ok(Err(Error::Unknown { kind, id })), None) => Verdict::Unknown(kind, id),
            (Ok(Err(Error::Fault(Fault(why)))), None) => Verdict::Fault(why),
            (Ok(Err(Error::Miss)), None) => Verdict::Fault("a miss without a missing row".to_owned()),
        };
        Ok((verdict, work.changes))
    }

    fn settle(&mut self, mut run: Run<'_>, verdict: Verdict, changes: Changes, started: i64, batch: &mut Batch) -> First {
        self.counters.inputs += 1;
        let envelope = &run.packet.envelope;
        let in_saga = run.role == Role::Command && envelope.saga.is_some();
        let verdict = match verdict {
            Verdict::Unknown(kind, id) => self.unknown(&run, kind, &id),
            other => other,
        };
        match verdict {
            Verdict::Done => {
                let (saga, told) = (changes.saga.clone(), changes.told.clone());
                self.apply_at(changes, run.partition, run.packet, run.received, started, batch);
                if in_saga {
                    self.answer_saga(run.partition, run.packet, Outcome::Done, run.received, batch);
                }
                if let Some(record) = &mut run.record {
                    record.status = "done".into();
                    record.saga.clone_from(&saga);
                    record.told = told.clone();
                }
                self.settled(&run, batch);
                self.keep_record(run.record, &envelope.id, batch);
                First::Done { saga, told }
            }
            Verdict::Refused(refusal) if in_saga || run.record.is_some() => {
                if in_saga {
                    self.answer_saga(run.partition, run.packet, Outcome::Refused(refusal.clone()), run.received, batch);
                }
                if let Some(record) = &mut run.record {
                    record.status = "refused".into();
                    record.refusal = Some(refusal.clone());
                }
                self.settled(&run, batch);
                self.keep_record(run.record, &envelope.id, batch);
                First::Refused(refusal)
            }
            // Waits for what it names, beside its lane: a lane of its own.
            Verdict::Unknown(kind, id) => {
                self.not_yet(&run, format!("waits for {kind} {id:?} to be known"), batch);
                self.keep_record(run.record, &envelope.id, batch);
                First::Waiting
            }
            Verdict::Invalid(why) if matches!(run.origin, Origin::Ask) => First::Invalid(why),
            Verdict::Invalid(why) => {
                self.faulted(&mut run, why, true, batch);
                First::Waiting
            }
            // Nobody asked, so nobody would hear the refusal: an operator must.
            Verdict::Refused(refusal) => {
                self.faulted(&mut run, format!("refused, and nobody asked: {refusal}"), false, batch);
                First::Waiting
            }
            Verdict::Fault(why) => {
                tracing::warn!(kind = %envelope.kind, key = %envelope.key, why, "a message broke its handler");
                self.faulted(&mut run, why, false, batch);
                First::Waiting
            }
        }
    }

    /// Whether something unknown is waited for, refused, or a fault.
    fn unknown(&self, run: &Run<'_>, kind: &'static str, id: &str) -> Verdict {
        let envelope = &run.packet.envelope;
        if run.role != Role::Command || envelope.saga.is_some() {
            return Verdict::Fault(format!("no {kind} {id:?} is known"));
        }
        let context = self.held.get(run.partition).and_then(|held| self.registry.contexts.get(held.context));
        let declared = context.and_then(|context| context.handlers.get(&*envelope.kind)).is_some_and(|handler| handler.early);
        let from_another = envelope.causation.is_some() && context.is_some_and(|context| context.name != &*envelope.source);
        let refused = || Verdict::Refused(Refusal::unknown(kind, id));
        match &run.origin {
            _ if !declared && !from_another && run.record.is_some() => refused(),
            _ if !declared && !from_another => Verdict::Fault(format!("no {kind} {id:?} is known")),
            Origin::Waiting(head) if head.not_yet.is_some_and(|until| run.received >= until) => refused(),
            Origin::Ask | Origin::Message | Origin::Waiting(_) => Verdict::Unknown(kind, id.into()),
        }
    }

    fn not_yet(&mut self, run: &Run<'_>, why: String, batch: &mut Batch) {
        let limit = i64::try_from(inbox::NOT_YET.as_micros()).unwrap_or(i64::MAX);
        match &run.origin {
            Origin::Waiting(head) => {
                let until = head.not_yet.unwrap_or(run.received + limit);
                let pause = 250_000_i64 << head.attempts.min(5);
                let due = (run.received + pause).min(until.max(run.received + 1));
                let head = WaitingHead { attempts: head.attempts + 1, due: Some(due), not_yet: Some(until), ..head.clone() };
                self.change_waiting(run.partition, head, why, batch);
            }
            Origin::Ask | Origin::Message => {
                let lane = format!("yet|{}", run.packet.envelope.id).into();
                let due = Some(run.received + 250_000);
                self.put_waiting(run, lane, due, false, Some(run.received + limit), 1, why, batch);
            }
        }
    }

    /// Another attempt later, or a dead letter.
    fn faulted(&mut self, run: &mut Run<'_>, why: String, at_once: bool, batch: &mut Batch) {
        let before = match &run.origin {
            Origin::Waiting(head) => head.attempts,
            Origin::Ask | Origin::Message => 0,
        };
        let attempts = before + 1;
        let dead = at_once || attempts >= inbox::ATTEMPTS;
        let wait = inbox::backoff(attempts, &mut self.chance);
        let due = (!dead).then(|| run.received + micros(wait));
        if dead {
            self.counters.dead_letters += 1;
            tracing::error!(kind = %run.packet.envelope.kind, key = %run.packet.envelope.key, why, "dead letter: its lane waits for an operator");
            if run.role == Role::Command {
                self.answer_saga(run.partition, run.packet, Outcome::Dead, run.received, batch);
            }
            if let Some(record) = &mut run.record {
                record.status = "dead-letter".into();
            }
        }
        match &run.origin {
            Origin::Waiting(head) => {
                let head = WaitingHead { attempts, due, dead, not_yet: None, ..head.clone() };
                self.change_waiting(run.partition, head, why, batch);
            }
            Origin::Ask | Origin::Message => {
                let lane = inbox::lane(&run.packet.envelope, run.role);
                self.put_waiting(run, lane, due, dead, None, attempts, why, batch);
            }
        }
        self.keep_record(run.record.take(), &run.packet.envelope.id, batch);
    }

    /// A message whose envelope cannot be read: kept as a dead letter in a lane of its own; whom it would have been for is not known.
    fn unreadable(&mut self, partition: usize, row: &LogRow, received: i64, why: &str, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        let number = held.lanes.mint();
        let lane = format!("unreadable|{}|{}", row.route.from, row.place.position).into();
        let head = WaitingHead { number, lane, attempts: 1, due: None, dead: true, not_yet: None };
        let topic = row.route.to.topic.rsplit_once('.').map_or("events", |(_, role)| role).into();
        held.lanes.put(head.clone());
        self.counters.dead_letters += 1;
        let reason = format!("unreadable: {why}");
        let waiting = Waiting { head, topic, reason, raw: row.raw.clone(), since: received };
        batch.waiting.push(WaitingWrite::Put(held.partition.clone(), waiting));
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    fn put_waiting(
        &mut self,
        run: &Run<'_>,
        lane: Arc<str>,
        due: Option<i64>,
        dead: bool,
        not_yet: Option<i64>,
        attempts: u16,
        reason: String,
        batch: &mut Batch,
    ) {
        let Some(held) = self.held.get_mut(run.partition) else { return };
        let head = WaitingHead { number: held.lanes.mint(), lane, attempts, due, dead, not_yet };
        held.lanes.put(head.clone());
        self.counters.waiting += 1;
        let raw = run.packet.raw().clone();
        let waiting = Waiting { head, topic: run.role.topic().into(), reason, raw, since: run.received };
        batch.waiting.push(WaitingWrite::Put(held.partition.clone(), waiting));
    }

    fn change_waiting(&mut self, partition: usize, head: WaitingHead, reason: String, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.lanes.change(head.clone());
        batch.waiting.push(WaitingWrite::Change(held.partition.clone(), head, reason));
    }

    fn remove_waiting(&mut self, partition: usize, number: u64, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.lanes.remove(number);
        batch.waiting.push(WaitingWrite::Remove(held.partition.clone(), number));
    }

    /// A waiting message that has been settled leaves the table.
    fn settled(&mut self, run: &Run<'_>, batch: &mut Batch) {
        if let Origin::Waiting(head) = &run.origin {
            self.remove_waiting(run.partition, head.number, batch);
        }
    }

    fn keep_record(&mut self, record: Option<CommandRecord>, id: &Arc<str>, batch: &mut Batch) {
        if let Some(record) = record {
            batch.commands.insert(id.clone(), record);
        }
    }

    /// Answers the saga that sent a command, in the commit that settles it.
    fn answer_saga(&mut self, partition: usize, packet: &Arc<Packet>, outcome: Outcome, received: i64, batch: &mut Batch) {
        let Some(saga) = packet.envelope.saga.clone() else { return };
        let body = match serde_json::to_vec(&Answer { outcome }) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                return;
            }
        };
        let context = self.registry.context(&saga.context).and_then(|context| self.registry.contexts.get(context));
        // The asker may run in another process: the topic's name is what counts.
        let context = context.map_or_else(|| leak(&saga.context), |context| context.name);
        let message =
            Outgoing { context, role: Role::Reply, kind: ANSWER_KIND, record: ANSWER_RECORD, key: (*saga.id).into(), body };
        let sent = Sent { message, saga: Some(saga), correlation: None, actor: None };
        let started = self.clock.now();
        batch.sent.push(Outgo { partition, cause: packet.clone(), sent, received, started });
    }

    fn apply(&mut self, changes: Changes, partition: usize, packet: &Arc<Packet>, received: i64, batch: &mut Batch) {
        let started = self.clock.now();
        self.apply_at(changes, partition, packet, received, started, batch);
    }

    fn apply_at(&mut self, changes: Changes, partition: usize, packet: &Arc<Packet>, received: i64, started: i64, batch: &mut Batch) {
        self.identity.merge(&changes.states, &changes.sagas);
        batch.states.extend(changes.states.into_iter().map(|change| (change.table, change.id)));
        for change in changes.sagas {
            batch.sagas.entry(change.id).or_insert_with(|| (partition, Vec::new())).1.extend(change.log);
        }
        let sent = changes.sent.into_iter().map(|sent| Outgo { partition, cause: packet.clone(), sent, received, started });
        batch.sent.extend(sent);
        batch.alarms.extend(changes.alarms.into_iter().map(|(saga, alarm)| (partition, saga, alarm)));
        batch.ended.extend(changes.ended);
    }
}

/// The contexts that a process hears of are few and named in its messages' types; their names live as long as it does.
fn leak(name: &str) -> &'static str {
    use std::sync::{Mutex, PoisonError};
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(leaked);
    leaked
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What moves a saga without a message: an alarm, an operator.
fn own_cause(saga: &Arc<str>, now: i64) -> Packet {
    let envelope = Envelope {
        id: format!("alarm/{saga}").into(),
        source: "alarm".into(),
        kind: "alarm".into(),
        key: saga.clone(),
        time: now,
        trace: None,
        correlation: saga.clone(),
        causation: Some(saga.clone()),
        actor: "system".into(),
        tenant: None,
        saga: None,
        answer_to: None,
    };
    Packet::bare(envelope)
}

fn answered(work: &mut UnitOfWork<'_>, packet: &Packet) -> Result {
    let answer: Answer =
        serde_json::from_slice(packet.body()).map_err(|error| Error::fault(format!("the answer cannot be read: {error}")))?;
    let Some(saga) = packet.envelope.saga.clone() else {
        return Err(Error::fault("an answer that does not say to which saga"));
    };
    let (row, index, attempt) = (saga.row, saga.index, saga.attempt);
    let direction: Direction = saga.direction;
    work.move_saga(&saga.id, Move::Answer { row, index, direction, attempt, outcome: answer.outcome })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
