//! Ids: of one thing, and of what stands between things.
//!
//! An id is 1 to 64 characters of `A-Z a-z 0-9 . _ : -`. A composed id joins ids with `~`; the part before the first `~` is the key
//! under which the thing lives, so anyone can address it, and a pair is unique by its id. All are shared text: a clone copies nothing.

use std::sync::Arc;

use super::money::Currency;
use super::text::{shown, text_value};

/// The longest id, and the longest part of a composed one, in characters (each is one byte).
pub const ID_MAX_CHARS: usize = 64;

/// The most parts that a composed id has.
pub const ID_MAX_PARTS: usize = 8;

/// Checks that a text is an id of one thing.
///
/// # Errors
/// When it is empty, too long, or holds a character that an id has not.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if let Some(before) = text.bytes().position(|byte| !allowed(byte)) {
        // All before it are ASCII, so it begins a character, and its place in bytes is its place in characters.
        let found = text[before..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
        return Err(IdError::Character { found, at: before + 1, id: shown(text) });
    }
    if text.len() > ID_MAX_CHARS {
        return Err(IdError::TooLong { chars: text.len() });
    }
    Ok(())
}

/// Checks that a text is as many ids as `expected` says, joined by `~`.
fn check_parts(text: &str, expected: std::ops::RangeInclusive<usize>) -> Result<(), IdError> {
    let parts = text.split('~').count();
    if !expected.contains(&parts) {
        return Err(IdError::Parts { found: parts, least: *expected.start(), most: *expected.end(), id: shown(text) });
    }
    text.split('~').enumerate().try_for_each(|(before, part)| {
        check_id(part).map_err(|error| IdError::Part { part: before + 1, id: shown(text), error: Box::new(error) })
    })
}

fn joined(first: &str, second: &str) -> Arc<str> {
    let mut text = String::with_capacity(first.len() + 1 + second.len());
    text.push_str(first);
    text.push('~');
    text.push_str(second);
    text.into()
}

/// What ids of one thing and composed ones have in common.
macro_rules! id_text {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl From<$name> for Arc<str> {
            fn from(id: $name) -> Arc<str> {
                id.0
            }
        }
        text_value!($name, IdError, $what);
    };
}

/// Makes the id of one kind of thing.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and takes it as an id.
            ///
            /// # Errors
            /// As [`check_id`].
            pub fn parse(text: &str) -> Result<$name, IdError> {
                check_id(text).map(|()| $name(text.into()))
            }
        }
        id_text!($name, $what);
    };
}

/// What all composed ids have in common.
macro_rules! composed {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The part before the first `~`: the key under which the thing lives.
            pub fn first(&self) -> &str {
                self.0.split_once('~').map_or(&self.0, |(first, _)| first)
            }

            /// The part after the first `~`, up to the next one if there is one.
            pub fn second(&self) -> &str {
                self.0.split('~').nth(1).unwrap_or_default()
            }
        }
        id_text!($name, $what);
    };
}

/// Makes an id that joins the ids of two things.
macro_rules! pair {
    ($(#[$doc:meta])* $name:ident = $first:ident: $First:ident ~ $second:ident: $Second:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Joins the two.
            pub fn join($first: &$First, $second: &$Second) -> $name {
                $name(joined($first.as_str(), $second.as_str()))
            }

            /// Checks a text and takes it as an id.
            ///
            /// # Errors
            /// When it has not exactly two parts, or one of them is not what it should be.
            pub fn parse(text: &str) -> Result<$name, IdError> {
                check_parts(text, 2..=2).map(|()| $name(text.into()))
            }

            #[doc = concat!("The first part, as the [`", stringify!($First), "`] that it is.")]
            pub fn $first(&self) -> $First {
                $First(self.first().into())
            }

            #[doc = concat!("The second part, as the [`", stringify!($Second), "`] that it is.")]
            pub fn $second(&self) -> $Second {
                $Second(self.second().into())
            }
        }
        composed!($name, $what);
    };
}

id! {
    /// Which campaign.
    CampaignId, "a campaign's id"
}

id! {
    /// Which partner: the id that it has as a participant of campaigns.
    PartnerId, "a partner's id"
}

id! {
    /// Which brand.
    BrandId, "a brand's id"
}

pair! {
    /// Which partner in which campaign: `p-98765~c-12345`. It lives under the partner.
    EnrolmentId = partner: PartnerId ~ campaign: CampaignId, "an enrolment's id, partner~campaign,"
}

pair! {
    /// What a brand has set aside for a campaign: `b-12345~c-12345`. It lives under the brand.
    ReservationId = brand: BrandId ~ campaign: CampaignId, "a reservation's id, brand~campaign,"
}

/// A brand's account in one currency: `b-12345~USD`. It lives under the brand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The account of this brand in this currency.
    pub fn join(brand: &BrandId, currency: Currency) -> AccountId {
        AccountId(joined(brand.as_str(), currency.as_str()))
    }

    /// Checks a text and takes it as an id.
    ///
    /// # Errors
    /// When it has not exactly two parts, the first is no id, or the second no currency.
    pub fn parse(text: &str) -> Result<AccountId, IdError> {
        check_parts(text, 2..=2)?;
        let id = AccountId(text.into());
        match Currency::parse(id.second()) {
            Ok(_) => Ok(id),
            Err(error) => Err(IdError::Kind { part: 2, id: shown(text), why: error.to_string() }),
        }
    }

    /// The first part, as the [`BrandId`] that it is.
    pub fn brand(&self) -> BrandId {
        BrandId(self.first().into())
    }

    /// The second part: the code of a [`Currency`], which [`Currency::parse`] takes.
    pub fn currency(&self) -> &str {
        self.second()
    }
}

composed!(AccountId, "an account's id, brand~currency,");

/// An event of an enrolment: the enrolment's parts and one or more of its own, `p-98765~c-12345~registration`. It lives under the
/// partner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The event, and its kind, by which a campaign's registration puts each enrolment on record that it makes.
    pub const REGISTRATION: &'static str = "registration";

    /// The event by which a campaign's registration puts this enrolment on record.
    pub fn registration(enrolment: &EnrolmentId) -> EventId {
        EventId(joined(enrolment.as_str(), EventId::REGISTRATION))
    }

    /// Joins two ids, either of which may be composed: an enrolment's and the event's own.
    ///
    /// # Errors
    /// When one is no id, or there are more than [`ID_MAX_PARTS`] parts.
    pub fn join(first: impl AsRef<str>, second: impl AsRef<str>) -> Result<EventId, IdError> {
        EventId::take(joined(first.as_ref(), second.as_ref()))
    }

    /// Checks a text and takes it as an id.
    ///
    /// # Errors
    /// When it has fewer than two or more than [`ID_MAX_PARTS`] parts, or one of them is no id.
    pub fn parse(text: &str) -> Result<EventId, IdError> {
        EventId::take(text.into())
    }

    fn take(text: Arc<str>) -> Result<EventId, IdError> {
        check_parts(&text, 2..=ID_MAX_PARTS).map(|()| EventId(text))
    }

    /// The first two parts, as the [`EnrolmentId`] that they are.
    pub fn enrolment(&self) -> EnrolmentId {
        EnrolmentId(joined(self.first(), self.second()))
    }

    /// All parts in order; at least two.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('~')
    }
}

composed!(EventId, "an event's id, partner~campaign~event,");

/// A block: what it blocks, and of which kind that is, `p-98765~partner` or `c-12345~campaign`. It lives under what it blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(Arc<str>);

/// What a block blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockTarget {
    /// Every campaign's events of this partner.
    Partner(PartnerId),
    /// Every partner's events in this campaign.
    Campaign(CampaignId),
}

impl BlockId {
    /// The block of this partner or campaign.
    pub fn of(target: &BlockTarget) -> BlockId {
        match target {
            BlockTarget::Partner(partner) => BlockId(joined(partner.as_str(), "partner")),
            BlockTarget::Campaign(campaign) => BlockId(joined(campaign.as_str(), "campaign")),
        }
    }

    /// Checks a text and takes it as an id.
    ///
    /// # Errors
    /// When it has not exactly two parts, the first is no id, or the second neither `partner` nor `campaign`.
    pub fn parse(text: &str) -> Result<BlockId, IdError> {
        check_parts(text, 2..=2)?;
        let id = BlockId(text.into());
        match id.second() {
            "partner" | "campaign" => Ok(id),
            kind => {
                Err(IdError::Kind { part: 2, id: shown(text), why: format!("{kind:?} is neither \"partner\" nor \"campaign\"") })
            }
        }
    }

    /// What it blocks.
    pub fn target(&self) -> BlockTarget {
        match self.second() {
            "partner" => BlockTarget::Partner(PartnerId(self.first().into())),
            _ => BlockTarget::Campaign(CampaignId(self.first().into())),
        }
    }
}

composed!(BlockId, "a block's id, partner~`partner` or campaign~`campaign`,");

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// There is nothing.
    #[error("an id is not empty: it has 1 to {ID_MAX_CHARS} characters of A-Z a-z 0-9 . _ : -")]
    Empty,
    /// It has more than [`ID_MAX_CHARS`] characters.
    #[error("an id has at most {ID_MAX_CHARS} characters, this one has {chars}")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// It holds a character that an id has not.
    #[error("an id has only the characters A-Z a-z 0-9 . _ : - and {id} has {found:?} as character {at}")]
    Character {
        /// The first such character.
        found: char,
        /// Where it stands, from 1.
        at: usize,
        /// The text, escaped, its beginning only.
        id: String,
    },
    /// A composed id has too few or too many parts.
    #[error("{id} has {found} parts joined by ~ and should have {}", parts(*.least, *.most))]
    Parts {
        /// How many it has.
        found: usize,
        /// How many it should have at least.
        least: usize,
        /// How many it should have at most.
        most: usize,
        /// The text, escaped, its beginning only.
        id: String,
    },
    /// A part of a composed id is no id.
    #[error("part {part} of {id}: {error}")]
    Part {
        /// Which part, from 1.
        part: usize,
        /// The text, escaped, its beginning only.
        id: String,
        /// What is wrong with the part.
        error: Box<IdError>,
    },
    /// A part of a composed id is an id, but not of the kind that belongs there.
    #[error("part {part} of {id}: {why}")]
    Kind {
        /// Which part, from 1.
        part: usize,
        /// The text, escaped, its beginning only.
        id: String,
        /// What is wrong with the part.
        why: String,
    },
}

fn parts(least: usize, most: usize) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "[A-Za-z0-9._:-]{1,64}";

    proptest! {
        #[test]
        fn an_id_is_read_back_from_its_json(text in ID) {
            let id = CampaignId::parse(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<CampaignId>(&format!("\"{text}\"")).unwrap(), id);
        }

        #[test]
        fn a_joined_id_comes_apart_again(one in ID, two in ID, three in ID) {
            let (partner, campaign) = (PartnerId::parse(&one).unwrap(), CampaignId::parse(&two).unwrap());
            let enrolment = EnrolmentId::join(&partner, &campaign);
            prop_assert_eq!(&EnrolmentId::parse(enrolment.as_str()).unwrap(), &enrolment);
            prop_assert_eq!((enrolment.partner(), enrolment.campaign()), (partner, campaign));
            let event = EventId::join(&enrolment, &three).unwrap();
            prop_assert_eq!(event.parts().collect::<Vec<_>>(), [one.as_str(), &two, &three]);
            prop_assert_eq!(event.enrolment(), enrolment);
            prop_assert_eq!(event.first(), one.as_str());
        }

        #[test]
        fn any_other_text_is_refused(text in ".{0,80}") {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
            let good = (1..=64).contains(&text.chars().count()) && text.chars().all(allowed);
            prop_assert_eq!(BrandId::parse(&text).is_ok(), good);
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_is_allowed() {
        let says = |text: &str| CampaignId::parse(text).unwrap_err().to_string();
        assert_eq!(says(""), "an id is not empty: it has 1 to 64 characters of A-Z a-z 0-9 . _ : -");
        assert_eq!(says(&"c".repeat(65)), "an id has at most 64 characters, this one has 65");
        assert_eq!(says("a/b"), "an id has only the characters A-Z a-z 0-9 . _ : - and \"a/b\" has '/' as character 2");
        assert!(says("campaña").contains("'ñ' as character 6"));
        assert!(says("p~c").contains("'~' as character 2"), "an id of one thing is not composed");
        assert!(says(&format!("{}\n", "x".repeat(1_000_000))).len() < 200, "an error does not repeat a megabyte");
    }

    #[test]
    fn a_composed_id_says_which_part_is_wrong() {
        let says = |text: &str| EnrolmentId::parse(text).unwrap_err().to_string();
        assert_eq!(says("p-1"), "\"p-1\" has 1 parts joined by ~ and should have 2");
        assert_eq!(says("p~c~x"), "\"p~c~x\" has 3 parts joined by ~ and should have 2");
        assert!(says("p~").starts_with("part 2 of \"p~\": an id is not empty"));
        assert!(says("p q~c").starts_with("part 1 of \"p q~c\": an id has only"));
        assert!(EventId::parse("p").unwrap_err().to_string().ends_with("should have 2 to 8"));
        assert!(EventId::parse("1~2~3~4~5~6~7~8").is_ok());
        assert!(EventId::parse("1~2~3~4~5~6~7~8~9").is_err());
        assert!(EventId::join("p~c", "").is_err());
    }

    #[test]
    fn an_account_is_of_a_brand_in_a_currency() {
        let account = AccountId::join(&BrandId::parse("b-1").unwrap(), Currency::parse("USD").unwrap());
        assert_eq!((account.as_str(), account.brand().as_str(), account.currency()), ("b-1~USD", "b-1", "USD"));
        assert_eq!(AccountId::parse("b-1~USD"), Ok(account));
        assert!(
            AccountId::parse("b-1~usd").unwrap_err().to_string().starts_with("part 2 of \"b-1~usd\": \"usd\" is no ISO 4217")
        );
        assert_eq!(ReservationId::parse("b-1~c-1").unwrap().brand().as_str(), "b-1");
    }

    #[test]
    fn a_block_names_what_it_blocks() {
        for (text, blocked) in [
            ("p-98765~partner", BlockTarget::Partner(PartnerId::parse("p-98765").unwrap())),
            ("c-12345~campaign", BlockTarget::Campaign(CampaignId::parse("c-12345").unwrap())),
        ] {
            let id = BlockId::of(&blocked);
            assert_eq!((id.as_str(), id.target()), (text, blocked));
            assert_eq!(BlockId::parse(text), Ok(id));
        }
        assert!(BlockId::parse("p-1~brand").unwrap_err().to_string().contains("neither \"partner\" nor \"campaign\""));
    }

    #[test]
    fn json_is_checked_and_an_id_can_be_a_key() {
        let error = serde_json::from_str::<EnrolmentId>("\"p-1\"").unwrap_err().to_string();
        assert!(error.contains("should have 2"), "{error}");
        assert!(serde_json::from_str::<CampaignId>("12").unwrap_err().to_string().contains("a campaign's id as text"));
        let map = std::collections::BTreeMap::from([(PartnerId::parse("p-1").unwrap(), 1)]);
        assert_eq!(map.get("p-1"), Some(&1), "it can be looked up by its text");
        assert_eq!(
            serde_json::from_str::<std::collections::BTreeMap<PartnerId, i32>>(&serde_json::to_string(&map).unwrap()).unwrap(),
            map
        );
    }

    #[test]
    fn in_avro_an_id_is_a_string() {
        assert_eq!(<CampaignId as apache_avro::AvroSchema>::get_schema(), apache_avro::Schema::String);
        assert_eq!(<EventId as apache_avro::AvroSchema>::get_schema(), apache_avro::Schema::String);
    }
}
