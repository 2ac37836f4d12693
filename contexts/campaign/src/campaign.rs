//! A campaign: what a brand wants promoted, by whom, when, and for how much.
//!
//! draft → active ⇄ paused → finished; cancelled from draft, active and paused. A draft belongs to its registration: nothing but that
//! saga makes it active or cancels it, and a cancel that comes too late is kept until it is active. Time alone changes nothing.

use std::borrow::Cow;
use std::sync::Arc;

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{CampaignId, PartnerId, ReservationId, Timestamp};

mod facts;

use facts::check_length;
pub use facts::{Facts, KIND_MAX_CHARS, NAME_MAX_CHARS, PARTICIPANTS_MAX, PROFILE_MAX_CHARS, Participant, REASON_MAX_CHARS};

/// Why a campaign was cancelled whose registration was undone and that nobody wanted cancelled.
const UNDONE: &str = "registration undone";

/// A campaign, guarding its own rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    id: CampaignId,
    facts: Arc<Facts>,
    status: Status,
    created: Timestamp,
    /// The saga that registers it; taken when that has made it active, so a cancelled campaign that still has it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registration: Option<Arc<str>>,
    /// Why it is cancelled; of a draft, why it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel: Option<String>,
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its registration is under way.
    Draft,
    /// It runs.
    Active,
    /// It runs again when it is resumed.
    Paused,
    /// It ended well, for good.
    Finished,
    /// It was cancelled, for good.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] = [Status::Draft, Status::Active, Status::Paused, Status::Finished, Status::Cancelled];

    /// The word for it: `draft`, `active`, `paused`, `finished` or `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Active => "active",
            Status::Paused => "paused",
            Status::Finished => "finished",
            Status::Cancelled => "cancelled",
        }
    }
}

/// What happened to a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was registered, as a draft.
    Registered,
    /// Its registration made it active.
    Activated,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// It ended well.
    Finished,
    /// Somebody wants the draft cancelled: as soon as its registration is undone, or has made it active.
    CancelKept,
    /// It was cancelled.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// Why a campaign says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is a campaign of this id.
    #[error("there is a campaign of this id already")]
    Exists,
    /// A text is too short or too long.
    #[error("it has {least} to {most} characters, this has {chars}")]
    Length {
        /// Which field of the command.
        field: Cow<'static, str>,
        /// The fewest characters.
        least: usize,
        /// The most characters.
        most: usize,
        /// How many it has.
        chars: usize,
    },
    /// The window ends before it begins, or at that moment.
    #[error("the window ends after it starts")]
    Window,
    /// The budget is nothing or less.
    #[error("the budget is more than nothing")]
    Budget,
    /// It has no participants, or too many.
    #[error("a campaign has 1 to {PARTICIPANTS_MAX} participants, this one has {0}")]
    Participants(usize),
    /// A participant is named twice.
    #[error("participant {id} is named twice")]
    Twice {
        /// Who.
        id: PartnerId,
        /// Where the second time, from 0.
        index: usize,
    },
    /// It belongs to its registration until that has ended.
    #[error("the campaign is a draft: it belongs to its registration until that has ended")]
    Draft,
    /// It has ended.
    #[error("the campaign is {}, which is final", .0.as_str())]
    Final(Status),
    /// Its registration is over: it is active, or was.
    #[error("the campaign is {}: its registration is over", .0.as_str())]
    Registered(Status),
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        let about = |field: Cow<'static, str>, refusal: Refusal| Refusal { field: Some(field), ..refusal };
        match self {
            Refused::Exists => about("campaign".into(), Refusal::conflict("campaign-exists", self)),
            Refused::Length { field, .. } => {
                Refusal { field: Some(field.clone()), ..Refusal::unprocessable("text-length", "", self) }
            }
            Refused::Window => Refusal::unprocessable("window-ends-before-start", "ends", self),
            Refused::Budget => Refusal::unprocessable("budget-not-positive", "budget", self),
            Refused::Participants(_) => Refusal::unprocessable("participants-count", "participants", self),
            Refused::Twice { index, .. } => {
                about(format!("participants[{index}].id").into(), Refusal::unprocessable("participant-twice", "", self))
            }
            Refused::Draft => Refusal::conflict("campaign-is-draft", self),
            Refused::Final(_) => Refusal::conflict("campaign-is-final", self),
            Refused::Registered(_) => Refusal::conflict("campaign-not-draft", self),
        }
    }
}

impl Campaign {
    /// A new draft, which belongs to the saga `registration`.
    ///
    /// # Errors
    /// When the facts are not of the right form; the refusal names the field.
    pub fn register(
        id: CampaignId,
        facts: Facts,
        registration: Arc<str>,
        created: Timestamp,
    ) -> Result<(Campaign, Event), Refused> {
        facts.check()?;
        let campaign = Campaign {
            id,
            facts: Arc::new(facts),
            status: Status::Draft,
            created,
            registration: Some(registration),
            cancel: None,
        };
        Ok((campaign, Event::Registered))
    }

    /// Makes a draft active: its registration is done.
    ///
    /// # Errors
    /// When its registration was undone.
    pub fn activate(&mut self) -> Result<Option<Event>, Refused> {
        match (self.status, &self.registration) {
            (Status::Draft, _) => {
                self.status = Status::Active;
                self.registration = None;
                Ok(Some(Event::Activated))
            }
            (Status::Cancelled, Some(_)) => Err(Refused::Final(self.status)),
            // It has been active, whatever it is now.
            (Status::Active | Status::Paused | Status::Finished | Status::Cancelled, _) => Ok(None),
        }
    }

    /// Keeps a cancel that its registration must be undone for, or done before; the first reason stays.
    ///
    /// # Errors
    /// When it is no draft, or the reason is empty or too long.
    pub fn keep_cancel(&mut self, reason: String) -> Result<Option<Event>, Refused> {
        check_length(&reason, 1, REASON_MAX_CHARS, || "reason".into())?;
        match (self.status, &self.cancel) {
            (Status::Draft, Some(_)) => Ok(None),
            (Status::Draft, None) => {
                self.cancel = Some(reason);
                Ok(Some(Event::CancelKept))
            }
            (status, _) => Err(Refused::Registered(status)),
        }
    }

    /// Carries out a cancel that was kept, now that the campaign is active.
    pub fn cancel_as_kept(&mut self) -> Option<Event> {
        let reason = self.cancel.clone().filter(|_| self.status == Status::Active)?;
        self.status = Status::Cancelled;
        Some(Event::Cancelled { reason })
    }

    /// Cancels a draft whose registration is undone, for the reason of the kept cancel if there is one.
    ///
    /// # Errors
    /// When it is or was active.
    pub fn undo_registration(&mut self) -> Result<Option<Event>, Refused> {
        match (self.status, &self.registration) {
            (Status::Draft, _) => {
                let reason = self.cancel.get_or_insert_with(|| UNDONE.to_owned()).clone();
                self.status = Status::Cancelled;
                Ok(Some(Event::Cancelled { reason }))
            }
            (Status::Cancelled, Some(_)) => Ok(None),
            (Status::Active | Status::Paused | Status::Finished | Status::Cancelled, _) => Err(Refused::Registered(self.status)),
        }
    }

    /// Cancels it for good.
    ///
    /// # Errors
    /// When it is a draft or finished, or the reason is empty or too long.
    pub fn cancel(&mut self, reason: String) -> Result<Option<Event>, Refused> {
        check_length(&reason, 1, REASON_MAX_CHARS, || "reason".into())?;
        match self.status {
            Status::Active | Status::Paused => {
                self.status = Status::Cancelled;
                self.cancel = Some(reason.clone());
                Ok(Some(Event::Cancelled { reason }))
            }
            Status::Cancelled => Ok(None),
            Status::Finished => Err(Refused::Final(self.status)),
            Status::Draft => Err(Refused::Draft),
        }
    }

    /// Pauses it.
    ///
    /// # Errors
    /// When it is a draft or has ended.
    pub fn pause(&mut self) -> Result<Option<Event>, Refused> {
        self.running()?;
        Ok((self.status == Status::Active).then(|| {
            self.status = Status::Paused;
            Event::Paused
        }))
    }

    /// Makes it active again.
    ///
    /// # Errors
    /// When it is a draft or has ended.
    pub fn resume(&mut self) -> Result<Option<Event>, Refused> {
        self.running()?;
        Ok((self.status == Status::Paused).then(|| {
            self.status = Status::Active;
            Event::Resumed
        }))
    }

    /// Ends it well, for good.
    ///
    /// # Errors
    /// When it is a draft or cancelled.
    pub fn finish(&mut self) -> Result<Option<Event>, Refused> {
        if self.status == Status::Finished {
            return Ok(None);
        }
        self.running()?;
        self.status = Status::Finished;
        Ok(Some(Event::Finished))
    }

    fn running(&self) -> Result<(), Refused> {
        match self.status {
            Status::Active | Status::Paused => Ok(()),
            Status::Draft => Err(Refused::Draft),
            Status::Finished | Status::Cancelled => Err(Refused::Final(self.status)),
        }
    }

    /// What was said of it when it was registered.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// When it was registered.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The saga that it belongs to, while it is a draft.
    pub fn registration(&self) -> Option<&Arc<str>> {
        self.registration.as_ref().filter(|_| self.status == Status::Draft)
    }

    /// Why it is cancelled; of a draft, why it will be.
    pub fn cancel_reason(&self) -> Option<&str> {
        self.cancel.as_deref()
    }

    /// Its id.
    pub fn campaign(&self) -> &CampaignId {
        &self.id
    }

    /// The id of what its brand has reserved for it.
    pub fn reservation(&self) -> ReservationId {
        ReservationId::join(&self.facts.brand, &self.id)
    }

    /// The partners that its registration enrols.
    pub fn partners(&self) -> impl Iterator<Item = &PartnerId> {
        self.facts.participants.iter().map(|participant| &participant.id)
    }
}

impl Aggregate for Campaign {
    const KIND: &'static str = "campaign";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests;
