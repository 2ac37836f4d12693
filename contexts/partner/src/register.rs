//! Enrol a partner in a campaign; a partner that is not known yet becomes known.

use seedwork::{Aggregate, Error, Result, UnitOfWork};

use crate::enrolment::Enrolment;
use crate::known_campaign::KnownCampaign;
use crate::partner::Partner;

/// Handles [`wire::RegisterEnrolment`]. A saga's command carries the facts that it rests on; asked by hand, the campaign must be known.
///
/// # Errors
/// Unknown when the campaign is not known; a refusal when the partner is banned, or the enrolment is another one or cancelled.
pub fn register(ask: wire::RegisterEnrolment, work: &mut UnitOfWork<'_>) -> Result {
    let wire::RegisterEnrolment { enrolment, name, kind, profile, kind_as_sent } = ask;
    if !work.in_saga() {
        let campaign = enrolment.campaign();
        if work.read::<KnownCampaign>(&campaign)?.is_none() {
            return Err(Error::Unknown { kind: KnownCampaign::KIND, id: campaign.as_str().into() });
        }
    }
    // Before the ban is looked at: what was done before the partner was banned is done.
    if let Some(known) = work.find::<Enrolment>(&enrolment)? {
        return Ok(known.register_again(&name, kind)?);
    }
    let partner_id = enrolment.partner();
    match work.find::<Partner>(&partner_id)? {
        Some(partner) => partner.may_enrol()?,
        None => {
            let (partner, registered) = Partner::register(partner_id, name.clone(), profile)?;
            work.save(partner, [registered])?;
        }
    }
    if !work.in_saga() {
        // A registration records an event of each enrolment that it makes, and by that tracking knows it.
        work.send(&wire::KnowEnrolment { enrolment: enrolment.clone() })?;
    }
    let (enrolment, registered) = Enrolment::register(enrolment, name, kind, kind_as_sent)?;
    work.save(enrolment, [registered])
}
