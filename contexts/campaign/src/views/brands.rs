//! Brands: whoever pays for a campaign or has an account. Nothing is stored of a brand itself, so the list is read off both.

use seedwork::message::Owner;
use seedwork::view::{List, Read, Value, Versioned, list, table};
use wire::campaign_v1::Campaign as Here;
use wire::values::BrandId;

use super::{AccountDoc, ended};
use crate::account::Account;
use crate::campaign::Campaign;

/// The most accounts of one brand that are answered: there are fewer currencies.
const ACCOUNTS_MAX: usize = 500;

/// A brand, as queries answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrandDoc {
    /// Its id.
    pub id: BrandId,
    /// The accounts that it has opened, by currency.
    pub accounts: Vec<AccountDoc>,
}

/// A page of brands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brands {
    /// In the order of their ids.
    pub brands: Vec<BrandDoc>,
    /// The brand after which the next page begins, if there is one.
    pub next: Option<BrandId>,
}

/// A page of brands: at most `limit`, after this one.
///
/// # Errors
/// When the store is away or a row cannot be read: a text for the log, not for the client.
pub fn brands(read: &dyn Read, after: Option<&BrandId>, limit: usize) -> Result<Brands, String> {
    let mut last = after.cloned();
    let mut brands = Vec::new();
    while brands.len() < limit.max(1) {
        let Some(id) = following(read, last.as_ref())? else { return Ok(Brands { brands, next: None }) };
        let accounts = accounts(read, &id)?.into_iter().map(|account| account.value).collect();
        last = Some(id.clone());
        brands.push(BrandDoc { id, accounts });
    }
    let next = if following(read, last.as_ref())?.is_some() { last } else { None };
    Ok(Brands { brands, next })
}

/// The first brand after this one: one step in the index of campaigns, and one in the table of accounts. Both go by the brand's id and a
/// `~`, which is greater than any character of an id.
fn following(read: &dyn Read, after: Option<&BrandId>) -> Result<Option<BrandId>, String> {
    let first = |column: &str, table: String, after: String| -> Result<Option<String>, String> {
        let rows = read.select(&format!("SELECT min({column}) FROM {table} WHERE {column} > $1"), &[after.into()])?;
        let found = rows.first().and_then(|row| row.first()).and_then(Value::text);
        Ok(found.and_then(|found| found.split_inclusive('~').next()).map(str::to_owned))
    };
    let pays = first("brand", table::<Campaign>(Here::NAME), after.map(ended).unwrap_or_default())?;
    let owns = first("id", table::<Account>(Here::NAME), after.map(|after| ended(after) + "\u{7f}").unwrap_or_default())?;
    let next = pays.into_iter().chain(owns).min();
    let parse = |ended: String| BrandId::parse(ended.trim_end_matches('~'));
    next.map(parse).transpose().map_err(|error| format!("a brand that is none: {error}"))
}

/// The accounts that a brand has opened, by currency.
///
/// # Errors
/// As [`brands()`].
pub fn accounts(read: &dyn Read, brand: &BrandId) -> Result<Vec<Versioned<AccountDoc>>, String> {
    let of = List { under: brand.as_str(), ..List::default() };
    let found = list::<Account>(read, Here::NAME, &of, None, ACCOUNTS_MAX)?;
    Ok(found.items.into_iter().map(|account| account.map(|account| AccountDoc::of(&account))).collect())
}
