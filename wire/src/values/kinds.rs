//! Kinds of partners and campaigns.
//!
//! On the wire a kind is its lower-case English word; at the edges other spellings are understood too. In Avro it is a `string`, not an `enum`: a kind that is added later changes no
//! schema, and a reader that does not know it refuses that one message instead of the topic.

use super::text::{shown, text_value};

/// Makes an enum of kinds, each written as one word, and understood by that and others.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$kind_doc:meta])* $kind:ident = $word:literal $(or $other:literal)*,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$kind_doc])* $kind,)+
        }

        impl $name {
            /// Every kind.
            pub const ALL: &'static [$name] = &[$($name::$kind,)+];

            /// Every spelling that is understood.
            pub const SPELLINGS: &'static [(&'static str, $name)] =
                &[$(($word, $name::$kind), $(($other, $name::$kind),)*)+];

            /// The word on the wire.
            pub fn as_str(&self) -> &'static str {
                match self {
                    $($name::$kind => $word,)+
                }
            }

            /// Reads the word on the wire: lower case, English, nothing else.
            ///
            /// # Errors
            /// When it is none of them; the error lists them.
            pub fn parse(text: &str) -> Result<$name, UnknownKind> {
                match text {
                    $($word => Ok($name::$kind),)+
                    _ => Err(UnknownKind { what: $what, found: shown(text), known: concat!($("`", $word, "` "),+).trim_ascii_end() }),
                }
            }

            /// Reads any spelling that is understood, in any case, and gives it back when it is not the word on the wire: answers
            /// repeat it as it was sent.
            ///
            /// # Errors
            /// When it is none of them; the error lists them.
            pub fn understand(text: &str) -> Result<($name, Option<String>), UnknownKind> {
                match $name::SPELLINGS.iter().find(|(spelling, _)| text.eq_ignore_ascii_case(spelling)) {
                    Some((_, kind)) => Ok((*kind, (text != kind.as_str()).then(|| text.to_owned()))),
                    None => {
                        let known = concat!($("`", $word, "` ", $("`", $other, "` ",)*)+).trim_ascii_end();
                        Err(UnknownKind { what: $what, found: shown(text), known })
                    }
                }
            }
        }

        text_value!($name, UnknownKind, $what);
    };
}

kind! {
    /// What a person or company is to the campaigns that it promotes.
    PartnerKind, "a kind of partner" {
        /// Promotes to an audience of its own.
        Influencer = "influencer",
        /// Refers buyers, for instance from a site.
        Affiliate = "affiliate" or "afiliado",
        /// Stands for the brand over a long time.
        Ambassador = "ambassador" or "embajador",
    }
}

kind! {
    /// Which kinds of partners a campaign is made for.
    #[derive(Default)]
    CampaignKind, "a kind of campaign" {
        /// Influencers.
        Influencer = "influencer",
        /// Affiliates.
        Affiliate = "affiliate" or "afiliado",
        /// Any.
        #[default]
        Mixed = "mixed" or "mixta" or "mixto",
    }
}

/// A word that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {what}; known are {known}")]
pub struct UnknownKind {
    /// What was expected: `a kind of partner`.
    pub what: &'static str,
    /// The word, escaped, its beginning only.
    pub found: String,
    /// The words that are known, each in backticks.
    pub known: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_its_word_in_json() {
        for (kind, word) in PartnerKind::ALL.iter().zip(["influencer", "affiliate", "ambassador"]) {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<PartnerKind>(&format!("\"{word}\"")).unwrap(), *kind);
        }
        assert_eq!(CampaignKind::ALL.iter().map(CampaignKind::as_str).collect::<Vec<_>>(), ["influencer", "affiliate", "mixed"]);
        assert_eq!(CampaignKind::default(), CampaignKind::Mixed);
    }

    #[test]
    fn other_spellings_are_understood_and_kept_as_they_were_sent() {
        for (text, kind) in [
            ("influencer", PartnerKind::Influencer),
            ("Influencer", PartnerKind::Influencer),
            ("AFILIADO", PartnerKind::Affiliate),
            ("Embajador", PartnerKind::Ambassador),
        ] {
            let sent = (text != kind.as_str()).then(|| text.to_owned());
            assert_eq!(PartnerKind::understand(text), Ok((kind, sent)));
        }
        assert_eq!(CampaignKind::understand("mixta").map(|(kind, _)| kind), Ok(CampaignKind::Mixed));
        let error = PartnerKind::understand("friend").unwrap_err().to_string();
        assert!(error.contains("`affiliate` `afiliado` `ambassador` `embajador`"), "{error}");
    }

    #[test]
    fn another_word_is_refused_and_the_known_ones_are_named() {
        let error = PartnerKind::parse("Influencer").unwrap_err();
        assert_eq!(error.to_string(), "\"Influencer\" is not a kind of partner; known are `influencer` `affiliate` `ambassador`");
        assert!(CampaignKind::parse("ambassador").is_err(), "a campaign is for no such kind");
        assert!(serde_json::from_str::<CampaignKind>("null").is_err());
    }
}
