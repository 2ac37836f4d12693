//! Who asked.

use std::sync::Arc;

use super::text::{shown, text_value};

/// Who asked for something: a person's or a program's name for itself. **Names a person**: a store that forgets people forgets this.
///
/// 1 to 128 characters, not all of them blank, none of them a control character or one that changes the direction or the line of the
/// text around it (an actor is printed in logs and in the console).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(Arc<str>);

impl Actor {
    /// The longest actor, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Who acts when nobody is named: `local`.
    pub const LOCAL: &'static str = "local";

    /// Checks a text and takes it as an actor.
    ///
    /// # Errors
    /// When it is blank, too long, or holds a character that cannot be printed.
    pub fn parse(text: &str) -> Result<Actor, ActorError> {
        if text.trim().is_empty() {
            return Err(ActorError::Blank);
        }
        if text.len() > Actor::MAX_CHARS && text.chars().count() > Actor::MAX_CHARS {
            return Err(ActorError::TooLong { chars: text.chars().count() });
        }
        match text.chars().enumerate().find(|(_, found)| unprintable(*found)) {
            Some((before, found)) => Err(ActorError::Character { found, at: before + 1, actor: shown(text) }),
            None => Ok(Actor(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, line and paragraph separators, and the marks that turn the direction of text (Unicode UAX 9, explicit ones).
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl Default for Actor {
    /// [`Actor::LOCAL`].
    fn default() -> Actor {
        Actor(Actor::LOCAL.into())
    }
}

impl From<Actor> for Arc<str> {
    fn from(actor: Actor) -> Arc<str> {
        actor.0
    }
}

text_value!(Actor, ActorError, "an actor");

/// Why a text is no [`Actor`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActorError {
    /// There is nothing to read in it.
    #[error("an actor is not blank")]
    Blank,
    /// It has more than [`Actor::MAX_CHARS`] characters.
    #[error("an actor has at most {} characters, this one has {chars}", Actor::MAX_CHARS)]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// It holds a character that cannot be printed.
    #[error("an actor has printable characters only, {actor} has {found:?} as character {at}")]
    Character {
        /// The first such character.
        found: char,
        /// Where it stands, from 1.
        at: usize,
        /// The text, escaped, its beginning only.
        actor: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_printable_name_and_local_by_default() {
        assert_eq!(Actor::default().as_str(), "local");
        for good in ["local", "María Ñúñez", "svc:importer@eu", &"ñ".repeat(128)] {
            assert_eq!(Actor::parse(good).map(|actor| actor.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(Actor::parse(""), Err(ActorError::Blank));
        assert_eq!(Actor::parse(" \t "), Err(ActorError::Blank));
        assert_eq!(Actor::parse(&"ñ".repeat(129)), Err(ActorError::TooLong { chars: 129 }));
        for bad in ["a\nb", "a\u{0}b", "a\u{202E}b", "a\u{2028}b", "a\u{7f}b", "a\u{85}b"] {
            let error = Actor::parse(bad).unwrap_err();
            assert!(matches!(error, ActorError::Character { at: 2, .. }), "{error}");
            assert!(!error.to_string().chars().any(unprintable), "an error does not repeat it raw: {error}");
        }
    }

    #[test]
    fn json_is_its_text_and_is_checked() {
        let actor: Actor = serde_json::from_str("\"ana\"").unwrap();
        assert_eq!(serde_json::to_string(&actor).unwrap(), "\"ana\"");
        assert!(serde_json::from_str::<Actor>("\"a\\u0007\"").unwrap_err().to_string().contains("printable"));
        assert!(serde_json::from_str::<Actor>("7").unwrap_err().to_string().contains("an actor as text"));
    }
}
