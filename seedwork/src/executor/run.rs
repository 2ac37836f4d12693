//! One input: its handler is run on the batch's identity map, and what comes of it is settled into the batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::batch::{Batch, Origin, Run, Verdict};
use super::settle::lane;
use super::{Arrival, Ask, CommandRecord, Executor, First, Gap, Input, Mark, Stop, What, alarms, crash, foreign};
use crate::clock::Chance;
use crate::command::{Error, Fault, Refusal, Result};
use crate::identity::Trouble;
use crate::inbox::{self, Seen};
use crate::message::{Envelope, Packet, Role};
use crate::saga::Answer;
use crate::store::{LogRow, Table, WaitingHead};
use crate::work::{Changes, UnitOfWork};

/// A verdict and what changed, or what must be fetched first.
pub(super) type Ran = std::result::Result<(Verdict, Changes), Vec<(Table, Box<str>)>>;

impl Executor {
    /// Runs one input. Gives it back when something must be fetched first.
    pub(super) fn process(&mut self, input: Input, batch: &mut Batch) -> std::result::Result<Option<Input>, Stop> {
        let Input { arrival, what } = input;
        let again = match what {
            What::Ask(ask) => self.ask_input(ask, arrival, batch)?.map(What::Ask),
            What::Message { subscription, number, row, admitted } => {
                batch.acknowledge(&subscription, number);
                // The mark moves once, in the order of arrival; what is run again later in the batch has passed it.
                if !admitted && !self.admit(&row, arrival.partition) {
                    return Ok(None);
                }
                let again = self.message_input(&row, arrival, batch)?;
                again.then_some(What::Message { subscription, number, row, admitted: true })
            }
            What::Foreign { subscription, number, foreign } => {
                batch.acknowledge(&subscription, number);
                let again = self.foreign_input((&subscription, &foreign), arrival, batch)?;
                again.then_some(What::Foreign { subscription, number, foreign })
            }
            What::Waiting(number) => self.waiting_input(number, arrival, batch)?.then_some(What::Waiting(number)),
            What::Alarm(alarm) => self.alarm_input(&alarm, arrival, batch).then_some(What::Alarm(alarm)),
            What::Operation(operation, answer) => {
                let again = self.operation_input(operation, answer, arrival, batch)?;
                again.map(|(operation, answer)| What::Operation(operation, answer))
            }
        };
        Ok(again.map(|what| Input { arrival, what }))
    }

    fn ask_input(&mut self, ask: Ask, arrival: Arrival, batch: &mut Batch) -> std::result::Result<Option<Ask>, Stop> {
        let envelope = &ask.packet.envelope;
        if self.kept_back(arrival.partition, envelope, batch) {
            return Ok(Some(ask));
        }
        match self.record(&envelope.id, batch) {
            Err(Trouble::Missing(table, id)) => {
                self.miss(arrival.partition, envelope, vec![(table, id)], batch);
                return Ok(Some(ask));
            }
            Err(Trouble::Broken(why)) => {
                self.ask_again(vec![ask]);
                return Err(Stop::Crash(why));
            }
            Ok(Some(known)) => {
                let first = if known.is_of(&ask.hash, envelope) { known.first() } else { First::Mismatch };
                batch.firsts.push((ask, first));
                return Ok(None);
            }
            Ok(None) => {}
        }
        let record = CommandRecord::new(ask.hash.clone(), envelope, arrival.received);
        let packet = Arc::new(ask.packet.clone());
        let run = Run { arrival, packet: &packet, role: Role::Command, origin: Origin::Ask, record: Some(record) };
        match self.lane_then_run(run, batch) {
            None => Ok(Some(ask)),
            Some(first) => {
                batch.firsts.push((ask, first));
                Ok(None)
            }
        }
    }

    /// Compares a message with its route's mark, and moves the mark if it is the next one.
    fn admit(&mut self, row: &LogRow, partition: usize) -> bool {
        let Some(held) = self.held.get_mut(partition) else { return false };
        let mark = held.marks.get_mut(&row.route);
        match inbox::seen(row, mark.as_ref().map(|mark| mark.place)) {
            Seen::Next => {
                let next = Mark { place: row.place, moved: true };
                match mark {
                    Some(mark) => *mark = next,
                    None => drop(held.marks.insert(row.route.clone(), next)),
                }
                if !held.gaps.is_empty() {
                    held.gaps.remove(&row.route);
                }
                true
            }
            Seen::Duplicate => {
                self.counters.duplicates += 1;
                false
            }
            Seen::Gap => {
                self.counters.gaps += 1;
                let now = self.clock.monotonic();
                let gap = held.gaps.entry(row.route.clone()).or_insert(Gap { since: now, wants: row.predecessor });
                gap.wants = gap.wants.min(row.predecessor);
                false
            }
        }
    }

    /// True when the message must be run again later in this batch.
    fn message_input(&mut self, row: &LogRow, arrival: Arrival, batch: &mut Batch) -> std::result::Result<bool, Stop> {
        let role = Role::of_topic(&row.route.to.topic);
        let packet = match &row.packet {
            Some(packet) => Ok(packet.clone()),
            None => Packet::parse(&row.raw, |kind| self.registry.record_of(kind)).map(Arc::new),
        };
        match packet {
            // Whatever a context says has a cause: this one came from outside.
            Ok(packet) if role == Role::Command && packet.envelope.causation.is_none() => {
                self.sent_on_input(packet, arrival, batch)
            }
            Ok(packet) => {
                if self.kept_back(arrival.partition, &packet.envelope, batch) {
                    return Ok(true);
                }
                let run = Run { arrival, packet: &packet, role, origin: Origin::Message, record: None };
                Ok(self.lane_then_run(run, batch).is_none())
            }
            Err(error) => {
                self.unreadable(arrival, row, &error.to_string(), batch);
                Ok(false)
            }
        }
    }

    fn waiting_input(&mut self, number: u64, arrival: Arrival, batch: &mut Batch) -> std::result::Result<bool, Stop> {
        let partition = arrival.partition;
        let Some(held) = self.held.get(partition) else { return Ok(false) };
        let Some(head) = held.lanes.head(number).cloned() else { return Ok(false) };
        let Some(waiting) = self.store.waiting(&held.partition, number).map_err(crash)? else {
            // Another owner has settled it: this one is fenced off, and would find it due for ever.
            self.held[partition].lanes.remove(number);
            return Ok(false);
        };
        let role = Role::of_topic(&waiting.topic);
        if head.lane.starts_with(foreign::ASIDE) {
            return self.aside_input((head, &waiting), arrival, batch);
        }
        let packet = match Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)) {
            Ok(packet) => Arc::new(packet),
            Err(error) => {
                let dead = WaitingHead { dead: true, due: None, ..head };
                self.change_waiting(partition, dead, error.to_string(), batch);
                return Ok(false);
            }
        };
        if self.kept_back(arrival.partition, &packet.envelope, batch) {
            return Ok(true);
        }
        let record = match self.outside_record(&packet.envelope, role, batch) {
            Ok(record) => record,
            Err(missing) => {
                self.miss(arrival.partition, &packet.envelope, missing, batch);
                return Ok(true);
            }
        };
        if record.as_ref().is_some_and(CommandRecord::settled) {
            // A copy of it that came another way has been taken meanwhile.
            self.remove_waiting(partition, number, batch);
            return Ok(false);
        }
        let run = Run { arrival, packet: &packet, role, origin: Origin::Waiting(head), record };
        Ok(self.run(run, batch).is_none())
    }

    fn alarm_input(&mut self, alarm: &alarms::Alarm, arrival: Arrival, batch: &mut Batch) -> bool {
        let packet = Arc::new(alarms::own_cause(&alarm.saga, None, arrival.received));
        let moved = self.with_work(arrival, &packet, |work| work.move_saga(&alarm.saga, alarm.input.clone()));
        match moved {
            Ok((Verdict::Done, changes)) => self.apply(changes, arrival, &packet, batch),
            Ok((Verdict::Unknown(..), _)) => {}
            Ok((Verdict::Refused(_) | Verdict::Invalid(_) | Verdict::Fault(_), _)) => {
                // Its next message will fault in the same way and be seen as a dead letter; the alarm itself has nowhere to wait.
                tracing::error!(saga = %alarm.saga, "an alarm of this saga could not be handled");
                // It is tried again, so a saga does not lose its deadline to a fault that passes.
                let again = crate::work::Alarm::Deadline(std::time::Duration::from_secs(60));
                batch.alarms.push((arrival.partition, alarm.saga.clone(), again));
            }
            Err(missing) => {
                self.miss(arrival.partition, &packet.envelope, missing, batch);
                return true;
            }
        }
        false
    }

    pub(super) fn kept_back(&self, partition: usize, envelope: &Envelope, batch: &Batch) -> bool {
        !batch.held_back.is_empty() && batch.held_back.contains(&(partition, envelope.partition_key().into()))
    }

    pub(super) fn miss(&self, partition: usize, envelope: &Envelope, missing: Vec<(Table, Box<str>)>, batch: &mut Batch) {
        batch.held_back.insert((partition, envelope.partition_key().into()));
        batch.missing.extend(missing);
    }

    /// What is known of a command's id.
    pub(super) fn record(&mut self, id: &Arc<str>, batch: &Batch) -> std::result::Result<Option<CommandRecord>, Trouble> {
        if let Some(record) = batch.commands.get(id) {
            return Ok(Some(record.clone()));
        }
        if let Some(record) = self.flight.as_ref().and_then(|flight| flight.batch.commands.get(id)) {
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
    pub(super) fn lane_then_run(&mut self, run: Run<'_>, batch: &mut Batch) -> Option<First> {
        let held = self.held.get(run.arrival.partition)?;
        if !held.lanes.is_empty() {
            let lane = lane(&run);
            if held.lanes.blocked(&lane) {
                let due = Some(run.arrival.received);
                self.put_waiting(&run, lane, due, false, None, 0, "queued behind its lane".to_owned(), batch);
                self.keep_record(run.record, &run.packet.envelope.id, batch);
                return Some(First::Waiting);
            }
        }
        self.run(run, batch)
    }

    pub(super) fn run(&mut self, run: Run<'_>, batch: &mut Batch) -> Option<First> {
        let started = self.clock.now();
        if let Some(why) = &batch.refused {
            let fault = Verdict::Fault(format!("the store refuses what it changes: {why}"));
            return Some(self.settle(run, fault, Changes::default(), started, batch));
        }
        let packet = run.packet.clone();
        let answered_later = matches!(run.origin, Origin::Waiting(_)) && run.record.is_some();
        let ran = match run.role {
            Role::Reply => self.with_work(run.arrival, &packet, |work| answered(work, &packet)),
            Role::Command | Role::Event => self.with_handler(run.arrival, &packet),
        };
        match ran {
            Ok((verdict, changes)) => {
                let first = self.settle(run, verdict, changes, started, batch);
                if answered_later && matches!(first, First::Done { .. } | First::Refused(_)) {
                    foreign::tell(&packet, first.clone(), batch);
                }
                Some(first)
            }
            Err(missing) => {
                self.miss(run.arrival.partition, &packet.envelope, missing, batch);
                None
            }
        }
    }

    fn with_handler(&mut self, arrival: Arrival, packet: &Arc<Packet>) -> Ran {
        let kind = &*packet.envelope.kind;
        let context = self.held.get(arrival.partition).and_then(|held| self.registry.contexts.get(held.context));
        if let Some(context) = context.filter(|context| !context.handlers.contains_key(kind)) {
            // An event that this context does not listen to shares its topic with those it does.
            let own = kind.strip_prefix(context.name).is_some_and(|rest| rest.starts_with('.'));
            let verdict = match packet.envelope.saga.is_none() && !own {
                true => Verdict::Done,
                false => Verdict::Invalid(format!("{kind} is not handled here")),
            };
            return Ok((verdict, Changes::default()));
        }
        let mut invalid = None;
        let ran = self.with_work(arrival, packet, |work| {
            let Some(handler) = work.registry.contexts.get(work.context).and_then(|context| context.handlers.get(kind)) else {
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
        Ok(match invalid {
            Some(why) => (Verdict::Invalid(why), Changes::default()),
            None => ran,
        })
    }

    pub(super) fn with_work(
        &mut self,
        arrival: Arrival,
        packet: &Arc<Packet>,
        body: impl FnOnce(&mut UnitOfWork<'_>) -> Result,
    ) -> Ran {
        let mut work = UnitOfWork {
            registry: &self.registry,
            context: self.held.get(arrival.partition).map_or(0, |held| held.context),
            identity: &mut self.identity,
            store: &mut *self.store,
            cause: &packet.envelope,
            now: arrival.received,
            chance: Chance::seeded(arrival.seed),
            changes: Changes::default(),
            missed: Vec::new(),
            broken: None,
            compared: None,
        };
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut work)));
        if !work.missed.is_empty() {
            return Err(work.missed);
        }
        let result = match (result, work.compared.take(), &packet.envelope.expected) {
            (Ok(_), Some(Err(refused)), _) => Ok(Err(refused)),
            (Ok(Ok(())), None, Some(_)) => Ok(Err(Refusal::no_version().into())),
            (result, ..) => result,
        };
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
}

fn answered(work: &mut UnitOfWork<'_>, packet: &Packet) -> Result {
    let answer: Answer =
        serde_json::from_slice(packet.body()).map_err(|error| Error::fault(format!("the answer cannot be read: {error}")))?;
    let saga = packet.envelope.saga.as_ref().ok_or_else(|| Error::fault("an answer that does not say to which saga"))?;
    work.answered(saga, answer)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
