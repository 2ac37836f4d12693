//! What comes of a run: its changes, or one of the kinds of "no", gathered into the batch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Origin, Outgo, Run, Verdict};
use super::{Arrival, CommandRecord, Executor, First};
use crate::aggregate::Outgoing;
use crate::command::Refusal;
use crate::inbox;
use crate::message::{Packet, Role};
use crate::saga::{ANSWER_KIND, ANSWER_RECORD, Answer, Outcome};
use crate::store::{About, LogRow, Waiting, WaitingHead, WaitingWrite};
use crate::work::{Changes, Sent};

impl Executor {
    pub(super) fn settle(
        &mut self,
        mut run: Run<'_>,
        verdict: Verdict,
        changes: Changes,
        started: i64,
        batch: &mut Batch,
    ) -> First {
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
                self.apply_at(changes, run.arrival, run.packet, started, batch);
                if in_saga {
                    self.answer_saga(run.arrival, run.packet, Outcome::Done, batch);
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
                    self.answer_saga(run.arrival, run.packet, Outcome::Refused(refusal.clone()), batch);
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
    pub(super) fn unknown(&self, run: &Run<'_>, kind: &'static str, id: &str) -> Verdict {
        let envelope = &run.packet.envelope;
        if run.role != Role::Command || envelope.saga.is_some() {
            return Verdict::Fault(format!("no {kind} {id:?} is known"));
        }
        let context = self.held.get(run.arrival.partition).and_then(|held| self.registry.contexts.get(held.context));
        let declared = context.and_then(|context| context.handlers.get(&*envelope.kind)).is_some_and(|handler| handler.early);
        let from_another = envelope.causation.is_some() && context.is_some_and(|context| context.name != &*envelope.source);
        let from_another = from_another || run.record.as_ref().is_some_and(|record| record.foreign);
        let refused = || Verdict::Refused(Refusal::unknown(kind, id));
        match &run.origin {
            _ if !declared && !from_another && run.record.is_some() => refused(),
            _ if !declared && !from_another => Verdict::Fault(format!("no {kind} {id:?} is known")),
            Origin::Waiting(head) if head.not_yet.is_some_and(|until| run.arrival.received >= until) => refused(),
            Origin::Ask | Origin::Message | Origin::Waiting(_) => Verdict::Unknown(kind, id.into()),
        }
    }

    pub(super) fn not_yet(&mut self, run: &Run<'_>, why: String, batch: &mut Batch) {
        let limit = i64::try_from(self.limits.not_yet.as_micros()).unwrap_or(i64::MAX);
        match &run.origin {
            Origin::Waiting(head) => {
                let until = head.not_yet.unwrap_or(run.arrival.received + limit);
                let pause = 250_000_i64 << head.attempts.min(5);
                let due = (run.arrival.received + pause).min(until.max(run.arrival.received + 1));
                let head = WaitingHead { attempts: head.attempts + 1, due: Some(due), not_yet: Some(until), ..head.clone() };
                self.change_waiting(run.arrival.partition, head, why, batch);
            }
            Origin::Ask | Origin::Message => {
                let lane = format!("yet|{}", run.packet.envelope.id).into();
                let due = Some(run.arrival.received + 250_000);
                self.put_waiting(run, lane, due, false, Some(run.arrival.received + limit), 1, why, batch);
            }
        }
    }

    /// Another attempt later, or a dead letter.
    pub(super) fn faulted(&mut self, run: &mut Run<'_>, why: String, at_once: bool, batch: &mut Batch) {
        let before = match &run.origin {
            Origin::Waiting(head) => head.attempts,
            Origin::Ask | Origin::Message => 0,
        };
        let attempts = before + 1;
        let dead = at_once || attempts >= inbox::ATTEMPTS;
        let wait = inbox::backoff(attempts, &mut self.chance);
        let due = (!dead).then(|| run.arrival.received + micros(wait));
        if dead {
            self.counters.dead_letters += 1;
            tracing::error!(kind = %run.packet.envelope.kind, key = %run.packet.envelope.key, why, "dead letter: its lane waits for an operator");
            if run.role == Role::Command {
                self.answer_saga(run.arrival, run.packet, Outcome::Dead, batch);
            }
            if let Some(record) = &mut run.record {
                record.status = "dead-letter".into();
            }
        }
        match &run.origin {
            Origin::Waiting(head) => {
                let head = WaitingHead { attempts, due, dead, not_yet: None, ..head.clone() };
                self.change_waiting(run.arrival.partition, head, why, batch);
            }
            Origin::Ask | Origin::Message => {
                let lane = lane(run);
                self.put_waiting(run, lane, due, dead, None, attempts, why, batch);
            }
        }
        self.keep_record(run.record.take(), &run.packet.envelope.id, batch);
    }

    /// A message whose envelope cannot be read: kept as a dead letter in a lane of its own; whom it would have been for is not known.
    pub(super) fn unreadable(&mut self, arrival: Arrival, row: &LogRow, why: &str, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(arrival.partition) else { return };
        let number = held.lanes.mint(arrival.received);
        let lane = format!("unreadable|{}|{}", row.route.from, row.place.position).into();
        let head = WaitingHead { number, lane, attempts: 1, due: None, dead: true, not_yet: None };
        let topic = Role::of_topic(&row.route.to.topic).topic().into();
        held.lanes.put(head.clone());
        self.counters.dead_letters += 1;
        let reason = format!("unreadable: {why}");
        let waiting = Waiting { head, topic, about: None, reason, raw: row.raw.clone(), since: arrival.received, revision: 1 };
        batch.waiting.push(WaitingWrite::Put(held.partition.clone(), waiting));
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row")]
    pub(super) fn put_waiting(
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
        let Some(held) = self.held.get_mut(run.arrival.partition) else { return };
        let head = WaitingHead { number: held.lanes.mint(run.arrival.received), lane, attempts, due, dead, not_yet };
        held.lanes.put(head.clone());
        self.counters.waiting += 1;
        let raw = run.packet.raw().clone();
        let about = About::of(&run.packet.envelope);
        let (topic, since) = (run.role.topic().into(), run.arrival.received);
        let waiting = Waiting { head, topic, about: Some(about), reason, raw, since, revision: 1 };
        batch.waiting.push(WaitingWrite::Put(held.partition.clone(), waiting));
    }

    pub(super) fn change_waiting(&mut self, partition: usize, head: WaitingHead, reason: String, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.lanes.change(head.clone());
        batch.waiting.push(WaitingWrite::Change(held.partition.clone(), head, reason));
    }

    pub(super) fn remove_waiting(&mut self, partition: usize, number: u64, batch: &mut Batch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.lanes.remove(number);
        batch.waiting.push(WaitingWrite::Remove(held.partition.clone(), number));
    }

    /// A waiting message that has been settled leaves the table.
    pub(super) fn settled(&mut self, run: &Run<'_>, batch: &mut Batch) {
        if let Origin::Waiting(head) = &run.origin {
            self.remove_waiting(run.arrival.partition, head.number, batch);
        }
    }

    pub(super) fn keep_record(&mut self, record: Option<CommandRecord>, id: &Arc<str>, batch: &mut Batch) {
        if let Some(record) = record {
            batch.commands.insert(id.clone(), record);
        }
    }

    /// Answers the saga that sent a command, in the commit that settles it, or in which an operator decided about it.
    pub(super) fn answer_saga(&mut self, arrival: Arrival, packet: &Arc<Packet>, answer: impl Into<Answer>, batch: &mut Batch) {
        let Some(saga) = packet.envelope.saga.clone() else { return };
        let body = match serde_json::to_vec(&answer.into()) {
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
            Outgoing { context, role: Role::Reply, kind: ANSWER_KIND, record: ANSWER_RECORD, key: saga.id.clone(), body };
        let sent = Sent { message, saga: Some(saga), correlation: None, actor: None, trace: None };
        let (Arrival { partition, received, .. }, started) = (arrival, self.clock.now());
        batch.sent.push(Outgo { partition, cause: packet.clone(), sent: Some(sent), received, started });
    }

    pub(super) fn apply(&mut self, changes: Changes, arrival: Arrival, packet: &Arc<Packet>, batch: &mut Batch) {
        let started = self.clock.now();
        self.apply_at(changes, arrival, packet, started, batch);
    }

    pub(super) fn apply_at(&mut self, changes: Changes, arrival: Arrival, packet: &Arc<Packet>, started: i64, batch: &mut Batch) {
        let Arrival { partition, received, .. } = arrival;
        self.identity.merge(&changes.states, &changes.sagas);
        batch.states.extend(changes.states.into_iter().map(|change| (change.table, change.id)));
        let answer = (*packet.envelope.kind == *ANSWER_KIND).then(|| packet.envelope.id.rsplit_once('/')).flatten();
        let position: Option<u64> = answer.and_then(|(_, position)| position.parse().ok());
        for mut change in changes.sagas {
            // The first line is about the answer; those behind it say what follows from that.
            if let Some(entry) = change.log.first_mut() {
                entry.by = position;
            }
            batch.sagas.entry(change.id).or_insert_with(|| (partition, Vec::new())).1.extend(change.log);
        }
        let sent =
            changes.sent.into_iter().map(|sent| Outgo { partition, cause: packet.clone(), sent: Some(sent), received, started });
        batch.sent.extend(sent);
        batch.alarms.extend(changes.alarms.into_iter().map(|(saga, alarm)| (partition, saga, alarm)));
        batch.ended.extend(changes.ended);
    }
}

/// The lane of a message. What producers of their own send is apart from what contexts and edges do: it holds up nobody else.
pub(super) fn lane(run: &Run<'_>) -> Arc<str> {
    if run.record.as_ref().is_some_and(|record| record.foreign) {
        let envelope = &run.packet.envelope;
        return format!("foreign|{}|{}", envelope.key, envelope.source).into();
    }
    inbox::lane(&run.packet.envelope, run.role)
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
