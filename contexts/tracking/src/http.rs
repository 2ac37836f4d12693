//! JSON to commands, views to JSON: the form of what is asked of this context over HTTP, and how its answers read there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use seedwork::Refusal;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use wire::values::{BlockId, BlockTarget, CampaignId, Currency, EnrolmentId, EventId, Money, PartnerId, Timestamp, check_id};

use crate::views::{BlockDoc, Blocks, EventDoc, Events, Order};

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

/// The body that records an event. Its ids name a person.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewEvent {
    /// The id that it gets, which begins with the enrolment's; minted when there is none.
    #[serde(default)]
    pub id: Option<String>,
    /// In which enrolment it happened.
    pub enrolment: String,
    /// What happened: a word.
    pub kind: String,
    /// When it happened, as RFC 3339; now when it is not said.
    #[serde(default)]
    pub at: Option<String>,
    /// What it was worth.
    #[serde(default)]
    pub value: Option<NewValue>,
}

/// An amount as it is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct NewValue {
    /// A decimal number in major units.
    pub amount: String,
    /// An ISO 4217 code.
    pub currency: String,
}

impl TryFrom<BTreeMap<String, String>> for NewValue {
    type Error = String;
    /// A map, so that a list of the two is not taken for it.
    fn try_from(mut members: BTreeMap<String, String>) -> Result<NewValue, String> {
        let mut take = |name: &str| members.remove(name).ok_or_else(|| format!("missing field `{name}`"));
        let value = NewValue { amount: take("amount")?, currency: take("currency")? };
        match members.first_key_value() {
            Some((name, _)) => Err(format!("unknown field `{name}`, expected `amount` or `currency`")),
            None => Ok(value),
        }
    }
}

impl NewEvent {
    /// The command, if all is of the right form. `mint` gives the event's own part of an id for one that comes without; `now` is when it
    /// happened if that is not said.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, now: Timestamp, mint: impl FnOnce() -> String) -> Result<wire::RecordEvent, Refusal> {
        let wrong = |code: &'static str, field| move |error: &dyn Display| Refusal::unprocessable(code, field, error);
        let enrolment = EnrolmentId::parse(&self.enrolment).map_err(|error| wrong("id-invalid", "enrolment")(&error))?;
        let event = match self.id {
            Some(id) => EventId::parse(&id),
            None => EventId::join(&enrolment, mint()),
        };
        let event = event.map_err(|error| wrong("id-invalid", "id")(&error))?;
        if event.enrolment() != enrolment || event.parts().nth(2).is_none() {
            let why = format!("the event's id is the id of the enrolment {enrolment}, a \"~\" and an id of its own");
            return Err(Refusal::unprocessable("event-elsewhere", "id", why));
        }
        check_id(&self.kind).map_err(|error| wrong("kind-invalid", "kind")(&error))?;
        let at = self.at.map_or(Ok(now), |at| Timestamp::parse(&at)).map_err(|error| wrong("instant-invalid", "at")(&error))?;
        Ok(wire::RecordEvent { event, enrolment, kind: self.kind, at, value: self.value.map(NewValue::money).transpose()? })
    }
}

impl NewValue {
    fn money(self) -> Result<Money, Refusal> {
        let wrong = |code, field, error: &dyn Display| Refusal::unprocessable(code, field, error);
        let currency = Currency::parse(&self.currency).map_err(|error| wrong("currency-unknown", "value.currency", &error))?;
        Money::parse_in(&self.amount, currency).map_err(|error| wrong("amount-invalid", "value.amount", &error))
    }
}

/// The field of a request that a field of a command came from: what a refusal names is called so there.
pub fn field(of_command: &str) -> Cow<'_, str> {
    match of_command {
        "block" | "event" => "id".into(),
        other => other.into(),
    }
}

/// The filter of a list of events, by the names of its parameters. `sort` is `at`, `-at` for the newest first, `id` or `-id`. When it is
/// not said, the newest come first; those of a partner or an enrolment go by id, unless `from` or `to` bounds the time.
///
/// # Errors
/// Unprocessable; it names the parameter.
pub fn events<'a>(given: impl Fn(&str) -> Option<&'a str>) -> Result<Events, Refusal> {
    let wrong = |field| move |error| Refusal::unprocessable("id-invalid", field, error);
    let time = |field| {
        let wrong = |error| Refusal::unprocessable("instant-invalid", field, error);
        given(field).map(Timestamp::parse).transpose().map_err(wrong)
    };
    let enrolment = given("enrolment").map(EnrolmentId::parse).transpose().map_err(wrong("enrolment"))?;
    let partner = given("partner").map(PartnerId::parse).transpose().map_err(wrong("partner"))?;
    if let (Some(enrolment), Some(partner)) = (&enrolment, &partner)
        && enrolment.first() != partner.as_str()
    {
        let why = format!("the enrolment {enrolment} is not one of this partner: leave the partner out");
        return Err(Refusal::unprocessable("partner-differs", "partner", why));
    }
    let (from, to) = (time("from")?, time("to")?);
    let bounded = from.is_some() || to.is_some();
    let stand_together = enrolment.is_some() || partner.is_some();
    let (order, descending) = match given("sort") {
        None if stand_together && !bounded => (Order::Id, false),
        None | Some("-at") => (Order::Time { from, to }, true),
        Some("at") => (Order::Time { from, to }, false),
        Some("id" | "-id") if bounded => {
            let why = "a list between two times is sorted by at or -at";
            return Err(Refusal::unprocessable("sort-unknown", "sort", why));
        }
        Some("id") => (Order::Id, false),
        Some("-id") => (Order::Id, true),
        Some(_) => return Err(Refusal::unprocessable("sort-unknown", "sort", "events are sorted by -at, at, id or -id")),
    };
    Ok(Events {
        enrolment,
        partner,
        campaign: given("campaign").map(CampaignId::parse).transpose().map_err(wrong("campaign"))?,
        status: word(given("status"), "an event is recorded or cancelled")?,
        kind: given("kind").map(str::to_owned),
        order,
        descending,
    })
}

/// The filter of a list of blocks; `sort` is `id`, or `-id` for the greatest first.
///
/// # Errors
/// Unprocessable; it names the parameter.
pub fn blocks(status: Option<&str>, sort: Option<&str>) -> Result<Blocks, Refusal> {
    Ok(Blocks { status: word(status, "a block is active or lifted")?, descending: descending(sort)? })
}

fn word<T: DeserializeOwned>(text: Option<&str>, why: &str) -> Result<Option<T>, Refusal> {
    let wrong = |_| Refusal::unprocessable("status-unknown", "status", why);
    text.map(|text| serde_json::from_value(text.into()).map_err(wrong)).transpose()
}

fn descending(sort: Option<&str>) -> Result<bool, Refusal> {
    match sort {
        None | Some("id") => Ok(false),
        Some("-id") => Ok(true),
        Some(_) => Err(Refusal::unprocessable("sort-unknown", "sort", "this list is sorted by id or -id")),
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
    fn an_event_is_of_the_form_that_the_documentation_has_and_names_what_is_not() {
        let now: Timestamp = "2025-09-11T00:00:00Z".parse().unwrap();
        let ask = |json: &str| from_str::<NewEvent>(json).unwrap().command(now, || "minted".to_owned());
        let good = r#"{"id": "p-1~c-1~e-1", "enrolment": "p-1~c-1", "kind": "sale", "at": "2025-09-10T00:00:00Z",
            "value": {"amount": "12.50", "currency": "USD"}}"#;
        let command = ask(good).unwrap();
        assert_eq!((command.event.as_str(), command.kind.as_str()), ("p-1~c-1~e-1", "sale"));
        assert_eq!(command.value.map(|value| value.to_string()).as_deref(), Some("12.50 USD"));
        let least = ask(r#"{"enrolment": "p-1~c-1", "kind": "click"}"#).unwrap();
        assert_eq!((least.event.as_str(), least.at, least.value), ("p-1~c-1~minted", now, None));
        for (piece, other, code, field) in [
            ("p-1~c-1~e-1", "p-1~c-2~e-1", "event-elsewhere", "id"),
            ("p-1~c-1~e-1", "p-1~c-1", "event-elsewhere", "id"),
            ("p-1~c-1~e-1", "e-1", "id-invalid", "id"),
            ("\"p-1~c-1\"", "\"p-1\"", "id-invalid", "enrolment"),
            ("sale", "two words", "kind-invalid", "kind"),
            ("2025-09-10", "2025-09-31", "instant-invalid", "at"),
            ("12.50", "12.505", "amount-invalid", "value.amount"),
            ("USD", "usd", "currency-unknown", "value.currency"),
        ] {
            let refusal = ask(&good.replace(piece, other)).unwrap_err();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), (code, Some(field)), "{other}");
        }
        for wrong in [r#"["1", "USD"]"#, r#"{"amount": "1"}"#, r#"{"amount": "1", "currency": "USD", "x": "y"}"#] {
            let json = format!(r#"{{"enrolment": "p-1~c-1", "kind": "sale", "value": {wrong}}}"#);
            assert!(from_str::<NewEvent>(&json).is_err(), "{wrong}");
        }
    }

    #[test]
    fn events_go_by_time_unless_they_stand_together_or_something_else_is_asked() {
        let asked = |given: &[(&str, &'static str)]| {
            events(|name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
                .map(|of| (of.order, of.descending))
        };
        let (from, to) = ("2025-09-10T00:00:00Z", "2025-09-11T00:00:00Z");
        let between = |from: Option<&str>, to: Option<&str>| {
            let parse = |text: &str| text.parse().unwrap();
            Order::Time { from: from.map(parse), to: to.map(parse) }
        };
        assert_eq!(asked(&[]), Ok((between(None, None), true)));
        assert_eq!(asked(&[("campaign", "c-1"), ("from", from), ("to", to)]), Ok((between(Some(from), Some(to)), true)));
        assert_eq!(asked(&[("partner", "p-1")]), Ok((Order::Id, false)));
        assert_eq!(asked(&[("enrolment", "p-1~c-1"), ("to", to)]), Ok((between(None, Some(to)), true)));
        assert_eq!(asked(&[("partner", "p-1"), ("sort", "at")]), Ok((between(None, None), false)));
        assert_eq!(asked(&[("sort", "-id")]), Ok((Order::Id, true)));
        for (given, field) in [
            (&[("from", "yesterday")][..], "from"),
            (&[("to", "2025-09-31T00:00:00Z")], "to"),
            (&[("from", from), ("sort", "id")], "sort"),
            (&[("sort", "kind")], "sort"),
            (&[("partner", "p-2"), ("enrolment", "p-1~c-1")], "partner"),
        ] {
            assert_eq!(asked(given).unwrap_err().field.as_deref(), Some(field), "{given:?}");
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
