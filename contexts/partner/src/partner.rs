//! A partner: a person or company that promotes campaigns. Its profile is kept as it was first given; it is active or banned.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::PartnerId;

/// The longest name, in characters.
pub const NAME_MAX_CHARS: usize = 200;
/// The longest profile, in characters.
pub const PROFILE_MAX_CHARS: usize = 4_000;
/// The longest reason of a ban or a cancelled enrolment, in characters.
pub const REASON_MAX_CHARS: usize = 500;

/// A partner. Names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    id: PartnerId,
    name: String,
    profile: String,
    status: Status,
    /// Why it is banned, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Where a partner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It may be enrolled.
    Active,
    /// It may not be enrolled any more; its enrolments stay.
    Banned,
}

impl Status {
    /// The word for it: `active` or `banned`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Banned => "banned",
        }
    }
}

/// What happened to a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It became known.
    Registered,
    /// It was banned.
    Banned,
    /// The ban was lifted.
    Unbanned,
}

/// Why a partner says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is banned.
    #[error("the partner is banned")]
    Banned,
    /// A text is too short or too long.
    #[error("it has {least} to {most} characters, this has {chars}")]
    Length {
        /// Which field of the command.
        field: &'static str,
        /// The fewest characters.
        least: usize,
        /// The most characters.
        most: usize,
        /// How many it has.
        chars: usize,
    },
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::Banned => Refusal::conflict("partner-banned", self),
            Refused::Length { field, .. } => Refusal::unprocessable("text-length", field, self),
        }
    }
}

pub(crate) fn check_length(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Refused> {
    let chars = text.chars().count();
    if (least..=most).contains(&chars) { Ok(()) } else { Err(Refused::Length { field, least, most, chars }) }
}

impl Partner {
    /// A partner that becomes known.
    ///
    /// # Errors
    /// When the name or the profile is not of the right length.
    pub fn register(id: PartnerId, name: String, profile: String) -> Result<(Partner, Event), Refused> {
        check_length("name", &name, 1, NAME_MAX_CHARS)?;
        check_length("profile", &profile, 0, PROFILE_MAX_CHARS)?;
        Ok((Partner { id, name, profile, status: Status::Active, reason: None }, Event::Registered))
    }

    /// Whether it may be enrolled in one more campaign.
    ///
    /// # Errors
    /// When it is banned.
    pub fn may_enrol(&self) -> Result<(), Refused> {
        match self.status {
            Status::Active => Ok(()),
            Status::Banned => Err(Refused::Banned),
        }
    }

    /// Bans it; the reason of the first ban stays until that is lifted.
    ///
    /// # Errors
    /// When the reason is empty or too long.
    pub fn ban(&mut self, reason: Option<String>) -> Result<Option<Event>, Refused> {
        if let Some(reason) = &reason {
            check_length("reason", reason, 1, REASON_MAX_CHARS)?;
        }
        if self.status == Status::Banned {
            return Ok(None);
        }
        self.status = Status::Banned;
        self.reason = reason;
        Ok(Some(Event::Banned))
    }

    /// Lifts the ban.
    pub fn unban(&mut self) -> Option<Event> {
        (self.status == Status::Banned).then(|| {
            self.status = Status::Active;
            self.reason = None;
            Event::Unbanned
        })
    }

    /// Its id.
    pub fn partner(&self) -> &PartnerId {
        &self.id
    }

    /// What it was called when it became known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it said of itself when it became known.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is banned, if somebody said so.
    pub fn ban_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl Aggregate for Partner {
    const KIND: &'static str = "partner";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner() -> Partner {
        Partner::register("p-1".parse().unwrap(), "Alice Doe".to_owned(), "Moda, 200k".to_owned()).unwrap().0
    }

    #[test]
    fn a_name_has_1_to_200_characters_and_a_profile_at_most_4000() {
        let refused = |name: &str, profile: &str| {
            let refused = Partner::register("p-1".parse().unwrap(), name.to_owned(), profile.to_owned()).unwrap_err();
            refused.refusal().field.unwrap().into_owned()
        };
        assert_eq!(refused("", ""), "name");
        assert_eq!(refused(&"ñ".repeat(201), ""), "name");
        assert_eq!(refused("Alice", &"ñ".repeat(4_001)), "profile");
        assert!(Partner::register("p-1".parse().unwrap(), "ñ".repeat(200), "ñ".repeat(4_000)).is_ok());
    }

    #[test]
    fn a_banned_partner_may_not_enrol_until_the_ban_is_lifted() {
        let mut partner = partner();
        assert_eq!(partner.may_enrol(), Ok(()));
        assert_eq!(partner.ban(Some("fraud".to_owned())), Ok(Some(Event::Banned)));
        assert_eq!((partner.may_enrol(), partner.ban_reason()), (Err(Refused::Banned), Some("fraud")));
        assert_eq!(Refused::Banned.refusal().code, "partner-banned");
        assert_eq!(partner.unban(), Some(Event::Unbanned));
        assert_eq!((partner.may_enrol(), partner.ban_reason()), (Ok(()), None));
    }

    #[test]
    fn a_ban_twice_is_one_ban_and_keeps_its_reason() {
        let mut partner = partner();
        assert_eq!(partner.unban(), None, "it was active already");
        partner.ban(Some("fraud".to_owned())).unwrap();
        assert_eq!(partner.ban(None), Ok(None));
        assert_eq!(partner.ban_reason(), Some("fraud"));
    }

    #[test]
    fn a_reason_if_given_has_1_to_500_characters() {
        for reason in [String::new(), "x".repeat(501)] {
            let mut partner = partner();
            assert_eq!(partner.ban(Some(reason)).unwrap_err().refusal().field.as_deref(), Some("reason"));
            assert_eq!(partner.status(), Status::Active);
        }
    }

    #[test]
    fn its_state_is_read_back_as_it_was_written() {
        let mut banned = partner();
        banned.ban(Some("fraud".to_owned())).unwrap();
        for partner in [partner(), banned] {
            let text = serde_json::to_string(&partner).unwrap();
            assert_eq!(serde_json::from_str::<Partner>(&text).unwrap(), partner);
        }
    }
}
