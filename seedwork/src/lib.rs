//! Business processes whose steps live in different services and must all happen or all be undone: commands, aggregates, a log, and
//! sagas that compensate by themselves, in reverse order.
//!
//! A service is a **bounded context**: it takes commands and events in, and gives events and answers out. This crate is the machine
//! under it. It has no business of its own, and its user writes plain structs and plain functions: a handler loads, decides and saves,
//! and never commits, so it cannot get a transaction wrong.
//!
//! # The walk
//!
//! Everything serves one path:
//!
//! ```text
//! HTTP ─▶ command ─▶ handler ─▶ aggregate ─▶ unit of work ─▶ batch, one commit ─▶ log ─▶ broker ─▶ handler … saga ─▶ next command
//! ```
//!
//! Read the files in its order:
//!
//! 1. [`message`]: what crosses a broker. [`messages!`] turns a table and plain structs into commands and events; the envelope says who
//!    asked, when, and why.
//! 2. [`command`]: what is asked, and the kinds of "no": the business refuses ([`Refusal`]), a thing is not known, or the handler broke
//!    ([`Fault`]). Each has one consequence everywhere.
//! 3. [`aggregate`]: who decides. Its methods return the domain event, or `None` when it was so already; [`Publish`] says case by case
//!    what the world may know of it.
//! 4. [`work`]: the [`UnitOfWork`] that a handler gets, and nothing else: `find`, `load`, `read`, `save`, `send`, `start`, `abort`. What
//!    it changed is a value, dropped on a refusal, a fault or a panic.
//! 5. [`executor`]: many units of work, **one commit**; only then it answers, and hands the log on. Nothing happens in any other way.
//! 6. [`log`]: what a partition publishes, at dense positions in commit order; the relay takes it to its destinations afterwards.
//! 7. [`broker`]: the port that carries log rows, at least once. [`broker::Embedded`] needs no server: its topics are the log.
//! 8. [`inbox`]: at least once on the wire, once in effect: a mark per route. What must wait waits beside its lane; what breaks its
//!    handler too often becomes a dead letter that parks only its own lane.
//! 9. [`saga`]: a table of rows, each with its compensation; its [engine](saga::engine) is a pure function from an answer to the next
//!    commands. Before the pivot everything can be undone, after it everything is tried again.
//!
//! Beside the path stand [`context`], the table that says what a service takes in; [`view`], the read side, written with the state;
//! [`store`], the port that an owner keeps everything in, with [`store::Sqlite`]; and [`clock`], the one place that knows the time and
//! chance.
//!
//! # One command, end to end
//!
//! ```
//! use seedwork::testing::World;
//! use seedwork::{Aggregate, Context, Outbox, Publish, Refusal, Result, UnitOfWork};
//! use serde::{Deserialize, Serialize};
//! # use std::time::Duration;
//!
//! seedwork::messages! {
//!     context Parking = "parking", version 1;
//!     commands { Enter "enter" by lot; }
//!     events { Entered "entered" by lot; }
//! }
//! #[derive(Serialize, Deserialize, apache_avro::AvroSchema)]
//! pub struct Enter { pub lot: String, pub car: String }
//! #[derive(Serialize, Deserialize, apache_avro::AvroSchema)]
//! pub struct Entered { pub lot: String, pub car: String }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Lot { id: String, cars: Vec<String> }
//!
//! impl Lot {
//!     fn enter(&mut self, car: String) -> std::result::Result<Option<String>, Refusal> {
//!         if self.cars.contains(&car) {
//!             return Ok(None); // it was so already: no event, and nothing is written
//!         }
//!         if self.cars.len() == 1 {
//!             return Err(Refusal::conflict("full", "no place is free"));
//!         }
//!         self.cars.push(car.clone());
//!         Ok(Some(car))
//!     }
//! }
//!
//! impl Aggregate for Lot {
//!     const KIND: &'static str = "lot";
//!     fn id(&self) -> &str { &self.id }
//! }
//!
//! impl Publish for Lot {
//!     type Event = String;
//!     fn publish(&self, car: String, out: &mut Outbox) {
//!         out.event(Entered { lot: self.id.clone(), car });
//!     }
//! }
//!
//! fn enter(ask: Enter, work: &mut UnitOfWork<'_>) -> Result {
//!     let mut lot = work.find::<Lot>(&ask.lot)?.unwrap_or(Lot { id: ask.lot, cars: Vec::new() });
//!     let entered = lot.enter(ask.car)?;
//!     work.save(lot, entered)
//! }
//!
//! let contexts = || vec![Context::of::<Parking>().aggregate::<Lot>().command("parking.write", enter)];
//! let mut world = World::embedded(contexts, 1);
//! for car in ["car-1", "car-1", "car-2"] {
//!     world.ask(&Enter { lot: "north".into(), car: car.into() });
//! }
//! world.run(Duration::from_secs(1));
//! assert_eq!(world.state::<Lot>("parking", "north").unwrap().cars, ["car-1"]);
//! ```
//!
//! `examples/` has one program for each block: `message`, `aggregate`, `command_handler`, `saga`, `view`, `world_faults`, `saga_laws`.
//!
//! # Adding a context
//!
//! 1. Its messages: a [`messages!`] table and the structs, in the crate that all contexts share.
//! 2. Its aggregates, their [`Publish`], and a plain function for each command and for each event that it reacts to.
//! 3. Its sagas: a state, and a table of method paths ([`Saga::new`]). What makes no sense does not compile: an event that is sent, a
//!    step before the pivot that says nothing of its undo, an undoable step after it, an undo that goes to another context than its
//!    step.
//! 4. Its table, a [`Context`]: `.aggregate`, `.view`, `.command`, `.on`, `.saga`.
//! 5. One line where the process is put together: an [`executor::Executor`] over a [`store::Store`] and a [`broker::Broker`], driven
//!    by [`executor::owner`].
//! 6. Its tests: [`testing::World`] steps the real machine by hand, with faults, from a seed; [`testing::assert_saga_laws`] tries every
//!    way in which a saga can fail.
//!
//! A new engine or broker is an adapter that passes [`store::contract`] or [`broker::contract`].
//!
//! # What is not here
//!
//! - HTTP, authentication, configuration, logs on a terminal: they belong to the edges and to the process.
//! - Asynchronous handlers and I/O inside of them: a handler can always be run again. What must call out lives in a worker that feeds
//!   messages in.
//! - Another way to execute anything: no second kind of transaction, no direct publish, no query from a handler.
//! - Exactly-once delivery: a broker delivers at least once, and the marks make it count once.
//! - Rebuilding aggregates from events: states are stored, versioned and upcast ([`Aggregate::upcast`]); the log is kept as history.

pub mod aggregate;
pub mod broker;
pub mod clock;
pub mod command;
pub mod context;
pub mod executor;
mod identity;
pub mod inbox;
pub mod log;
pub mod message;
pub mod operator;
pub mod saga;
pub mod store;
pub mod testing;
pub mod view;
pub mod work;

pub use aggregate::{Aggregate, Outbox, Publish};
pub use command::{Error, Fault, Refusal, Refuse, Result};
pub use context::Context;
pub use identity::{LogLine, SagaRecord};
pub use saga::{Abort, Saga};
pub use work::UnitOfWork;
