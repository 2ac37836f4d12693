//! What a test asks, and what it hears.

use super::*;
use crate::message::Expected;

/// What became of a command that a test asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub first: Option<First>,
    pub outcome: Option<Outcome>,
}

/// The number of a command that a test asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(usize);

struct Ear(Arc<Mutex<Vec<Heard>>>, usize);

impl Listener for Ear {
    fn first(&mut self, first: &First) {
        if let Some(heard) = lock(&self.0).get_mut(self.1) {
            heard.first = Some(first.clone());
        }
    }
    fn outcome(&mut self, outcome: &Outcome) {
        if let Some(heard) = lock(&self.0).get_mut(self.1) {
            heard.outcome = Some(outcome.clone());
        }
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
        let envelope = Envelope {
            id: id.into(),
            source: "world".into(),
            kind: C::KIND.into(),
            key: command.key().into(),
            time: self.clock.now(),
            trace: None,
            correlation: id.into(),
            causation: None,
            actor: "tester".into(),
            tenant: None,
            saga: None,
            answer_to: Some("world".into()),
            expected,
        };
        let packet = Packet::of(command, envelope).unwrap_or_else(|error| panic!("{} can be written: {error}", C::KIND));
        let ticket = self.asked.len();
        self.asked.push(packet);
        lock(&self.heard).push(Heard::default());
        self.submit(ticket, <C::Owner as crate::message::Owner>::NAME);
        Ticket(ticket)
    }

    fn submit(&mut self, ticket: usize, context: &str) {
        let Some(packet) = self.asked.get(ticket).cloned() else { return };
        let number = crate::log::partition_of(&packet.envelope.key, self.partitions);
        let hash = String::from_utf8_lossy(packet.body()).into_owned().into_boxed_str();
        let ask = Ask { hash, listener: Box::new(Ear(self.heard.clone(), ticket)), packet };
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
            let heard = lock(&self.heard).get(ticket).cloned().unwrap_or_default();
            let unanswered = matches!(heard.first, None | Some(First::Unavailable(_)));
            let lost = matches!(&heard.first, Some(First::Done { saga: Some(_), .. })) && heard.outcome.is_none();
            if unanswered || lost {
                let kind = self.asked.get(ticket).map(|packet| packet.envelope.kind.clone()).unwrap_or_default();
                let context = kind.split('.').next().unwrap_or_default().to_owned();
                self.submit(ticket, &context);
            }
        }
    }

    /// The first answer.
    pub fn first(&self, ticket: Ticket) -> Option<First> {
        lock(&self.heard).get(ticket.0)?.first.clone()
    }

    /// How the command's saga ended.
    pub fn outcome(&self, ticket: Ticket) -> Option<Outcome> {
        lock(&self.heard).get(ticket.0)?.outcome.clone()
    }
}
