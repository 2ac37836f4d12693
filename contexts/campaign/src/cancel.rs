//! Cancel a campaign: an active one at once, a draft by way of its registration.

use seedwork::{Abort, Result, UnitOfWork};
use serde_json::json;

use crate::campaign::{Campaign, Event};
use crate::closing::Closing;

/// Handles [`wire::CancelCampaign`]. Of a draft the first answer says what becomes of it: `"status": "undoing"`, or `"kept"` when its
/// registration can no longer be undone and the cancel waits until that has made the campaign active.
///
/// # Errors
/// When the campaign is finished, or the reason is not of the right form.
pub fn cancel(ask: wire::CancelCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let Some(registration) = campaign.registration().cloned() else {
        let cancelled = campaign.cancel(ask.reason)?;
        return close(campaign, None, cancelled, work);
    };
    let abort = work.abort(&registration, &ask.reason)?;
    let kept = campaign.keep_cancel(ask.reason)?;
    match abort {
        Abort::Undoing => {
            work.tell(json!({"status": "undoing"}));
            work.save(campaign, kept)
        }
        Abort::TooLate => {
            work.tell(json!({"status": "kept"}));
            work.save(campaign, kept)
        }
        // An operator ended the registration and signed for what it left behind, this draft included: whatever is reserved or
        // enrolled is closed, and what is not there is no trouble to the closing.
        Abort::Ended => {
            let cancelled = campaign.undo_registration()?;
            close(campaign, kept, cancelled, work)
        }
    }
}

fn close(campaign: Campaign, kept: Option<Event>, cancelled: Option<Event>, work: &mut UnitOfWork<'_>) -> Result {
    if let Some(Event::Cancelled { reason }) = &cancelled {
        work.start(Closing::cancelled(campaign.campaign(), &campaign.facts().brand, campaign.partners(), reason))?;
    }
    work.save(campaign, kept.into_iter().chain(cancelled))
}
