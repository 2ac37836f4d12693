//! The unit of work: load, decide, save; what one handler changed, as a value.
//!
//! A handler gets a [`UnitOfWork`] and nothing else: no clock, no connection, no publish function. What it changed is kept beside the
//! batch until it has returned; a refusal, a fault or a panic drops it, and nobody else has seen it.

use std::any::TypeId;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Outbox, Outgoing, Publish};
use crate::clock::Chance;
use crate::command::{Error, Refusal, Result};
use crate::context::{Registry, Shared};
use crate::identity::{Identity, Live, SagaRecord};
use crate::message::{Command, Envelope, SagaRef, partition_key};
use crate::saga::engine::{self, Effect, Entry, Input};
use crate::saga::{Abort, Answer, Operator, Outcome, SagaState};
use crate::store::{Store, Table};

/// A message that leaves a unit of work.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub message: Outgoing,
    pub saga: Option<SagaRef>,
    pub correlation: Option<Arc<str>>,
    pub actor: Option<Arc<str>>,
    /// Whose trace it belongs to when its cause belongs to none.
    pub trace: Option<Arc<str>>,
}

/// What may happen to a saga later, counted from the commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Alarm {
    Deadline(std::time::Duration),
    NoDeadline,
    Resend { row: u16, index: u32, attempt: u16, after: std::time::Duration },
}

/// A saga that ended in this unit.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub saga: Arc<str>,
    pub record: Arc<SagaRecord>,
}

/// What one handler changed.
#[derive(Default)]
pub(crate) struct Changes {
    pub states: Vec<Change>,
    pub sent: Vec<Sent>,
    pub sagas: Vec<SagaChange>,
    pub alarms: Vec<(Arc<str>, Alarm)>,
    pub ended: Vec<Ended>,
    /// The saga that the unit started or asked to be undone.
    pub saga: Option<Arc<str>>,
    /// More for the first answer.
    pub told: serde_json::Value,
}

pub(crate) struct Change {
    pub table: usize,
    pub id: Box<str>,
    pub version: u64,
    pub value: Shared,
}

pub(crate) struct SagaChange {
    pub id: Arc<str>,
    pub live: Arc<Live>,
    pub log: Vec<Entry>,
}

/// What a handler works with. It loads by id, changes what it loaded, and saves it; the executor commits.
pub struct UnitOfWork<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) context: usize,
    pub(crate) identity: &'a mut Identity,
    pub(crate) store: &'a mut dyn Store,
    pub(crate) cause: &'a Envelope,
    pub(crate) now: i64,
    pub(crate) chance: Chance,
    pub(crate) changes: Changes,
    /// What was not in memory: the unit is run again when it has been fetched.
    pub(crate) missed: Vec<(Table, Box<str>)>,
    /// Set by the first fault, so a handler cannot swallow it.
    pub(crate) broken: Option<String>,
    /// What came of the versions that the command expects, once they have been compared: a handler cannot swallow that either.
    pub(crate) compared: Option<Result>,
}

impl UnitOfWork<'_> {
    /// When the input was received: microseconds since 1970, UTC. The same each time the input is run.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Who asked.
    pub fn actor(&self) -> &str {
        &self.cause.actor
    }

    /// The id of the message that is handled.
    pub fn message_id(&self) -> &str {
        &self.cause.id
    }

    /// Whether a saga sent the command that is handled: it then carries the facts that it rests on.
    pub fn in_saga(&self) -> bool {
        self.cause.saga.is_some()
    }

    /// A new id: a UUID version 7. The same each time the input is run.
    pub fn mint(&mut self) -> String {
        self.chance.uuid_v7(self.now).to_string()
    }

    /// The aggregate with this id under the unit's own key, if there is one.
    ///
    /// # Errors
    /// A fault when the id belongs under another key or the stored state cannot be read; a miss, to be passed on.
    pub fn find<A: Aggregate>(&mut self, id: impl AsRef<str>) -> Result<Option<A>> {
        let id = id.as_ref();
        self.own(id)?;
        let found = self.get::<A>(id)?;
        self.compare::<A>(id)?;
        Ok(found.map(|aggregate| A::clone(&aggregate)))
    }

    /// The aggregate with this id under the unit's own key.
    ///
    /// # Errors
    /// Unknown when there is none; else as [`UnitOfWork::find`].
    pub fn load<A: Aggregate>(&mut self, id: impl AsRef<str>) -> Result<A> {
        let id = id.as_ref();
        self.find::<A>(id)?.ok_or_else(|| Error::Unknown { kind: A::KIND, id: id.into() })
    }

    /// Any aggregate of this context, shared and never saved. Under another key it may be a moment old: no invariant may rest on it.
    ///
    /// # Errors
    /// A fault when the stored state cannot be read; a miss, to be passed on.
    pub fn read<A: Aggregate>(&mut self, id: impl AsRef<str>) -> Result<Option<Arc<A>>> {
        let id = id.as_ref();
        let found = self.get::<A>(id)?;
        if partition_key(id) != self.cause.partition_key() {
            self.identity.borrowed(self.registry.table_of::<A>(self.context)?, id);
        }
        Ok(found)
    }

    /// Saves an aggregate with the events of its change, which are published in the same commit. Without an event nothing is
    /// written: it was so already.
    ///
    /// # Errors
    /// A fault when the id belongs under another key, or a new aggregate has the id of one that this unit has not loaded.
    pub fn save<A: Publish>(&mut self, aggregate: A, events: impl IntoIterator<Item = A::Event>) -> Result {
        let table = self.registry.table_of::<A>(self.context)?;
        self.own(aggregate.id())?;
        let mut out = Outbox::default();
        let mut any = false;
        for event in events {
            any = true;
            aggregate.publish(event, &mut out);
        }
        if let Some(why) = out.error {
            return self.fault(why);
        }
        if !any {
            return Ok(());
        }
        self.changes.sent.extend(out.events.into_iter().map(|message| Sent {
            message,
            saga: None,
            correlation: None,
            actor: None,
            trace: None,
        }));
        if let Some(change) = self.changes.states.iter_mut().find(|change| change.table == table && &*change.id == aggregate.id())
        {
            change.value = Arc::new(aggregate);
            return Ok(());
        }
        // Existence is looked up before a save, so the version that the commit expects is the stored one.
        let version = self.version(Table::State(table), aggregate.id())?;
        let id = aggregate.id().into();
        self.changes.states.push(Change { table, id, version: version + 1, value: Arc::new(aggregate) });
        Ok(())
    }

    /// Adds to the first answer that whoever asked over HTTP gets: members of an object. A saga hears nothing of it.
    pub fn tell(&mut self, answer: serde_json::Value) {
        self.changes.told = answer;
    }

    /// Sends a command, in the same commit. A reaction that must change something under another key sends its own context one.
    ///
    /// # Errors
    /// A fault when the command cannot be written as JSON.
    pub fn send<C: Command>(&mut self, command: &C) -> Result {
        match Outgoing::of(command) {
            Ok(message) => {
                self.changes.sent.push(Sent { message, saga: None, correlation: None, actor: None, trace: None });
                Ok(())
            }
            Err(error) => self.fault(format!("{} cannot be written as JSON: {error}", C::KIND)),
        }
    }

    /// Starts a saga under the unit's own key and returns its id. The unit of work itself is row 1.
    ///
    /// # Errors
    /// A fault when no table of this context has this state.
    pub fn start<S: SagaState>(&mut self, state: S) -> Result<Arc<str>> {
        let of_context = self.registry.contexts.get(self.context);
        let definition = of_context
            .and_then(|context| context.sagas.get(*context.saga_types.get(&TypeId::of::<S>())?))
            .ok_or_else(|| Error::fault("no saga of this context has this state: register it in lib.rs"))?;
        let body = serde_json::to_vec(&state)
            .map_err(|error| Error::fault(format!("the state of {} cannot be written as JSON: {error}", definition.name)))?;
        let id: Arc<str> = format!("{}~{:016x}", self.cause.partition_key(), self.chance.bits()).into();
        let state: Shared = Arc::new(state);
        let shape = Arc::new((definition.shape)(&*state));
        let (run, effects) = engine::start(&shape);
        let record = SagaRecord {
            name: definition.name.into(),
            version: definition.version,
            context: self.registry.contexts.get(self.context).map_or("", |context| context.name).into(),
            correlation: self.cause.correlation.clone(),
            actor: self.cause.actor.clone(),
            answer_to: self.cause.answer_to.clone(),
            command: self.cause.id.clone(),
            trace: self.cause.trace.clone(),
            started: self.now,
            updated: self.now,
            lines: 0,
            stuck: false,
            run,
            log: Vec::new(),
        };
        let live =
            Live { version: 0, record: Arc::new(record), state, shape, start: Some(body.into()), tail: Vec::new(), stage: None };
        self.carry_out(&id, live, effects)?;
        self.changes.saga = Some(id.clone());
        Ok(id)
    }

    /// Asks a saga of this key to be undone.
    ///
    /// # Errors
    /// Unknown when there is no such saga; a fault when it lives under another key.
    pub fn abort(&mut self, saga: &str, reason: &str) -> Result<Abort> {
        self.own(saga)?;
        let live = self.saga(saga)?;
        let would = live.record.run.abort_would(&live.shape);
        if would == Abort::Undoing {
            self.move_saga(saga, Input::Abort { reason: reason.to_owned() })?;
        }
        self.changes.saga = Some(saga.into());
        Ok(would)
    }

    pub(crate) fn saga(&mut self, id: &str) -> Result<Arc<Live>> {
        if let Some(change) = self.changes.sagas.iter().find(|change| &*change.id == id) {
            return Ok(change.live.clone());
        }
        match self.identity.saga(self.registry, self.store, id) {
            Ok(Some(live)) => Ok(live),
            Ok(None) => Err(Error::Unknown { kind: "saga", id: id.into() }),
            Err(error) => self.note(error),
        }
    }

    /// Moves a saga by one input and carries out the effects.
    pub(crate) fn move_saga(&mut self, id: &str, input: Input) -> Result {
        let live = self.saga(id)?;
        let (run, effects) = engine::step(&live.shape, live.record.run.clone(), input);
        if run == live.record.run && effects.is_empty() {
            return Ok(());
        }
        let id: Arc<str> = id.into();
        let next = Live { record: Arc::new(live.record.at(run)), ..Live::clone(&live) };
        self.carry_out(&id, next, effects)
    }

    /// Moves a saga by the answer to one of its commands. What an operator did with it stands in the log, with who it was and why.
    pub(crate) fn answered(&mut self, saga: &SagaRef, answer: Answer) -> Result {
        let SagaRef { row, index, attempt, direction, .. } = *saga;
        match (answer.outcome, answer.operator) {
            (Outcome::Dead, Some(Operator { did, actor, reason })) => {
                self.move_saga(&saga.id, Input::Decided { row, index, did, reason, actor })
            }
            (outcome, operator) => {
                self.move_saga(&saga.id, Input::Answer { row, index, direction, attempt, outcome })?;
                let line = self.changes.sagas.iter_mut().find(|change| change.id == saga.id);
                if let (Some(entry), Some(operator)) = (line.and_then(|change| change.log.first_mut()), operator) {
                    entry.actor = Some(operator.actor);
                    entry.detail = entry.detail.take().or(operator.reason);
                }
                Ok(())
            }
        }
    }

    fn carry_out(&mut self, id: &Arc<str>, mut live: Live, effects: Vec<Effect>) -> Result {
        let context = self.registry.context(&live.record.context).unwrap_or(self.context);
        let definition = self.registry.saga(context, &live.record.name, live.record.version).ok_or_else(|| {
            Error::fault(format!("this build has no version {} of the saga {}", live.record.version, live.record.name))
        })?;
        let mut lines = Vec::new();
        let mut ended = false;
        for effect in effects {
            match effect {
                Effect::Send { row, index, direction, attempt } => {
                    let message = (definition.make)(&*live.state, row, index as usize, direction)
                        .ok_or_else(|| Error::fault(format!("row {row} of {} has no such command", definition.name)))?
                        .map_err(|error| Error::fault(format!("row {row} of {}: {error}", definition.name)))?;
                    let saga = SagaRef { id: id.clone(), context: live.record.context.clone(), row, index, direction, attempt };
                    let record = &live.record;
                    self.changes.sent.push(Sent {
                        message,
                        saga: Some(saga),
                        correlation: Some(record.correlation.clone()),
                        actor: Some(record.actor.clone()),
                        trace: record.trace.clone(),
                    });
                }
                Effect::Deadline(within) => self.changes.alarms.push((id.clone(), Alarm::Deadline(within))),
                Effect::NoDeadline => self.changes.alarms.push((id.clone(), Alarm::NoDeadline)),
                Effect::Resend { row, index, attempt, after } => {
                    self.changes.alarms.push((id.clone(), Alarm::Resend { row, index, attempt, after }));
                }
                Effect::Log(entry) => lines.push(entry),
                Effect::Ended => ended = true,
            }
        }
        let stuck = live.record.run.stuck(&live.shape);
        let record = Arc::make_mut(&mut live.record);
        record.updated = self.now;
        record.stuck = stuck;
        if ended {
            self.changes.ended.push(Ended { saga: id.clone(), record: live.record.clone() });
        }
        let live = Arc::new(live);
        if let Some(change) = self.changes.sagas.iter_mut().find(|change| change.id == *id) {
            change.live = live;
            change.log.extend(lines);
        } else {
            self.changes.sagas.push(SagaChange { id: id.clone(), live, log: lines });
        }
        Ok(())
    }

    /// Compares the version of the aggregate that the command is for with those that it expects. Earlier inputs of the batch count: what
    /// they changed has the next version already.
    fn compare<A: Aggregate>(&mut self, id: &str) -> Result {
        let Some(expected) = self.cause.expected.as_ref().filter(|_| *id == *self.cause.key) else { return Ok(()) };
        let table = self.registry.table_of::<A>(self.context)?;
        let version = self.identity.value(table, id).map_or(0, |known| known.version);
        let compared = if expected.allows(version) { Ok(()) } else { Err(Refusal::precondition(version).into()) };
        self.compared = Some(compared.clone());
        compared
    }

    fn own(&mut self, id: &str) -> Result {
        if partition_key(id) == self.cause.partition_key() {
            return Ok(());
        }
        let why = format!("{id:?} is not under the key {:?} of this unit of work", self.cause.partition_key());
        self.fault(why)
    }

    fn get<A: Aggregate>(&mut self, id: &str) -> Result<Option<Arc<A>>> {
        let table = self.registry.table_of::<A>(self.context)?;
        let changed = self.changes.states.iter().find(|change| change.table == table && &*change.id == id);
        let value = match changed {
            Some(change) => Some(change.value.clone()),
            None => match self.identity.state(self.registry, self.store, table, id) {
                Ok(value) => value,
                Err(error) => return self.note(error),
            },
        };
        match value.map(Arc::downcast::<A>) {
            None => Ok(None),
            Some(Ok(aggregate)) => Ok(Some(aggregate)),
            Some(Err(_)) => self.fault(format!("{} {id:?} is of another type", A::KIND)),
        }
    }

    fn version(&mut self, table: Table, id: &str) -> Result<u64> {
        match self.identity.version(self.registry, self.store, table, id) {
            Ok(version) => Ok(version),
            Err(error) => self.note(error),
        }
    }

    fn note<T>(&mut self, error: crate::identity::Trouble) -> Result<T> {
        match error {
            crate::identity::Trouble::Missing(table, id) => {
                self.missed.push((table, id));
                Err(Error::Miss)
            }
            crate::identity::Trouble::Broken(why) => self.fault(why),
        }
    }

    fn fault<T>(&mut self, why: String) -> Result<T> {
        self.broken.get_or_insert_with(|| why.clone());
        Err(Error::fault(why))
    }
}
