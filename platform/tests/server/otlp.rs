//! Traces, as a collector gets them.
#![expect(clippy::disallowed_methods, reason = "the collector is a thread of the test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::sagas::{late, stand};
use super::support::{Client, Folder, Server, alpes, ask, campaign, run, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector: takes OTLP over HTTP, as JSON, and keeps the spans, each with the name of its service, and the last head.
#[derive(Clone)]
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<(String, Value)>>>,
    head: Arc<Mutex<String>>,
}

impl Collector {
    fn start() -> Collector {
        Collector::over(|to, connection| to.take(connection))
    }

    /// One that speaks TLS, with a certificate for `localhost` of an authority of the test's own, `ours.crt` in the folder.
    fn encrypted(folder: &Folder) -> Collector {
        let at = |name: &str| folder.path().join(name);
        let lines = [
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout ours.key -out ours.crt -days 2 -subj /CN=ours -batch",
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -days 2 -subj /CN=other -batch",
            "openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost -batch",
            "echo subjectAltName=DNS:localhost >names",
            "openssl x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 2 -extfile names -out server.crt",
        ];
        let made = Command::new("sh").args(["-ec", &lines.join("\n")]).current_dir(folder.path()).output().expect("a shell runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate = CertificateDer::from_pem_file(at("server.crt")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(at("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("TLS").with_no_client_auth().with_single_cert(vec![certificate], key).expect("they fit");
        let config = Arc::new(config);
        Collector::over(move |to, connection| {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            to.take(rustls::StreamOwned::new(session, connection));
        })
    }

    fn over(take: impl Fn(&Collector, TcpStream) + Clone + Send + 'static) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let collector = Collector { address, spans: Arc::default(), head: Arc::default() };
        let to = collector.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, to, take) = (connection.expect("a connection"), to.clone(), take.clone());
                std::thread::spawn(move || take(&to, connection));
            }
        });
        collector
    }

    fn take(&self, mut connection: impl Read + Write) {
        let mut bytes = Vec::new();
        loop {
            while let Some((body, end)) = request(&bytes) {
                let head = String::from_utf8_lossy(&bytes[..body]).into_owned();
                *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
                self.keep(&bytes[body..end]);
                bytes.drain(..end);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                connection.write_all(answer).expect("it can be answered");
            }
            let mut part = [0; 64 << 10];
            match connection.read(&mut part) {
                Ok(read) if read > 0 => bytes.extend_from_slice(&part[..read]),
                _ => return,
            }
        }
    }

    fn keep(&self, body: &[u8]) {
        let document: Value = serde_json::from_slice(body).expect("JSON");
        let list = |value: &Value| value.as_array().expect("a list").clone();
        for of in list(&document["resourceSpans"]) {
            let service = attribute(&of["resource"], "service.name");
            for scope in list(&of["scopeSpans"]) {
                let spans = list(&scope["spans"]).into_iter().map(|span| (service.clone(), span));
                self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
            }
        }
    }

    fn spans(&self) -> Vec<(String, Value)> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn named(&self, name: &str) -> Option<(String, Value)> {
        self.spans().into_iter().find(|(_, span)| span["name"] == name)
    }
}

/// Where the body of the first request begins and ends, once it is whole.
fn request(bytes: &[u8]) -> Option<(usize, usize)> {
    let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..blank]).expect("a head is text").to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n") && head.contains("content-type: application/json"), "{head}");
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length").parse().expect("a number");
    Some((blank + 4, blank + 4 + length)).filter(|(_, end)| bytes.len() >= *end)
}

fn attribute(of: &Value, name: &str) -> String {
    let all = of["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|one| one["key"] == name).unwrap_or_else(|| panic!("no {name}: {of}"));
    found["value"]["stringValue"].as_str().expect("a text").to_owned()
}

/// Registers a campaign within a trace; the id of its saga.
fn traced(address: SocketAddr, id: &str, trace: &str, flags: &str) -> String {
    let headers = format!("Prefer: wait=30\r\ntraceparent: 00-{trace}-{CALLER}-{flags}\r\n");
    let body = campaign(id, "b-1", &["p-1"]);
    let answer = Client::open(address).and_then(|mut client| client.ask("POST", "/v1/campaigns", &headers, &body));
    let told = answer.expect("an answer").body;
    assert_eq!(told["status"], "completed");
    told["saga"].as_str().expect("the id of a saga").to_owned()
}

#[test]
fn a_request_and_all_that_it_causes_is_one_trace_below_the_callers_span() {
    let collector = Collector::start();
    let folder = Folder::new();
    let mut command = alpes(&folder.data());
    command.args(["--otlp", &format!("http://{}", collector.address)]);
    let server = Server::listening(command, &folder);
    // Told not to be recorded, it is not.
    traced(server.address, "c-0", "11111111111111111111111111111111", "00");
    traced(server.address, "c-1", TRACE, "01");
    let text = |span: &Value, member: &str| span[member].as_str().expect("a text").to_owned();
    let (service, asked) = until("the request is exported", || collector.named("POST /v1/campaigns"));
    assert_eq!(
        (service.as_str(), text(&asked, "traceId").as_str(), text(&asked, "parentSpanId").as_str()),
        ("bff", TRACE, CALLER)
    );
    assert_eq!(attribute(&asked, "http.route"), "/v1/campaigns");
    until("the last message is exported", || collector.named("campaign.activated.v1"));

    let spans = collector.spans();
    let by_id: BTreeMap<String, &Value> = spans.iter().map(|(_, span)| (text(span, "spanId"), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "each has an id of its own");
    for (_, span) in &spans {
        assert_eq!(text(span, "traceId"), TRACE, "{span}");
        let parent = text(span, "parentSpanId");
        assert!(parent == CALLER || by_id.contains_key(&parent), "nobody is the cause of {span}");
        let time = |member: &str| text(span, member).parse::<u128>().expect("nanoseconds");
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
    }
    // From the last message up to the request: every step of the saga, each in its context.
    let (_, last) = collector.named("campaign.activated.v1").expect("it was there");
    let mut way = vec![last.clone()];
    while let Some(parent) = by_id.get(&text(&way[way.len() - 1], "parentSpanId")) {
        way.push((*parent).clone());
    }
    let names: Vec<String> = way.iter().rev().map(|span| text(span, "name")).collect();
    assert_eq!(
        names,
        [
            "POST /v1/campaigns",
            "partner.register-enrolment.v1",
            "saga.answered.v1",
            "tracking.record-event.v1",
            "saga.answered.v1",
            "campaign.approve-reservation.v1",
            "saga.answered.v1",
            "campaign.activate.v1",
            "campaign.activated.v1",
        ]
    );
    let (service, registered) = collector.named("partner.enrolment-registered.v1").expect("the partner context has spoken");
    assert_eq!((service.as_str(), attribute(&registered, "messaging.destination.name").as_str()), ("partner", "partner.events"));
    // What is asked all the time tells nothing, and a request without a trace begins one.
    // (They are no JSON, which is all that this client reads; they were asked for all the same.)
    let metrics = Client::open(server.address).and_then(|mut client| client.ask("GET", "/metrics", "", ""));
    assert!(metrics.is_err_and(|error| error.to_string().contains("alpes_commits_total")));
    ask(server.address, "GET", "/v1/campaigns/c-1", "");
    let (_, got) = until("the query is exported", || collector.named("GET /v1/campaigns/{id}"));
    assert_ne!(text(&got, "traceId"), TRACE);
    let ended = server.stop();
    assert_eq!((ended.status.code(), ended.error.as_str()), (Some(0), ""));
    assert!(collector.spans().iter().all(|(_, span)| span["name"] != "GET /metrics"));
}

#[test]
fn a_collector_that_is_not_there_is_told_once_and_holds_nobody_up() {
    let folder = Folder::new();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that is free again");
    let mut command = alpes(&folder.data());
    command.args(["--otlp", &format!("http://{nobody}")]);
    let server = Server::listening(command, &folder);
    for number in 0..3 {
        traced(server.address, &format!("c-{number}"), TRACE, "01");
        until("it was tried", || server.error().contains("takes no traces").then_some(()));
        std::thread::sleep(Duration::from_millis(1_100));
    }
    let begun = Instant::now();
    let ended = server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((ended.status.code(), ended.error.lines().count()), (Some(0), 1), "{}", ended.error);
}

#[test]
fn an_encrypted_collector_is_shown_its_token_and_only_when_its_certificate_is_of_the_named_authority() {
    let folder = Folder::new();
    let collector = Collector::encrypted(&folder);
    let url = format!("https://localhost:{}", collector.address.port());
    let started = |root: &str| {
        let mut command = alpes(&folder.data());
        command.args(["--otlp", &url, "--otlp-root"]).arg(folder.path().join(root));
        command.env("ALPES_OTLP_HEADERS", "authorization=Bearer s3cret,x-team=partners");
        Server::listening(command, &folder)
    };
    let server = started("other.crt");
    traced(server.address, "c-1", TRACE, "01");
    until("it was tried", || server.error().contains("takes no traces").then_some(()));
    let ended = server.stop();
    assert!(ended.error.contains("certificate") && !ended.error.contains("s3cret"), "{}", ended.error);
    assert_eq!(collector.spans().len(), 0, "whoever cannot say who it is gets nothing");

    let server = started("ours.crt");
    traced(server.address, "c-2", TRACE, "01");
    until("the request is exported", || collector.named("POST /v1/campaigns"));
    let head = collector.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(head.contains("authorization: Bearer s3cret\r\n") && head.contains("x-team: partners\r\n"), "{head}");
    assert_eq!(server.stop().error, "");

    let shown = run(folder.path(), &["config"], |command| {
        command.env("ALPES_OTLP_HEADERS", "authorization=Bearer s3cret");
    });
    assert!(shown.status == Some(0) && shown.out.contains("otlp_headers") && !shown.out.contains("s3cret"), "{shown:?}");
    let wrong = run(folder.path(), &["config"], |command| {
        command.env("ALPES_OTLP_HEADERS", "s3cret");
    });
    assert!(
        wrong.status == Some(2) && wrong.error.contains("ALPES_OTLP_HEADERS") && !wrong.error.contains("s3cret"),
        "{wrong:?}"
    );
    let mut command = alpes(&folder.data());
    command.args(["--otlp", &url, "--otlp-root"]).arg(folder.path().join("names"));
    let ended = super::support::ended(command, &folder);
    assert!(ended.error.contains("otlp_root") && ended.error.contains("no certificate"), "{}", ended.error);
}

#[test]
fn of_traces_that_begin_here_a_share_is_exported_and_a_callers_own_decision_holds() {
    let collector = Collector::start();
    let folder = Folder::new();
    let mut command = alpes(&folder.data());
    command.args(["--otlp", &format!("http://{}", collector.address), "--otlp-ratio", "0"]);
    let server = Server::listening(command, &folder);
    assert_eq!(ask(server.address, "POST", "/v1/campaigns", &campaign("c-1", "b-1", &["p-1"])).status, 202);
    let registered = || (ask(server.address, "GET", "/v1/campaigns/c-1", "").body["status"] == "active").then_some(());
    until("it is registered", registered);
    traced(server.address, "c-2", TRACE, "01");
    until("the last message is exported", || collector.named("campaign.activated.v1"));
    assert_eq!(server.stop().error, "");
    let traces: Vec<Value> = collector.spans().into_iter().map(|(_, span)| span["traceId"].clone()).collect();
    assert!(traces.iter().all(|trace| trace == TRACE), "{traces:?}");
}

#[test]
fn what_follows_from_an_operators_decision_belongs_to_its_request() {
    let collector = Collector::start();
    let (folder, id) = late();
    let mut command = alpes(&folder.data());
    command.args(["--otlp", &format!("http://{}", collector.address)]);
    let server = Server::listening(command, &folder);
    let mut client = Client::open(server.address).expect("the server listens");
    let retried = client.ask(
        "POST",
        &format!("/v1/sagas/{id}/retry"),
        &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n"),
        r#"{"reason": "the context is back"}"#,
    );
    assert_eq!(retried.expect("an answer").status, 200);
    let (_, asked) = until("the request is exported", || collector.named("POST /v1/sagas/{id}/retry"));
    let (_, sent) = until("the command is exported", || collector.named("campaign.activate.v1"));
    let (_, answered) = until("its answer is exported", || collector.named("saga.answered.v1"));
    assert_eq!((&sent["traceId"], &sent["parentSpanId"]), (&TRACE.into(), &asked["spanId"]));
    assert_eq!((&answered["traceId"], &answered["parentSpanId"]), (&TRACE.into(), &sent["spanId"]));
}

#[test]
fn what_a_saga_sends_again_after_a_while_belongs_to_the_trace_of_the_request_that_began_it() {
    let collector = Collector::start();
    let folder = Folder::new();
    let started = || {
        let mut command = alpes(&folder.data());
        command.args(["--otlp", &format!("http://{}", collector.address)]);
        Server::listening(command, &folder)
    };
    let server = started();
    let id = traced(server.address, "c-1", TRACE, "01");
    until("the last message is exported", || collector.named("campaign.activated.v1"));
    let (_, asked) = collector.named("POST /v1/campaigns").expect("it came before");
    assert_eq!(server.stop().error, "");
    collector.spans.lock().unwrap_or_else(PoisonError::into_inner).clear();

    // Its last row was refused once: it is sent again a second later, and no message is the cause.
    stand(&folder, &id, r#"{"stage":"running","row":5,"rows":["d||","dd||","dd||","d||","r||"],"late":false}"#);
    let server = started();
    let (_, sent) = until("the command is exported", || collector.named("campaign.activate.v1"));
    assert_eq!((&sent["traceId"], &sent["parentSpanId"]), (&TRACE.into(), &asked["spanId"]));
    assert_eq!(server.stop().error, "");
}
