//! An Alpes, as a story sees it: what is asked of it, what is answered, and what then stands in its stores.

use std::time::Duration;

use seedwork::executor::{First, Outcome};
use seedwork::message::{Command, Expected};
use seedwork::saga::engine::Entry;
use seedwork::testing::World;
use seedwork::view::Value;
use seedwork::{Aggregate, SagaRecord};

use crate::DAY;

/// What a story needs to know of the Alpes that it is told to: a [`World`] in either shape, or processes over real servers.
pub trait Alpes {
    /// What stands for a command that was asked.
    type Ticket: Copy;

    /// Asks a command, under an id of its own, if its aggregate has one of these versions.
    fn ask_if<C: Command>(&mut self, expected: Option<Expected>, command: &C) -> Self::Ticket;

    /// Asks a command, under an id of its own.
    fn ask<C: Command>(&mut self, command: &C) -> Self::Ticket {
        self.ask_if(None, command)
    }

    /// The first answer, when a moment has gone by.
    fn first(&self, ticket: Self::Ticket) -> Option<First>;

    /// How the command's saga ended, when all is at rest.
    fn outcome(&self, ticket: Self::Ticket) -> Option<Outcome>;

    /// Lets the first answers come; sagas may be under way still.
    fn moment(&mut self);

    /// Lets it come to rest: every saga has ended, nothing waits, and every event was heard.
    ///
    /// # Panics
    /// When it does not; the text says what is open.
    #[track_caller]
    fn rest(&mut self);

    /// An aggregate, from its context's store.
    fn state<A: Aggregate>(&self, context: &str, id: &str) -> Option<A>;

    /// Every aggregate of one kind, from its context's store.
    fn states<A: Aggregate>(&self, context: &str) -> Vec<A>;

    /// Every saga ever started, with its id, from the stores.
    fn sagas(&self) -> Vec<(String, SagaRecord)>;

    /// What a saga has written down, in order.
    fn saga_log(&self, saga: &str) -> Vec<Entry>;

    /// The rows of a query in every store, with the name of a context of it.
    fn each_store(&self, sql: &str, parameters: &[Value]) -> Vec<(&'static str, Vec<Vec<Value>>)>;
}

impl Alpes for World {
    type Ticket = seedwork::testing::Ticket;

    fn ask_if<C: Command>(&mut self, expected: Option<Expected>, command: &C) -> Self::Ticket {
        match expected {
            Some(expected) => World::ask_if(self, expected, command),
            None => World::ask(self, command),
        }
    }

    fn first(&self, ticket: Self::Ticket) -> Option<First> {
        World::first(self, ticket)
    }

    fn outcome(&self, ticket: Self::Ticket) -> Option<Outcome> {
        World::outcome(self, ticket)
    }

    fn moment(&mut self) {
        self.run(Duration::from_secs(1));
    }

    fn rest(&mut self) {
        let settled = self.settle(DAY);
        let open: Vec<_> = World::sagas(self).into_iter().filter(|(_, record)| !record.run.stage.ended()).collect();
        assert!(settled, "the world does not come to rest: {open:#?}\n{:#?}\n{}", self.waiting(), self.describe());
    }

    fn state<A: Aggregate>(&self, context: &str, id: &str) -> Option<A> {
        World::state(self, context, id)
    }

    fn states<A: Aggregate>(&self, context: &str) -> Vec<A> {
        World::states(self, context)
    }

    fn sagas(&self) -> Vec<(String, SagaRecord)> {
        World::sagas(self)
    }

    fn saga_log(&self, saga: &str) -> Vec<Entry> {
        World::saga_log(self, saga).into_iter().map(|line| line.entry).collect()
    }

    fn each_store(&self, sql: &str, parameters: &[Value]) -> Vec<(&'static str, Vec<Vec<Value>>)> {
        World::each_store(self, sql, parameters)
    }
}
