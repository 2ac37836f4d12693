//! Retry, resolve and abort: what an operator decides on a saga.

use std::sync::Arc;

use super::{Decided, Decision, Operation, Step, Undecided};
use crate::command::Refusal;
use crate::executor::alarms::own_cause;
use crate::executor::batch::{Batch, Verdict};
use crate::executor::{Arrival, Executor};
use crate::identity::Live;
use crate::saga::engine::{Input, Move};

impl Executor {
    pub(super) fn decide_saga(&mut self, operation: &Operation, arrival: Arrival, batch: &mut Batch) -> Step {
        let (Decision::Retry { saga, .. } | Decision::Resolve { saga, .. } | Decision::Abort { saga, .. }) = &operation.decision
        else {
            return Step::Answer(Ok(Decided::Saga(Vec::new())));
        };
        let packet = Arc::new(own_cause(saga, operation.trace.clone(), arrival.received));
        let ran = self.with_work(arrival, &packet, |work| {
            let live = work.saga(saga)?;
            work.move_saga(saga, input(operation, &live)?)
        });
        let (verdict, mut changes) = match ran {
            Ok(ran) => ran,
            Err(missing) => {
                self.miss(arrival.partition, &packet.envelope, missing, batch);
                return Step::Again;
            }
        };
        Step::Answer(match verdict {
            Verdict::Done => {
                let mut told = Vec::new();
                for entry in changes.sagas.iter_mut().flat_map(|change| &mut change.log) {
                    entry.actor = Some(operation.actor.clone());
                    if let (Decision::Retry { reason: Some(reason), .. }, "retried") = (&operation.decision, &*entry.what) {
                        entry.detail = Some(reason.clone());
                    }
                    told.push(entry.clone());
                }
                self.apply(changes, arrival, &packet, batch);
                Ok(Decided::Saga(told))
            }
            Verdict::Unknown(kind, id) => Err(Undecided::Refused(Refusal::unknown(kind, &id))),
            Verdict::Refused(refusal) => Err(Undecided::Refused(refusal)),
            Verdict::Invalid(why) | Verdict::Fault(why) => {
                Err(Undecided::Refused(Refusal::conflict("saga-broken", format!("the saga cannot be moved: {why}"))))
            }
        })
    }
}

/// The move that a decision makes, or why the saga is not open to it.
fn input(operation: &Operation, live: &Live) -> Result<Input, Refusal> {
    let (run, shape) = (&live.record.run, &live.shape);
    let allowed = |what: Move| {
        run.allows(shape, what).map_err(|closed| {
            let possible: Vec<&str> = run.possible(shape).into_iter().map(Move::as_str).collect();
            let stage = live.record.stage();
            let message = format!("it cannot be asked to {} now: {}", what.as_str(), closed.why());
            Refusal::conflict(closed.code(), message)
                .with(serde_json::json!({"status": stage, "row": run.row, "late": run.late, "possible": possible}))
        })
    };
    match &operation.decision {
        Decision::Retry { .. } => allowed(Move::Retry).map(|()| Input::Retry),
        Decision::Abort { reason, .. } => allowed(Move::Abort).map(|()| Input::Abort { reason: reason.clone() }),
        Decision::Resolve { happened, reason, .. } => {
            allowed(Move::Resolve)?;
            let why = match (run.at_pivot(shape), happened) {
                (true, None) => Some("at the pivot it says whether it happened: that decides where the saga goes"),
                (false, Some(_)) => Some("only the pivot has an outcome to decide: leave it out, the saga goes on either way"),
                _ => None,
            };
            if let Some(why) = why {
                return Err(Refusal::unprocessable("outcome-wrong", "outcome", why));
            }
            let (reason, actor) = (reason.clone(), operation.actor.to_string());
            Ok(Input::Resolve { happened: happened.unwrap_or(true), reason, actor })
        }
        _ => Err(Refusal::conflict("saga-broken", "this is no decision on a saga")),
    }
}
