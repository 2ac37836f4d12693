//! Traces for a collector, when one is set: OTLP over HTTP, as JSON (OpenTelemetry Protocol 1.x, "OTLP/HTTP": `POST /v1/traces`).
//!
//! A request is a span, and so is each message: from when the handler that said it began until it was durable, its parent the message that
//! was handled, at last the request. Nothing is measured for it: all of it stands in the rows of the log, which the owner shows as it commits
//! them. So the spans of a trace need no memory of each other: a message's span is known by its id, as its cause's is.
//!
//! What begins a trace decides by its id whether it is exported ([`Spans`]); all else goes by the flag in the trace context, which goes
//! along with every message.
//!
//! Nobody waits for the collector. What it does not take in time is dropped, and counted; that is told once, and once when it is there again.
#![expect(clippy::disallowed_methods, reason = "the one thread that exports, which waits in real time")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bff::{RequestSpan, Spans};
use seedwork::executor::Tap;
use seedwork::message::Packet;
use seedwork::store::{LogRow, Writes};
use serde_json::{Value, json};
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::settings::Settings;
use crate::trouble::{Exit, Trouble};

/// Bursts that may wait for the collector: what one request or one commit says is one.
const WAITING: usize = 1024;
/// Spans of one request to the collector …
const BATCH: usize = 2048;
/// … or what has come in this time.
const APART: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits for the last spans to be sent.
const LAST: Duration = Duration::from_secs(2);

enum Burst {
    Request(Box<RequestSpan>),
    Rows(Vec<Said>),
}

/// A row of the log.
struct Said {
    packet: Arc<Packet>,
    topic: Arc<str>,
    times: [i64; 3],
}

/// Where traces go, and which.
pub struct Target {
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may have signed the collector's certificate; none: those that everybody trusts.
    roots: Option<RootCerts>,
    ratio: f64,
}

impl Target {
    /// What the settings say. None: nothing is exported.
    ///
    /// # Errors
    /// When the file of certificates cannot be read, or holds none.
    pub fn of(settings: &Settings) -> Result<Option<Target>, Trouble> {
        let Some(collector) = &settings.otlp.0 else { return Ok(None) };
        let roots = settings.otlp_root.0.as_deref().map(roots).transpose()?;
        let headers = settings.otlp_headers.0.as_ref().map_or(Vec::new(), |headers| headers.0.clone());
        Ok(Some(Target { url: format!("{collector}/v1/traces"), headers, roots, ratio: settings.otlp_ratio.0 }))
    }
}

fn roots(path: &Path) -> Result<RootCerts, Trouble> {
    let unusable = |why: &dyn std::fmt::Display| {
        Trouble::new(format!("otlp_root is {}, which cannot be used: {why}", path.display())).exit(Exit::Usage)
    };
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(unusable(&"there is no certificate in it (PEM is expected)"));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The door to the thread that exports; cheap to clone. The thread ends when the last is gone.
#[derive(Clone)]
pub struct Exporter {
    bursts: SyncSender<Burst>,
    dropped: Arc<AtomicU64>,
    ratio: f64,
}

/// Waits for the thread that exports.
pub struct Exporting(Receiver<()>);

impl Exporter {
    /// Starts to export.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(target: Target) -> std::io::Result<(Exporter, Exporting)> {
        let (bursts, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let (ended, end) = sync_channel(1);
        let ratio = target.ratio;
        let mut sender = Sender::new(target, dropped.clone());
        std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            sender.run(&waiting);
            // Whoever waits for it may have gone.
            let _told = ended.send(());
        })?;
        Ok((Exporter { bursts, dropped, ratio }, Exporting(end)))
    }

    /// Exports a request. Never blocks.
    pub fn request(&self, span: RequestSpan) {
        self.export(Burst::Request(Box::new(span)), 1);
    }

    /// What tells it of requests.
    pub fn spans(self) -> Spans {
        Spans::new(self.ratio, move |span| self.request(span))
    }

    fn export(&self, burst: Burst, spans: u64) {
        if self.bursts.try_send(burst).is_err() {
            self.dropped.fetch_add(spans, Ordering::Relaxed);
        }
    }

    /// A tap that exports what is committed.
    pub fn tap(&self) -> Box<dyn Tap> {
        Box::new(Tapped(self.clone()))
    }
}

impl Exporting {
    /// Waits until what is left has been sent, but not for long: every [`Exporter`] must be gone before.
    pub fn finish(self) {
        let _ended = self.0.recv_timeout(LAST);
    }
}

struct Tapped(Exporter);

impl Tap for Tapped {
    fn committed(&mut self, writes: &Writes) {
        let said = |row: &LogRow| {
            let packet = row.packet.clone().filter(|packet| packet.envelope.trace.is_some())?;
            Some(Said { packet, topic: row.route.to.topic.clone(), times: row.times })
        };
        let said: Vec<Said> = writes.log.iter().filter_map(said).collect();
        if !said.is_empty() {
            let spans = u64::try_from(said.len()).unwrap_or(u64::MAX);
            self.0.export(Burst::Rows(said), spans);
        }
    }
}

/// What runs on the thread.
struct Sender {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    dropped: Arc<AtomicU64>,
    away: bool,
}

impl Sender {
    fn new(target: Target, dropped: Arc<AtomicU64>) -> Sender {
        let Target { url, headers, roots, .. } = target;
        let tls = TlsConfig::builder().root_certs(roots.unwrap_or(RootCerts::WebPki)).build();
        // Where it is sent on to is not told the headers.
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).max_redirects(0).tls_config(tls);
        Sender { agent: config.build().into(), url, headers, dropped, away: false }
    }

    fn run(&mut self, bursts: &Receiver<Burst>) {
        while let Ok(first) = bursts.recv() {
            let mut spans = Vec::new();
            let until = Instant::now() + APART;
            let mut more = Some(first);
            while let Some(burst) = more.take() {
                spanned(burst, &mut spans);
                if spans.len() < BATCH {
                    more = bursts.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
                }
            }
            self.send(&spans);
        }
    }

    fn send(&mut self, spans: &[(Arc<str>, Value)]) {
        let body = document(spans).to_string();
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // A redirect is no success: the spans are not there.
        let taken = |answer: &ureq::http::Response<ureq::Body>| answer.status().is_success();
        let sent = match request.send(body) {
            Ok(answer) if taken(&answer) => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(error.to_string()),
        };
        match sent {
            Ok(_) if !self.away => {}
            Ok(_) => {
                self.away = false;
                let dropped = self.dropped.swap(0, Ordering::Relaxed);
                tracing::warn!(collector = self.url, dropped, "the collector takes traces again");
            }
            Err(error) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                if !self.away {
                    self.away = true;
                    tracing::warn!(collector = self.url, %error, "the collector takes no traces; they are dropped until it does");
                }
            }
        }
    }
}

/// The spans of a burst, each with whose it is.
fn spanned(burst: Burst, into: &mut Vec<(Arc<str>, Value)>) {
    match burst {
        Burst::Request(span) => into.push(("bff".into(), request(&span))),
        Burst::Rows(rows) => {
            into.extend(rows.iter().filter_map(|said| Some((said.packet.envelope.source.clone(), message(said)?))));
        }
    }
}

/// Text attributes.
fn attributes(pairs: &[(&str, &str)]) -> Vec<Value> {
    let attribute = |(key, value): &(&str, &str)| json!({"key": key, "value": {"stringValue": value}});
    pairs.iter().filter(|(_, value)| !value.is_empty()).map(attribute).collect()
}

/// Times are written as nanoseconds, in text.
fn nanos(micros: i64) -> String {
    format!("{micros}000")
}

fn request(span: &RequestSpan) -> Value {
    let mut attributes =
        attributes(&[("http.request.method", &span.method), ("url.path", &span.path), ("http.route", &span.route)]);
    attributes.push(json!({"key": "http.response.status_code", "value": {"intValue": span.status.to_string()}}));
    json!({
        "traceId": span.trace,
        "spanId": span.span,
        "parentSpanId": span.parent.as_deref().unwrap_or_default(),
        "name": format!("{} {}", span.method, span.route),
        "kind": 2,
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.ended.max(span.began)),
        "attributes": attributes,
        "status": {"code": if span.status >= 500 { 2 } else { 0 }},
    })
}

/// A message: what said it, until it was durable. None: its trace is no W3C trace context, or is not sampled.
fn message(said: &Said) -> Option<Value> {
    let Said { packet, topic, times: [received, started, committed] } = said;
    let envelope = &packet.envelope;
    let mut parts = envelope.trace.as_deref()?.split('-');
    let (_, trace, caller, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if u8::from_str_radix(flags, 16).ok()? & 1 == 0 {
        return None;
    }
    // What caused it is a message of a log, or the request that came from outside.
    let parent = match envelope.causation.as_deref() {
        Some(cause) if is_row(cause) => span_id(cause),
        _ => caller.to_owned(),
    };
    let saga = envelope.saga.as_ref();
    let mut attributes = attributes(&[
        ("messaging.system", "alpes"),
        ("messaging.destination.name", topic),
        ("messaging.message.id", &envelope.id),
        ("alpes.key", &envelope.key),
        ("alpes.saga", saga.map_or("", |saga| &*saga.id)),
    ]);
    let number = |key: &str, number: String| json!({"key": key, "value": {"intValue": number}});
    attributes.extend(saga.map(|saga| number("alpes.saga.row", saga.row.to_string())));
    attributes.push(number("alpes.queued_us", (started - received).max(0).to_string()));
    Some(json!({
        "traceId": trace,
        "spanId": span_id(&envelope.id),
        "parentSpanId": parent,
        "name": &*envelope.kind,
        "kind": 4,
        "startTimeUnixNano": nanos(*started),
        "endTimeUnixNano": nanos((*committed).max(*started)),
        "attributes": attributes,
    }))
}

/// Whether an id is that of a row: context, partition, epoch and position.
fn is_row(id: &str) -> bool {
    let mut parts = id.rsplitn(4, '/');
    let digits = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    digits(parts.next()) && digits(parts.next()) && digits(parts.next()) && parts.next().is_some_and(|context| context != "alarm")
}

/// The id of a message's span: FNV-1a of its id, 64 bits, so that whoever knows the message knows its span.
fn span_id(message: &str) -> String {
    let hash =
        message.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:016x}", hash.max(1))
}

/// What is sent: the spans of each service together.
fn document(spans: &[(Arc<str>, Value)]) -> Value {
    let mut services: std::collections::BTreeMap<&str, Vec<&Value>> = std::collections::BTreeMap::new();
    for (service, span) in spans {
        services.entry(service).or_default().push(span);
    }
    let of = |(service, spans): (&str, Vec<&Value>)| {
        let resource = attributes(&[
            ("service.name", service),
            ("service.namespace", "alpes"),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        json!({"resource": {"attributes": resource}, "scopeSpans": [{"scope": {"name": "alpes"}, "spans": spans}]})
    };
    json!({"resourceSpans": services.into_iter().map(of).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_row_is_told_from_those_of_commands_and_alarms() {
        for (id, row) in [
            ("campaign/0/1757462400000/17", true),
            ("alarm/campaign/0/1", false),
            ("campaign.register.v1:c-1", false),
            ("a/b/c/d", false),
            ("0/1/2", false),
            ("", false),
        ] {
            assert_eq!(is_row(id), row, "{id}");
        }
    }

    #[test]
    fn a_messages_span_has_sixteen_digits_and_is_its_own() {
        // The reference's own value for "a".
        assert_eq!(span_id("a"), "af63dc4c8601ec8c");
        assert_ne!(span_id("campaign/0/1/17"), span_id("campaign/0/1/18"));
    }

    #[test]
    fn a_collector_that_is_away_blocks_nobody_and_costs_bounded_memory() {
        // Nobody accepts there: the connection stands, and no answer comes.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let target = Target { url, headers: Vec::new(), roots: None, ratio: 1.0 };
        let (exporter, _exporting) = Exporter::start(target).unwrap();
        let span = || RequestSpan {
            trace: "0af7651916cd43dd8448eb211c80319c".to_owned(),
            span: "b7ad6b7169203331".to_owned(),
            parent: None,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            route: "/".to_owned(),
            status: 200,
            began: 0,
            ended: 1,
        };
        let begun = Instant::now();
        for _ in 0..50_000 {
            exporter.request(span());
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let dropped = exporter.dropped.load(Ordering::Relaxed);
        assert!(dropped >= 50_000 - (WAITING + 2 * BATCH) as u64, "{dropped} dropped, the rest waits");
    }
}
