//! The read side: campaigns, newest first. Accounts and reservations are only asked for by id, so their state is their view.

use std::sync::Arc;

use seedwork::message::Owner;
use seedwork::view::{Read, Value, View, state, stored};
use serde::{Deserialize, Serialize};
use wire::campaign_v1::Campaign as Here;
use wire::values::{AccountId, BrandId, CampaignId, Currency, Money, ReservationId, Timestamp};

use crate::account::{Account, Settings};
use crate::campaign::{Campaign, Facts, Status};
use crate::reservation::{self, Reservation};

/// The most campaigns of one page.
pub const PAGE_MAX: usize = 500;

/// A row per campaign: what lists are filtered and sorted by. The document is the state, which queries join.
pub const CAMPAIGNS: View<Campaign> = View {
    table: "view_campaigns",
    create: &[
        "CREATE TABLE IF NOT EXISTS view_campaigns (id TEXT NOT NULL PRIMARY KEY, status TEXT NOT NULL, brand TEXT NOT NULL, \
         created BIGINT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS view_campaigns_newest ON view_campaigns (created, id)",
    ],
    columns: &["id", "status", "brand", "created"],
    row: |campaign| {
        Some(vec![
            campaign.campaign().as_str().into(),
            campaign.status().as_str().into(),
            campaign.facts().brand.as_str().into(),
            campaign.created().as_micros().into(),
        ])
    },
};

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

/// Which campaigns a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that stand there.
    pub status: Option<Status>,
    /// Only those of this brand.
    pub brand: Option<BrandId>,
}

/// A place in the list of campaigns: what follows was registered before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the campaign before it was registered: microseconds since 1970.
    pub created: i64,
    /// That campaign's id.
    pub id: String,
}

/// A page of campaigns.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The newest first.
    pub campaigns: Vec<CampaignDoc>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// The campaign with this id.
///
/// # Errors
/// When the store is away or the row cannot be read: a text for the log, not for the client.
pub fn campaign(read: &dyn Read, id: &CampaignId) -> Result<Option<CampaignDoc>, String> {
    Ok(state::<Campaign>(read, Here::NAME, id.as_str())?.map(|found| CampaignDoc::of(&found)))
}

/// A page of campaigns, the newest first: at most `limit` (and [`PAGE_MAX`]) of those that the filter lets pass, after the cursor.
///
/// # Errors
/// As [`campaign()`].
pub fn campaigns(read: &dyn Read, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, String> {
    let mut sql = String::from("SELECT format, body FROM view_campaigns JOIN campaign_campaign USING (id) WHERE 1 = 1");
    let mut values: Vec<Value> = Vec::new();
    if let Some(after) = after {
        let (created, id) = (add(&mut values, after.created), add(&mut values, after.id.as_str()));
        sql.push_str(&format!(" AND (created, id) < ({created}, {id})"));
    }
    if let Some(status) = filter.status {
        sql.push_str(&format!(" AND status = {}", add(&mut values, status.as_str())));
    }
    if let Some(brand) = &filter.brand {
        sql.push_str(&format!(" AND brand = {}", add(&mut values, brand.as_str())));
    }
    let limit = limit.clamp(1, PAGE_MAX);
    // One more than asked for tells whether there is a next page.
    let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    sql.push_str(&format!(" ORDER BY created DESC, id DESC LIMIT {}", add(&mut values, more)));
    let rows = read.select(&sql, &values)?;
    let campaigns = rows.iter().take(limit).map(|row| document(row)).collect::<Result<Vec<_>, _>>()?;
    let last = campaigns.last().filter(|_| rows.len() > limit);
    let next = last.map(|last| Cursor { created: last.created.as_micros(), id: last.id.to_string() });
    Ok(Page { campaigns, next })
}

/// Adds a parameter and gives its name; so they are numbered in the order in which they stand in the text.
fn add(values: &mut Vec<Value>, value: impl Into<Value>) -> String {
    values.push(value.into());
    format!("${}", values.len())
}

fn document(row: &[Value]) -> Result<CampaignDoc, String> {
    stored::<Campaign>(row).map(|found| CampaignDoc::of(&found))
}

/// The account with this id; one that the brand has not used yet is as it would be opened.
///
/// # Errors
/// As [`campaign()`].
pub fn account(read: &dyn Read, id: &AccountId, settings: &Settings) -> Result<AccountDoc, String> {
    if let Some(account) = state::<Account>(read, Here::NAME, id.as_str())? {
        return Ok(AccountDoc::of(&account));
    }
    let currency = Currency::parse(id.currency()).map_err(|error| error.to_string())?;
    let (unused, _) = Account::open(&id.brand(), settings.opening_limit(currency));
    Ok(AccountDoc::of(&unused))
}

/// The reservation with this id.
///
/// # Errors
/// As [`campaign()`].
pub fn reservation(read: &dyn Read, id: &ReservationId) -> Result<Option<ReservationDoc>, String> {
    let found = state::<Reservation>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|found| ReservationDoc { id: found.reservation().clone(), amount: found.amount(), status: found.status() }))
}

#[cfg(test)]
mod tests;
