//! Record an event, unless its partner or its campaign is blocked.

use seedwork::{Aggregate, Error, Result, UnitOfWork};
use wire::values::{BlockId, BlockTarget};

use crate::block::Block;
use crate::event::{Facts, TrackingEvent};
use crate::known_campaign::KnownCampaign;

/// Handles [`wire::RecordEvent`]. A saga's command carries the facts that it rests on; asked by hand, the campaign must be known.
///
/// # Errors
/// Unknown when the campaign is not known; a refusal when a block holds, or the event is another one, cancelled, or not of the right
/// form.
pub fn record(ask: wire::RecordEvent, work: &mut UnitOfWork<'_>) -> Result {
    let wire::RecordEvent { event: id, enrolment, kind, at, value } = ask;
    let facts = Facts { enrolment, kind, at, value };
    let (partner, campaign) = (facts.enrolment.partner(), facts.enrolment.campaign());
    if !work.in_saga() && work.read::<KnownCampaign>(&campaign)?.is_none() {
        return Err(Error::Unknown { kind: KnownCampaign::KIND, id: campaign.as_str().into() });
    }
    // Before the blocks are looked at: what was recorded before they were raised is on record.
    if let Some(known) = work.find::<TrackingEvent>(&id)? {
        return Ok(known.record_again(&facts)?);
    }
    let (event, recorded) = TrackingEvent::record(id, facts)?;
    if let Some(block) = work.find::<Block>(BlockId::of(&BlockTarget::Partner(partner)))? {
        block.let_pass()?;
    }
    // It stands under the campaign's key and may be a moment old, which a block list may be.
    if let Some(block) = work.read::<Block>(BlockId::of(&BlockTarget::Campaign(campaign)))? {
        block.let_pass()?;
    }
    work.save(event, [recorded])
}
