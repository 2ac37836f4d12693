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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::reservation::{self, Reservation};

    fn usd(cents: i64) -> Money {
        Money::new(cents, Currency::parse("USD").unwrap())
    }

    fn account(limit: i64) -> Account {
        Account::open(&BrandId::parse("b-1").unwrap(), usd(limit)).0
    }

    #[test]
    fn an_account_opens_in_its_currency_with_nothing_reserved() {
        for (code, minor) in [("USD", 100_000_000), ("JPY", 1_000_000), ("KWD", 1_000_000_000)] {
            let limit = Settings::default().opening_limit(Currency::parse(code).unwrap());
            let (account, opened) = Account::open(&BrandId::parse("b-1").unwrap(), limit);
            assert_eq!((account.id(), opened), (format!("b-1~{code}").as_str(), Event::Opened));
            assert_eq!((account.limit().amount, account.reserved().amount), (minor, 0));
            assert_eq!(account.available(), account.limit());
        }
    }

    #[test]
    fn a_setting_beyond_what_can_be_counted_is_as_much_as_can_be() {
        let settings = Settings { opening_limit_major: u64::MAX };
        assert_eq!(settings.opening_limit(Currency::parse("KWD").unwrap()).amount, i64::MAX);
    }

    #[test]
    fn all_of_the_limit_can_be_reserved_and_not_a_cent_more() {
        let mut account = account(100);
        assert_eq!(account.reserve(usd(60)), Ok(Some(Event::Reserved)));
        let refused = account.reserve(usd(41)).unwrap_err();
        let refusal = refused.refusal();
        assert_eq!(refusal.code, "limit-exceeded");
        assert_eq!(refusal.class, seedwork::command::Class::Conflict);
        assert_eq!(
            refusal.details,
            serde_json::json!({
                "asked": {"amount": 41, "currency": "USD"}, "limit": {"amount": 100, "currency": "USD"},
                "reserved": {"amount": 60, "currency": "USD"}, "available": {"amount": 40, "currency": "USD"},
            })
        );
        assert_eq!(account.reserved(), usd(60), "a refusal changes nothing");
        assert_eq!(account.reserve(usd(40)), Ok(Some(Event::Reserved)));
        assert_eq!(account.available(), usd(0));
    }

    #[test]
    fn a_limit_below_what_is_reserved_lets_nothing_new_in() {
        let mut account = account(100);
        account.reserve(usd(80)).unwrap();
        assert_eq!(account.set_limit(usd(50)), Ok(Some(Event::LimitSet)));
        assert_eq!(account.available(), usd(0), "available is never negative");
        assert!(matches!(account.reserve(usd(1)), Err(Refused::LimitExceeded { .. })));
        assert_eq!(account.release(usd(40)), Ok(Some(Event::Released)));
        assert_eq!(account.reserve(usd(10)), Ok(Some(Event::Reserved)));
    }

    #[test]
    fn the_same_limit_again_changes_nothing() {
        let mut account = account(100);
        assert_eq!(account.set_limit(usd(100)), Ok(None));
        assert_eq!(account.set_limit(usd(0)), Ok(Some(Event::LimitSet)), "a brand may be stopped altogether");
    }

    #[test]
    fn amounts_of_nothing_less_or_another_currency_are_refused() {
        let mut account = account(100);
        let yen = Money::new(1, Currency::parse("JPY").unwrap());
        for amount in [0, -1, i64::MIN] {
            assert_eq!(account.reserve(usd(amount)), Err(Refused::Amount));
            assert_eq!(account.release(usd(amount)), Err(Refused::Amount));
        }
        for refused in [account.reserve(yen), account.release(yen), account.set_limit(yen)] {
            assert_eq!(refused, Err(Refused::Currency(usd(0).currency)));
        }
        assert_eq!(account.set_limit(usd(-1)), Err(Refused::Limit));
        assert_eq!(Refused::Limit.refusal().field.as_deref(), Some("limit"));
        assert_eq!(Refused::Amount.refusal().class, seedwork::command::Class::Unprocessable);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_beyond_the_limit() {
        let mut account = account(i64::MAX);
        account.reserve(usd(i64::MAX)).unwrap();
        assert!(matches!(account.reserve(usd(i64::MAX)), Err(Refused::LimitExceeded { .. })));
    }

    #[test]
    fn no_more_is_released_than_is_reserved() {
        let mut account = account(100);
        account.reserve(usd(30)).unwrap();
        assert_eq!(account.release(usd(31)), Err(Refused::NotReserved(usd(30))));
        assert_eq!(account.release(usd(30)), Ok(Some(Event::Released)));
        assert_eq!(account.reserved(), usd(0));
    }

    #[derive(Clone, Debug)]
    enum Ask {
        Approve { campaign: u8, amount: i64 },
        Release { campaign: u8 },
        Limit(i64),
    }

    fn asks() -> impl Strategy<Value = Ask> {
        prop_oneof![
            4 => (0..6_u8, prop_oneof![1..200_i64, any::<i64>()]).prop_map(|(campaign, amount)| Ask::Approve { campaign, amount }),
            3 => (0..6_u8).prop_map(|campaign| Ask::Release { campaign }),
            1 => prop_oneof![0..400_i64, any::<i64>()].prop_map(Ask::Limit),
        ]
    }

    proptest! {
        /// What the two aggregates of one unit of work promise together, whatever is asked of them in whatever order.
        #[test]
        fn the_account_counts_exactly_the_reservations_that_are_approved(asked in proptest::collection::vec(asks(), 0..60)) {
            let mut account = account(300);
            let mut reservations: BTreeMap<u8, Reservation> = BTreeMap::new();
            for ask in asked {
                let before = account.clone();
                match ask {
                    Ask::Approve { campaign, amount } => {
                        if let Some(known) = reservations.get(&campaign) {
                            let again = known.approve_again(usd(amount));
                            prop_assert_eq!(again.is_ok(), known.amount() == usd(amount) && known.status() == reservation::Status::Approved);
                        } else if account.reserve(usd(amount)).is_ok() {
                            let id = format!("b-1~c-{campaign}").parse().unwrap();
                            reservations.insert(campaign, Reservation::approve(id, usd(amount)).0);
                            prop_assert!(account.reserved().amount <= account.limit().amount, "nothing is approved beyond the limit");
                        } else {
                            prop_assert_eq!(&account, &before);
                        }
                    }
                    Ask::Release { campaign } => {
                        if let Some(reservation) = reservations.get_mut(&campaign)
                            && reservation.release().is_some()
                        {
                            prop_assert_eq!(account.release(reservation.amount()), Ok(Some(Event::Released)));
                            prop_assert_eq!(reservation.release(), None, "it is released once");
                        }
                    }
                    Ask::Limit(limit) => prop_assert_eq!(account.set_limit(usd(limit)).is_ok(), limit >= 0),
                }
                let approved = reservations.values().filter(|one| one.status() == reservation::Status::Approved);
                let sum: i64 = approved.map(|one| one.amount().amount).sum();
                prop_assert_eq!(account.reserved().amount, sum);
                prop_assert!(account.available().amount >= 0);
                if account.reserved().amount <= account.limit().amount {
                    prop_assert_eq!(account.reserved().amount + account.available().amount, account.limit().amount);
                } else {
                    prop_assert_eq!(account.available().amount, 0);
                }
                let text = serde_json::to_string(&account).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Account>(&text).unwrap(), &account);
            }
        }
    }
}
