//! What the headers of a request say: who asks, under which idempotency key, about which version, and how long it waits.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use seedwork::message::Expected;
use wire::values::Actor;

use crate::problem::Problem;

/// The longest that an outcome is waited for.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// The longest idempotency key, in characters.
pub const KEY_MAX_CHARS: usize = 255;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ACTOR: HeaderName = HeaderName::from_static("alpes-actor");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub key: Option<Arc<str>>,
    /// None: whoever acts when nobody is named.
    pub actor: Option<Actor>,
    pub trace: Option<Arc<str>>,
    pub wait: Option<Duration>,
    /// The versions that the request is about: `If-Match`.
    pub expected: Option<Expected>,
}

impl Asked {
    /// What the headers of a request that changes something say.
    pub fn of(headers: &HeaderMap) -> Result<Asked, Problem> {
        // Without authentication a page from anywhere could command a server on its reader's own machine.
        if headers.get(SITE).is_some_and(|site| site == "cross-site") {
            let why = "a page of another site may not change anything here";
            return Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", why).at("Sec-Fetch-Site"));
        }
        Ok(Asked {
            key: one(headers, &KEY, "Idempotency-Key")?.map(key).transpose()?,
            actor: one(headers, &ACTOR, "Alpes-Actor")?.map(actor).transpose()?,
            trace: headers.get(TRACEPARENT).and_then(trace),
            wait: wait(headers),
            expected: expected(headers)?,
        })
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Problem::malformed("header-invalid", format!("the header {shown} is there more than once")).at(shown)),
    }
}

/// `If-Match` (RFC 9110 §13.1.1): `*`, or entity tags. Tags are compared strongly, so a weak one matches nothing, as one that was never
/// given out.
fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let values: Vec<&[u8]> = headers.get_all(IF_MATCH).iter().map(HeaderValue::as_bytes).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let nonsense = || {
        let why = "If-Match holds entity tags as they were answered, such as \"7\", with commas between them, or *";
        Problem::malformed("header-invalid", why).at("If-Match")
    };
    let list = values.join(&b","[..]);
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return Ok(Some(Expected::Any));
    }
    let mut versions = Vec::new();
    loop {
        let (weak, tag) = rest.strip_prefix(b"W/").map_or((false, rest), |tag| (true, tag));
        let opaque = tag.strip_prefix(b"\"").ok_or_else(nonsense)?;
        let end = opaque.iter().position(|byte| *byte == b'"').ok_or_else(nonsense)?;
        let (opaque, after) = opaque.split_at(end);
        if !opaque.iter().all(|byte| *byte == 0x21 || (*byte >= 0x23 && *byte != 0x7f)) {
            return Err(nonsense());
        }
        let version = std::str::from_utf8(opaque).ok().and_then(|text| text.parse::<u64>().ok());
        // Written in any other way it is none of ours.
        versions.extend(version.filter(|version| !weak && version.to_string().as_bytes() == opaque));
        match after[1..].trim_ascii_start() {
            [] => return Ok(Some(Expected::Versions(versions.into()))),
            [b',', more @ ..] => rest = more.trim_ascii_start(),
            _ => return Err(nonsense()),
        }
    }
}

fn key(value: &HeaderValue) -> Result<Arc<str>, Problem> {
    let visible = |text: &&str| (1..=KEY_MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    value.to_str().ok().filter(visible).map(Arc::from).ok_or_else(|| {
        let why = format!("an idempotency key has 1 to {KEY_MAX_CHARS} visible ASCII characters and no blanks");
        Problem::malformed("header-invalid", why).at("Idempotency-Key")
    })
}

fn actor(value: &HeaderValue) -> Result<Actor, Problem> {
    let wrong = |why: String| Problem::malformed("header-invalid", why).at("Alpes-Actor");
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong("an actor is UTF-8 text".to_owned()))?;
    Actor::parse(text).map_err(|error| wrong(error.to_string()))
}

/// A W3C trace context, passed on as it came; one that is not valid is as good as none (W3C Trace Context §3.2.2).
pub(crate) fn trace(value: &HeaderValue) -> Option<Arc<str>> {
    let text = value.to_str().ok()?;
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == length && part.bytes().all(hex))
    };
    let (version, trace, parent) = (part(2)?, part(32)?, part(16)?);
    part(2)?;
    let more = parts.next().is_some();
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    // A later version may have more parts, of which nothing is known; 128 bytes are enough for what will come.
    let valid = version != "ff" && !zero(trace) && !zero(parent) && (version != "00" || !more) && text.len() <= 128;
    valid.then(|| text.into())
}

/// How long the outcome is waited for: `Prefer: wait=10` (RFC 7240 §4.3), at most [`WAIT_MAX`]. What is not understood is ignored, of
/// several the first counts.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for preference in preferences {
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        if name.trim().eq_ignore_ascii_case("wait") {
            let value = value.split(';').next().unwrap_or_default().trim();
            let digits = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // More digits than fit are more seconds than are waited.
            return valid.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)).min(WAIT_MAX));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Result<Asked, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Asked::of(&headers)
    }

    #[test]
    fn waiting_is_a_preference_and_nonsense_is_none() {
        let wait = |value: &str| of(&[("prefer", value)]).unwrap().wait.map(|wait| wait.as_secs());
        for (value, seconds) in [
            ("wait=10", Some(10)),
            ("respond-async, WAIT = 7 ; foo=bar", Some(7)),
            ("wait=\"5\"", Some(5)),
            ("wait=0", Some(0)),
            ("wait=3, wait=9", Some(3)),
            ("wait=61", Some(60)),
            ("wait=99999999999999999999999", Some(60)),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("wait=", None),
            ("wait", None),
            ("waiting=3", None),
            ("return=minimal", None),
        ] {
            assert_eq!(wait(value), seconds, "{value}");
        }
        assert_eq!(of(&[("prefer", "return=minimal"), ("prefer", "wait=4")]).unwrap().wait, Some(Duration::from_secs(4)));
        assert_eq!(of(&[]).unwrap(), Asked { key: None, actor: None, trace: None, wait: None, expected: None });
    }

    #[test]
    fn a_key_is_visible_ascii_and_an_actor_printable_text() {
        let longest = "k".repeat(KEY_MAX_CHARS);
        for good in ["k", "\"8e03978e-40d5\"", "a/b?c=%20~", &longest] {
            assert_eq!(of(&[("idempotency-key", good)]).unwrap().key.as_deref(), Some(good));
        }
        for bad in ["", "a b", "ñ", &format!("{longest}k")] {
            assert!(of(&[("idempotency-key", bad)]).is_err(), "{bad}");
        }
        assert!(of(&[("idempotency-key", "a"), ("idempotency-key", "b")]).is_err());
        assert_eq!(of(&[("alpes-actor", "María")]).unwrap().actor.map(|actor| actor.to_string()).as_deref(), Some("María"));
        for bad in ["", " ", "a\tb", &"x".repeat(129)] {
            assert!(of(&[("alpes-actor", bad)]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn if_match_holds_versions_and_nonsense_is_refused() {
        let of_all = |values: &[&str]| of(&values.iter().map(|value| ("if-match", *value)).collect::<Vec<_>>()).unwrap().expected;
        let versions = |list: &[u64]| Some(Expected::Versions(list.into()));
        assert_eq!(of_all(&["*"]), Some(Expected::Any));
        for (value, list) in [
            ("\"7\"", &[7][..]),
            ("\"7\" , \"8\"", &[7, 8]),
            ("W/\"7\"", &[]),
            ("\"x\",W/\"1\",\"0\"", &[0]),
            ("\"07\"", &[]),
            ("\"+7\"", &[]),
            ("\"\"", &[]),
            ("\"99999999999999999999999\"", &[]),
        ] {
            assert_eq!(of_all(&[value]), versions(list), "{value}");
        }
        assert_eq!(of_all(&["\"1\"", "\"2\", \"3\""]), versions(&[1, 2, 3]), "a list may stand in several headers");
        for nonsense in ["", "7", "\"7", "7\"", "\"7\" \"8\"", "\"7\",", ",\"7\"", "w/\"7\"", "W/7", "*, \"7\"", "\"a b\"", "**"]
        {
            assert!(of(&[("if-match", nonsense)]).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        assert!(of(&[("sec-fetch-site", "cross-site")]).is_err());
        for site in ["same-origin", "same-site", "none"] {
            assert!(of(&[("sec-fetch-site", site)]).is_ok(), "{site}");
        }
    }

    #[test]
    fn a_trace_is_passed_on_only_when_it_is_one() {
        let trace = |text: &str| of(&[("traceparent", text)]).unwrap().trace;
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(good).as_deref(), Some(good));
        let later = format!("cc{}-what-will-come", &good[2..]);
        assert_eq!(trace(&later).as_deref(), Some(later.as_str()));
        for bad in [
            "",
            "00",
            &format!("{good}-x"),
            &good.to_uppercase(),
            &good.replace("00-4", "ff-4"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(bad), None, "{bad}");
        }
    }
}
