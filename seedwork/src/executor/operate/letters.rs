//! Edit, replay and discard: what an operator decides on dead letters.

use std::sync::Arc;

use super::{Decided, Step};
use crate::command::Refusal;
use crate::executor::batch::Batch;
use crate::executor::{Arrival, Executor, Stop, crash};
use crate::identity::Trouble;
use crate::message::{Packet, Role};
use crate::saga::{ANSWER_KIND, Answer, Operator, Outcome};
use crate::store::{Partition, StoreError, Waiting, WaitingHead, WaitingWrite};

/// A dead letter as somebody saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number in its partition.
    pub number: u64,
    /// Its revision when it was seen; none: whatever it is now.
    pub revision: Option<u64>,
}

impl From<&WaitingHead> for Letter {
    fn from(head: &WaitingHead) -> Letter {
        Letter { number: head.number, revision: None }
    }
}

/// What happens to dead letters.
#[derive(Clone, Copy)]
pub(super) enum Fate<'a> {
    Replay(Option<&'a str>),
    Discard(&'a str),
}

/// What an operator does, as the saga that sent the command is told.
pub(super) fn did(what: &'static str, actor: &Arc<str>, reason: Option<&str>) -> Operator {
    Operator { did: what.into(), actor: actor.clone(), reason: reason.map(str::to_owned) }
}

impl Executor {
    /// The waiting messages of its partitions, dead letters included, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&mut self) -> Result<Vec<(Partition, Waiting)>, StoreError> {
        let mut all = Vec::new();
        for held in &self.held {
            let numbers: Vec<u64> = held.lanes.heads().map(|head| head.number).collect();
            for number in numbers {
                if let Some(waiting) = self.store.waiting(&held.partition, number)? {
                    all.push((held.partition.clone(), waiting));
                }
            }
        }
        Ok(all)
    }

    /// A dead letter, if it is still as it was seen.
    fn dead_letter(&mut self, partition: usize, letter: Letter) -> Result<Result<Waiting, Refusal>, Stop> {
        let unknown = || Refusal::unknown("dead letter", &letter.number.to_string());
        let Some(held) = self.held.get(partition) else { return Ok(Err(unknown())) };
        let Some(head) = held.lanes.head(letter.number).cloned() else { return Ok(Err(unknown())) };
        let waiting = self.store.waiting(&held.partition, letter.number).map_err(crash)?;
        Ok(match waiting {
            None => Err(unknown()),
            Some(_) if !head.dead => {
                Err(Refusal::conflict("not-dead", "it is no dead letter any more: it waits, and is tried by itself"))
            }
            Some(waiting) if letter.revision.is_some_and(|seen| seen != waiting.revision) => {
                let why = format!("it has changed since it was seen: this is revision {}", waiting.revision);
                Err(Refusal::conflict("letter-changed", why).with(serde_json::json!({"revision": waiting.revision})))
            }
            Some(waiting) => Ok(waiting),
        })
    }

    /// Replays or discards those that are still as they were seen, and says which are not.
    pub(super) fn decide_letters(
        &mut self,
        letters: &[Letter],
        fate: Fate<'_>,
        actor: &Arc<str>,
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<Step, Stop> {
        let Arrival { partition, received, .. } = arrival;
        let (mut found, mut changed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for letter in letters {
            let waiting = match self.dead_letter(partition, *letter)? {
                Ok(waiting) => waiting,
                Err(refusal) => {
                    changed.push((letter.number, refusal));
                    continue;
                }
            };
            let packet = Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)).ok().map(Arc::new);
            let record = match (&packet, fate) {
                (Some(packet), Fate::Discard(_)) => match self.record(&packet.envelope.id, batch) {
                    Ok(record) => record,
                    Err(Trouble::Missing(table, id)) => {
                        missing.push((table, id));
                        None
                    }
                    Err(Trouble::Broken(why)) => return Err(Stop::Crash(why)),
                },
                _ => None,
            };
            let command = waiting.topic.as_ref() == Role::Command.topic();
            found.push((waiting.head, packet, record, command));
        }
        if !missing.is_empty() {
            batch.missing.extend(missing);
            return Ok(Step::Again);
        }
        let mut done = Vec::new();
        for (head, packet, record, command) in found {
            done.push(head.number);
            match fate {
                Fate::Replay(reason) => {
                    if let Some(packet) = packet.filter(|_| command) {
                        let answer = Answer { outcome: Outcome::Dead, operator: Some(did("replayed", actor, reason)) };
                        self.answer_saga(arrival, &packet, answer, batch);
                    }
                    let again = WaitingHead { attempts: 0, due: Some(received), dead: false, not_yet: None, ..head };
                    self.change_waiting(partition, again, "replayed by an operator".to_owned(), batch);
                }
                Fate::Discard(reason) => {
                    if let Some(packet) = packet {
                        let refusal = Refusal::conflict("discarded", reason).with(serde_json::json!({"actor": actor}));
                        let operator = Some(did("discarded", actor, Some(reason)));
                        let answer = Answer { outcome: Outcome::Refused(refusal.clone()), operator };
                        self.answer_saga(arrival, &packet, answer, batch);
                        if let Some(mut record) = record {
                            record.status = "refused".into();
                            record.refusal = Some(refusal);
                            batch.commands.insert(packet.envelope.id.clone(), record);
                        }
                    }
                    self.remove_waiting(partition, head.number, batch);
                }
            }
        }
        Ok(Step::Answer(Ok(Decided::Letters { done, changed })))
    }

    /// Gives a dead letter another body, which must be one of its kind and for its key. The bytes as they came are kept.
    pub(super) fn edit(
        &mut self,
        letter: Letter,
        body: &[u8],
        did: Operator,
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<Step, Stop> {
        let partition = arrival.partition;
        let waiting = match self.dead_letter(partition, letter)? {
            Ok(waiting) => waiting,
            Err(refusal) => return Ok(Step::Answer(Err(refusal.into()))),
        };
        Ok(Step::Answer(match self.edited(partition, &waiting, body) {
            Err(refusal) => Err(refusal.into()),
            Ok(packet) => {
                if let Some(held) = self.held.get(partition) {
                    batch.waiting.push(WaitingWrite::Edit(held.partition.clone(), letter.number, packet.raw().clone()));
                }
                if waiting.topic.as_ref() == Role::Command.topic() {
                    let answer = Answer { outcome: Outcome::Dead, operator: Some(did) };
                    self.answer_saga(arrival, &Arc::new(packet), answer, batch);
                }
                Ok(Decided::Letters { done: vec![letter.number], changed: Vec::new() })
            }
        }))
    }

    fn edited(&self, partition: usize, waiting: &Waiting, body: &[u8]) -> Result<Packet, Refusal> {
        let packet = Packet::parse(&waiting.raw, |kind| self.registry.record_of(kind)).map_err(|error| {
            let why = format!("its envelope cannot be read ({error}), so nothing can be put into it: discard it");
            Refusal::conflict("letter-unreadable", why)
        })?;
        let kind = &*packet.envelope.kind;
        let wrong = |why: String| Refusal::unprocessable("body-invalid", "body", why);
        if waiting.topic.as_ref() == Role::Reply.topic() && kind == ANSWER_KIND {
            serde_json::from_slice::<Answer>(body).map_err(|error| wrong(error.to_string()))?;
        } else {
            let context = self.held.get(partition).and_then(|held| self.registry.contexts.get(held.context));
            let handler = context.and_then(|context| context.handlers.get(kind)).ok_or_else(|| {
                Refusal::conflict("kind-unknown", format!("{kind} is not handled here, so no body of it can be checked"))
            })?;
            let key = (handler.key)(body).map_err(|error| wrong(format!("it is no {kind}: {error}")))?;
            if *key != *packet.envelope.key {
                let why =
                    format!("it is for {key:?}, and this letter is for {:?}: its place is decided by that", packet.envelope.key);
                return Err(Refusal::unprocessable("key-changed", "body", why));
            }
        }
        let record = self.registry.record_of(kind).unwrap_or_default();
        Packet::encode(packet.envelope, record, body).map_err(|error| wrong(error.to_string()))
    }
}
