//! What all values that are written as text have in common: one way to be read, shown, stored, and described to Avro.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// The record names that apache-avro has met while it builds one schema.
pub type AvroNames = std::collections::HashSet<apache_avro::schema::Name>;

/// How much of a text from outside an error repeats, in characters.
const SHOWN_CHARS: usize = 64;

/// A text from outside as an error shows it: its beginning, without what could break a log line.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Reads a JSON string (or any format's text) through `parse`, without a copy of its own.
///
/// # Errors
/// The format's own when there is no text, else what `parse` says.
pub fn read<'de, D, T, E>(deserializer: D, what: &'static str, parse: fn(&str) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
{
    struct Text<T, E> {
        what: &'static str,
        parse: fn(&str) -> Result<T, E>,
        result: PhantomData<T>,
    }
    impl<T, E: fmt::Display> Visitor<'_> for Text<T, E> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} as text", self.what)
        }
        fn visit_str<F: Error>(self, text: &str) -> Result<T, F> {
            (self.parse)(text).map_err(F::custom)
        }
    }
    deserializer.deserialize_str(Text { what, parse, result: PhantomData })
}

/// Makes a type with `as_str` and `parse` a value: shown, parsed and serialised as its text, an Avro `string`.
macro_rules! text_value {
    ($name:ident, $error:ty, $what:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl std::str::FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                $name::parse(text)
            }
        }
        impl TryFrom<&str> for $name {
            type Error = $error;
            fn try_from(text: &str) -> Result<Self, $error> {
                $name::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                $name::parse(&text)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::values::text::read(deserializer, $what, $name::parse)
            }
        }
        $crate::values::text::avro_string!($name);
    };
}

/// Describes a type to Avro as a `string`.
macro_rules! avro_string {
    ($name:ident) => {
        impl apache_avro::AvroSchemaComponent for $name {
            fn get_schema_in_ctxt(
                _: &mut $crate::values::text::AvroNames,
                _: apache_avro::schema::NamespaceRef<'_>,
            ) -> apache_avro::Schema {
                apache_avro::Schema::String
            }
            fn get_record_fields_in_ctxt(
                _: &mut $crate::values::text::AvroNames,
                _: apache_avro::schema::NamespaceRef<'_>,
            ) -> Option<Vec<apache_avro::schema::RecordField>> {
                None
            }
        }
    };
}

pub(super) use {avro_string, text_value};
