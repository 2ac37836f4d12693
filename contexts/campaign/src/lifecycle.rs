//! Pause, resume and finish a campaign.

use seedwork::{Result, UnitOfWork};

use crate::campaign::Campaign;
use crate::closing::Closing;

/// Handles [`wire::PauseCampaign`].
///
/// # Errors
/// When the campaign is a draft or has ended.
pub fn pause(ask: wire::PauseCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let paused = campaign.pause()?;
    work.save(campaign, paused)
}

/// Handles [`wire::ResumeCampaign`].
///
/// # Errors
/// When the campaign is a draft or has ended.
pub fn resume(ask: wire::ResumeCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let resumed = campaign.resume()?;
    work.save(campaign, resumed)
}

/// Handles [`wire::FinishCampaign`]: what is reserved for it is released.
///
/// # Errors
/// When the campaign is a draft or cancelled.
pub fn finish(ask: wire::FinishCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let finished = campaign.finish()?;
    if finished.is_some() {
        work.start(Closing::finished(campaign.campaign(), &campaign.facts().brand))?;
    }
    work.save(campaign, finished)
}
