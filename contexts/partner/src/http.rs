//! JSON to commands, views to JSON: the form of what is asked of this context over HTTP, and how its answers read there.

use std::borrow::Cow;

use seedwork::Refusal;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use wire::values::{CampaignId, EnrolmentId, PartnerId, PartnerKind};

use crate::views::{EnrolmentDoc, Enrolments, PartnerDoc, Partners};

/// The longest name of a partner, in characters.
pub const NAME_MAX_CHARS: usize = 200;
/// The longest profile of a partner, in characters.
pub const PROFILE_MAX_CHARS: usize = 4_000;
/// The longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 500;
/// Why an enrolment is cancelled when whoever asks does not say.
pub const NO_REASON: &str = "no reason given";

/// The body that bans a partner; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Ban {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Ban {
    /// The command, if all is of the right form.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, partner: PartnerId) -> Result<wire::BanPartner, Refusal> {
        if let Some(reason) = &self.reason {
            check_length("reason", reason, 1, REASON_MAX_CHARS)?;
        }
        Ok(wire::BanPartner { partner, reason: self.reason })
    }
}

/// The body that enrols a partner in a campaign. Names a person.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewEnrolment {
    /// Which partner; minted when there is none.
    #[serde(default)]
    pub partner: Option<String>,
    /// In which campaign.
    pub campaign: String,
    /// What the partner is to this campaign.
    pub kind: String,
    /// What the partner is called.
    pub name: String,
    /// What the partner says of itself; kept when it is the first time.
    #[serde(default)]
    pub profile: Option<String>,
}

/// The body that cancels an enrolment; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Cancel {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

impl NewEnrolment {
    /// The command, if all is of the right form. `mint` gives an id for a partner that comes without.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, mint: impl FnOnce() -> String) -> Result<wire::RegisterEnrolment, Refusal> {
        let wrong = |field| move |error| Refusal::unprocessable("id-invalid", field, error);
        let partner = PartnerId::parse(&self.partner.unwrap_or_else(mint)).map_err(wrong("partner"))?;
        let campaign = CampaignId::parse(&self.campaign).map_err(wrong("campaign"))?;
        let (kind, kind_as_sent) =
            PartnerKind::understand(&self.kind).map_err(|error| Refusal::unprocessable("kind-unknown", "kind", error))?;
        check_length("name", &self.name, 1, NAME_MAX_CHARS)?;
        let profile = self.profile.unwrap_or_default();
        check_length("profile", &profile, 0, PROFILE_MAX_CHARS)?;
        let enrolment = EnrolmentId::join(&partner, &campaign);
        Ok(wire::RegisterEnrolment { enrolment, name: self.name, kind, profile, kind_as_sent })
    }
}

impl Cancel {
    /// The command, if all is of the right form.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, enrolment: EnrolmentId) -> Result<wire::CancelEnrolment, Refusal> {
        let reason = self.reason.unwrap_or_else(|| NO_REASON.to_owned());
        check_length("reason", &reason, 1, REASON_MAX_CHARS)?;
        Ok(wire::CancelEnrolment { enrolment, reason })
    }
}

fn check_length(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if (least..=most).contains(&chars) {
        return Ok(());
    }
    let why = format!("it has {least} to {most} characters, this has {chars}");
    Err(Refusal::unprocessable("text-length", field, why))
}

/// The field of a request that a field of a command came from: what a refusal names is called so there.
pub fn field(of_command: &str) -> Cow<'_, str> {
    match of_command {
        "partner" | "enrolment" => "id".into(),
        "kind_as_sent" => "kind".into(),
        other => other.into(),
    }
}

/// The filter of a list of partners; `sort` is `id`, or `-id` for the greatest first.
///
/// # Errors
/// Unprocessable; it names the parameter.
pub fn partners(status: Option<&str>, sort: Option<&str>) -> Result<Partners, Refusal> {
    let status = word(status, "a partner is active or banned")?;
    Ok(Partners { status, descending: descending(sort)? })
}

/// The filter of a list of enrolments; `sort` is `id`, or `-id` for the greatest first.
///
/// # Errors
/// Unprocessable; it names the parameter.
pub fn enrolments(
    partner: Option<&str>,
    campaign: Option<&str>,
    status: Option<&str>,
    kind: Option<&str>,
    sort: Option<&str>,
) -> Result<Enrolments, Refusal> {
    let wrong = |field| move |error| Refusal::unprocessable("id-invalid", field, error);
    let kind = kind.map(PartnerKind::understand).transpose();
    Ok(Enrolments {
        partner: partner.map(PartnerId::parse).transpose().map_err(wrong("partner"))?,
        campaign: campaign.map(CampaignId::parse).transpose().map_err(wrong("campaign"))?,
        status: word(status, "an enrolment is registered or cancelled")?,
        kind: kind.map_err(|error| Refusal::unprocessable("kind-unknown", "kind", error))?.map(|(kind, _)| kind),
        descending: descending(sort)?,
    })
}

fn word<T: DeserializeOwned>(text: Option<&str>, why: &str) -> Result<Option<T>, Refusal> {
    let read =
        |text: &str| serde_json::from_value(text.into()).map_err(|_| Refusal::unprocessable("status-unknown", "status", why));
    text.map(read).transpose()
}

fn descending(sort: Option<&str>) -> Result<bool, Refusal> {
    match sort {
        None | Some("id") => Ok(false),
        Some("-id") => Ok(true),
        Some(_) => Err(Refusal::unprocessable("sort-unknown", "sort", "this list is sorted by id or -id")),
    }
}

/// A partner, as `/v1` answers it: as the view has it. Names a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PartnerAnswer<'a>(&'a PartnerDoc);

impl<'a> From<&'a PartnerDoc> for PartnerAnswer<'a> {
    fn from(doc: &'a PartnerDoc) -> PartnerAnswer<'a> {
        PartnerAnswer(doc)
    }
}

/// An enrolment, as `/v1` answers it. Names a person.
#[derive(Clone, Debug, PartialEq)]
pub struct EnrolmentAnswer<'a>(&'a EnrolmentDoc);

impl<'a> From<&'a EnrolmentDoc> for EnrolmentAnswer<'a> {
    fn from(doc: &'a EnrolmentDoc) -> EnrolmentAnswer<'a> {
        EnrolmentAnswer(doc)
    }
}

impl Serialize for EnrolmentAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let doc = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &doc.id)?;
        map.serialize_entry("partner", &doc.id.partner())?;
        map.serialize_entry("campaign", &doc.id.campaign())?;
        map.serialize_entry("kind", doc.kind_as_sent.as_deref().unwrap_or(doc.kind.as_str()))?;
        map.serialize_entry("name", &doc.name)?;
        map.serialize_entry("status", &doc.status)?;
        if let Some(reason) = &doc.reason {
            map.serialize_entry("reason", reason)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_needs_no_reason_and_takes_one_of_500_characters() {
        let partner: PartnerId = "p-1".parse().unwrap();
        let ban = |json: &str| serde_json::from_str::<Ban>(json).unwrap().command(partner.clone());
        assert_eq!(ban("{}"), Ok(wire::BanPartner { partner: partner.clone(), reason: None }));
        let longest = "ñ".repeat(REASON_MAX_CHARS);
        let asked = ban(&format!(r#"{{"reason": "{longest}"}}"#)).unwrap();
        assert_eq!(asked.reason.as_deref(), Some(longest.as_str()));
        for reason in ["", &format!("{longest}x")] {
            let refusal = ban(&format!(r#"{{"reason": "{reason}"}}"#)).unwrap_err();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), ("text-length", Some("reason")));
        }
        assert!(serde_json::from_str::<Ban>(r#"{"why": "spam"}"#).is_err(), "a surplus field");
    }

    #[test]
    fn its_limits_are_the_aggregates() {
        use crate::partner;
        let there = (partner::NAME_MAX_CHARS, partner::PROFILE_MAX_CHARS, partner::REASON_MAX_CHARS);
        assert_eq!((NAME_MAX_CHARS, PROFILE_MAX_CHARS, REASON_MAX_CHARS), there);
        let longest = PartnerKind::SPELLINGS.iter().map(|(spelling, _)| spelling.len()).max();
        assert!(longest <= Some(crate::enrolment::KIND_MAX_CHARS));
    }

    #[test]
    fn an_enrolment_is_of_the_form_that_the_documentation_has_and_names_what_is_not() {
        let ask = |json: &str| serde_json::from_str::<NewEnrolment>(json).unwrap().command(|| "minted".to_owned());
        let good = r#"{"partner": "p-1", "campaign": "c-1", "kind": "Embajador", "name": "Alice", "profile": "Moda"}"#;
        let command = ask(good).unwrap();
        assert_eq!((command.enrolment.as_str(), command.kind), ("p-1~c-1", PartnerKind::Ambassador));
        assert_eq!((command.kind_as_sent.as_deref(), command.profile.as_str()), (Some("Embajador"), "Moda"));
        let minted = ask(r#"{"campaign": "c-1", "kind": "affiliate", "name": "Alice"}"#).unwrap();
        assert_eq!((minted.enrolment.as_str(), minted.profile.as_str()), ("minted~c-1", ""));
        for (piece, other, field) in [
            ("p-1", "p/1", "partner"),
            ("c-1", "", "campaign"),
            ("Embajador", "friend", "kind"),
            ("Alice", "", "name"),
            ("Moda", &"x".repeat(PROFILE_MAX_CHARS + 1), "profile"),
        ] {
            let refusal = ask(&good.replace(piece, other)).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field), "{refusal}");
        }
    }

    #[test]
    fn an_enrolment_is_cancelled_with_a_reason_or_without() {
        let cancel = |json: &str| serde_json::from_str::<Cancel>(json).unwrap().command("p-1~c-1".parse().unwrap());
        assert_eq!(cancel("{}").unwrap().reason, NO_REASON);
        assert_eq!(cancel(r#"{"reason": "left"}"#).unwrap().reason, "left");
        assert_eq!(cancel(r#"{"reason": ""}"#).unwrap_err().field.as_deref(), Some("reason"));
    }

    #[test]
    fn an_enrolment_is_answered_with_its_kind_as_it_was_sent() {
        let json = r#"{"id": "p-1~c-1", "name": "Alice", "kind": "influencer", "kind_as_sent": "Influencer", "status": "cancelled",
            "reason": "registration undone"}"#;
        let doc: EnrolmentDoc = serde_json::from_str(json).unwrap();
        let answer = serde_json::to_value(EnrolmentAnswer::from(&doc)).unwrap();
        let expected = serde_json::json!({"id": "p-1~c-1", "partner": "p-1", "campaign": "c-1", "kind": "Influencer", "name": "Alice",
            "status": "cancelled", "reason": "registration undone"});
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_refusal_names_the_field_of_the_request() {
        assert_eq!((field("partner"), field("reason")), ("id".into(), "reason".into()));
    }
}
