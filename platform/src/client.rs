//! How commands talk to a running server: where it is, one request after the other, and what its "no" means. Where none runs, the store of
//! the data directory is opened for as long as the command takes ([`inside`]), and asked the same.
//!
//! The client is `ureq`, blocking and without TLS; the bench's own connection is a part of what it measures and serves nothing else.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use ureq::http::header::{ETAG, IF_NONE_MATCH};
use ureq::http::{Method, Request, Response, StatusCode};

use crate::lock::{self, Holder};
use crate::print;
use crate::settings::{ClientFlags, Settings};
use crate::trouble::{Exit, Trouble};

mod inside;

use inside::Inside;

/// The largest answer that is read, in bytes: a saga of a thousand participants with its log has about one million.
const ANSWER_MAX: u64 = 64 << 20;
/// For a list that always comes whole: all of it.
pub const WHOLE: usize = usize::MAX;
/// The items of a page that is asked for.
const PAGE: usize = 200;
/// What stands in a path or a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// What every command that asks a server is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask {
    #[command(flatten)]
    flags: ClientFlags,
    /// Print JSON instead of text for people
    #[arg(long)]
    pub json: bool,
}

impl Ask {
    /// The settings; from here on it is told what they say.
    ///
    /// # Errors
    /// When one is wrong.
    pub fn settings(&self) -> Result<Settings, Trouble> {
        let settings = self.flags.settings()?;
        crate::log(&settings)?;
        Ok(settings)
    }

    /// A client of the server that is meant.
    ///
    /// # Errors
    /// When the settings are wrong or no server runs.
    pub fn client(&self) -> Result<Client, Trouble> {
        Client::of(&self.settings()?)
    }
}

/// A server and the connection to it, or a store that no server holds.
pub struct Client {
    to: To,
    actor: String,
}

enum To {
    Server { agent: ureq::Agent, base: String, timeout: Duration },
    Store(Box<Inside>),
}

/// The parts of a problem (RFC 9457) that people are told.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    title: Option<String>,
    field: Option<String>,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Client {
    /// The server that `url` names; without one, that which holds the data directory; without one, the store there.
    ///
    /// # Errors
    /// When none is named, none holds the directory, and no store is in it; or when the store cannot be used.
    pub fn of(settings: &Settings) -> Result<Client, Trouble> {
        if let Some(url) = &settings.url.0 {
            return Ok(Client::at(url, settings));
        }
        let shown = settings.data.display();
        let none = |what: &str| {
            let to_do = "start it with `alpes serve`, or name a server with --url, or its directory with --data";
            Err(Trouble::new(format!("no server {what} the data directory {shown}: {to_do}")).exit(Exit::NoServer))
        };
        match lock::holder(&settings.data)? {
            Holder::Server { address, .. } => Ok(Client::at(format!("http://{address}"), settings)),
            Holder::Starting => none("listens yet, though one is just starting, on"),
            Holder::Nobody { .. } if lock::store(&settings.data).is_file() => {
                print::note(&format!(
                    "no server runs on {shown}: its store is opened for this command, and what is under way there goes on meanwhile"
                ));
                Ok(Client { to: To::Store(Box::new(Inside::open(settings)?)), actor: settings.actor.to_string() })
            }
            Holder::Nobody { .. } => none("runs on"),
        }
    }

    /// The server at this address.
    pub fn at(url: impl std::fmt::Display, settings: &Settings) -> Client {
        // An address of this machine or of the operator's choice: no proxy of the environment stands between.
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).max_redirects(0);
        let config = config.user_agent(concat!("alpes/", env!("CARGO_PKG_VERSION")));
        let to = To::Server { agent: config.build().into(), base: url.to_string(), timeout: settings.timeout.0 };
        Client { to, actor: settings.actor.to_string() }
    }

    /// Where the server is; empty when the store is asked without one.
    pub fn base(&self) -> &str {
        match &self.to {
            To::Server { base, .. } => base,
            To::Store(_) => "",
        }
    }

    /// Asks for one document: JSON, as it came.
    ///
    /// # Errors
    /// When the server does not answer, or says no.
    pub fn get(&self, path: &str) -> Result<String, Trouble> {
        self.ask(Method::GET, path, &[], None)
    }

    /// Asks for a document until it is another than the one with this tag, and lets the server wait so long for that: its text and its tag,
    /// or none when it is still the same.
    ///
    /// # Errors
    /// When the server does not answer or cannot at the moment ([`Exit::NoServer`]), or says no.
    pub fn changed(&self, path: &str, tag: Option<&str>, wait: Duration) -> Result<Option<(String, String)>, Trouble> {
        let prefer = format!("wait={}", wait.as_secs());
        let known = tag.map(|tag| (IF_NONE_MATCH.as_str(), tag));
        let headers: Vec<(&str, &str)> = known.into_iter().chain([("prefer", prefer.as_str())]).collect();
        let answer = self.exchange(Method::GET, path, &headers, None, wait)?;
        let (parts, body) = answer.into_parts();
        match parts.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::SERVICE_UNAVAILABLE => Err(refused(parts.status, &body).exit(Exit::NoServer)),
            status if !status.is_success() => Err(refused(status, &body)),
            _ => {
                let tag = parts.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                let old = "the server does not say which version this is: is it an Alpes server of this version?";
                Ok(Some((body, tag.ok_or_else(|| Trouble::new(old))?.to_owned())))
            }
        }
    }

    /// Looks where the server of the data directory listens now: a new one may have another port. One that was named stays where it is, and
    /// a store that was opened here stays open.
    ///
    /// # Errors
    /// When the lock of the data directory cannot be read.
    pub fn look_again(&mut self, settings: &Settings) -> Result<(), Trouble> {
        if let (To::Server { base, .. }, None) = (&mut self.to, &settings.url.0)
            && let Holder::Server { address, .. } = lock::holder(&settings.data)?
        {
            *base = format!("http://{address}");
        }
        Ok(())
    }

    /// Asks for one document and reads it.
    ///
    /// # Errors
    /// As [`Client::get`]; or when the answer is not what this build understands.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        understood(&self.get(path)?)
    }

    /// The first items of a list, as they came, page by page; and whether there are more.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn list(&self, path: &str, query: &[(&str, String)], most: usize) -> Result<(Vec<Box<RawValue>>, bool), Trouble> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            // A list that comes whole takes no limit.
            if most != WHOLE {
                query.push(("limit", (most - items.len()).min(PAGE).to_string()));
            }
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Page = self.read(&format!("{path}{}", with(&query)))?;
            items.extend(page.items);
            match page.next {
                None => return Ok((items, false)),
                Some(_) if items.len() >= most => return Ok((items, true)),
                next => cursor = next,
            }
        }
    }

    /// Sends a decision, in the name of whoever decides.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Result<String, Trouble> {
        self.ask(Method::POST, path, &[("alpes-actor", &self.actor)], Some(&body.to_string()))
    }

    /// Sends a request and takes its answer: JSON, as it came.
    ///
    /// # Errors
    /// When the server does not answer, or says no.
    pub fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Result<String, Trouble> {
        let (parts, body) = self.exchange(method, path, headers, body, Duration::ZERO)?.into_parts();
        if parts.status.is_success() { Ok(body) } else { Err(refused(parts.status, &body)) }
    }

    /// Sends a request and takes its answer, whatever that is; so much longer than otherwise it may take.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
        longer: Duration,
    ) -> Result<Response<String>, Trouble> {
        let mut headers = headers.to_vec();
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.unwrap_or_default();
        let (agent, base, timeout) = match &self.to {
            To::Server { agent, base, timeout } => (agent, base, *timeout + longer),
            To::Store(inside) => return inside.ask((method.as_str(), path), &headers, body),
        };
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(body.to_owned())
            .map_err(|error| Trouble::new(format!("this cannot be asked: {error}")).exit(Exit::Usage))?;
        let away = |error: ureq::Error| away(base, &error);
        let request = agent.configure_request(request).timeout_global(Some(timeout)).build();
        let (parts, mut body) = agent.run(request).map_err(away)?.into_parts();
        let body = body.with_config().limit(ANSWER_MAX).read_to_string().map_err(away)?;
        Ok(Response::from_parts(parts, body))
    }
}

fn away(base: &str, error: &ureq::Error) -> Trouble {
    let what = match error {
        ureq::Error::Timeout(_) => "does not answer in time: wait, or allow it more with --timeout".to_owned(),
        other => format!("does not answer ({other}): start it with `alpes serve`, or name another with --url"),
    };
    Trouble::new(format!("the server at {base} {what}")).exit(Exit::NoServer)
}

/// What the server's "no" says to people.
fn refused(status: StatusCode, body: &str) -> Trouble {
    let exit = if status == StatusCode::NOT_FOUND { Exit::NotFound } else { Exit::Failed };
    let told = match serde_json::from_str::<Problem>(body) {
        Ok(Problem { detail, title, field }) => {
            let why = detail.or(title).unwrap_or_else(|| "it does not say why".to_owned());
            let field = field.map_or_else(String::new, |field| format!(" (field {field})"));
            format!("{why}{field} [{}]", status.as_u16())
        }
        Err(_) => format!("the server answered with status {status} and no reason: is it an Alpes server?"),
    };
    Trouble::new(told).exit(exit)
}

/// Reads JSON of the server.
///
/// # Errors
/// When it is not what this build understands.
pub fn understood<T: DeserializeOwned>(text: &str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| {
        let shown: String = text.chars().take(80).collect();
        Trouble::new(format!("the server's answer is not understood ({error}): is it an Alpes server of this version? {shown}"))
    })
}

/// Waits before the server is asked again.
#[expect(clippy::disallowed_methods, reason = "whoever watches a server from another process asks it again after a while")]
pub fn pause(long: Duration) {
    std::thread::sleep(long);
}

/// A part of a path, or a value of a query.
pub fn part(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, PLAIN)
}

/// A query, with its question mark; nothing when it is empty.
pub fn with(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (place, (name, value)) in query.iter().enumerate() {
        let sign = if place == 0 { '?' } else { '&' };
        text.push_str(&format!("{sign}{name}={}", part(value)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_typed_stays_one_part_of_a_path() {
        assert_eq!(part("c-1~2f:x.y_z").to_string(), "c-1~2f:x.y_z");
        assert_eq!(part("../a b?c#d%/ñ").to_string(), "..%2Fa%20b%3Fc%23d%25%2F%C3%B1");
        assert_eq!(with(&[("key", "a&b".to_owned()), ("limit", "2".to_owned())]), "?key=a%26b&limit=2");
        assert_eq!(with(&[]), "");
    }

    #[test]
    fn a_no_of_the_server_is_told_with_its_field_and_has_its_status() {
        let told = refused(StatusCode::NOT_FOUND, r#"{"title":"T","detail":"no saga \"x\" is known","code":"saga-unknown"}"#);
        assert_eq!((told.to_string().as_str(), told.status()), ("no saga \"x\" is known [404]", Exit::NotFound));
        let told = refused(StatusCode::BAD_REQUEST, r#"{"title":"Limit invalid","field":"limit"}"#);
        assert_eq!((told.to_string().as_str(), told.status()), ("Limit invalid (field limit) [400]", Exit::Failed));
        assert!(refused(StatusCode::BAD_GATEWAY, "<html>").to_string().contains("502"));
    }
}
