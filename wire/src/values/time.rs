//! Instants.

use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use serde::ser::Error as _;

use super::text::{avro_string, read, shown};

/// The longest text that [`Timestamp::parse`] reads, in bytes.
const MAX_BYTES: usize = 64;

/// An instant in UTC, to the microsecond, from the beginning of the year 0000 to 9999-12-30T22:00:00Z.
///
/// Written as RFC 3339 with `Z` and no more decimals than it needs: `2025-09-10T00:00:00Z`. The text of a later instant does not
/// always sort later; the values do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The earliest: 0000-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(jiff::Timestamp::constant(-62_167_219_200, 0));

    /// The latest: 9999-12-30T22:00:00Z.
    pub const MAX: Timestamp = Timestamp(jiff::Timestamp::constant(253_402_207_200, 0));

    /// Reads RFC 3339 with `Z` or an offset and converts it to UTC. Decimals beyond the microsecond are cut off; a leap second (`:60`)
    /// is the second before it.
    ///
    /// # Errors
    /// When it is not RFC 3339, names a date or time that does not exist (`2025-02-30`), or is outside of the range.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        if !is_rfc3339_in_form(text.as_bytes()) {
            return Err(TimestampError::Form { found: shown(text) });
        }
        let read: jiff::Timestamp =
            text.parse().map_err(|error: jiff::Error| TimestampError::Unreal { found: shown(text), why: error.to_string() })?;
        let nanos = read.subsec_nanosecond();
        // Whole seconds and nanoseconds have the same sign, and before 1970 the microsecond begins further from it.
        let cut = nanos.rem_euclid(1000);
        let micros = read.as_microsecond() - i64::from(nanos < 0 && cut != 0);
        Timestamp::from_micros(micros).map_err(|_| TimestampError::Range { found: shown(text) })
    }

    /// The instant so many microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When that is before [`Timestamp::MIN`] or after [`Timestamp::MAX`].
    pub fn from_micros(micros: i64) -> Result<Timestamp, TimestampError> {
        let range = || TimestampError::Range { found: format!("{micros} microseconds after 1970") };
        let instant = Timestamp(jiff::Timestamp::from_microsecond(micros).map_err(|_| range())?);
        if instant < Timestamp::MIN { Err(range()) } else { Ok(instant) }
    }

    /// As [`Timestamp::from_micros`], but the nearest end of the range when that is outside: for the reading of a clock.
    pub fn saturating_from_micros(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }
}

/// `YYYY-MM-DDThh:mm:ss`, then decimals if any, then `Z` or `±hh:mm`; whether the numbers make sense is left to the calendar. (jiff
/// alone would take other forms of ISO 8601 as well.)
fn is_rfc3339_in_form(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(19) else { return false };
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let head_is_good = head.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't' | b' '),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let zone = tail.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(tail.len());
    let (decimals, zone) = tail.split_at(zone);
    let decimals_are_good = decimals.is_empty() || decimals.strip_prefix(b".").is_some_and(digits);
    let zone_is_good = match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hour @ .., b':', m1, m2] => hour.len() == 2 && digits(hour) && digits(&[*m1, *m2]),
        _ => false,
    };
    text.len() <= MAX_BYTES && head_is_good && decimals_are_good && zone_is_good
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        Timestamp::parse(text)
    }
}

/// A text on the stack, large enough for every [`Timestamp`].
#[derive(Default)]
struct Short {
    bytes: [u8; 32],
    len: usize,
}

impl jiff::fmt::Write for &mut Short {
    fn write_str(&mut self, part: &str) -> Result<(), jiff::Error> {
        let end = self.len + part.len();
        let room =
            self.bytes.get_mut(self.len..end).ok_or_else(|| jiff::Error::from_args(format_args!("longer than 32 bytes")))?;
        room.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl serde::Serialize for Timestamp {
    /// Writes the text without allocating.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut short = Short::default();
        DateTimePrinter::new().print_timestamp(&self.0, &mut short).map_err(S::Error::custom)?;
        let text = std::str::from_utf8(&short.bytes[..short.len]).map_err(S::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        read(deserializer, "an instant", Timestamp::parse)
    }
}

avro_string!(Timestamp);

/// Why a text or a number is no [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// It is not written as RFC 3339.
    #[error("{found} is no instant as RFC 3339 writes it, such as \"2025-09-10T00:00:00Z\"")]
    Form {
        /// The text, escaped, its beginning only.
        found: String,
    },
    /// It names a date, time or offset that does not exist.
    #[error("{found} does not exist: {why}")]
    Unreal {
        /// The text, escaped, its beginning only.
        found: String,
        /// What the calendar says.
        why: String,
    },
    /// It is outside of what can be written.
    #[error("{found} is not between {} and {}", Timestamp::MIN, Timestamp::MAX)]
    Range {
        /// The text or the number.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(instant: Timestamp) -> String {
        serde_json::to_string(&instant).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in Timestamp::MIN.as_micros()..=Timestamp::MAX.as_micros()) {
            let instant = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(instant.as_micros(), micros);
            prop_assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant));
            prop_assert_eq!(json(instant), format!("\"{instant}\""));
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json(instant)).unwrap(), instant);
        }

        #[test]
        fn an_offset_is_the_same_instant(seconds in 0_i64..4_000_000_000, hours in -14_i64..=14, minutes in 0_i64..60) {
            let utc = Timestamp::from_micros(seconds * 1_000_000).unwrap();
            let offset = if hours < 0 { hours * 60 - minutes } else { hours * 60 + minutes };
            let local = Timestamp::from_micros((seconds + offset * 60) * 1_000_000).unwrap().to_string();
            let sign = if offset < 0 { '-' } else { '+' };
            let text = format!("{}{sign}{:02}:{minutes:02}", local.trim_end_matches('Z'), hours.abs());
            prop_assert_eq!(Timestamp::parse(&text), Ok(utc), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+:.TZt 0-9]{0,40}") {
            if let Ok(instant) = Timestamp::parse(&text) {
                prop_assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant));
            }
        }
    }

    #[test]
    fn it_is_written_with_z_and_no_more_decimals_than_it_needs() {
        for (given, written) in [
            ("2025-09-10T00:00:00Z", "2025-09-10T00:00:00Z"),
            ("2025-09-10T00:00:00.000Z", "2025-09-10T00:00:00Z"),
            ("2025-09-10t02:00:00.5+02:00", "2025-09-10T00:00:00.5Z"),
            ("2025-09-10 00:00:00.123456789Z", "2025-09-10T00:00:00.123456Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("1969-12-31T23:59:58.0000001Z", "1969-12-31T23:59:58Z"),
            ("2025-12-31T19:00:00-05:00", "2026-01-01T00:00:00Z"),
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(Timestamp::parse(given).unwrap().to_string(), written, "{given}");
        }
    }

    #[test]
    fn dates_and_times_that_do_not_exist_are_refused_by_name() {
        for text in [
            "2025-02-30T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-10T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:61Z",
            "2025-01-01T00:00:00+26:00",
        ] {
            let error = Timestamp::parse(text).unwrap_err();
            assert!(matches!(error, TimestampError::Unreal { .. }), "{error:?}");
            assert!(error.to_string().starts_with(&format!("{text:?} does not exist: ")), "{error}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused_with_an_example() {
        let long = format!("2025-01-01T00:00:00.{}Z", "0".repeat(60));
        for text in [
            "",
            "tomorrow",
            "2025-09-10",
            "2025-09-10T00:00:00",
            "2025-09-10T00:00Z",
            "20250910T000000Z",
            "2025-09-10T00:00:00.Z",
            "2025-09-10T00:00:00,5Z",
            "2025-09-10T00:00:00+0200",
            "2025-09-10T00:00:00+02:00[Europe/Madrid]",
            "2025-09-10T00:00:00Z ",
            "+002025-09-10T00:00:00Z",
            "２０２５-09-10T00:00:00Z",
            &long,
        ] {
            assert!(Timestamp::parse(text).unwrap_err().to_string().contains("such as \"2025-09-10T00:00:00Z\""), "{text}");
        }
    }

    #[test]
    fn the_range_ends_where_the_text_would_need_a_fifth_digit() {
        assert!(matches!(Timestamp::parse("0000-01-01T00:00:00+01:00"), Err(TimestampError::Range { .. })));
        assert!(Timestamp::parse("9999-12-31T23:59:59-01:00").is_err());
        assert!(matches!(Timestamp::parse("9999-12-30T22:00:00.5Z"), Err(TimestampError::Range { .. })));
        assert_eq!(Timestamp::from_micros(Timestamp::MAX.as_micros()), Ok(Timestamp::MAX));
        assert_eq!(Timestamp::saturating_from_micros(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::saturating_from_micros(i64::MAX), Timestamp::MAX);
        assert!(Timestamp::from_micros(Timestamp::MIN.as_micros() - 1).is_err());
        assert!(Timestamp::from_micros(Timestamp::MAX.as_micros() + 1).is_err());
    }

    #[test]
    fn in_avro_it_is_a_string() {
        assert_eq!(<Timestamp as apache_avro::AvroSchema>::get_schema(), apache_avro::Schema::String);
    }
}
