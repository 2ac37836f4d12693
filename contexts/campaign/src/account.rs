//! A brand's account in one currency: how much the brand may have reserved, and how much it has.
//!
//! It holds these two amounts only, so it does not grow; each reservation is an aggregate of its own under the brand's key and changes
//! in the same unit of work. Nothing is reserved beyond the limit; a limit may be set below what is reserved, then nothing new is.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{AccountId, BrandId, Currency, Money};

/// What a deployment decides about campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The limit with which a brand's account opens in every currency, in major units.
    pub opening_limit_major: u64,
}

impl Default for Settings {
    /// A million major units.
    fn default() -> Settings {
        Settings { opening_limit_major: 1_000_000 }
    }
}

impl Settings {
    /// The limit with which an account in this currency opens; the most that can be counted when it would be more.
    pub fn opening_limit(&self, currency: Currency) -> Money {
        let units = i64::try_from(self.opening_limit_major).unwrap_or(i64::MAX);
        Money::new(units.saturating_mul(currency.minor_per_major()), currency)
    }
}

/// An account, guarding its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    id: AccountId,
    limit: Money,
    reserved: Money,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was opened.
    Opened,
    /// Its limit was set.
    LimitSet,
    /// An amount was reserved.
    Reserved,
    /// A reserved amount is available again.
    Released,
}

/// Why an account says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More would be reserved than the limit allows.
    #[error("{asked} cannot be reserved: {available} of {limit} are available")]
    LimitExceeded {
        /// How much was asked for.
        asked: Money,
        /// The limit.
        limit: Money,
        /// What is reserved.
        reserved: Money,
        /// What is left.
        available: Money,
    },
    /// An amount is nothing or less.
    #[error("the amount is more than nothing")]
    Amount,
    /// A limit is less than nothing.
    #[error("the limit is not less than nothing")]
    Limit,
    /// An amount is in another currency.
    #[error("the account is in {0}")]
    Currency(Currency),
    /// More would be released than is reserved.
    #[error("only {0} are reserved")]
    NotReserved(Money),
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::LimitExceeded { asked, limit, reserved, available } => {
                Refusal::conflict("limit-exceeded", self).with(serde_json::json!({
                    "asked": asked, "limit": limit, "reserved": reserved, "available": available,
                }))
            }
            Refused::Amount => Refusal::unprocessable("amount-not-positive", "amount", self),
            Refused::Limit => Refusal::unprocessable("limit-negative", "limit", self),
            Refused::Currency(_) => Refusal::unprocessable("currency-differs", "limit", self),
            Refused::NotReserved(_) => Refusal::conflict("not-reserved", self),
        }
    }
}

impl Account {
    /// A new account of this brand, in the limit's currency, with nothing reserved.
    pub fn open(brand: &BrandId, limit: Money) -> (Account, Event) {
        let id = AccountId::join(brand, limit.currency);
        (Account { id, limit, reserved: Money::new(0, limit.currency) }, Event::Opened)
    }

    /// Reserves an amount.
    ///
    /// # Errors
    /// When that is more than is available, nothing or less, or in another currency.
    pub fn reserve(&mut self, amount: Money) -> Result<Option<Event>, Refused> {
        self.check(amount)?;
        match self.reserved.checked_add(amount) {
            Ok(reserved) if reserved.amount <= self.limit.amount => {
                self.reserved = reserved;
                Ok(Some(Event::Reserved))
            }
            // A sum that does not fit is beyond every limit.
            Ok(_) | Err(_) => Err(Refused::LimitExceeded {
                asked: amount,
                limit: self.limit,
                reserved: self.reserved,
                available: self.available(),
            }),
        }
    }

    /// Makes a reserved amount available again.
    ///
    /// # Errors
    /// When less is reserved, or the amount is nothing, less or in another currency.
    pub fn release(&mut self, amount: Money) -> Result<Option<Event>, Refused> {
        self.check(amount)?;
        match self.reserved.checked_sub(amount) {
            Ok(reserved) if reserved.amount >= 0 => {
                self.reserved = reserved;
                Ok(Some(Event::Released))
            }
            Ok(_) | Err(_) => Err(Refused::NotReserved(self.reserved)),
        }
    }

    /// Sets the limit, which may be below what is reserved.
    ///
    /// # Errors
    /// When it is less than nothing or in another currency.
    pub fn set_limit(&mut self, limit: Money) -> Result<Option<Event>, Refused> {
        self.check_currency(limit)?;
        if limit.amount < 0 {
            return Err(Refused::Limit);
        }
        let changes = self.limit != limit;
        self.limit = limit;
        Ok(changes.then_some(Event::LimitSet))
    }

    fn check(&self, amount: Money) -> Result<(), Refused> {
        self.check_currency(amount)?;
        if amount.amount <= 0 { Err(Refused::Amount) } else { Ok(()) }
    }

    fn check_currency(&self, amount: Money) -> Result<(), Refused> {
        if amount.currency == self.limit.currency { Ok(()) } else { Err(Refused::Currency(self.limit.currency)) }
    }

    /// What can still be reserved: the limit less what is reserved, and nothing when that is negative.
    pub fn available(&self) -> Money {
        // Neither amount is ever negative, so the difference fits.
        Money::new(self.limit.amount.saturating_sub(self.reserved.amount).max(0), self.limit.currency)
    }

    /// How much may be reserved.
    pub fn limit(&self) -> Money {
        self.limit
    }

    /// How much is reserved.
    pub fn reserved(&self) -> Money {
        self.reserved
    }

    /// Its id.
    pub fn account(&self) -> &AccountId {
        &self.id
    }
}

impl Aggregate for Account {
    const KIND: &'static str = "account";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}
