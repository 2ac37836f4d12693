//! Messages that are no rows of a stream of ours: commands that an edge or a foreign client put on a topic, and whatever else is there.
//!
//! They have no place and no mark, so the command table tells what was here before: a command by its own id; one that was sent on, and
//! what is no command at all, under ids that no command has, for they contain a blank. What was put on a partition that is not its
//! key's is taken once and goes on through this partition's own stream, unchanged; there it is what it was, a command from outside.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::answer::Answered;
use super::batch::{Batch, Origin, Outgo, Run};
use super::{Arrival, CommandRecord, Executor, First, Stop};
use crate::broker::{Foreign, Subscription};
use crate::identity::Trouble;
use crate::log::partition_of;
use crate::message::{Packet, Role};
use crate::store::{About, Table, Waiting, WaitingHead, WaitingWrite};

/// Bytes of the largest message that is taken from outside: whatever comes by HTTP is half as large.
const MOST: usize = 2 << 20;
/// What is kept of a message when the store refuses it whole.
const KEPT: usize = 64 << 10;
/// Characters of an attribute of an envelope.
const ATTRIBUTE_MOST: usize = 255;
/// The lanes of what could not be taken from outside.
pub(super) const ASIDE: &str = "aside|";

/// A command from outside, as it was read.
pub(super) struct Outside {
    pub packet: Arc<Packet>,
    pub hash: Box<str>,
    /// Past the edges, from a producer of its own.
    pub foreign: bool,
    pub origin: Origin,
}

/// Why a message is not taken, and what could be read of it.
type Aside = (String, Option<Arc<Packet>>);

impl Executor {
    /// True when it must be run again later in this batch.
    pub(super) fn foreign_input(
        &mut self,
        (subscription, foreign): (&Subscription, &Foreign),
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<bool, Stop> {
        let role = Role::of_topic(&subscription.to.topic);
        match self.read_from_outside(arrival.partition, role, &foreign.raw) {
            Ok(packet) => {
                let hash = foreign.hash.clone().unwrap_or_else(|| hash(&packet));
                let foreign = foreign.hash.is_none();
                let outside = Outside { packet, hash, foreign, origin: Origin::Message };
                self.outside_input(outside, arrival, batch)
            }
            Err(aside) => self.put_aside((subscription, foreign), aside, arrival, batch),
        }
    }

    /// A command from outside that another partition has sent on. True when it must be run again later in this batch.
    pub(super) fn sent_on_input(&mut self, packet: Arc<Packet>, arrival: Arrival, batch: &mut Batch) -> Result<bool, Stop> {
        // Who sent it on has noted what its bytes do not say.
        let outside = match self.record(&sent_on(&packet.envelope.id), batch) {
            Ok(Some(noted)) => Outside { packet, hash: noted.hash, foreign: noted.foreign, origin: Origin::Message },
            Ok(None) => Outside { hash: hash(&packet), packet, foreign: true, origin: Origin::Message },
            Err(trouble) => return self.troubled(trouble, arrival.partition, &packet, batch),
        };
        self.outside_input(outside, arrival, batch)
    }

    /// What an operator replays that could not be taken: read again, as if it came now. True when it must be run again.
    pub(super) fn aside_input(
        &mut self,
        (head, waiting): (WaitingHead, &Waiting),
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<bool, Stop> {
        match self.read_from_outside(arrival.partition, Role::of_topic(&waiting.topic), &waiting.raw) {
            Ok(packet) => {
                let (hash, origin) = (hash(&packet), Origin::Waiting(head));
                let outside = Outside { packet, hash, foreign: true, origin };
                self.outside_input(outside, arrival, batch)
            }
            Err((why, _)) => {
                let dead = WaitingHead { dead: true, due: None, attempts: head.attempts + 1, ..head };
                self.change_waiting(arrival.partition, dead, why, batch);
                Ok(false)
            }
        }
    }

    fn outside_input(&mut self, outside: Outside, arrival: Arrival, batch: &mut Batch) -> Result<bool, Stop> {
        let Outside { packet, hash, foreign, origin } = outside;
        let envelope = &packet.envelope;
        if self.kept_back(arrival.partition, envelope, batch) {
            return Ok(true);
        }
        let known = match self.record(&envelope.id, batch) {
            Ok(known) => known,
            Err(trouble) => return self.troubled(trouble, arrival.partition, &packet, batch),
        };
        let waits = matches!(origin, Origin::Waiting(_));
        let new = || CommandRecord { foreign, ..CommandRecord::new(hash.clone(), envelope, arrival.received) };
        let record = match known {
            // A dead letter's own, or of a copy that waits too: whichever runs first settles it.
            Some(known) if waits && known.is_of(&hash, envelope) && !known.settled() => known,
            Some(known) => {
                let first = if known.is_of(&hash, envelope) { known.first() } else { First::Mismatch };
                self.known_already(&packet, origin, first, arrival.partition, batch);
                return Ok(false);
            }
            None => new(),
        };
        let number = partition_of(&envelope.key, self.settings.partitions);
        if self.held.get(arrival.partition).is_some_and(|held| held.partition.number != number) {
            return self.send_on(&packet, record, origin, arrival.partition, batch);
        }
        let run = Run { arrival, packet: &packet, role: Role::Command, origin, record: Some(record) };
        let ran = if waits { self.run(run, batch) } else { self.lane_then_run(run, batch) };
        match ran {
            None => return Ok(true),
            // A waiting one is answered when it is settled (`settle`), and was told that it waits.
            Some(first) if !waits => tell(&packet, first, batch),
            Some(_) => {}
        }
        Ok(false)
    }

    /// A message whose id was here before.
    fn known_already(&mut self, packet: &Arc<Packet>, origin: Origin, first: First, partition: usize, batch: &mut Batch) {
        if first == First::Mismatch {
            let envelope = &packet.envelope;
            tracing::warn!(id = %envelope.id, source = %envelope.source, "a command from outside has the id of another");
        } else {
            self.counters.duplicates += 1;
        }
        match origin {
            Origin::Waiting(head) if first == First::Mismatch => {
                let dead = WaitingHead { dead: true, due: None, attempts: head.attempts + 1, ..head };
                let why = format!("its id {:?} was used for another body", packet.envelope.id);
                self.change_waiting(partition, dead, why, batch);
            }
            Origin::Waiting(head) => self.remove_waiting(partition, head.number, batch),
            Origin::Ask | Origin::Message => {}
        }
        tell(packet, first, batch);
    }

    /// Sends a command that belongs to another partition there, once.
    fn send_on(
        &mut self,
        packet: &Arc<Packet>,
        record: CommandRecord,
        origin: Origin,
        partition: usize,
        batch: &mut Batch,
    ) -> Result<bool, Stop> {
        let envelope = &packet.envelope;
        let id = sent_on(&envelope.id);
        match self.record(&id, batch) {
            Ok(Some(known)) => {
                let first = if known.is_of(&record.hash, envelope) { First::Waiting } else { First::Mismatch };
                self.known_already(packet, origin, first, partition, batch);
            }
            Ok(None) => {
                let (received, started) = (record.received, self.clock.now());
                let record = CommandRecord { status: "sent-on".into(), ..record };
                batch.commands.insert(id, record);
                batch.sent.push(Outgo { partition, cause: packet.clone(), sent: None, received, started });
                if let Origin::Waiting(head) = origin {
                    self.remove_waiting(partition, head.number, batch);
                }
                self.counters.inputs += 1;
            }
            Err(trouble) => return self.troubled(trouble, partition, packet, batch),
        }
        Ok(false)
    }

    fn troubled(&self, trouble: Trouble, partition: usize, packet: &Packet, batch: &mut Batch) -> Result<bool, Stop> {
        match trouble {
            Trouble::Missing(table, id) => {
                self.miss(partition, &packet.envelope, vec![(table, id)], batch);
                Ok(true)
            }
            Trouble::Broken(why) => Err(Stop::Crash(why)),
        }
    }

    /// What is no command for this context becomes a dead letter at once, in a lane of its own.
    fn put_aside(
        &mut self,
        (subscription, foreign): (&Subscription, &Foreign),
        (why, read): Aside,
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<bool, Stop> {
        let to = &subscription.to;
        let id: Arc<str> = format!("aside {}/{} {}", to.topic, to.partition, foreign.id).into();
        match self.record(&id, batch) {
            Ok(Some(_)) => {
                self.counters.duplicates += 1;
                return Ok(false);
            }
            Ok(None) => {}
            Err(Trouble::Missing(table, id)) => {
                debug_assert_eq!(table, Table::Command);
                batch.missing.insert((table, id));
                return Ok(true);
            }
            Err(Trouble::Broken(why)) => return Err(Stop::Crash(why)),
        }
        let Some(held) = self.held.get_mut(arrival.partition) else { return Ok(false) };
        let (raw, reason) = match &batch.refused {
            None => (foreign.raw.clone(), why),
            Some(refused) => {
                let some: Arc<[u8]> = foreign.raw.get(..KEPT).unwrap_or(&foreign.raw).into();
                (some, format!("{why}; only its beginning is kept, for the store refuses it whole: {refused}"))
            }
        };
        tracing::warn!(topic = %to.topic, id = %foreign.id, reason, "a message from outside is put aside: a dead letter");
        let head = WaitingHead {
            number: held.lanes.mint(arrival.received),
            lane: format!("{ASIDE}{}/{}|{}", to.topic, to.partition, foreign.id).into(),
            attempts: 1,
            due: None,
            dead: true,
            not_yet: None,
        };
        held.lanes.put(head.clone());
        let topic = Role::of_topic(&to.topic).topic().into();
        let about = read.as_ref().filter(|packet| unclean(packet).is_none()).map(|packet| About::of(&packet.envelope));
        let waiting = Waiting { head, topic, about, reason: reason.clone(), raw, since: arrival.received, revision: 1 };
        batch.waiting.push(WaitingWrite::Put(held.partition.clone(), waiting));
        batch.commands.insert(id, CommandRecord::aside(arrival.received));
        self.counters.inputs += 1;
        self.counters.dead_letters += 1;
        if let Some(packet) = read {
            tell(&packet, First::Invalid(reason), batch);
        }
        Ok(false)
    }

    /// A command of this partition's context that may have come from anywhere, or why it is none.
    fn read_from_outside(&self, partition: usize, role: Role, raw: &Arc<[u8]>) -> Result<Arc<Packet>, Aside> {
        if raw.len() > MOST {
            return Err((format!("its {} bytes are more than the {MOST} that are taken", raw.len()), None));
        }
        let packet =
            Packet::parse(raw, |kind| self.registry.record_of(kind)).map_err(|error| (format!("unreadable: {error}"), None))?;
        match self.no_command(partition, role, &packet) {
            None => Ok(Arc::new(packet)),
            Some(why) => Err((why, Some(Arc::new(packet)))),
        }
    }

    /// Why a message is no command for this partition's context.
    fn no_command(&self, partition: usize, role: Role, packet: &Packet) -> Option<String> {
        let envelope = &packet.envelope;
        if role != Role::Command {
            return Some("only commands are taken from outside; events and replies are what contexts themselves say".to_owned());
        }
        if let Some(attribute) = unclean(packet) {
            return Some(format!(
                "its {attribute} has no characters, more than {ATTRIBUTE_MOST}, or some that are not allowed in it"
            ));
        }
        if envelope.saga.is_some() || envelope.causation.is_some() {
            return Some("only Alpes itself sets the attributes saga and causationid: leave them out".to_owned());
        }
        let context = self.held.get(partition).and_then(|held| self.registry.contexts.get(held.context))?;
        let kind = &*envelope.kind;
        let Some(handler) = context.handlers.get(kind).filter(|handler| handler.role == Role::Command) else {
            let others = context.handlers.iter().filter(|(_, handler)| handler.role == Role::Command).map(|(kind, _)| *kind);
            let name = kind.rsplit_once('.').map_or(kind, |(name, _)| name);
            let like: Vec<&str> = others.filter(|other| other.rsplit_once('.').is_some_and(|(of, _)| of == name)).collect();
            return Some(match like.as_slice() {
                [] => format!("{kind:?} is no command of {}", context.name),
                like => format!("{kind:?} is no command of {}; this build takes {}", context.name, like.join(", ")),
            });
        };
        match (handler.key)(packet.body()) {
            Err(error) => Some(format!("its body is no {kind}: {error}")),
            Ok(key) if key != *envelope.key => Some(format!("its subject is {:?}, and its body is about {key:?}", envelope.key)),
            Ok(_) => None,
        }
    }
}

/// Adds what whoever asked elsewhere is told after the commit.
pub(super) fn tell(packet: &Packet, first: First, batch: &mut Batch) {
    if let Some(to) = &packet.envelope.answer_to {
        let answered = Answered { command: packet.envelope.id.clone(), first: Some(first), outcome: None };
        batch.answers.push((to.clone(), answered));
    }
}

/// Under which id it is noted that a command was sent on.
fn sent_on(id: &str) -> Arc<str> {
    format!("sent-on {id}").into()
}

/// The hash of a body that came without one.
fn hash(packet: &Packet) -> Box<str> {
    let mut digest = Sha256::new_with_prefix(packet.body());
    if let Some(expected) = &packet.envelope.expected {
        digest.update(format!("\0if-match {expected}"));
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        use std::fmt::Write as _;
        let _written = write!(text, "{byte:02x}");
    }
    text.into()
}

/// The first attribute that is not as it must be: an id is visible ASCII, as an idempotency key is; the rest is without control
/// characters; all are bounded.
fn unclean(packet: &Packet) -> Option<&'static str> {
    let envelope = &packet.envelope;
    let visible = |text: &str| (1..=ATTRIBUTE_MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = |text: &str| (1..=4 * ATTRIBUTE_MOST).contains(&text.len()) && !text.chars().any(char::is_control);
    let optional = |of: &Option<Arc<str>>| of.as_deref().is_none_or(text);
    let checks = [
        ("id", visible(&envelope.id)),
        ("source", text(&envelope.source)),
        ("type", visible(&envelope.kind)),
        ("subject", text(&envelope.key)),
        ("correlationid", text(&envelope.correlation)),
        ("actor", text(&envelope.actor)),
        ("tenant", optional(&envelope.tenant)),
        ("traceparent", optional(&envelope.trace)),
        ("answerto", optional(&envelope.answer_to)),
    ];
    checks.iter().find(|(_, well)| !well).map(|(name, _)| *name)
}
