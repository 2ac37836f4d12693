//! What a test asks, and what it hears.

use super::*;
use crate::executor::Answered;
use crate::message::Expected;
use crate::store::Destination;

/// What became of a command that a test asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub first: Option<First>,
    pub outcome: Option<Outcome>,
}

/// The number of a command that a test asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(usize);

/// Everything that was heard, by ticket.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<Mutex<Vec<Heard>>>);

impl Ears {
    fn of(&self, ticket: usize) -> Heard {
        lock(&self.0).get(ticket).cloned().unwrap_or_default()
    }

    fn first(&self, ticket: usize, first: &First) {
        if let Some(heard) = lock(&self.0).get_mut(ticket) {
            heard.first = Some(first.clone());
        }
    }

    fn outcome(&self, ticket: usize, outcome: &Outcome) {
        if let Some(heard) = lock(&self.0).get_mut(ticket) {
            heard.outcome = Some(outcome.clone());
        }
    }

    /// Whether every command has its first answer.
    pub fn answered(&self) -> bool {
        lock(&self.0).iter().all(|heard| !matches!(heard.first, None | Some(First::Unavailable(_))))
    }

    /// What an owner says over the broker, to where the edge of a ticket listens.
    pub fn hear(&self, to: &str, answer: &Answered) {
        let Some(ticket) = to.strip_prefix(EDGE).and_then(|ticket| ticket.parse().ok()) else { return };
        if let Some(first) = &answer.first {
            self.first(ticket, first);
        }
        if let Some(outcome) = &answer.outcome {
            self.outcome(ticket, outcome);
        }
    }
}

/// Where an edge listens for the answers to the ticket behind it.
const EDGE: &str = "world/";

struct Ear(Ears, usize);

impl Listener for Ear {
    fn first(&mut self, first: &First) {
        self.0.first(self.1, first);
    }
    fn outcome(&mut self, outcome: &Outcome) {
        self.0.outcome(self.1, outcome);
    }
    fn waits(&self) -> bool {
        true
    }
}

impl World {
    /// Asks a command as the edge would, under an id of its own.
    pub fn ask<C: Command>(&mut self, command: &C) -> Ticket {
        let id = format!("ask-{}", self.asked.len());
        self.ask_as(&id, command)
    }

    /// Asks a command under this id.
    ///
    /// # Panics
    /// When the command cannot be written as JSON.
    pub fn ask_as<C: Command>(&mut self, id: &str, command: &C) -> Ticket {
        self.ask_with(id, command, None)
    }

    /// Asks a command that is about these versions of the aggregate with its key only.
    ///
    /// # Panics
    /// When the command cannot be written as JSON.
    pub fn ask_if<C: Command>(&mut self, expected: Expected, command: &C) -> Ticket {
        let id = format!("ask-{}", self.asked.len());
        self.ask_with(&id, command, Some(expected))
    }

    fn ask_with<C: Command>(&mut self, id: &str, command: &C, expected: Option<Expected>) -> Ticket {
        let answer_to = Some(format!("{EDGE}{}", self.asked.len()).into());
        let envelope = Envelope { answer_to, expected, ..Envelope::asked(id, "world", "tester", self.clock.now()) };
        let packet = Packet::of(command, envelope).unwrap_or_else(|error| panic!("{} can be written: {error}", C::KIND));
        let ticket = self.asked.len();
        self.asked.push(Some(packet));
        lock(&self.ears.0).push(Heard::default());
        self.submit(ticket, <C::Owner as crate::message::Owner>::NAME);
        Ticket(ticket)
    }

    fn submit(&mut self, ticket: usize, context: &str) {
        let Some(packet) = self.asked.get(ticket).cloned().flatten() else { return };
        let number = crate::log::partition_of(&packet.envelope.key, self.partitions);
        let hash = String::from_utf8_lossy(packet.body()).into_owned().into_boxed_str();
        if let Some(sim) = &self.sim {
            let to = Destination { topic: format!("{context}.commands").into(), partition: number };
            lock(sim).ask(&to, self.partitions, packet.raw(), &hash);
            return;
        }
        let ask = Ask { hash, listener: Box::new(Ear(self.ears.clone(), ticket)), packet };
        let owner = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.executor.as_mut())
            .find(|executor| executor.partitions().iter().any(|held| *held.context == *context && held.number == number));
        if let Some(executor) = owner {
            executor.ask(ask);
        }
    }

    /// Asks again, as a client does, whatever has no answer or was told to try again: the same ids.
    pub fn ask_unanswered_again(&mut self) {
        for ticket in 0..self.asked.len() {
            let heard = self.ears.of(ticket);
            let unanswered = matches!(heard.first, None | Some(First::Unavailable(_)));
            let lost = matches!(&heard.first, Some(First::Done { saga: Some(_), .. })) && heard.outcome.is_none();
            if unanswered || lost {
                let asked = self.asked.get(ticket).and_then(Option::as_ref);
                let kind = asked.map(|packet| packet.envelope.kind.clone()).unwrap_or_default();
                let context = kind.split('.').next().unwrap_or_default().to_owned();
                self.submit(ticket, &context);
            }
        }
    }

    /// The first answer.
    pub fn first(&self, ticket: Ticket) -> Option<First> {
        self.ears.of(ticket.0).first
    }

    /// How the command's saga ended.
    pub fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        self.ears.of(ticket.0).outcome
    }

    /// Puts a message on a partition of a topic as a foreign client does, whatever it is (distributed shape only).
    pub fn put(&mut self, topic: &str, partition: u16, raw: &[u8]) {
        if let Some(sim) = &self.sim {
            lock(sim).put(&Destination { topic: topic.into(), partition }, raw, None);
        }
    }

    /// What a foreign client that listens as the edge of this ticket has heard first; a ticket for what [`World::put`] puts.
    pub fn listen(&mut self) -> (Ticket, String) {
        let ticket = self.asked.len();
        self.asked.push(None);
        lock(&self.ears.0).push(Heard::default());
        (Ticket(ticket), format!("{EDGE}{ticket}"))
    }
}
