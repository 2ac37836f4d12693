//! When a command breaks its handler, the owner is slow, or bodies do not come.
#![expect(clippy::disallowed_methods, reason = "the clock asked is the paused one of the test's own runtime")]

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context as Polled, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use bff::Door;
use seedwork::executor::Ask;
use seedwork::executor::owner::Busy;
use seedwork::{Context, Result, UnitOfWork};
use serde_json::json;
use tower::ServiceExt;
use wire::campaign_v1::Campaign;

use crate::harness::{Edge, answer, campaign};

#[tokio::test]
async fn a_command_that_breaks_its_handler_is_kept_and_can_be_asked_after() {
    fn broken(_: wire::PauseCampaign, _: &mut UnitOfWork<'_>) -> Result {
        panic!("a defect");
    }
    let edge = Edge::over(vec![Context::of::<Campaign>().command("campaigns.write", broken)], |read| read);
    let answer = edge.ask("POST /v1/campaigns/c-1/pause", &[("idempotency-key", "k?1"), ("prefer", "wait=30")], "").await;
    assert_eq!(answer.status, 202, "{}", answer.json);
    assert_eq!(answer.headers["location"], "/v1/commands/k%3F1");
    assert_eq!(answer.json, json!({"id": "c-1", "command": "k?1", "status": "waiting"}));
    let told = edge.get("/v1/commands/k%3F1").await.json;
    assert_eq!((&told["status"], &told["kind"]), (&json!("accepted"), &json!("campaign.pause.v1")), "{told}");
    let nobody = edge.post("/v1/campaigns/c-1/resume", "").await;
    assert_eq!((nobody.status.as_u16(), &nobody.json["code"]), (400, &json!("command-invalid")), "nobody here takes it");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_answer_in_time_is_no_fault_of_the_client() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let slow = move |_: wire::PauseCampaign, _: &mut UnitOfWork<'_>| {
        wait.lock().unwrap().recv().unwrap();
        Ok(())
    };
    let edge = Edge::over(vec![Context::of::<Campaign>().command("campaigns.write", slow)], |read| read);
    // Bound again so that it goes before the edge, whose end waits for the handler.
    let go_on = go_on;
    // Time is the runtime's own here: it jumps as soon as nothing else is left to do.
    for headers in [&[("idempotency-key", "k-1")][..], &[("idempotency-key", "k-1"), ("prefer", "wait=1")]] {
        let began = tokio::time::Instant::now();
        let answer = edge.ask("POST /v1/campaigns/c-1/pause", headers, "").await;
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (503, &json!("no-answer")), "{}", answer.json);
        assert_eq!(
            (&answer.headers["retry-after"], &answer.json["details"]),
            (&"1".parse().unwrap(), &json!({"command": "k-1"}))
        );
        assert_eq!(began.elapsed().as_secs(), bff::FIRST_MAX.as_secs(), "{headers:?}");
    }
    let began = tokio::time::Instant::now();
    let headers = [("idempotency-key", "k-1"), ("prefer", "wait=10")];
    assert_eq!(edge.ask("POST /v1/campaigns/c-1/pause", &headers, "").await.status, 503);
    assert_eq!(began.elapsed().as_secs(), 10, "who wants to wait longer waits longer");
    go_on.send(()).unwrap();
}

/// A body of unknown size of which nothing ever comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Polled<'_>,
    ) -> Poll<Option<std::result::Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_come_take_up_a_bounded_room_and_not_for_ever() {
    let edge = Arc::new(Edge::start());
    let never = |edge: Arc<Edge>| async move { edge.post("/v1/campaigns", Body::new(Never)).await };
    let waiting: Vec<_> = (0..64).map(|_| tokio::spawn(never(edge.clone()))).collect();
    // Shorter than what follows waits for, so that it happens first.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let beyond = never(edge.clone()).await;
    assert_eq!((beyond.status.as_u16(), &beyond.json["code"]), (503, &json!("busy")), "{}", beyond.json);
    assert_eq!(beyond.headers["retry-after"], "1");
    let small = campaign("c/1", &["p-1"]).to_string();
    assert_eq!(edge.post("/v1/campaigns", small).await.status, 422, "a small body needs no place");
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (408, &json!("body-late")), "{}", answer.json);
    }
    let again = never(edge.clone()).await;
    assert_eq!(again.status, 408, "the places are free again");
}

/// A door with no room behind it.
struct Full;

impl Door for Full {
    fn has_room(&self) -> bool {
        false
    }
    fn ask(&self, _: Ask) -> std::result::Result<(), Busy> {
        Err(Busy)
    }
    fn durable(&self, _: &str) -> bool {
        false
    }
    fn answer_to(&self) -> Arc<str> {
        "nobody".into()
    }
}

/// A body that tells when somebody looks at it.
struct Watched(Arc<AtomicBool>);

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Polled<'_>,
    ) -> Poll<Option<std::result::Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.store(true, Ordering::Relaxed);
        Poll::Ready(None)
    }
}

#[tokio::test]
async fn where_there_is_no_room_every_command_and_decision_is_turned_away_before_its_body_is_read() {
    let edge = Edge::start();
    let router = edge.behind(Arc::new(Full));
    for path in [
        "/v1/campaigns",
        "/v1/campaigns/c-1/cancel",
        "/v1/enrolments",
        "/v1/events",
        "/v1/blocks",
        "/v1/sagas/c-1~1/retry",
        "/v1/dead-letters/replay",
        "/campana-comando",
        "/registrar-campaign",
        "/registrar-partner",
        "/registrar-evento",
    ] {
        let read = Arc::new(AtomicBool::new(false));
        let request = Request::post(path).header("content-type", "application/json").body(Body::new(Watched(read.clone())));
        let told = answer(router.clone().oneshot(request.unwrap()).await.unwrap()).await;
        assert_eq!((told.status.as_u16(), &told.json["code"]), (503, &json!("busy")), "{path}: {}", told.text);
        assert!(told.headers.contains_key("retry-after"), "{path}: {:?}", told.headers);
        assert!(!read.load(Ordering::Relaxed), "{path}: its body was read");
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_here() {
    let edge = Edge::start();
    for what in ["POST /v1/partners/p-1/ban", "POST /v1/campaigns/c-1/cancel", "DELETE /v1/blocks/p-1~partner"] {
        let answer = edge.ask(what, &[("sec-fetch-site", "cross-site")], "").await;
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (403, &json!("cross-site")), "{what}");
    }
}
