//! The batch: run, written with one commit, and only then answered and handed on.

use std::sync::Arc;

use super::batch::{Batch, Outgo};
use super::flight::Flight;
use super::held::Mark;
use super::waiters::Waiter;
use super::{Answered, Executor, First, Input, KEEP_COMMANDS, Stop, topic};
use crate::identity::Known;
use crate::log::partition_of;
use crate::message::{Envelope, Packet, Role};
use crate::store::{CommandWrite, Destination, HeadWrite, LogRow, Place, Route, SagaWrite, StateWrite, Writes};
use crate::work::Alarm;

impl Executor {
    /// Runs inputs; what misses something is run again when that has been fetched, later inputs of its key after it.
    pub(super) fn run_all(&mut self, inputs: Vec<Input>, batch: &mut Batch) -> Result<(), Stop> {
        let mut inputs = inputs;
        while !inputs.is_empty() {
            let mut again = Vec::new();
            let mut left = inputs.into_iter();
            while let Some(input) = left.next() {
                match self.process(input, batch) {
                    Ok(back) => again.extend(back),
                    Err(stop) => {
                        again.extend(left);
                        self.not_run(again, std::mem::take(batch));
                        return Err(stop);
                    }
                }
            }
            let wanted: Vec<_> = std::mem::take(&mut batch.missing).into_iter().collect();
            batch.held_back.clear();
            if !wanted.is_empty() {
                let rows = match self.store.fetch(&wanted) {
                    Ok(rows) => rows,
                    Err(error) => {
                        self.not_run(again, std::mem::take(batch));
                        return Err(super::crash(error));
                    }
                };
                for (wanted, row) in wanted.into_iter().zip(rows) {
                    self.identity.fetched(wanted, row);
                }
            }
            inputs = again;
            if inputs.is_empty() {
                inputs = match self.say(batch) {
                    Ok(inputs) => inputs,
                    Err(stop) => {
                        self.not_run(Vec::new(), std::mem::take(batch));
                        return Err(stop);
                    }
                };
            }
        }
        Ok(())
    }

    pub(super) fn writes(&mut self, batch: &mut Batch) -> Result<Writes, Stop> {
        let now = self.clock.now();
        let mut writes = Writes {
            waiting: std::mem::take(&mut batch.waiting),
            operations: std::mem::take(&mut batch.operations),
            pauses: std::mem::take(&mut batch.pauses),
            drops: std::mem::take(&mut self.drops),
            ..Writes::default()
        };
        for (table, id) in &batch.states {
            writes.states.extend(self.state_write(*table, id)?);
        }
        for (id, (partition, entries)) in &batch.sagas {
            writes.sagas.extend(self.saga_write(id, *partition, entries, now)?);
        }
        // Each partition's rows stand together, in the order in which its inputs were run.
        let mut rows = std::mem::take(&mut batch.rows);
        rows.sort_by_key(|(partition, _)| *partition);
        writes.log.reserve(rows.len());
        for (partition, mut row) in rows {
            // The time of the commit is that of all that it writes.
            row.times[2] = now;
            let at = writes.log.len();
            match batch.ranges.last_mut() {
                Some((of, range)) if *of == partition => range.end = at + 1,
                _ => batch.ranges.push((partition, at..at + 1)),
            }
            writes.log.push(row);
        }
        for held in &mut self.held {
            for (route, mark) in &mut held.marks {
                if std::mem::take(&mut mark.moved) {
                    writes.marks.push((held.partition.clone(), route.clone(), mark.place));
                }
            }
        }
        for (id, record) in &batch.commands {
            let body = serde_json::to_vec(record).map_err(|error| Stop::Crash(format!("a command's record: {error}")))?;
            let expires = now.saturating_add(i64::try_from(KEEP_COMMANDS.as_micros()).unwrap_or(i64::MAX));
            writes.commands.push(CommandWrite { id: (**id).into(), expires, body });
        }
        let any = !writes.states.is_empty()
            || !writes.sagas.is_empty()
            || !writes.log.is_empty()
            || !writes.marks.is_empty()
            || !writes.commands.is_empty()
            || !writes.waiting.is_empty()
            || !writes.operations.is_empty()
            || !writes.pauses.is_empty()
            || !writes.drops.is_empty();
        if any {
            // The head of every partition goes along: the fence is checked even where only a mark moved.
            for held in &self.held {
                writes.heads.push(HeadWrite {
                    partition: held.partition.clone(),
                    fence: held.fence,
                    epoch: held.epoch,
                    position: held.position,
                    relayed: held.relay.relayed().filter(|place| place.epoch == held.epoch).map_or(0, |place| place.position),
                });
            }
        }
        for held in &mut self.held {
            for (to, last) in &mut held.destinations {
                if std::mem::take(&mut last.moved) {
                    writes.destinations.push((held.partition.clone(), to.clone(), last.place));
                }
            }
        }
        Ok(writes)
    }

    fn state_write(&self, table: usize, id: &str) -> Result<Option<StateWrite>, Stop> {
        let Some(kind) = self.registry.kind(table) else { return Ok(None) };
        let Some(Known { value, version, before }) = self.identity.value(table, id) else { return Ok(None) };
        let body = (kind.write)(value).map_err(Stop::Crash)?;
        let row = kind.view.as_ref().map(|view| (view.row)(value)).unwrap_or_default();
        let before = before.zip(kind.view.as_ref()).map(|(before, view)| (view.row)(before));
        Ok(Some(StateWrite { table, id: id.into(), version, format: kind.version, body, row, before }))
    }

    fn saga_write(
        &mut self,
        id: &Arc<str>,
        partition: usize,
        entries: &[crate::saga::engine::Entry],
        now: i64,
    ) -> Result<Option<SagaWrite>, Stop> {
        let failed = |error: serde_json::Error| Stop::Crash(format!("saga {id} cannot be written as JSON: {error}"));
        let Some(live) = self.identity.live_mut(id) else { return Ok(None) };
        let older = live.log(now, entries).map_err(failed)?.map(|older| (live.record.lines, older));
        if older.is_some() {
            Arc::make_mut(&mut live.record).lines += 1;
        }
        let body = live.body().map_err(failed)?;
        let stage = live.record.stage();
        let same_stage = live.stage.replace(stage) == Some(stage);
        let start = live.start.take().map(|start| start.to_vec());
        live.version += 1;
        let version = live.version;
        let Some(held) = self.held.get(partition) else { return Ok(None) };
        Ok(Some(SagaWrite {
            id: id.clone(),
            partition: held.partition.clone(),
            version,
            stage: stage.into(),
            same_stage,
            body,
            start,
            log: older.into_iter().collect(),
        }))
    }

    pub(super) fn log_row(&mut self, outgo: &Outgo, now: i64) -> Result<LogRow, Stop> {
        let Outgo { partition, cause, sent, received, started } = outgo;
        let held = self.held.get_mut(*partition).ok_or_else(|| Stop::Crash("a partition that is not held".to_owned()))?;
        let context = self.registry.contexts.get(held.context).map_or("", |context| context.name);
        held.position += 1;
        let place = Place { epoch: held.epoch, position: held.position };
        let (context, role, key) = match sent {
            Some(sent) => (sent.message.context, sent.message.role, &*sent.message.key),
            None => (context, Role::Command, &*cause.envelope.key),
        };
        let topic = self.topics.entry((context, role)).or_insert_with(|| topic(context, role));
        let to = Destination { topic: topic.clone(), partition: partition_of(key, self.settings.partitions) };
        let last = Mark { place, moved: true };
        let predecessor = match held.destinations.get_mut(&to) {
            Some(before) => Some(std::mem::replace(before, last).place),
            None => held.destinations.insert(to.clone(), last).map(|before| before.place),
        };
        let (route, times) = (Route { from: held.partition.clone(), to }, [*received, *started, now]);
        let Some(sent) = sent else {
            return Ok(LogRow { route, place, predecessor, raw: cause.raw().clone(), packet: Some(cause.clone()), times });
        };
        let message = &sent.message;
        let envelope = Envelope {
            id: held.row_id(),
            source: held.partition.context.clone(),
            kind: message.kind.into(),
            key: message.key.clone(),
            time: now,
            trace: cause.envelope.trace.clone().or_else(|| sent.trace.clone()),
            correlation: sent.correlation.clone().unwrap_or_else(|| cause.envelope.correlation.clone()),
            causation: Some(cause.envelope.id.clone()),
            actor: sent.actor.clone().unwrap_or_else(|| cause.envelope.actor.clone()),
            tenant: cause.envelope.tenant.clone(),
            saga: sent.saga.clone(),
            answer_to: None,
            expected: None,
        };
        let packet = Packet::encode(envelope, message.record, &message.body)
            .map_err(|error| Stop::Crash(format!("a message cannot be written as JSON: {error}")))?;
        Ok(LogRow { route, place, predecessor, raw: packet.raw().clone(), packet: Some(Arc::new(packet)), times })
    }

    /// What waited for the commit.
    pub(super) fn after(&mut self, flight: Flight) {
        let Flight { batch, writes, number, inputs, sealed } = flight;
        let now = self.clock.monotonic();
        self.counters.commits += u64::from(!writes.heads.is_empty());
        self.counters.sagas_ended += batch.ended.len() as u64;
        if !writes.heads.is_empty() {
            // Before anybody is told: who has been told finds it counted.
            let ended: Vec<_> = batch.ended.iter().map(|ended| &*ended.record).collect();
            self.measure(inputs, now.saturating_sub(sealed), &ended);
        }
        for tap in &mut self.taps {
            tap.committed(&writes);
        }
        for (index, range) in batch.ranges {
            if let (Some(held), Some(rows)) = (self.held.get_mut(index), writes.log.get(range)) {
                held.relay.committed(rows, now, &mut *self.broker);
            }
        }
        // What was taken from a route that begins in this very store needs no other receipt.
        for (_, route, place) in &writes.marks {
            if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                held.relay.receipt(route, *place);
            }
        }
        for (subscription, number) in batch.acknowledged {
            self.broker.acknowledge(&subscription, number);
        }
        for (partition, saga, alarm) in batch.alarms {
            let Some(held) = self.held.get(partition) else { continue };
            match alarm {
                Alarm::Deadline(within) => {
                    // Most have ended in the batch that began them, and wait for nothing.
                    if let Some(live) = self.identity.live(&saga).filter(|live| !live.record.run.stage.ended()) {
                        self.alarms.deadline(&held.partition, &saga, &live.record.run, now + within);
                    }
                }
                Alarm::NoDeadline => self.alarms.no_deadline(&saga),
                Alarm::Resend { row, index, attempt, after } => {
                    self.alarms.resend(&held.partition, &saga, row, index, attempt, now + after);
                }
            }
        }
        for (mut ask, first) in batch.firsts {
            ask.listener.first(&first);
            if let First::Done { saga: Some(saga), .. } = &first
                && ask.listener.waits()
            {
                self.wait(saga, Waiter::Here(ask.listener), now);
            }
        }
        for (to, answered) in batch.answers {
            self.broker.answer(&to, &answered);
            if let Answered { command, first: Some(First::Done { saga: Some(saga), .. }), .. } = answered {
                self.wait(&saga, Waiter::Elsewhere { to, command }, now);
            }
        }
        for ended in batch.ended {
            self.alarms.forget(&ended.saga);
            self.identity.forget_saga(&ended.saga, number);
            self.tell_outcome(&ended);
        }
        self.after_operation(batch.turned, &writes.pauses, now);
        for (answer, result) in batch.replies {
            answer(result);
        }
        self.begun(batch.begun);
    }
}
