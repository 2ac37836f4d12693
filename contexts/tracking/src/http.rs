//! JSON to commands, views to JSON: the form of what is asked of this context over HTTP, and how its answers read there.

use std::borrow::Cow;

use seedwork::Refusal;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use wire::values::{BlockId, BlockTarget, CampaignId, Money, PartnerId};

use crate::views::{BlockDoc, EventDoc};

/// The body that blocks a partner or a campaign: exactly one of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewBlock {
    /// Every campaign's events of this partner.
    #[serde(default)]
    pub partner: Option<String>,
    /// Every partner's events in this campaign.
    #[serde(default)]
    pub campaign: Option<String>,
}

impl NewBlock {
    /// The command, if all is of the right form.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self) -> Result<wire::Block, Refusal> {
        let target = match (self.partner, self.campaign) {
            (Some(partner), None) => PartnerId::parse(&partner)
                .map(BlockTarget::Partner)
                .map_err(|error| Refusal::unprocessable("id-invalid", "partner", error))?,
            (None, Some(campaign)) => CampaignId::parse(&campaign)
                .map(BlockTarget::Campaign)
                .map_err(|error| Refusal::unprocessable("id-invalid", "campaign", error))?,
            (None, None) => {
                let why = "name what to block: a partner or a campaign";
                return Err(Refusal::unprocessable("block-target", "partner", why));
            }
            (Some(_), Some(_)) => {
                let why = "a block is of a partner or of a campaign: name one of them";
                return Err(Refusal::unprocessable("block-target", "campaign", why));
            }
        };
        Ok(wire::Block { block: BlockId::of(&target) })
    }
}

/// The field of a request that a field of a command came from: what a refusal names is called so there.
pub fn field(of_command: &str) -> Cow<'_, str> {
    match of_command {
        "block" | "event" => "id".into(),
        other => other.into(),
    }
}

/// A block, as `/v1` answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockAnswer<'a>(&'a BlockDoc);

impl<'a> From<&'a BlockDoc> for BlockAnswer<'a> {
    fn from(doc: &'a BlockDoc) -> BlockAnswer<'a> {
        BlockAnswer(doc)
    }
}

impl Serialize for BlockAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("id", &self.0.id)?;
        match self.0.id.target() {
            BlockTarget::Partner(partner) => map.serialize_entry("partner", &partner)?,
            BlockTarget::Campaign(campaign) => map.serialize_entry("campaign", &campaign)?,
        }
        map.serialize_entry("status", &self.0.status)?;
        map.end()
    }
}

/// An event, as `/v1` answers it. Its id names a person.
#[derive(Clone, Debug, PartialEq)]
pub struct EventAnswer<'a>(&'a EventDoc);

impl<'a> From<&'a EventDoc> for EventAnswer<'a> {
    fn from(doc: &'a EventDoc) -> EventAnswer<'a> {
        EventAnswer(doc)
    }
}

impl Serialize for EventAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EventDoc { id, status, facts } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id)?;
        map.serialize_entry("enrolment", &facts.enrolment)?;
        map.serialize_entry("kind", &facts.kind)?;
        map.serialize_entry("at", &facts.at)?;
        map.serialize_entry("status", status)?;
        if let Some(value) = facts.value {
            map.serialize_entry("value", &Amount(value))?;
        }
        map.end()
    }
}

/// An amount, as answers give it: a decimal text in major units, and the currency.
struct Amount(Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("amount", &self.0.to_decimal_string())?;
        map.serialize_entry("currency", &self.0.currency)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn a_block_is_of_one_partner_or_one_campaign() {
        let ask = |json: &str| from_str::<NewBlock>(json).unwrap().command().map(|ask| ask.block.to_string());
        assert_eq!(ask(r#"{"partner": "p-98765"}"#).as_deref(), Ok("p-98765~partner"));
        assert_eq!(ask(r#"{"campaign": "c-12345"}"#).as_deref(), Ok("c-12345~campaign"));
        for (json, code, field) in [
            ("{}", "block-target", "partner"),
            (r#"{"partner": "p", "campaign": "c"}"#, "block-target", "campaign"),
            (r#"{"partner": "a/b"}"#, "id-invalid", "partner"),
            (r#"{"campaign": ""}"#, "id-invalid", "campaign"),
        ] {
            let refusal = ask(json).unwrap_err();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), (code, Some(field)), "{json}");
        }
    }

    #[test]
    fn answers_say_what_is_blocked_and_what_an_event_was_worth() {
        let block: BlockDoc = from_str(r#"{"id": "c-1~campaign", "status": "lifted"}"#).unwrap();
        assert_eq!(
            to_value(BlockAnswer::from(&block)).unwrap(),
            json!({"id": "c-1~campaign", "campaign": "c-1", "status": "lifted"})
        );
        let event: EventDoc = from_str(
            r#"{"id": "p-1~c-1~sale", "status": "recorded", "enrolment": "p-1~c-1", "kind": "conversion",
                "at": "2025-09-10T00:00:00Z", "value": {"amount": 1250, "currency": "USD"}}"#,
        )
        .unwrap();
        let expected = json!({"id": "p-1~c-1~sale", "enrolment": "p-1~c-1", "kind": "conversion", "at": "2025-09-10T00:00:00Z",
            "status": "recorded", "value": {"amount": "12.50", "currency": "USD"}});
        assert_eq!(to_value(EventAnswer::from(&event)).unwrap(), expected);
    }
}
