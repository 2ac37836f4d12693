//! What the form of requests is made of: texts, objects, and how a wrong one is refused.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use seedwork::Refusal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use wire::values::Timestamp;

/// A text of a request, not copied when it stands there without escapes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A JSON object. Without this a list of the members' values, in their order, would be taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

pub(super) fn wrong(code: &'static str, field: impl Into<Cow<'static, str>>, why: impl Display) -> Refusal {
    Refusal { field: Some(field.into()), ..Refusal::unprocessable(code, "", why) }
}

/// Checks a length in characters. A character has one to four bytes, so most texts need not be counted.
pub(super) fn sized(
    text: Cow<'_, str>,
    least: usize,
    most: usize,
    field: impl FnOnce() -> Cow<'static, str>,
) -> Result<String, Refusal> {
    if text.len() < 4 * least || text.len() > most {
        let chars = text.chars().count();
        if !(least..=most).contains(&chars) {
            let why = format!("it has {least} to {most} characters, this has {chars}");
            return Err(wrong("text-length", field(), why));
        }
    }
    Ok(text.into_owned())
}

pub(super) fn instant(sent: Option<Text<'_>>, field: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let parse = |text: Text<'_>| Timestamp::parse(&text.0).map_err(|error| wrong("instant-invalid", field, error));
    sent.map(parse).transpose()
}
