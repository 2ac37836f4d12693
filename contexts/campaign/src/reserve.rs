//! Reserve a campaign's budget on its brand's account, and release it: two aggregates under the brand's key, changed together.

use seedwork::{Result, UnitOfWork};
use wire::values::AccountId;

use crate::account::{Account, Settings};
use crate::reservation::Reservation;

/// Handles [`wire::ApproveReservation`]. A brand's first reservation in a currency opens its account.
///
/// # Errors
/// When the account's limit does not allow it, or the reservation is of another amount or has been released.
pub fn approve(ask: wire::ApproveReservation, work: &mut UnitOfWork<'_>, settings: &Settings) -> Result {
    let wire::ApproveReservation { reservation, amount } = ask;
    if let Some(known) = work.find::<Reservation>(&reservation)? {
        return Ok(known.approve_again(amount)?);
    }
    let brand = reservation.brand();
    let (mut account, opened) = match work.find::<Account>(AccountId::join(&brand, amount.currency))? {
        Some(account) => (account, None),
        None => {
            let (account, opened) = Account::open(&brand, settings.opening_limit(amount.currency));
            (account, Some(opened))
        }
    };
    let reserved = account.reserve(amount)?;
    let (reservation, approved) = Reservation::approve(reservation, amount);
    work.save(account, opened.into_iter().chain(reserved))?;
    work.save(reservation, [approved])
}

/// Handles [`wire::ReleaseReservation`]. Where nothing was reserved there is nothing to release, and that is done.
///
/// # Errors
/// When the account holds less than the reservation says.
pub fn release(ask: wire::ReleaseReservation, work: &mut UnitOfWork<'_>) -> Result {
    let Some(mut reservation) = work.find::<Reservation>(&ask.reservation)? else { return Ok(()) };
    let Some(released) = reservation.release() else { return Ok(()) };
    let amount = reservation.amount();
    let mut account = work.load::<Account>(AccountId::join(&ask.reservation.brand(), amount.currency))?;
    let available = account.release(amount)?;
    work.save(account, available)?;
    work.save(reservation, [released])
}
