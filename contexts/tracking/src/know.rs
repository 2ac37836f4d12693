//! Know an enrolment that was made by hand.

use seedwork::{Result, UnitOfWork};

use crate::known_enrolment::KnownEnrolment;

/// Handles [`wire::KnowEnrolment`].
///
/// # Errors
/// None of its own.
pub fn know(ask: wire::KnowEnrolment, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<KnownEnrolment>(&ask.enrolment)?.is_some() {
        return Ok(());
    }
    let (enrolment, told) = KnownEnrolment::told(ask.enrolment);
    work.save(enrolment, [told])
}
