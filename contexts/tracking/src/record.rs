//! Record an event, unless its partner or its campaign is blocked.

use seedwork::{Aggregate, Error, Result, UnitOfWork};
use wire::values::{BlockId, BlockTarget, EnrolmentId, EventId};

use crate::block::Block;
use crate::event::{Facts, TrackingEvent};
use crate::known_campaign::KnownCampaign;
use crate::known_enrolment::KnownEnrolment;

/// Handles [`wire::RecordEvent`]. A saga's command carries the facts that it rests on; asked by hand, the campaign and the enrolment
/// must be known.
///
/// # Errors
/// Unknown when the campaign or the enrolment is not known; a refusal when a block holds, or the event is another one, cancelled, or not of the right
/// form.
pub fn record(ask: wire::RecordEvent, work: &mut UnitOfWork<'_>) -> Result {
    let wire::RecordEvent { event: id, enrolment, kind, at, value } = ask;
    let facts = Facts { enrolment, kind, at, value };
    let (partner, campaign) = (facts.enrolment.partner(), facts.enrolment.campaign());
    if !work.in_saga() {
        if work.read::<KnownCampaign>(&campaign)?.is_none() {
            return Err(Error::Unknown { kind: KnownCampaign::KIND, id: campaign.as_str().into() });
        }
        check_enrolment(&facts.enrolment, work)?;
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

/// Whether anybody has said that there is such an enrolment: the registration of its campaign, or whoever made it by hand.
fn check_enrolment(enrolment: &EnrolmentId, work: &mut UnitOfWork<'_>) -> Result {
    let registration = EventId::registration(enrolment);
    if work.find::<TrackingEvent>(&registration)?.is_some() || work.find::<KnownEnrolment>(enrolment)?.is_some() {
        return Ok(());
    }
    Err(Error::Unknown { kind: KnownEnrolment::KIND, id: enrolment.as_str().into() })
}
