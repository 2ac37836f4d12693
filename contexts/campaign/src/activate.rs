//! Make a campaign active: the last step of its registration, and the moment of a cancel that came too late to stop it.

use seedwork::{Result, UnitOfWork};

use crate::campaign::{Campaign, Event};
use crate::closing::Closing;

/// Handles [`wire::ActivateCampaign`].
///
/// # Errors
/// When its registration was undone.
pub fn activate(ask: wire::ActivateCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let activated = campaign.activate()?;
    let cancelled = campaign.cancel_as_kept();
    if let Some(Event::Cancelled { reason }) = &cancelled {
        work.start(Closing::cancelled(campaign.campaign(), &campaign.facts().brand, campaign.partners(), reason))?;
    }
    work.save(campaign, activated.into_iter().chain(cancelled))
}
