//! Money: whole minor units of an ISO 4217 currency, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{shown, text_value};

/// The longest text that [`Money::parse`] reads, in bytes. The largest amount has 20 digits; the rest is room for surplus zeros.
pub const AMOUNT_MAX_CHARS: usize = 40;

/// A currency in which something can be paid: an ISO 4217 code that has a minor unit, written as that code.
///
/// Gold, the test code and others without a minor unit are no [`Currency`], because an amount in them could not be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
}

impl Currency {
    /// Reads an ISO 4217 alphabetic code, in capitals: `USD`.
    ///
    /// # Errors
    /// When it is no code of ISO 4217, or one without a minor unit.
    pub fn parse(code: &str) -> Result<Currency, CurrencyError> {
        let iso = iso_currency::Currency::from_code(code).ok_or_else(|| CurrencyError::Unknown { found: shown(code) })?;
        match iso.exponent() {
            Some(_) => Ok(Currency { iso }),
            None => Err(CurrencyError::Uncountable { code: iso.code() }),
        }
    }

    /// The code: `USD`.
    pub fn as_str(&self) -> &'static str {
        self.iso.code()
    }

    /// How many decimals an amount has: 0 for JPY, 2 for USD, 3 for KWD.
    pub fn exponent(self) -> u32 {
        // `parse` lets no currency without an exponent pass, and there is no other way to make one.
        self.iso.exponent().map_or(0, u32::from)
    }

    /// How many minor units make one major unit: 1 for JPY, 100 for USD, 1000 for KWD.
    pub fn minor_per_major(self) -> i64 {
        10_i64.pow(self.exponent())
    }
}

text_value!(Currency, CurrencyError, "a currency");

/// Why a text is no [`Currency`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CurrencyError {
    /// It is not in the standard.
    #[error("{found} is no ISO 4217 currency code, which has three capitals such as \"USD\"")]
    Unknown {
        /// The text, escaped, its beginning only.
        found: String,
    },
    /// The standard gives it no minor unit.
    #[error("{code} has no minor unit, so no amount can be given in it")]
    Uncountable {
        /// Its code.
        code: &'static str,
    },
}

/// An amount of money: whole minor units of its currency. Any `i64` is an amount; whether a debt makes sense is for the business.
///
/// In JSON and Avro a record of `amount` (minor units, a long) and `currency` (the code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, apache_avro::AvroSchema)]
pub struct Money {
    /// Minor units: cents of USD, whole JPY.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl Money {
    /// So many minor units.
    pub const fn new(amount: i64, currency: Currency) -> Money {
        Money { amount, currency }
    }

    /// So many major units: 1,000,000 USD is 100,000,000 cents.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`] when that is more minor units than an `i64` holds.
    pub fn from_major(units: i64, currency: Currency) -> Result<Money, MoneyError> {
        let amount = units.checked_mul(currency.minor_per_major()).ok_or(MoneyError::TooLarge { currency })?;
        Ok(Money { amount, currency })
    }

    /// Reads a decimal number in major units, as JSON writes one without an exponent (`15000.00`, `-3`, `0.5`), and a currency code.
    ///
    /// # Errors
    /// When the code is no currency, or as [`Money::parse_in`].
    pub fn parse(amount: &str, currency: &str) -> Result<Money, MoneyError> {
        Money::parse_in(amount, Currency::parse(currency)?)
    }

    /// As [`Money::parse`], in a currency that is already known.
    ///
    /// # Errors
    /// When it is no such number, is longer than [`AMOUNT_MAX_CHARS`], has more decimals than the currency has (surplus zeros are let
    /// pass), or does not fit.
    pub fn parse_in(amount: &str, currency: Currency) -> Result<Money, MoneyError> {
        if amount.len() > AMOUNT_MAX_CHARS {
            return Err(MoneyError::TooLong { bytes: amount.len() });
        }
        let (negative, digits) = match amount.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, amount),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || fraction.is_some_and(|fraction| !is_number(fraction)) {
            return Err(not_a_number(amount, digits));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(MoneyError::LeadingZero { amount: shown(amount) });
        }
        let decimals = currency.exponent() as usize;
        let fraction = fraction.unwrap_or_default();
        let (counted, surplus) = fraction.split_at(fraction.len().min(decimals));
        if surplus.bytes().any(|byte| byte != b'0') {
            return Err(MoneyError::TooManyDecimals { amount: shown(amount), currency });
        }
        // Counted downwards, because i64 reaches one further that way.
        let minus = whole
            .bytes()
            .chain(counted.bytes())
            .chain(std::iter::repeat_n(b'0', decimals - counted.len()))
            .try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0')));
        let amount = if negative { minus } else { minus.and_then(i64::checked_neg) };
        Ok(Money { amount: amount.ok_or(MoneyError::TooLarge { currency })?, currency })
    }

    /// The amount in major units with all its decimals, the exact inverse of [`Money::parse`]: `15000.00`.
    pub fn to_decimal_string(self) -> String {
        Decimal(self).to_string()
    }

    /// The sum.
    ///
    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// When the currencies differ or the difference does not fit.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    fn combine(self, other: Money, operation: fn(i64, i64) -> Option<i64>) -> Result<Money, MoneyError> {
        let Money { currency, .. } = self;
        if currency != other.currency {
            return Err(MoneyError::DifferentCurrencies { left: currency, right: other.currency });
        }
        let amount = operation(self.amount, other.amount).ok_or(MoneyError::TooLarge { currency })?;
        Ok(Money { amount, currency })
    }
}

impl fmt::Display for Money {
    /// The amount in major units and the code: `15000.00 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Decimal(*self), self.currency)
    }
}

struct Decimal(Money);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Money { amount, currency } = self.0;
        let (minus, minor, one) =
            (if amount < 0 { "-" } else { "" }, amount.unsigned_abs(), currency.minor_per_major().unsigned_abs());
        match currency.exponent() as usize {
            0 => write!(f, "{minus}{minor}"),
            decimals => write!(f, "{minus}{}.{:0decimals$}", minor / one, minor % one),
        }
    }
}

/// Says what is wrong with `amount`, of which `digits` is all but the sign.
fn not_a_number(amount: &str, digits: &str) -> MoneyError {
    let exponent = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits
            .split_once(['e', 'E'])
            .is_some_and(|(before, _)| before.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let amount = shown(amount);
    if exponent { MoneyError::Exponent { amount } } else { MoneyError::NotANumber { amount } }
}

/// Why a text is no [`Money`], or two amounts cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The code is no currency.
    #[error(transparent)]
    Currency(#[from] CurrencyError),
    /// The text is longer than [`AMOUNT_MAX_CHARS`].
    #[error("an amount has at most {AMOUNT_MAX_CHARS} characters, this one has {bytes}")]
    TooLong {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// It is not a decimal number.
    #[error("{amount} is no amount: digits, and after a point more digits, are expected, such as \"15000.00\"")]
    NotANumber {
        /// The text, escaped, its beginning only.
        amount: String,
    },
    /// It is written with an exponent.
    #[error("{amount} is no amount: it is written with an exponent; write all its digits")]
    Exponent {
        /// The text, escaped, its beginning only.
        amount: String,
    },
    /// It begins with a zero that says nothing.
    #[error("{amount} is no amount: it has a zero in front")]
    LeadingZero {
        /// The text, escaped, its beginning only.
        amount: String,
    },
    /// It has more decimals than its currency.
    #[error("{amount} has more decimals than {currency} has, which is {}", currency.exponent())]
    TooManyDecimals {
        /// The text, escaped, its beginning only.
        amount: String,
        /// The currency.
        currency: Currency,
    },
    /// It does not fit into 64 bits of minor units.
    #[error("the amount is too large: at most {} can be counted", Money::new(i64::MAX, *currency))]
    TooLarge {
        /// The currency.
        currency: Currency,
    },
    /// Amounts of two currencies were put together.
    #[error("amounts of {left} and {right} cannot be put together")]
    DifferentCurrencies {
        /// The first one's currency.
        left: Currency,
        /// The second one's currency.
        right: Currency,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every currency of the standard that can be counted in.
    fn currencies() -> Vec<Currency> {
        let letters = || b'A'..=b'Z';
        let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        codes.filter_map(|code| Currency::parse(std::str::from_utf8(&code).unwrap()).ok()).collect()
    }

    fn minor(amount: &str, currency: &str) -> i64 {
        Money::parse(amount, currency).unwrap().amount
    }

    fn refused(amount: &str, currency: &str) -> String {
        Money::parse(amount, currency).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn in_every_currency_what_is_written_is_read_back(amount: i64) {
            for currency in currencies() {
                let money = Money::new(amount, currency);
                prop_assert_eq!(Money::parse(&money.to_decimal_string(), currency.as_str()), Ok(money));
                let json = serde_json::to_string(&money).unwrap();
                prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            }
        }

        #[test]
        fn what_is_read_is_written_with_all_decimals(units in 0_u64..1_000_000_000_000, cents in 0..100, negative: bool) {
            let text = format!("{}{units}.{cents:02}", if negative && (units, cents) != (0, 0) { "-" } else { "" });
            prop_assert_eq!(Money::parse(&text, "USD").unwrap().to_decimal_string(), text);
        }

        #[test]
        fn no_text_makes_it_panic_and_no_float_gets_through(text in "[-+.,0-9eE_ Na∞]{0,50}") {
            if let Ok(money) = Money::parse(&text, "USD") {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)), "{} read as {}", text, money);
            }
        }

        #[test]
        fn a_sum_can_be_taken_apart_again(one: i64, two: i64) {
            let usd = Currency::parse("USD").unwrap();
            let (one, two) = (Money::new(one, usd), Money::new(two, usd));
            match one.checked_add(two) {
                Ok(sum) => prop_assert_eq!(sum.checked_sub(two), Ok(one)),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::TooLarge { currency: usd });
                    prop_assert!(one.amount.checked_add(two.amount).is_none());
                }
            }
        }
    }

    #[test]
    fn the_exponent_of_the_currency_counts() {
        let known: Vec<_> = currencies();
        assert!(known.len() > 150, "the standard lists more than {}", known.len());
        assert!(known.iter().all(|currency| currency.exponent() <= 4));
        for (code, exponent, yen) in [("JPY", 0, 15_000), ("USD", 2, 1_500_000), ("KWD", 3, 15_000_000), ("CLF", 4, 150_000_000)]
        {
            assert_eq!((Currency::parse(code).unwrap().exponent(), minor("15000", code)), (exponent, yen), "{code}");
        }
        assert_eq!(Money::from_major(1_000_000, Currency::parse("USD").unwrap()).unwrap().to_decimal_string(), "1000000.00");
        assert_eq!(Money::parse("-0.5", "USD").unwrap().to_string(), "-0.50 USD");
        assert_eq!(Money::parse("7", "JPY").unwrap().to_string(), "7 JPY");
    }

    #[test]
    fn surplus_zeros_pass_and_surplus_digits_do_not() {
        assert_eq!(minor("15000.000", "USD"), 1_500_000);
        assert_eq!(minor("15000.0", "JPY"), 15_000);
        assert_eq!(minor("-0.00", "USD"), 0);
        assert_eq!(refused("1.005", "USD"), "\"1.005\" has more decimals than USD has, which is 2");
        assert_eq!(refused("1.5", "JPY"), "\"1.5\" has more decimals than JPY has, which is 0");
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_reason() {
        for text in [
            "", "-", ".", "1.", ".5", "+1", "1,000", "1 000", " 1", "1\n", "--1", "NaN", "Infinity", "0x10", "1.2.3", "١", "e5",
            "1_0",
        ] {
            assert!(refused(text, "USD").contains("digits"), "{text:?}");
        }
        for text in ["1e3", "1.5E-2", "-2e400"] {
            assert!(refused(text, "USD").contains("exponent"), "{text:?}");
        }
        assert!(refused("007", "USD").contains("a zero in front"));
        assert_eq!(refused(&"9".repeat(41), "USD"), "an amount has at most 40 characters, this one has 41");
        assert!(refused("1", "usd").contains("three capitals"));
        assert!(refused("1", "ZZZ").contains("\"ZZZ\" is no ISO 4217 currency code"));
        assert_eq!(refused("1", "XAU"), "XAU has no minor unit, so no amount can be given in it");
    }

    #[test]
    fn the_largest_and_the_smallest_amount_fit_and_one_more_does_not() {
        assert_eq!(minor("92233720368547758.07", "USD"), i64::MAX);
        assert_eq!(minor("-92233720368547758.08", "USD"), i64::MIN);
        assert_eq!(
            refused("92233720368547758.08", "USD"),
            "the amount is too large: at most 92233720368547758.07 USD can be counted"
        );
        assert!(refused("-92233720368547758.09", "USD").contains("too large"));
        assert!(refused("99999999999999999999999999999999999999", "JPY").contains("too large"));
        assert!(Money::from_major(i64::MAX, Currency::parse("USD").unwrap()).is_err());
    }

    #[test]
    fn currencies_are_not_mixed() {
        let (usd, jpy) = (Money::parse("1", "USD").unwrap(), Money::parse("1", "JPY").unwrap());
        assert_eq!(usd.checked_add(jpy).unwrap_err().to_string(), "amounts of USD and JPY cannot be put together");
        assert!(usd.checked_sub(jpy).is_err());
        assert_eq!(usd.checked_sub(usd).unwrap().amount, 0);
    }

    #[test]
    fn in_json_it_is_minor_units_and_a_checked_code() {
        assert_eq!(
            serde_json::to_string(&Money::parse("15000.00", "USD").unwrap()).unwrap(),
            r#"{"amount":1500000,"currency":"USD"}"#
        );
        for bad in
            [r#"{"amount":1.5,"currency":"USD"}"#, r#"{"amount":"1","currency":"USD"}"#, r#"{"amount":1,"currency":"XTS"}"#]
        {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn in_avro_it_is_a_record_of_a_long_and_a_string() {
        let schema = serde_json::to_value(<Money as apache_avro::AvroSchema>::get_schema()).unwrap();
        assert_eq!((&schema["type"], &schema["name"]), (&"record".into(), &"Money".into()));
        let types: Vec<_> = schema["fields"].as_array().unwrap().iter().map(|field| (&field["name"], &field["type"])).collect();
        assert_eq!(types, [(&"amount".into(), &"long".into()), (&"currency".into(), &"string".into())]);
    }
}
