//! Cancel an enrolment.

use seedwork::{Aggregate, Error, Result, UnitOfWork};

use crate::enrolment::Enrolment;

/// Handles [`wire::CancelEnrolment`]. To a saga, an enrolment that was never made is nothing to undo, and that is done.
///
/// # Errors
/// Unknown when a person asks and there is no such enrolment; a refusal when the reason is not of the right form.
pub fn cancel(ask: wire::CancelEnrolment, work: &mut UnitOfWork<'_>) -> Result {
    match work.find::<Enrolment>(&ask.enrolment)? {
        Some(mut enrolment) => {
            let cancelled = enrolment.cancel(ask.reason)?;
            work.save(enrolment, cancelled)
        }
        None if work.in_saga() => Ok(()),
        None => Err(Error::Unknown { kind: Enrolment::KIND, id: ask.enrolment.as_str().into() }),
    }
}
