//! placeholder book
pub mod aggregate;
pub mod clock;
pub mod command;
pub mod context;
mod identity;
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
