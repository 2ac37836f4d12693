//! The read side: campaigns in the order in which they were registered, brands with their accounts. Reservations are only asked for by
//! id.

use std::sync::Arc;

use seedwork::message::Owner;
use seedwork::view::{Read, Versioned, View, state};
use serde::{Deserialize, Serialize};
use wire::campaign_v1::Campaign as Here;
use wire::values::{AccountId, BrandId, CampaignId, Currency, Money, ReservationId, Timestamp};

use crate::account::{Account, Settings};
use crate::campaign::{Campaign, Facts, Status};
use crate::reservation::{self, Reservation};

mod brands;
mod campaigns;

pub use brands::{BrandDoc, Brands, accounts, brands};
pub use campaigns::{Cursor, Filter, Names, PAGE_MAX, Page, campaigns, total};

/// What campaigns are looked for by. Every campaign pays for each index when it is registered and whenever its status changes, so there
/// are few: two by time, of whose pieces a list is put together, and one by name.
pub const CAMPAIGNS: View<Campaign> = View {
    columns: &[("status", "TEXT"), ("kind", "TEXT"), ("brand", "TEXT"), ("created", "BIGINT"), ("folded_name", "TEXT")],
    indexes: &[
        ("by_status", "status, kind, created, id"),
        ("by_brand", "brand, status, kind, created, id"),
        ("by_name", "folded_name, id"),
    ],
    row: |campaign| {
        let facts = campaign.facts();
        vec![
            campaign.status().as_str().into(),
            facts.kind.as_str().into(),
            ended(&facts.brand).into(),
            campaign.created().as_micros().into(),
            folded(&facts.name).into(),
        ]
    },
};

/// A name as it is looked for: capitals and small letters are the same.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// A brand as it stands in the column: as the ids of its accounts begin, so that both stand in one order.
fn ended(brand: &BrandId) -> String {
    format!("{brand}~")
}

/// A campaign, as queries answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignDoc {
    /// Its id.
    pub id: CampaignId,
    /// Where it stands.
    pub status: Status,
    /// When it was registered.
    pub created: Timestamp,
    /// The saga that registers it, while it is a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Arc<str>>,
    /// Why it is cancelled; of a draft, why it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was said of it when it was registered, as members of the same object.
    #[serde(flatten)]
    pub facts: Arc<Facts>,
}

impl CampaignDoc {
    fn of(campaign: &Campaign) -> CampaignDoc {
        CampaignDoc {
            id: campaign.campaign().clone(),
            status: campaign.status(),
            created: campaign.created(),
            registration: campaign.registration().cloned(),
            reason: campaign.cancel_reason().map(str::to_owned),
            facts: campaign.facts().clone(),
        }
    }
}

/// An account, as queries answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDoc {
    /// Whose.
    pub brand: BrandId,
    /// How much may be reserved.
    pub limit: Money,
    /// How much is reserved.
    pub reserved: Money,
    /// How much can still be reserved: limit less reserved, and nothing when that is negative.
    pub available: Money,
}

impl AccountDoc {
    fn of(account: &Account) -> AccountDoc {
        let (limit, reserved, available) = (account.limit(), account.reserved(), account.available());
        AccountDoc { brand: account.account().brand(), limit, reserved, available }
    }
}

/// A reservation, as queries answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationDoc {
    /// Which brand's, for which campaign.
    pub id: ReservationId,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub status: reservation::Status,
}

/// The campaign with this id.
///
/// # Errors
/// When the store is away or the row cannot be read: a text for the log, not for the client.
pub fn campaign(read: &dyn Read, id: &CampaignId) -> Result<Option<Versioned<CampaignDoc>>, String> {
    Ok(state::<Campaign>(read, Here::NAME, id.as_str())?.map(|found| found.map(|campaign| CampaignDoc::of(&campaign))))
}

/// The account with this id; one that the brand has not used yet is as it would be opened.
///
/// # Errors
/// As [`campaign()`].
pub fn account(read: &dyn Read, id: &AccountId, settings: &Settings) -> Result<Versioned<AccountDoc>, String> {
    if let Some(found) = state::<Account>(read, Here::NAME, id.as_str())? {
        return Ok(found.map(|account| AccountDoc::of(&account)));
    }
    let currency = Currency::parse(id.currency()).map_err(|error| error.to_string())?;
    let (unused, _) = Account::open(&id.brand(), settings.opening_limit(currency));
    Ok(Versioned { version: 0, value: AccountDoc::of(&unused) })
}

/// The reservation with this id.
///
/// # Errors
/// As [`campaign()`].
pub fn reservation(read: &dyn Read, id: &ReservationId) -> Result<Option<ReservationDoc>, String> {
    let found = state::<Reservation>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|Versioned { value: found, .. }| ReservationDoc {
        id: found.reservation().clone(),
        amount: found.amount(),
        status: found.status(),
    }))
}

#[cfg(test)]
mod tests;
