//! Types of values that more than one setting has.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue};

/// A value that may be left out: `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maybe<T>(pub Option<T>);

impl<T: FromStr> FromStr for Maybe<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Maybe<T>, T::Err> {
        if text == "none" { Ok(Maybe(None)) } else { text.parse().map(|value| Maybe(Some(value))) }
    }
}

/// A length of time: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Period, String> {
        let wrong = || format!("{text:?} is no time");
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(milliseconds).map(|all| Period(Duration::from_millis(all))).ok_or_else(wrong)
    }
}

/// A size in bytes: a whole number and one of `kB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("{text:?} is no size");
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let bytes = match unit {
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(bytes).map(Size).ok_or_else(wrong)
    }
}

/// A database of PostgreSQL; `{context}` in it stands for a context's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database(String);

impl FromStr for Database {
    type Err = String;
    fn from_str(text: &str) -> Result<Database, String> {
        // What is wrong with a secret is told without it.
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err("it does not begin with postgres://".to_owned());
        }
        Ok(Database(text.to_owned()))
    }
}

impl Database {
    /// The database of one context.
    pub fn of(&self, context: &str) -> String {
        self.0.replace("{context}", context)
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> &str {
        let place = self.0.split_once("://").map_or(&*self.0, |(_, place)| place);
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        place.split_once('?').map_or(place, |(place, _)| place)
    }

    /// Whether each context has one of its own.
    pub fn is_for_each(&self) -> bool {
        self.0.contains("{context}")
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker(pub String);

impl FromStr for Broker {
    type Err = String;
    fn from_str(text: &str) -> Result<Broker, String> {
        let place = ["pulsar://", "pulsar+ssl://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match place {
            None => Err(format!("{text:?} does not begin with pulsar:// or pulsar+ssl://")),
            Some(place) if place.is_empty() || place.contains(|c: char| c.is_whitespace() || "/?#@".contains(c)) => {
                Err(format!("{text:?} names no broker"))
            }
            Some(_) => Ok(Broker(text.to_owned())),
        }
    }
}

/// A tenant of the broker's, and a namespace in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The tenant.
    pub tenant: String,
    /// The namespace.
    pub name: String,
}

impl FromStr for Namespace {
    type Err = String;
    fn from_str(text: &str) -> Result<Namespace, String> {
        match text.split_once('/') {
            Some((tenant, name)) if is_name(tenant) && is_name(name) => {
                Ok(Namespace { tenant: tenant.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} is no namespace")),
        }
    }
}

/// What a process is called among its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica(pub String);

impl FromStr for Replica {
    type Err = String;
    fn from_str(text: &str) -> Result<Replica, String> {
        if is_name(text) { Ok(Replica(text.to_owned())) } else { Err(format!("{text:?} is no name")) }
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The address of a server: `http://host:port`, and a path if it stands behind one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Address, String> {
        let place = text.strip_prefix("http://").ok_or_else(|| format!("{text:?} does not begin with http://"))?;
        names_server(text, place).map(Address)
    }
}

/// An address without the slash at its end, if there is a server in it.
fn names_server(text: &str, place: &str) -> Result<String, String> {
    if place.is_empty() || place.starts_with('/') || place.contains(|c: char| c.is_whitespace() || "?#\\".contains(c)) {
        return Err(format!("{text:?} names no server"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The address of a collector: as an [`Address`], or with `https://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(String);

impl FromStr for Collector {
    type Err = String;
    fn from_str(text: &str) -> Result<Collector, String> {
        let place = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let place = place.ok_or_else(|| format!("{text:?} does not begin with http:// or https://"))?;
        if place.contains('@') {
            return Err("a user or password does not belong into it: put what the collector wants to be shown into otlp_headers"
                .to_owned());
        }
        names_server(text, place).map(Collector)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Headers of a request, as `OTEL_EXPORTER_OTLP_HEADERS` has them: `name=value`, several with commas between.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

impl FromStr for Headers {
    type Err = String;
    fn from_str(text: &str) -> Result<Headers, String> {
        let header = |(pair, place): (&str, usize)| {
            // What is wrong with a secret is told without it.
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("header {place} has no = in it"))?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("header {place} has no name"))?;
            let wrong = |_| format!("the value of {name} is no text of a header");
            let mut value = HeaderValue::from_str(value.trim()).map_err(wrong)?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        text.split(',').zip(1..).map(header).collect::<Result<Vec<_>, String>>().map(Headers)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A share: from 0, nothing, to 1, all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(pub f64);

impl FromStr for Ratio {
    type Err = String;
    fn from_str(text: &str) -> Result<Ratio, String> {
        let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        number.map(Ratio).ok_or_else(|| format!("{text:?} is no share"))
    }
}

impl Address {
    /// Host and port, without the scheme. None when there is a path behind them.
    pub fn authority(&self) -> Option<&str> {
        self.0.strip_prefix("http://").filter(|place| !place.contains('/'))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// An object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{text:?} is no format of a log")),
        }
    }
}

/// What is told, as `tracing-subscriber` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels(String);

impl FromStr for Levels {
    type Err = String;
    fn from_str(text: &str) -> Result<Levels, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) => Ok(Levels(text.to_owned())),
            Err(error) => Err(format!("{text:?} is not understood ({error})")),
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        assert_eq!("2d".parse(), Ok(Period(Duration::from_secs(172_800))));
        for text in ["", "10", "s", "1.5s", "-1s", "10 s", "10y", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!("20GB".parse(), Ok(Size(20_000_000_000)));
        assert_eq!("none".parse(), Ok(Maybe::<Size>(None)));
        for text in ["", "10", "MB", "1.5MB", "10 MB", "10mb", "99999999999999999999kB", "18446744073709551615GB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_http_and_a_host() {
        assert_eq!("http://h:1/alpes/".parse::<Address>().unwrap().to_string(), "http://h:1/alpes");
        for text in ["", "h:1", "https://h", "http://", "http:///x", "http://h/?a", "http://h h"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        assert_eq!("none".parse(), Ok(Maybe::<Address>(None)));
    }

    #[test]
    fn a_collector_may_be_encrypted_and_its_headers_are_pairs_whose_values_nobody_is_told() {
        assert_eq!("https://h/otlp/".parse::<Collector>().unwrap().to_string(), "https://h/otlp");
        for text in ["", "h:1", "ftp://h", "https://", "https://u:p@h"] {
            assert!(text.parse::<Collector>().is_err(), "{text:?}");
        }
        let headers = "authorization=Bearer a=b, X-Team = partners".parse::<Headers>().unwrap();
        let pairs: Vec<_> = headers.0.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(pairs, [("authorization", "Bearer a=b"), ("x-team", "partners")]);
        assert!(!format!("{headers:?}").contains("Bearer"));
        for text in ["", "secret", "a b=secret", "=secret", "a=secret,", "a=secret\u{7}"] {
            let error = text.parse::<Headers>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_share_is_from_nothing_to_all() {
        assert_eq!(("0".parse(), "0.25".parse(), "1".parse()), (Ok(Ratio(0.0)), Ok(Ratio(0.25)), Ok(Ratio(1.0))));
        for text in ["", "-0.1", "1.1", "10%", "NaN", "inf"] {
            assert!(text.parse::<Ratio>().is_err(), "{text:?}");
        }
    }
}
