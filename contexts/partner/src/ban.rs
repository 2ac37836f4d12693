//! Ban a partner, and lift the ban.

use seedwork::{Result, UnitOfWork};

use crate::partner::Partner;

/// Handles [`wire::BanPartner`].
///
/// # Errors
/// Unknown when there is no such partner; a refusal when the reason is not of the right form.
pub fn ban(ask: wire::BanPartner, work: &mut UnitOfWork<'_>) -> Result {
    let mut partner = work.load::<Partner>(&ask.partner)?;
    let banned = partner.ban(ask.reason)?;
    work.save(partner, banned)
}

/// Handles [`wire::UnbanPartner`].
///
/// # Errors
/// Unknown when there is no such partner.
pub fn unban(ask: wire::UnbanPartner, work: &mut UnitOfWork<'_>) -> Result {
    let mut partner = work.load::<Partner>(&ask.partner)?;
    let unbanned = partner.unban();
    work.save(partner, unbanned)
}
