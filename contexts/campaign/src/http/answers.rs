//! How the views of this context read over HTTP.

use serde::{Serialize, Serializer};
use wire::values::{BrandId, CampaignId, Currency, Money, PartnerId, Timestamp};

use crate::views::{AccountDoc, BrandDoc, CampaignDoc};

/// An amount, as answers give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AmountAnswer {
    /// In major units, with all decimals of the currency.
    pub amount: String,
    /// Its ISO 4217 code.
    pub currency: Currency,
}

impl From<Money> for AmountAnswer {
    fn from(money: Money) -> AmountAnswer {
        AmountAnswer { amount: money.to_decimal_string(), currency: money.currency }
    }
}

/// A campaign, as `/v1` answers it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CampaignAnswer<'a> {
    id: &'a CampaignId,
    name: &'a str,
    kind: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<Timestamp>,
    brand: &'a BrandId,
    budget: AmountAnswer,
    participants: Vec<ParticipantAnswer<'a>>,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    saga: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A participant, as `/v1` answers it. Names a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParticipantAnswer<'a> {
    id: &'a PartnerId,
    kind: &'a str,
    name: &'a str,
    profile: &'a str,
}

impl<'a> From<&'a CampaignDoc> for CampaignAnswer<'a> {
    fn from(doc: &'a CampaignDoc) -> CampaignAnswer<'a> {
        let facts = &doc.facts;
        let participants = facts.participants.iter().map(|of| ParticipantAnswer {
            id: &of.id,
            kind: of.kind_as_sent.as_deref().unwrap_or(of.kind.as_str()),
            name: &of.name,
            profile: &of.profile,
        });
        CampaignAnswer {
            id: &doc.id,
            name: &facts.name,
            kind: facts.kind_as_sent.as_deref().unwrap_or(facts.kind.as_str()),
            status: doc.status.as_str(),
            starts: facts.starts,
            ends: facts.ends,
            brand: &facts.brand,
            budget: facts.budget.into(),
            participants: participants.collect(),
            created: doc.created,
            saga: doc.registration.as_deref(),
            reason: doc.reason.as_deref(),
        }
    }
}

/// A brand's account, as `/v1` answers it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountAnswer<'a> {
    brand: &'a BrandId,
    currency: Currency,
    #[serde(serialize_with = "decimal")]
    limit: Money,
    #[serde(serialize_with = "decimal")]
    reserved: Money,
    #[serde(serialize_with = "decimal")]
    available: Money,
}

fn decimal<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&money.to_decimal_string())
}

impl<'a> From<&'a AccountDoc> for AccountAnswer<'a> {
    fn from(doc: &'a AccountDoc) -> AccountAnswer<'a> {
        let AccountDoc { brand, limit, reserved, available } = doc;
        AccountAnswer { brand, currency: limit.currency, limit: *limit, reserved: *reserved, available: *available }
    }
}

/// A brand, as `/v1` answers it: with the accounts that it has opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BrandAnswer<'a> {
    id: &'a BrandId,
    accounts: Vec<AccountAnswer<'a>>,
}

impl<'a> From<&'a BrandDoc> for BrandAnswer<'a> {
    fn from(doc: &'a BrandDoc) -> BrandAnswer<'a> {
        BrandAnswer { id: &doc.id, accounts: doc.accounts.iter().map(AccountAnswer::from).collect() }
    }
}
