//! The read side: events by when they happened or by their ids, blocks by their ids.

use seedwork::message::Owner;
use seedwork::view::{By, List, Listed, Read, Total, Versioned, View, list, state, total};
use serde::{Deserialize, Serialize};
use wire::tracking_v1::Tracking as Here;
use wire::values::{BlockId, CampaignId, EnrolmentId, EventId, PartnerId, Timestamp};

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

impl EventDoc {
    fn of(event: &TrackingEvent) -> EventDoc {
        EventDoc { id: event.event().clone(), status: event.status(), facts: event.facts().clone() }
    }
}

impl BlockDoc {
    fn of(block: &Block) -> BlockDoc {
        BlockDoc { id: block.block().clone(), status: block.status() }
    }
}

/// What events are looked for by; those of an enrolment, and of a partner, stand together, for their ids begin with theirs.
pub const EVENTS: View<TrackingEvent> = View {
    columns: &[("campaign", "TEXT"), ("status", "TEXT"), ("kind", "TEXT"), ("happened", "BIGINT")],
    indexes: &[("by_happened", "happened, id"), ("by_campaign_happened", "campaign, happened, id")],
    row: |event| {
        let facts = event.facts();
        let happened = facts.at.as_micros().into();
        vec![facts.enrolment.second().into(), event.status().as_str().into(), facts.kind.as_str().into(), happened]
    },
};

/// What blocks are looked for by.
pub const BLOCKS: View<Block> =
    View { columns: &[("status", "TEXT")], indexes: &[], row: |block| vec![block.status().as_str().into()] };

/// What a list of events goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Their ids: those of a partner, and of an enrolment, stand together.
    #[default]
    Id,
    /// When they happened: those of a campaign stand together.
    Time {
        /// From then on.
        from: Option<Timestamp>,
        /// Before then.
        to: Option<Timestamp>,
    },
}

/// Which events a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Only those of this enrolment.
    pub enrolment: Option<EnrolmentId>,
    /// Only those of this partner.
    pub partner: Option<PartnerId>,
    /// Only those in this campaign.
    pub campaign: Option<CampaignId>,
    /// Only those that stand there.
    pub status: Option<event::Status>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// In which order.
    pub order: Order,
    /// The greatest id, or the newest, first.
    pub descending: bool,
}

/// Which blocks a list holds, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Only those that stand there.
    pub status: Option<block::Status>,
    /// The greatest id first.
    pub descending: bool,
}

impl Events {
    fn list(&self) -> List<'_> {
        let partner = self.partner.as_ref().map(PartnerId::as_str);
        let status = self.status.map(|status| ("status", status.as_str().into()));
        let kind = self.kind.as_deref().map(|kind| ("kind", kind.into()));
        let campaign = self.campaign.as_ref().map(|campaign| ("campaign", campaign.as_str().into()));
        // The campaign's index goes by time, so by id it is a filter.
        let (by, within, filter) = match self.order {
            Order::Id => (None, None, campaign),
            Order::Time { from, to } => {
                let micros = |at: Timestamp| at.as_micros();
                (Some(By::numbers("happened", from.map(micros), to.map(micros))), campaign, None)
            }
        };
        List {
            under: self.enrolment.as_ref().map(EnrolmentId::as_str).or(partner).unwrap_or_default(),
            within,
            matching: status.into_iter().chain(kind).chain(filter).collect(),
            by,
            descending: self.descending,
        }
    }
}

impl Blocks {
    fn list(&self) -> List<'_> {
        let matching = self.status.map(|status| ("status", status.as_str().into()));
        List { matching: matching.into_iter().collect(), descending: self.descending, ..List::default() }
    }
}

/// The event with this id.
///
/// # Errors
/// When the store is away or the state cannot be read: a text for the log, not for the client.
pub fn event(read: &dyn Read, id: &EventId) -> Result<Option<Versioned<EventDoc>>, String> {
    Ok(state::<TrackingEvent>(read, Here::NAME, id.as_str())?.map(|found| found.map(|event| EventDoc::of(&event))))
}

/// The block with this id, lifted or not.
///
/// # Errors
/// As [`event()`].
pub fn block(read: &dyn Read, id: &BlockId) -> Result<Option<Versioned<BlockDoc>>, String> {
    Ok(state::<Block>(read, Here::NAME, id.as_str())?.map(|found| found.map(|block| BlockDoc::of(&block))))
}

/// A page of events: at most `limit`, after this id.
///
/// # Errors
/// As [`event()`].
pub fn events(read: &dyn Read, of: &Events, after: Option<&str>, limit: usize) -> Result<Listed<EventDoc>, String> {
    let Listed { items, next } = list::<TrackingEvent>(read, Here::NAME, &of.list(), after, limit)?;
    Ok(Listed { items: items.iter().map(|found| EventDoc::of(&found.value)).collect(), next })
}

/// A page of blocks, lifted or not: at most `limit`, after this id.
///
/// # Errors
/// As [`event()`].
pub fn blocks(read: &dyn Read, of: &Blocks, after: Option<&str>, limit: usize) -> Result<Listed<BlockDoc>, String> {
    let Listed { items, next } = list::<Block>(read, Here::NAME, &of.list(), after, limit)?;
    Ok(Listed { items: items.iter().map(|found| BlockDoc::of(&found.value)).collect(), next })
}

/// How many events a list holds.
///
/// # Errors
/// As [`event()`].
pub fn count_events(read: &dyn Read, of: &Events) -> Result<Total, String> {
    total::<TrackingEvent>(read, Here::NAME, &of.list())
}

/// How many blocks a list holds.
///
/// # Errors
/// As [`event()`].
pub fn count_blocks(read: &dyn Read, of: &Blocks) -> Result<Total, String> {
    total::<Block>(read, Here::NAME, &of.list())
}
