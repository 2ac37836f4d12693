//! An edge without a store, before services that have one: the same answers, and a service that is away holds up only its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bff::{Bff, CONTEXTS, Door, Home, Listening, Live, Services, serve};
use seedwork::clock::{Chance, SystemClock};
use seedwork::executor::Ask;
use seedwork::executor::owner::{Busy, Handle};
use serde_json::json;
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::harness::{Answer, Edge, answer, campaign};

/// A door that loses no command and, when it is told to, brings back no answer.
struct Silent {
    owner: Handle,
    silent: AtomicBool,
}

impl Door for Silent {
    fn has_room(&self) -> bool {
        true
    }
    fn ask(&self, ask: Ask) -> Result<(), Busy> {
        if self.silent.load(Ordering::Relaxed) {
            // It stands in a topic, and whoever should read it is away: nobody answers as long as it waits.
            std::mem::forget(ask.listener);
            return Ok(());
        }
        Door::ask(&self.owner, ask)
    }
    fn durable(&self, _: &str) -> bool {
        true
    }
    fn answer_to(&self) -> Arc<str> {
        "local".into()
    }
}

struct Away {
    router: Router,
    door: Arc<Silent>,
    behind: Edge,
    _stop: oneshot::Sender<()>,
}

/// An edge before one server that stands for all services, but for those whose address nobody listens at.
async fn away(down: &[&str]) -> Away {
    let behind = Edge::start();
    let listening = Listening::on(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listening.address;
    let (stop, stopped) = oneshot::channel();
    let until = async move {
        let _either: Result<(), _> = stopped.await;
    };
    tokio::spawn(serve(listening, behind.router.clone(), until));
    // Bound and not listened at: nobody else gets it, and who connects is refused.
    let nobody: SocketAddr = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let at = CONTEXTS.map(|context| (context, if down.contains(&context) { nobody } else { address }.to_string()));
    let door = Arc::new(Silent { owner: behind.owner.clone(), silent: AtomicBool::new(false) });
    let bff = Bff {
        door: door.clone(),
        home: Home::Away(Services::new(at).unwrap(), Live::new(1, |_| Err("no broker is there".to_owned()))),
        clock: Box::new(SystemClock::default()),
        chance: Chance::seeded(3),
        campaigns: campaign::Settings::default(),
    };
    Away { router: bff.router(), door, behind, _stop: stop }
}

impl Away {
    async fn ask(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], Body::empty()).await
    }
}

#[tokio::test]
async fn an_edge_without_a_store_answers_as_one_that_has_it() {
    let edge = away(&[]).await;
    let json_type = [("content-type", "application/json"), ("prefer", "wait=30")];
    let told = edge.ask("POST /v1/campaigns", &json_type, campaign("c-1", &["p-1"]).to_string()).await;
    assert_eq!((told.status.as_u16(), &told.json["status"]), (201, &json!("completed")), "{}", told.text);
    for path in [
        "/v1/campaigns/c-1",
        "/v1/campaigns?limit=1&total=true",
        "/v1/partners/p-1",
        "/v1/enrolments/p-1~c-1",
        "/v1/events",
        "/v1/brands/b-1/accounts/USD",
        "/campa%C3%B1a-query/c-1",
        "/obtener-partners",
        "/v1/campaigns/none",
        "/v1/campaigns?limit=0",
        "/v1/commands/campaign.register.v1:c-1",
        "/v1/commands/none",
    ] {
        let (here, away) = (edge.behind.get(path).await, edge.get(path).await);
        assert_eq!((away.status, &away.text), (here.status, &here.text), "{path}");
        assert_eq!(away.headers.get("etag"), here.headers.get("etag"), "{path}");
        assert_eq!(away.headers.get("content-type"), here.headers.get("content-type"), "{path}");
    }
    // A change answers the thing as it has left it, with its tag, although it is kept elsewhere.
    let paused = edge.ask("POST /v1/campaigns/c-1/pause", &[], Body::empty()).await;
    assert_eq!((paused.status.as_u16(), &paused.json["status"]), (200, &json!("paused")));
    assert_eq!(paused.headers["etag"], edge.behind.get("/v1/campaigns/c-1").await.headers["etag"]);
    let json_type = [("content-type", "application/json")];
    let limit = edge.ask("PUT /v1/brands/b-1/accounts/USD", &json_type, r#"{"limit": "20000.00"}"#).await;
    assert_eq!((limit.status.as_u16(), &limit.json["available"]), (200, &json!("5000.00")), "{}", limit.text);
}

#[tokio::test]
async fn lists_of_what_every_context_has_go_from_one_context_to_the_next() {
    let edge = away(&[]).await;
    let json_type = [("content-type", "application/json"), ("prefer", "wait=30")];
    for number in 0..3 {
        let told = edge.ask("POST /v1/campaigns", &json_type, campaign(&format!("c-{number}"), &["p-1"]).to_string()).await;
        assert_eq!(told.json["status"], "completed", "{}", told.text);
    }
    // One server stands for three services, so each saga is there three times.
    let (mut ids, mut path) = (Vec::new(), "/v1/sagas?limit=2".to_owned());
    while ids.len() < 20 {
        let page = edge.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        ids.extend(page.json["items"].as_array().unwrap().iter().map(|saga| saga["key"].as_str().unwrap().to_owned()));
        let Some(next) = page.json["next"].as_str() else { break };
        path = format!("/v1/sagas?limit=2&cursor={next}");
    }
    assert_eq!(ids.len(), 9, "{ids:?}");
    assert_eq!(ids.iter().filter(|id| *id == "c-1").count(), 3);
    let of_one = edge.get("/v1/sagas?context=partner").await;
    assert_eq!((of_one.json["items"].as_array().unwrap().len(), &of_one.json["next"]), (3, &json!(null)));
    // Nothing anywhere is one empty page, not three.
    assert_eq!(edge.get("/v1/dead-letters").await.json, json!({"items": [], "next": null}));
    for (path, code) in [("/v1/sagas?context=weather", "query-invalid"), ("/v1/sagas?cursor=6869", "cursor-invalid")] {
        assert_eq!(edge.get(path).await.json["code"], code, "{path}");
    }
    // A decision reaches whoever knows the thing.
    let saga = edge.get("/v1/sagas?limit=1").await.json["items"][0]["id"].as_str().unwrap().to_owned();
    let ended = edge.ask(&format!("POST /v1/sagas/{saga}/retry"), &[], Body::empty()).await;
    assert_eq!(ended.status, 409, "it has ended: {}", ended.text);
    assert_eq!(edge.ask("POST /v1/sagas/none/retry", &[], Body::empty()).await.status, 404);
}

#[tokio::test]
async fn many_are_never_decided_on_in_one_context_when_none_was_named() {
    let edge = away(&[]).await;
    let json_type = [("content-type", "application/json")];
    for verb in ["replay", "discard"] {
        let told = edge.ask(&format!("POST /v1/dead-letters/{verb}"), &json_type, r#"{"dry_run": true}"#).await;
        assert_eq!((told.status.as_u16(), &told.json["field"]), (400, &json!("context")), "{}", told.text);
        let named = edge.ask(&format!("POST /v1/dead-letters/{verb}?context=partner"), &json_type, "{}").await;
        let behind = edge.behind.ask(&format!("POST /v1/dead-letters/{verb}"), &json_type, "{}").await;
        assert_eq!((named.status, &named.text), (behind.status, &behind.text), "it is sent on as it came");
    }
}

#[tokio::test]
async fn of_a_context_that_is_down_queries_are_503_and_the_rest_goes_on() {
    let edge = away(&["partner"]).await;
    for path in ["/v1/partners", "/v1/enrolments/p-1~c-1", "/obtener-partners", "/v1/sagas/none", "/v1/commands/none"] {
        let told = edge.get(path).await;
        assert_eq!((told.status.as_u16(), &told.json["code"]), (503, &json!("service-away")), "{path}: {}", told.text);
        assert!(told.headers.contains_key("retry-after"), "{path}");
    }
    for path in ["/v1/campaigns", "/v1/events", "/healthz", "/readyz", "/docs", "/openapi.json", "/metrics"] {
        assert_eq!(edge.get(path).await.status, 200, "{path}");
    }
    let stream = edge.get("/v1/stream").await;
    assert_eq!((stream.status.as_u16(), &stream.json["code"]), (503, &json!("stream-away")), "{}", stream.text);
}

#[tokio::test]
async fn a_command_that_is_durable_is_202_when_nobody_answers() {
    let edge = away(&[]).await;
    edge.door.silent.store(true, Ordering::Relaxed);
    let json_type = [("content-type", "application/json")];
    let told = edge.ask("POST /v1/campaigns", &json_type, campaign("c-1", &["p-1"]).to_string()).await;
    assert_eq!((told.status.as_u16(), &told.json["status"]), (202, &json!("waiting")), "{}", told.text);
    assert_eq!(told.headers["location"], "/v1/commands/campaign.register.v1:c-1");
}
