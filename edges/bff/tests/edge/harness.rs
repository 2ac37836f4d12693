//! The edge over a real executor: SQLite in a folder of its own, the embedded broker, all contexts; requests without a socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bff::{Bff, Door, Find, Here, Home, Moves, Replicas, Stream};
use hyper::body::Body as _;
use seedwork::Context;
use seedwork::broker::Embedded;
use seedwork::clock::{Chance, Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{Executor, Settings, Stop};
use seedwork::store::Partition;
use seedwork::store::sqlite::{Readers, Sqlite};
use seedwork::view::Read;
use serde_json::Value;
use tower::ServiceExt;

use crate::described;

/// The edge and what stands behind it; stopped and its folder deleted when it goes.
pub struct Edge {
    pub router: Router,
    pub owner: Handle,
    pub stream: Stream,
    pub moves: Moves,
    thread: Option<JoinHandle<Result<(), Stop>>>,
    folder: PathBuf,
    skipped: Arc<AtomicI64>,
}

/// The system's clock, and what a test has skipped of it, in microseconds.
struct Skipping(SystemClock, Arc<AtomicI64>);

impl Clock for Skipping {
    fn now(&self) -> i64 {
        self.0.now() + self.1.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic() + Duration::from_micros(self.1.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// The text as JSON; null when it is none.
    pub json: Value,
}

impl Edge {
    pub fn start() -> Edge {
        Edge::with(|read| read)
    }

    /// With something between the edge and what it reads.
    pub fn with(between: impl FnOnce(Arc<dyn Read + Send + Sync>) -> Arc<dyn Read + Send + Sync>) -> Edge {
        let contexts = vec![campaign::context(campaign::Settings::default()), partner::context(), tracking::context()];
        Edge::over(contexts, between)
    }

    /// Over other contexts; [`Edge::skip`] lets time go by.
    pub fn skipping(contexts: Vec<Context>) -> Edge {
        Edge::over(contexts, |read| read)
    }

    /// Lets so many seconds go by for the owner, and waits until it has seen to what is due then.
    pub async fn skip(&self, seconds: i64) {
        self.skipped.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        // Asked, it wakes up and takes a turn; the last answers come when what the first turns caused has been handled too.
        for _ in 0..8 {
            let (sender, seen) = tokio::sync::oneshot::channel();
            self.owner.counters(Box::new(move |_| sender.send(()).unwrap_or_default())).unwrap();
            seen.await.unwrap();
        }
    }

    /// Over other contexts.
    pub fn over(
        contexts: Vec<Context>,
        between: impl FnOnce(Arc<dyn Read + Send + Sync>) -> Arc<dyn Read + Send + Sync>,
    ) -> Edge {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // In memory where the system has such a folder: a busy disk may take longer than the edge waits, and durability is not tested here.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = folder.join(format!("alpes-edge-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("store.db");
        let plans = bff::plans(&contexts);
        let partitions: Vec<Partition> =
            contexts.iter().map(|context| Partition { context: context.name().into(), number: 0 }).collect();
        let skipped = Arc::new(AtomicI64::new(0));
        let mut executor = Executor::new(
            contexts,
            Settings { partitions: 1, epoch: 1 },
            Box::new(Sqlite::open(&path).unwrap()),
            Box::new(Embedded::new(partitions.clone())),
            Box::new(Skipping(SystemClock::default(), skipped.clone())),
            Chance::seeded(1),
        )
        .unwrap();
        partitions.iter().for_each(|partition| executor.take(partition).unwrap());
        let stream = Stream::new(executor.heads());
        executor.tap(stream.tap());
        let moves = Moves::default();
        executor.tap(moves.tap());
        let (owner, thread) = Bell::default().start(executor, OnCrash::End).unwrap();
        let bff = Bff {
            door: Arc::new(owner.clone()),
            home: Home::Here(Here {
                owner: owner.clone(),
                read: between(Arc::new(Readers::new(&path))),
                plans,
                stream: Some(stream.clone()),
                moves: moves.clone(),
                files: vec![path.clone()],
                only: None,
                replicas: None,
            }),
            clock: Box::new(SystemClock::default()),
            chance: Chance::seeded(2),
            campaigns: campaign::Settings::default(),
        };
        Edge { router: bff.router(), owner, stream, moves, thread: Some(thread), folder, skipped }
    }

    /// The same behind another door.
    pub fn behind(&self, door: Arc<dyn Door>) -> Router {
        self.served(door, None, None)
    }

    /// The same as one of several replicas of a context's service, which holds the first of so many partitions.
    pub fn replica(&self, context: &'static str, partitions: u16, find: Find) -> Router {
        self.served(Arc::new(self.owner.clone()), Some(context), Some(Replicas::new(partitions, find)))
    }

    fn served(&self, door: Arc<dyn Door>, only: Option<&'static str>, replicas: Option<Replicas>) -> Router {
        let here = Here {
            owner: self.owner.clone(),
            read: Arc::new(Readers::new(&self.folder.join("store.db"))),
            plans: bff::plans(&[]),
            stream: None,
            moves: self.moves.clone(),
            files: Vec::new(),
            only,
            replicas,
        };
        let clock = Box::new(SystemClock::default());
        Bff { door, home: Home::Here(here), clock, chance: Chance::seeded(4), campaigns: campaign::Settings::default() }.router()
    }

    /// Sends a request: `GET /path` or `POST /path`, headers, and a body.
    pub async fn ask(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (body, sent) = whole(body.into()).await;
        let answer = answer(self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()).await;
        described::check(method, path, sent.as_deref(), &answer);
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(&format!("POST {path}"), &[], body).await
    }

    /// Posts and waits for the outcome.
    pub async fn wait(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(&format!("POST {path}"), &[("prefer", "wait=30")], body).await
    }

    /// Waits until a saga has ended.
    pub async fn ended(&self, saga: &str) -> Value {
        self.until(&format!("/v1/sagas/{saga}"), |told| told["status"] == "completed" || told["status"] == "undone").await
    }

    /// Waits until what is answered at a path is so.
    pub async fn until(&self, path: &str, so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let told = self.get(path).await.json;
            if so(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not become so: {}", self.get(path).await.json);
    }
}

/// A body that is there already, and its bytes; one that is still to come is left as it is.
async fn whole(body: Body) -> (Body, Option<Bytes>) {
    if body.size_hint().exact().is_none() {
        return (body, None);
    }
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    (Body::from(bytes.clone()), Some(bytes))
}

pub async fn answer(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().into()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, text, json }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.owner.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                assert!(matches!(ended, Ok(Ok(()))), "the owner ended badly: {ended:?}");
            }
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A campaign as `/v1` takes it.
pub fn campaign(id: &str, partners: &[&str]) -> Value {
    let people = partners.iter().map(|id| serde_json::json!({"id": id, "kind": "influencer", "name": format!("Name of {id}")}));
    serde_json::json!({
        "id": id, "name": "Moda", "brand": "b-1", "budget": {"amount": "15000.00", "currency": "USD"},
        "participants": people.collect::<Vec<_>>(),
    })
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    SystemClock::default().now()
}
