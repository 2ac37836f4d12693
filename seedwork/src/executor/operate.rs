//! What an operator decides: on dead letters and on sagas. Each decision is an input of a batch like any other.

use crate::log::partition_of;
use crate::saga::engine::Input;
use crate::store::Partition;

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Runs a dead letter again, with its attempts counted anew.
    Replay {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
    },
    /// Drops a waiting message; the saga that sent it hears *refused*.
    Discard {
        /// Where it waits.
        partition: Partition,
        /// Its number there.
        number: u64,
        /// In the operator's words.
        reason: String,
    },
    /// Moves a saga: retry, resolve or abort.
    Saga {
        /// The context that runs it.
        context: String,
        /// Its id.
        saga: String,
        /// What to do.
        input: Input,
    },
}

/// Where the answer goes: what was done, or why not.
pub type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Operation {
    pub(super) fn is_for(&self, held: &super::Held, partitions: u16) -> bool {
        match self {
            Operation::Replay { partition, .. } | Operation::Discard { partition, .. } => held.partition == *partition,
            Operation::Saga { context, saga, .. } => {
                *held.partition.context == **context && held.partition.number == partition_of(saga, partitions)
            }
        }
    }
}

impl super::Executor {
    /// Takes an operator's decision into the next batch.
    pub fn operate(&mut self, operation: Operation, answer: Reply) {
        self.operations.push_back((operation, answer));
    }

    /// The waiting messages of its partitions, dead letters included, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn waiting(&mut self) -> Result<Vec<(Partition, crate::store::Waiting)>, crate::store::StoreError> {
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
}
