//! JSON to commands, views to JSON: the form of what is asked of this context over HTTP, and how its answers read there.

use std::borrow::Cow;

use seedwork::Refusal;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use wire::values::PartnerId;

use crate::views::{EnrolmentDoc, PartnerDoc};

/// The longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 500;

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
            let chars = reason.chars().count();
            if !(1..=REASON_MAX_CHARS).contains(&chars) {
                let why = format!("it has 1 to {REASON_MAX_CHARS} characters, this has {chars}");
                return Err(Refusal::unprocessable("text-length", "reason", why));
            }
        }
        Ok(wire::BanPartner { partner, reason: self.reason })
    }
}

/// The field of a request that a field of a command came from: what a refusal names is called so there.
pub fn field(of_command: &str) -> Cow<'_, str> {
    match of_command {
        "partner" | "enrolment" => "id".into(),
        "kind_as_sent" => "kind".into(),
        other => other.into(),
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
    fn its_longest_reason_is_the_aggregates() {
        assert_eq!(REASON_MAX_CHARS, crate::partner::REASON_MAX_CHARS);
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
