//! What is said of a campaign when it is registered, and the form that it must have.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wire::values::{BrandId, CampaignKind, Money, PartnerId, PartnerKind, Timestamp};

use super::Refused;

/// The longest name of a campaign or participant, in characters.
pub const NAME_MAX_CHARS: usize = 200;
/// The longest profile of a participant, in characters.
pub const PROFILE_MAX_CHARS: usize = 4_000;
/// The longest reason of a cancel, in characters.
pub const REASON_MAX_CHARS: usize = 500;
/// The longest spelling of a kind that is kept as it was sent, in characters.
pub const KIND_MAX_CHARS: usize = 32;
/// The most participants of one campaign.
pub const PARTICIPANTS_MAX: usize = 1_000;

/// What was said of a campaign when it was registered; it never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// What it is called.
    pub name: String,
    /// Which partners it is made for.
    pub kind: CampaignKind,
    /// How the kind was spelled, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
    /// When its window begins; it may be past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When its window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// What it may cost.
    pub budget: Money,
    /// Who pays.
    pub brand: BrandId,
    /// Who promotes it.
    pub participants: Vec<Participant>,
}

/// A partner as the campaign names it. Names a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    /// Which partner.
    pub id: PartnerId,
    /// What the partner is to this campaign.
    pub kind: PartnerKind,
    /// How the kind was spelled, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
    /// What the partner is called.
    pub name: String,
    /// What the partner says of itself.
    pub profile: String,
}

pub(super) fn check_length(
    text: &str,
    least: usize,
    most: usize,
    field: impl FnOnce() -> Cow<'static, str>,
) -> Result<(), Refused> {
    let chars = text.chars().count();
    if (least..=most).contains(&chars) { Ok(()) } else { Err(Refused::Length { field: field(), least, most, chars }) }
}

impl Facts {
    pub(super) fn check(&self) -> Result<(), Refused> {
        check_length(&self.name, 1, NAME_MAX_CHARS, || "name".into())?;
        if let Some(kind) = &self.kind_as_sent {
            check_length(kind, 1, KIND_MAX_CHARS, || "kind_as_sent".into())?;
        }
        if let (Some(starts), Some(ends)) = (self.starts, self.ends)
            && ends <= starts
        {
            return Err(Refused::Window);
        }
        if self.budget.amount <= 0 {
            return Err(Refused::Budget);
        }
        if self.participants.is_empty() || self.participants.len() > PARTICIPANTS_MAX {
            return Err(Refused::Participants(self.participants.len()));
        }
        let mut known = BTreeSet::new();
        for (index, participant) in self.participants.iter().enumerate() {
            if !known.insert(&participant.id) {
                return Err(Refused::Twice { id: participant.id.clone(), index });
            }
            participant.check(index)?;
        }
        Ok(())
    }
}

impl Participant {
    fn check(&self, index: usize) -> Result<(), Refused> {
        let here = |field: &str| format!("participants[{index}].{field}").into();
        check_length(&self.name, 1, NAME_MAX_CHARS, || here("name"))?;
        check_length(&self.profile, 0, PROFILE_MAX_CHARS, || here("profile"))?;
        match &self.kind_as_sent {
            Some(kind) => check_length(kind, 1, KIND_MAX_CHARS, || here("kind_as_sent")),
            None => Ok(()),
        }
    }
}
