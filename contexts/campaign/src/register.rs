//! Register a campaign: it begins as a draft with the saga that makes it active, and is undone by that saga alone.

use seedwork::{Error, Result, UnitOfWork};
use wire::values::Timestamp;

use crate::campaign::{Campaign, Facts, Participant, Refused};
use crate::registration::Registration;

/// Handles [`wire::RegisterCampaign`].
///
/// # Errors
/// When there is a campaign of this id, or what is said of it is not of the right form.
pub fn register(ask: wire::RegisterCampaign, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<Campaign>(&ask.campaign)?.is_some() {
        return Err(Refused::Exists.into());
    }
    let at = Timestamp::saturating_from_micros(work.now());
    let saga = work.start(Registration::of(&ask, at).map_err(Error::fault)?)?;
    let (id, facts) = facts_of(ask);
    let (campaign, registered) = Campaign::register(id, facts, saga, at)?;
    work.save(campaign, [registered])
}

/// Handles [`wire::UndoRegistration`].
///
/// # Errors
/// When the campaign is or was active.
pub fn undo(ask: wire::UndoRegistration, work: &mut UnitOfWork<'_>) -> Result {
    let mut campaign = work.load::<Campaign>(&ask.campaign)?;
    let cancelled = campaign.undo_registration()?;
    work.save(campaign, cancelled)
}

fn facts_of(ask: wire::RegisterCampaign) -> (wire::values::CampaignId, Facts) {
    let wire::RegisterCampaign { campaign, name, kind, starts, ends, budget, brand, participants, kind_as_sent } = ask;
    let participants = participants.into_iter().map(participant).collect();
    (campaign, Facts { name, kind, kind_as_sent, starts, ends, budget, brand, participants })
}

fn participant(said: wire::Participant) -> Participant {
    let wire::Participant { id, kind, name, profile, kind_as_sent } = said;
    Participant { id, kind, kind_as_sent, name, profile }
}
