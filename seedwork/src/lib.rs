//! placeholder book
pub mod aggregate;
pub mod broker;
pub mod clock;
pub mod command;
pub mod context;
pub mod executor;
mod identity;
pub mod testing;
pub mod inbox;
pub mod log;
pub mod message;
pub mod saga;
pub mod store;
pub mod view;
pub mod work;

pub use aggregate::{Aggregate, Outbox, Publish};
pub use command::{Error, Fault, Refusal, Refuse, Result};
pub use context::Context;
pub use identity::SagaRecord;
pub use saga::{Abort, Saga};
pub use work::UnitOfWork;
