//! The read side: events and blocks are only asked for by id, so their state is their view.

use seedwork::message::Owner;
use seedwork::view::{Read, state};
use serde::{Deserialize, Serialize};
use wire::tracking_v1::Tracking as Here;
use wire::values::{BlockId, EventId};

use crate::block::{self, Block};
use crate::event::{self, Facts, TrackingEvent};

/// An event, as queries answer it. Its id names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDoc {
    /// Its id.
    pub id: EventId,
    /// Where it stands.
    pub status: event::Status,
    /// What was said of it, as members of the same object.
    #[serde(flatten)]
    pub facts: Facts,
}

/// A block, as queries answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDoc {
    /// What it blocks.
    pub id: BlockId,
    /// Where it stands.
    pub status: block::Status,
}

/// The event with this id.
///
/// # Errors
/// When the store is away or the state cannot be read: a text for the log, not for the client.
pub fn event(read: &dyn Read, id: &EventId) -> Result<Option<EventDoc>, String> {
    let found = state::<TrackingEvent>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|found| EventDoc { id: found.event().clone(), status: found.status(), facts: found.facts().clone() }))
}

/// The block with this id, lifted or not.
///
/// # Errors
/// As [`event()`].
pub fn block(read: &dyn Read, id: &BlockId) -> Result<Option<BlockDoc>, String> {
    let found = state::<Block>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|found| BlockDoc { id: found.block().clone(), status: found.status() }))
}
