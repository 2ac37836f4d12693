//! Hear of a campaign that became active.

use seedwork::{Result, UnitOfWork};

use crate::known_campaign::KnownCampaign;

/// Reacts to [`wire::CampaignActivated`].
///
/// # Errors
/// None of its own.
pub fn hear(said: wire::CampaignActivated, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<KnownCampaign>(&said.campaign)?.is_some() {
        return Ok(());
    }
    let (campaign, heard) = KnownCampaign::heard(said.campaign, said.name);
    work.save(campaign, [heard])
}
