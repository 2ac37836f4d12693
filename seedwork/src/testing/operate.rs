//! World: an operator's decisions.

use std::sync::{Arc, Mutex};

use super::{World, lock};
use crate::executor::{Decided, Decision, Operation, Undecided};

impl World {
    /// An operator, by the name of `operator`, decides.
    ///
    /// # Errors
    /// What the operator is told when it cannot be done.
    pub fn operate(&mut self, decision: &Decision) -> Result<Decided, Undecided> {
        let operation = Operation { actor: "operator".into(), trace: None, decision: decision.clone() };
        let result = Arc::new(Mutex::new(None));
        for node in 0..self.nodes.len() {
            let Some(executor) = self.nodes.get_mut(node).and_then(|node| node.executor.as_mut()) else { continue };
            if !executor.decides(&operation) {
                continue;
            }
            let answered = Arc::new(Mutex::new(None));
            let told = answered.clone();
            executor.operate(operation.clone(), Box::new(move |answer| *lock(&told) = Some(answer)));
            while lock(&answered).is_none() && matches!(executor.turn(), Ok(true)) {}
            let mut result = lock(&result);
            // Who has lost it in silence may say that it cannot; what its owner says counts.
            if !matches!(*result, Some(Ok(_) | Err(Undecided::Refused(_)))) {
                *result = lock(&answered).take().or(result.take());
            }
        }
        let told = lock(&result).clone();
        told.unwrap_or_else(|| Err(Undecided::Unavailable("no process took it".to_owned())))
    }
}
