//! Set how much a brand may have reserved.

use seedwork::{Error, Result, UnitOfWork};
use wire::values::Currency;

use crate::account::{Account, Settings};

/// Handles [`wire::SetLimit`]. It opens the account when the brand has none in this currency yet.
///
/// # Errors
/// When the limit is negative or in another currency than the account.
pub fn set(ask: wire::SetLimit, work: &mut UnitOfWork<'_>, settings: &Settings) -> Result {
    let wire::SetLimit { account: id, limit } = ask;
    let (mut account, opened) = match work.find::<Account>(&id)? {
        Some(account) => (account, None),
        None => {
            let currency = Currency::parse(id.currency()).map_err(Error::fault)?;
            let (account, opened) = Account::open(&id.brand(), settings.opening_limit(currency));
            (account, Some(opened))
        }
    };
    let set = account.set_limit(limit)?;
    work.save(account, opened.into_iter().chain(set))
}
