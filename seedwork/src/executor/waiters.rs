//! Who waits for the outcome of a saga: here, in the same process, or elsewhere, behind the broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Executor;
use super::answer::{Answered, Listener, Outcome};
use crate::identity::{Live, Trouble};
use crate::saga::engine::Stage;
use crate::store::StoreError;
use crate::work::Ended;

/// How long somebody is kept who waits.
const KEPT: Duration = Duration::from_secs(600);

/// Somebody who waits for a saga's outcome.
pub(super) enum Waiter {
    Here(Box<dyn Listener>),
    /// Whoever started a saga is told by its owner, for the saga's record names both; these are others, who asked to undo it or asked
    /// again from another place, and only this owner knows of them.
    Elsewhere {
        to: Arc<str>,
        command: Arc<str>,
    },
}

/// By saga; each since when.
pub(super) type Waiters = BTreeMap<Arc<str>, Vec<(Waiter, Duration)>>;

impl Executor {
    /// A saga, wherever it is.
    pub(super) fn load_saga(&mut self, saga: &str) -> Result<Option<Arc<Live>>, StoreError> {
        loop {
            match self.identity.saga(&self.registry, &mut *self.store, saga) {
                Ok(live) => return Ok(live),
                Err(Trouble::Missing(table, id)) => {
                    let row = self.store.fetch(&[(table, id.clone())])?.pop().flatten();
                    self.identity.fetched((table, id), row);
                }
                Err(Trouble::Broken(why)) => return Err(StoreError(why)),
            }
        }
    }

    /// Keeps whoever waits for a saga's outcome, or tells it at once when the saga has ended (the same command, asked again).
    pub(super) fn wait(&mut self, saga: &Arc<str>, waiter: Waiter, now: Duration) {
        if let Ok(Some(live)) = self.load_saga(saga) {
            let record = &live.record;
            if record.run.stage.ended() {
                let outcome = self.outcome(&Ended { saga: saga.clone(), record: record.clone() });
                self.tell_waiter(waiter, &outcome);
                return;
            }
            if let Waiter::Elsewhere { to, command } = &waiter
                && *command == record.command
                && record.answer_to.as_ref() == Some(to)
            {
                return;
            }
        }
        self.waiters.entry(saga.clone()).or_default().push((waiter, now));
    }

    /// Tells whoever waits how a saga has ended.
    pub(super) fn tell_outcome(&mut self, ended: &Ended) {
        let waiters = self.waiters.remove(&ended.saga);
        let to = ended.record.answer_to.as_ref();
        if waiters.is_none() && to.is_none() {
            return;
        }
        let outcome = self.outcome(ended);
        for (waiter, _) in waiters.into_iter().flatten() {
            self.tell_waiter(waiter, &outcome);
        }
        if let Some(to) = to {
            self.tell_elsewhere(to, ended.record.command.clone(), outcome);
        }
    }

    fn tell_waiter(&mut self, waiter: Waiter, outcome: &Outcome) {
        match waiter {
            Waiter::Here(mut listener) => listener.outcome(outcome),
            Waiter::Elsewhere { to, command } => self.tell_elsewhere(&to, command, outcome.clone()),
        }
    }

    fn tell_elsewhere(&mut self, to: &str, command: Arc<str>, outcome: Outcome) {
        self.broker.answer(to, &Answered { command, first: None, outcome: Some(outcome) });
    }

    /// Forgets whoever has gone.
    pub(super) fn forget_waiters(&mut self, now: Duration) {
        let waits = |waiter: &Waiter| match waiter {
            Waiter::Here(listener) => listener.waits(),
            Waiter::Elsewhere { .. } => true,
        };
        self.waiters.retain(|_, waiters| {
            waiters.retain(|(waiter, since)| waits(waiter) && now.saturating_sub(*since) < KEPT);
            !waiters.is_empty()
        });
    }

    fn outcome(&self, ended: &Ended) -> Outcome {
        let (record, run) = (&ended.record, &ended.record.run);
        let definition =
            self.registry.context(&record.context).and_then(|context| self.registry.saga(context, &record.name, record.version));
        let step = run.reason.as_ref().and_then(|reason| {
            let row = definition?.plan.get(usize::from(reason.row).checked_sub(1)?)?;
            row.command
        });
        Outcome {
            saga: ended.saga.clone(),
            completed: run.stage == Stage::Completed,
            reason: run.reason.clone(),
            step: step.map(Into::into),
            exceptions: run.exceptions.clone(),
        }
    }
}
