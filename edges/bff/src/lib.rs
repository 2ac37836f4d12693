//! The HTTP edge, stateless: it checks the form of what is asked, hands a command to the owner of its key, waits for the answer, and
//! reads views.
//!
//! A request goes through these files in this order: `serve` (a connection), this file (the table of routes), a file of routes
//! (`campaigns`, `partners`, …, or a seed's own below `contracts`), [`body`](BODY_MAX) and `asked` (what it says), a context's
//! `http.rs` (JSON to command), `submit` (the command on its way), `answer` or [`Problem`] (what is said of it).

use std::sync::Arc;

pub use axum::Router;
use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use seedwork::clock::{Chance, Clock};
use seedwork::executor::owner::Handle;
use seedwork::view::Read;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::routes::Routes;

mod accounts;
mod answer;
mod asked;
mod away;
mod blocks;
mod body;
mod campaigns;
mod commands;
mod contracts;
mod dead_letters;
mod docs;
mod door;
mod enrolments;
mod events;
mod head;
mod health;
mod ids;
mod inside;
mod message;
mod metrics;
pub mod openapi;
mod operate;
mod pages;
mod partners;
mod patient;
mod problem;
mod routes;
mod sagas;
mod serve;
mod starting;
mod stream;
mod streams;
mod submit;
mod subscriptions;
mod thing;

pub use asked::{KEY_MAX_CHARS, WAIT_MAX};
pub use away::{CONTEXTS, Find, Replicas, Services};
pub use body::BODY_MAX;
pub use dead_letters::BULK_MAX;
pub use door::Door;
pub use head::{HEADERS_COUNT_MAX, HEADERS_MAX, TARGET_MAX};
pub use inside::ask;
pub use metrics::{RequestSpan, Spans};
pub use pages::{LIMIT_DEFAULT, LIMIT_MAX};
pub use patient::STALLED_MAX;
pub use problem::{PROBLEM_JSON, Problem};
pub use sagas::{Moves, Plan, WAITING_MAX, plans};
pub use serve::{Listening, serve};
pub use starting::{Ends, Starting};
pub use stream::{Begun, Follow, Following, HEARTBEAT, Heard, Live, SUBSCRIBERS_MAX, Stream};
pub use submit::FIRST_MAX;

/// Queries that run at the same time: each holds a connection to the store.
const READING: usize = 8;
/// Queries that run or wait for their turn; more are answered 503.
const READERS: usize = 256;
/// Subscribers of the stream that read the log at the same time; the others wait.
const CATCHING_UP: usize = 4;

/// The edge, before it is made into routes.
pub struct Bff {
    /// Where commands go.
    pub door: Arc<dyn Door>,
    /// Where queries and operators' decisions go.
    pub home: Home,
    /// The clock that envelopes are stamped with.
    pub clock: Box<dyn Clock>,
    /// Where minted ids come from.
    pub chance: Chance,
    /// What the campaign context was set up with.
    pub campaigns: campaign::Settings,
}

/// Where the edge reads, and where operators' decisions go.
pub enum Home {
    /// An owner and its store are in this process.
    Here(Here),
    /// Each context is a service of its own elsewhere; what they say is followed on the broker.
    Away(Services, Live),
}

/// An owner and its store, in this process.
pub struct Here {
    /// The door to the owner.
    pub owner: Handle,
    /// What queries read.
    pub read: Arc<dyn Read + Send + Sync>,
    /// The plans of the sagas that the owner runs: [`plans`] of its contexts.
    pub plans: Vec<Plan>,
    /// What the owner commits, as it does. None where others commit beside it: nobody here sees all of it then.
    pub stream: Option<Stream>,
    /// The sagas that the owner moves, as it does.
    pub moves: Moves,
    /// The files of the store: what they take is shown.
    pub files: Vec<std::path::PathBuf>,
    /// The one context that is served; none: all of them are.
    pub only: Option<&'static str>,
    /// The other replicas of its service, which hold the partitions that this process does not; none where it holds all.
    pub replicas: Option<Replicas>,
}

/// What all routes share.
pub(crate) struct Edge {
    pub door: Arc<dyn Door>,
    home: Home,
    /// The plans of the sagas that the owner here runs.
    pub plans: Vec<Plan>,
    readers: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    catching_up: Semaphore,
    pub large: Arc<Semaphore>,
    pub ids: ids::Ids,
    pub campaigns: campaign::Settings,
    requests: metrics::Requests,
    disk: metrics::Disk,
    spans: Option<Spans>,
    pub words: Words,
}

/// Words that every envelope holds, shared so that none is copied.
pub(crate) struct Words {
    pub source: Arc<str>,
    pub actor: Arc<str>,
    pub answer_to: Arc<str>,
}

pub(crate) type Shared = Arc<Edge>;

impl Bff {
    /// The routes, whole: errors, panics and unknown paths answer as problems.
    pub fn router(self) -> Router {
        self.traced(None)
    }

    /// The routes, and each request is told to whoever exports traces.
    pub fn traced(self, spans: Option<Spans>) -> Router {
        let Bff { door, home, clock, chance, campaigns } = self;
        let words = Words { source: "bff".into(), actor: wire::values::Actor::LOCAL.into(), answer_to: door.answer_to() };
        let mut home = home;
        let (plans, files) = match &mut home {
            Home::Here(here) => (std::mem::take(&mut here.plans), std::mem::take(&mut here.files)),
            Home::Away(..) => (Vec::new(), Vec::new()),
        };
        let mut routes = routes();
        let whole = match &home {
            Home::Here(Here { only: None, .. }) => true,
            Home::Here(Here { only: Some(context), .. }) => {
                routes = routes.merge(contracts::seed_004::of_service(context));
                false
            }
            Home::Away(..) => false,
        };
        let edge = Edge {
            door,
            home,
            plans,
            readers: Arc::new(Semaphore::new(READERS)),
            reading: Arc::new(Semaphore::new(READING)),
            catching_up: Semaphore::new(CATCHING_UP),
            large: Arc::new(Semaphore::new(body::LARGE_MAX)),
            ids: ids::Ids::new(clock, chance),
            campaigns,
            requests: metrics::Requests::default(),
            disk: metrics::Disk::new(files),
            spans,
            words,
        };
        let edge = Arc::new(edge);
        // Where nothing runs in the background, growth is looked at when it is asked for.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(metrics::watch(Arc::downgrade(&edge), |edge: &Edge| {
                edge.disk.look(edge.ids.monotonic());
            }));
        }
        let counted = axum::middleware::from_fn_with_state(edge.clone(), metrics::counted);
        let mut router = guarded(routes.router);
        if !whole {
            router = router.layer(axum::middleware::from_fn_with_state(edge.clone(), away::elsewhere));
        }
        router.layer(axum::middleware::from_fn(head::bounded)).layer(counted).with_state(edge)
    }
}

/// Every path that is served, with parameters in braces; the methods of each are in the header `Allow` of its 405.
pub fn paths() -> Vec<String> {
    routes().paths
}

fn routes() -> Routes {
    Routes::new()
        .merge(health::routes())
        .merge(openapi::routes())
        .merge(docs::routes())
        .merge(problem::pages::routes())
        .merge(campaigns::routes())
        .merge(partners::routes())
        .merge(enrolments::routes())
        .merge(events::routes())
        .merge(blocks::routes())
        .merge(accounts::routes())
        .merge(sagas::routes())
        .merge(operate::routes())
        .merge(dead_letters::routes())
        .merge(subscriptions::routes())
        .merge(streams::routes())
        .merge(commands::routes())
        .merge(stream::routes())
        .merge(metrics::routes())
        .merge(contracts::seed_003::routes())
        .merge(contracts::seed_004::routes())
}

/// Answers what no route does: other paths, other methods, and panics.
fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "no-such-path", "there is nothing at this path; /docs describes what there is")
        })
        .method_not_allowed_fallback(|| async {
            let why = "this path has no such method; the header Allow lists those that it has";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", why)
        })
        .layer(CatchPanicLayer::custom(panicked))
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("not a text"), "a request broke its handler");
    Problem::internal().into_response()
}

impl Edge {
    /// The owner and the store of this process. A request for what is elsewhere does not come this far.
    pub fn here(&self) -> Result<&Here, Problem> {
        match &self.home {
            Home::Here(here) => Ok(here),
            Home::Away(..) => {
                Err(Problem::unavailable("elsewhere", "this edge keeps nothing itself; ask the service of the context"))
            }
        }
    }

    /// Runs a query beside the requests: it may wait for the disk.
    pub async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Read) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = |_| Problem::unavailable("busy", "too many queries wait for their turn; try again in a second");
        let place = self.readers.clone().try_acquire_owned().map_err(busy)?;
        self.run(place, query).await
    }

    /// Reads the log for a subscriber who is behind; few do at the same time, so that queries find their turn.
    pub async fn catch_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Read) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        // Neither semaphore is ever closed.
        let _turn = self.catching_up.acquire().await;
        self.run((), query).await
    }

    async fn run<T: Send + 'static>(
        &self,
        place: impl Send + 'static,
        query: impl FnOnce(&dyn Read) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        // The semaphore is never closed, so this only waits.
        let turn = self.reading.clone().acquire_owned().await;
        let read = self.here()?.read.clone();
        // Whoever asked may go; the query still holds its place until it has ended.
        let ran = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            query(&*read)
        });
        match ran.await {
            Ok(found) => found.map_err(unreadable),
            Err(error) => {
                tracing::error!(%error, "a query broke");
                Err(Problem::internal())
            }
        }
    }

    /// Reads a row that has just been written, at once: it is in memory, and going to another thread takes longer than reading it.
    pub fn just_written<T>(&self, query: impl FnOnce(&dyn Read) -> Result<T, String>) -> Result<T, Problem> {
        let here = self.here()?;
        let read = || query(&*here.read).map_err(unreadable);
        // A store that replicas share is asked over the network.
        if here.replicas.is_some() { tokio::task::block_in_place(read) } else { read() }
    }

    /// A thing as a command has just left it: read here, or asked of the service that keeps it, at the path where it is found. None when
    /// it cannot be had now.
    pub async fn left(
        &self,
        path: &str,
        query: impl FnOnce(&dyn Read) -> Result<Option<Document>, String>,
    ) -> Result<Option<Document>, Problem> {
        match &self.home {
            Home::Here(_) => self.just_written(query),
            Home::Away(services, _) => Ok(services.document(path).await),
        }
    }
}

/// A written document, and the version of what it tells.
pub(crate) type Document = seedwork::view::Versioned<Vec<u8>>;

fn unreadable(why: String) -> Problem {
    tracing::error!(why, "a query failed");
    Problem::unavailable("store-unreadable", "the store cannot be read at the moment; the log says why")
}

/// The one id of a path, of the right form.
pub(crate) struct Id<T>(pub T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Text(text) = Text::from_request_parts(parts, state).await?;
        text.parse().map(Id).map_err(|error| Problem::malformed("id-invalid", error).at("id"))
    }
}

/// The one text of a path, whatever it is.
pub(crate) struct Text(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Text {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Text(text)),
            Err(rejection) => Err(Problem::malformed("path-invalid", rejection.body_text()).at("id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_not_a_cut_connection() {
        async fn broken() {
            panic!("boom");
        }
        let router: Router = guarded(Router::new().route("/broken", get(broken)));
        let response = router.oneshot(Request::get("/broken").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 9999).await.unwrap()).unwrap();
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("boom"), "what broke is for the log");
    }
}
