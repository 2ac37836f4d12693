//! Where commands go: to an owner in this process, or over a broker to whoever owns their keys.

use std::sync::Arc;

use seedwork::executor::Ask;
use seedwork::executor::owner::{Busy, Handle};

/// Takes commands, and brings back what becomes of them.
pub trait Door: Send + Sync {
    /// Whether a command would be taken now: asked before its body is read.
    fn has_room(&self) -> bool;

    /// Takes a command; its listener hears what becomes of it. Never blocks.
    ///
    /// # Errors
    /// [`Busy`], and the command is not taken.
    fn ask(&self, ask: Ask) -> Result<(), Busy>;

    /// Whether a command that was asked here, and that nobody has answered yet, is durable all the same.
    fn durable(&self, command: &str) -> bool;

    /// What the envelopes of commands name as the place where answers go.
    fn answer_to(&self) -> Arc<str>;
}

/// An owner in this process: a command is durable with its commit, and answered after it.
impl Door for Handle {
    fn has_room(&self) -> bool {
        Handle::has_room(self)
    }

    fn ask(&self, ask: Ask) -> Result<(), Busy> {
        Handle::ask(self, ask)
    }

    fn durable(&self, _: &str) -> bool {
        false
    }

    fn answer_to(&self) -> Arc<str> {
        "local".into()
    }
}
