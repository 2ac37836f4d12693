//! Cancel an event: its record stays and no longer counts.

use seedwork::{Aggregate, Error, Result, UnitOfWork};

use crate::event::TrackingEvent;

/// Handles [`wire::CancelEvent`]. To a saga, an event that was never recorded is nothing to undo, and that is done.
///
/// # Errors
/// Unknown when a person asks and there is no such event.
pub fn cancel(ask: wire::CancelEvent, work: &mut UnitOfWork<'_>) -> Result {
    match work.find::<TrackingEvent>(&ask.event)? {
        Some(mut event) => {
            let cancelled = event.cancel();
            work.save(event, cancelled)
        }
        None if work.in_saga() => Ok(()),
        None => Err(Error::Unknown { kind: TrackingEvent::KIND, id: ask.event.as_str().into() }),
    }
}
