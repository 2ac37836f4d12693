//! JSON to commands, views to JSON: the form of what is asked of this context over HTTP, and how its answers read there.
//!
//! Amounts are decimal texts in major units there, `"15000.00"`, and whole minor units everywhere else.

use std::borrow::Cow;
use std::collections::BTreeSet;

use seedwork::Refusal;
use serde::Deserialize;
use wire::values::{AccountId, BrandId, CampaignId, CampaignKind, Currency, Money, PartnerId, PartnerKind};

use crate::views::{Cursor, Filter, Names};

mod answers;
mod form;

pub use answers::{AccountAnswer, AmountAnswer, BrandAnswer, CampaignAnswer, ParticipantAnswer};
pub use form::{Object, Text};
use form::{instant, sized, wrong};

/// The longest name of a campaign or participant, in characters.
pub const NAME_MAX_CHARS: usize = 200;
/// The longest profile of a participant, in characters.
pub const PROFILE_MAX_CHARS: usize = 4_000;
/// The longest reason, in characters.
pub const REASON_MAX_CHARS: usize = 500;
/// The most participants of one campaign.
pub const PARTICIPANTS_MAX: usize = 1_000;
/// Why a campaign is cancelled when whoever asks does not say.
pub const NO_REASON: &str = "no reason given";

/// The body that registers a campaign.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewCampaign<'a> {
    /// The id that it gets; minted when there is none.
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    /// What it is called.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Which partners it is made for; mixed when it is not said.
    #[serde(borrow, default)]
    pub kind: Option<Text<'a>>,
    /// When its window begins, as RFC 3339.
    #[serde(borrow, default)]
    pub starts: Option<Text<'a>>,
    /// When its window ends, as RFC 3339.
    #[serde(borrow, default)]
    pub ends: Option<Text<'a>>,
    /// Who pays.
    #[serde(borrow)]
    pub brand: Text<'a>,
    /// What it may cost.
    #[serde(borrow)]
    pub budget: Object<NewBudget<'a>>,
    /// Who promotes it.
    #[serde(borrow)]
    pub participants: Vec<Object<NewParticipant<'a>>>,
}

/// A budget as it is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewBudget<'a> {
    /// A decimal number in major units.
    #[serde(borrow)]
    pub amount: Text<'a>,
    /// An ISO 4217 code.
    #[serde(borrow)]
    pub currency: Text<'a>,
}

/// A participant as it is asked for. Names a person.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewParticipant<'a> {
    /// Which partner; minted when there is none.
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    /// What the partner is to this campaign.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// What the partner is called.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// What the partner says of itself.
    #[serde(borrow, default)]
    pub profile: Option<Text<'a>>,
}

/// The body that cancels a campaign; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Cancel {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The body that sets an account's limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewLimit {
    /// A decimal number in major units of the account's currency.
    pub limit: String,
}

impl NewCampaign<'_> {
    /// The command, if all is of the right form. `mint` gives an id for the campaign, then for each participant, that comes without.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, mut mint: impl FnMut() -> String) -> Result<wire::RegisterCampaign, Refusal> {
        let mut minted = |sent: Option<Text<'_>>| match sent {
            Some(text) => text.0.into_owned(),
            None => mint(),
        };
        let campaign = CampaignId::parse(&minted(self.id)).map_err(|error| wrong("id-invalid", "id", error))?;
        let name = sized(self.name.0, 1, NAME_MAX_CHARS, || "name".into())?;
        let (kind_is, kind_as_sent) = match self.kind {
            Some(sent) => CampaignKind::understand(&sent.0).map_err(|error| wrong("kind-unknown", "kind", error))?,
            None => (CampaignKind::default(), None),
        };
        let (starts, ends) = (instant(self.starts, "starts")?, instant(self.ends, "ends")?);
        if let (Some(starts), Some(ends)) = (starts, ends)
            && ends <= starts
        {
            return Err(wrong("window-ends-before-start", "ends", "the window ends after it starts"));
        }
        let brand = BrandId::parse(&self.brand.0).map_err(|error| wrong("id-invalid", "brand", error))?;
        let budget = self.budget.0.money()?;
        let count = self.participants.len();
        if !(1..=PARTICIPANTS_MAX).contains(&count) {
            let why = format!("a campaign has 1 to {PARTICIPANTS_MAX} participants, this one has {count}");
            return Err(wrong("participants-count", "participants", why));
        }
        let mut participants = Vec::with_capacity(count);
        for (index, participant) in self.participants.into_iter().enumerate() {
            participants.push(participant.0.checked(index, &mut minted)?);
        }
        each_once(&participants)?;
        Ok(wire::RegisterCampaign { campaign, name, kind: kind_is, starts, ends, budget, brand, participants, kind_as_sent })
    }
}

fn each_once(participants: &[wire::Participant]) -> Result<(), Refusal> {
    let mut known = BTreeSet::new();
    for (index, participant) in participants.iter().enumerate() {
        if !known.insert(&participant.id) {
            let why = format!("participant {} is named twice", participant.id);
            return Err(wrong("participant-twice", format!("participants[{index}].id"), why));
        }
    }
    Ok(())
}

impl NewBudget<'_> {
    fn money(self) -> Result<Money, Refusal> {
        let currency = Currency::parse(&self.currency.0).map_err(|error| wrong("currency-unknown", "budget.currency", error))?;
        let money = Money::parse_in(&self.amount.0, currency).map_err(|error| wrong("amount-invalid", "budget.amount", error))?;
        if money.amount <= 0 {
            return Err(wrong("budget-not-positive", "budget.amount", "the budget is more than nothing"));
        }
        Ok(money)
    }
}

impl NewParticipant<'_> {
    fn checked(self, index: usize, minted: &mut impl FnMut(Option<Text<'_>>) -> String) -> Result<wire::Participant, Refusal> {
        let here = |field: &str| Cow::Owned(format!("participants[{index}].{field}"));
        let id = PartnerId::parse(&minted(self.id)).map_err(|error| wrong("id-invalid", here("id"), error))?;
        let (kind, kind_as_sent) =
            PartnerKind::understand(&self.kind.0).map_err(|error| wrong("kind-unknown", here("kind"), error))?;
        let name = sized(self.name.0, 1, NAME_MAX_CHARS, || here("name"))?;
        let profile = match self.profile {
            Some(profile) => sized(profile.0, 0, PROFILE_MAX_CHARS, || here("profile"))?,
            None => String::new(),
        };
        Ok(wire::Participant { id, kind, name, profile, kind_as_sent })
    }
}

impl Cancel {
    /// The command, if all is of the right form.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, campaign: CampaignId) -> Result<wire::CancelCampaign, Refusal> {
        let reason = match self.reason {
            Some(reason) => sized(reason.into(), 1, REASON_MAX_CHARS, || "reason".into())?,
            None => NO_REASON.to_owned(),
        };
        Ok(wire::CancelCampaign { campaign, reason })
    }
}

impl NewLimit {
    /// The command for the account of this brand in this currency, if all is of the right form.
    ///
    /// # Errors
    /// Unprocessable; it names the field.
    pub fn command(self, brand: &BrandId, currency: Currency) -> Result<wire::SetLimit, Refusal> {
        let limit = Money::parse_in(&self.limit, currency).map_err(|error| wrong("amount-invalid", "limit", error))?;
        if limit.amount < 0 {
            return Err(wrong("limit-negative", "limit", "the limit is not less than nothing"));
        }
        Ok(wire::SetLimit { account: AccountId::join(brand, currency), limit })
    }
}

/// The field of a request that a field of a command came from: what a refusal names is called so there.
pub fn field(of_command: &str) -> Cow<'_, str> {
    match of_command {
        "campaign" => "id".into(),
        other => match other.strip_suffix("kind_as_sent") {
            Some(before) => format!("{before}kind").into(),
            None => other.into(),
        },
    }
}

/// The filter of a list of campaigns, by the names of its parameters. `sort` is `-created` for the newest first (also when it is not said),
/// `created`, `name` or `-name`; with a `name`, which names begin with, it is `name` or `-name`.
///
/// # Errors
/// Unprocessable; it names the parameter.
pub fn filter<'a>(given: impl Fn(&str) -> Option<&'a str>) -> Result<Filter, Refusal> {
    let statuses = match given("status") {
        None => Vec::new(),
        Some(text) => vec![
            serde_json::from_value(text.into())
                .map_err(|_| wrong("status-unknown", "status", "a campaign is draft, active, paused, finished or cancelled"))?,
        ],
    };
    let brand = given("brand").map(BrandId::parse).transpose().map_err(|error| wrong("id-invalid", "brand", error))?;
    let kind = given("kind").map(CampaignKind::understand).transpose().map_err(|error| wrong("kind-unknown", "kind", error))?;
    let beginning = given("name").map(|name| sized(name.to_owned().into(), 1, NAME_MAX_CHARS, || "name".into())).transpose()?;
    let by_name = |descending| Some(Names { beginning: beginning.clone().unwrap_or_default(), descending });
    let (names, oldest_first) = match given("sort") {
        None if beginning.is_some() => (by_name(false), false),
        Some("name") => (by_name(false), false),
        Some("-name") => (by_name(true), false),
        Some("created" | "-created") if beginning.is_some() => {
            return Err(wrong("sort-unknown", "sort", "campaigns whose names begin so are sorted by name or -name"));
        }
        None | Some("-created") => (None, false),
        Some("created") => (None, true),
        Some(_) => return Err(wrong("sort-unknown", "sort", "campaigns are sorted by -created, created, name or -name")),
    };
    Ok(Filter { statuses, brand, kind: kind.map(|(kind, _)| kind), names, oldest_first })
}

/// A place in a list of campaigns, as a client keeps it.
pub fn cursor(place: &Cursor) -> String {
    format!("{}.{}", place.created, place.id)
}

/// Reads what [`cursor`] wrote.
pub fn parse_cursor(text: &str) -> Option<Cursor> {
    let (created, id) = text.split_once('.')?;
    CampaignId::parse(id).ok()?;
    Some(Cursor { created: created.parse().ok()?, id: id.to_owned() })
}

#[cfg(test)]
mod tests;
