//! `GET /v1/stream`: every integration event as it is committed, as server-sent events (WHATWG HTML §9.2).
//!
//! An event is its message, as JSON; its id names a place in the log ([`place`]), from which a subscriber that was away goes on: what it
//! has missed is read from the log ([`replay`]), what is new comes from the owner's commits ([`hub`]). `retry:` comes first, the comment
//! `:live` between the past and the present, a comment whenever it is quiet, each with the id of that place. Who reads so slowly that the hub's ring has gone past it gets `event: resync` and is cut:
//! it connects again with the id of the last event that it has, and has lost nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use seedwork::executor::Tap;
use seedwork::store::{Partition, Place};

use crate::away::Services;
use crate::pages;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Edge, Here, Home, Shared};

mod burst;
mod filter;
mod hub;
mod live;
mod own;
mod past;
mod place;
mod replay;

use burst::Burst;
use filter::{Filter, Parameters};
use hub::{Found, Hub, Member, Tapped};
pub use live::{Begun, Follow, Following, Heard, Live};
use past::{Opened, Past};
use place::Places;
use replay::Missing;

/// Subscribers at the same time; more are answered 503.
pub const SUBSCRIBERS_MAX: usize = 4096;
/// How long a subscriber hears nothing but a comment.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a subscriber that was cut waits before it connects again: milliseconds.
const RETRY: u64 = 2000;
/// Pieces of the past that are read and hold nothing for a subscriber, before it is told how far that is.
const FRUITLESS: usize = 64;

/// The comment that stands between the past and the present.
const LIVE: &str = ":live\n";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(crate) fn routes() -> Routes {
    Routes::new().route("/v1/stream", get(subscribe))
}

/// The live stream of events: one for each owner, shared by the edge, which serves it, and whoever stops the server.
#[derive(Clone)]
pub struct Stream(Arc<Hub>);

impl Stream {
    /// A stream over a log that is at these places, in the order of partitions ([`seedwork::executor::Executor::heads`]).
    pub fn new(heads: Vec<(Partition, Place)>) -> Stream {
        Stream(Arc::new(Hub::new(heads)))
    }

    /// The owner's end of it.
    pub fn tap(&self) -> Box<dyn Tap> {
        Box::new(Tapped(self.0.clone()))
    }

    /// Ends it for all subscribers: they connect again when there is a server.
    pub fn close(&self) {
        self.0.close();
    }

    /// Who listens at the moment.
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }
}

async fn subscribe(State(edge): State<Shared>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let parameters: Parameters = pages::parameters(&uri)?;
    let filter = Filter::of(&parameters)?;
    let follows = parameters.follows()?;
    let asked = Asked::of(&headers, parameters.after.as_deref());
    let hub = match &edge.home {
        Home::Here(Here { stream: Some(stream), .. }) => stream.0.clone(),
        Home::Here(_) => return own::past(&edge, asked, filter, follows).await,
        Home::Away(services, live) => live.hub(services).await?,
    };
    let after = asked.as_ref().map(|asked| asked.places(&hub.partitions)).transpose()?;
    if let (Home::Here(_), Some(places), Some(asked)) = (&edge.home, &after, &asked) {
        checked(&edge, &hub.partitions, places, hub.head(), asked.field).await?;
    }
    if hub.closed.load(Ordering::Relaxed) {
        return Err(Problem::unavailable("stopping", "the server stops; connect again when it is there"));
    }
    let full = || Problem::unavailable("busy", format!("there are {SUBSCRIBERS_MAX} subscribers, and no room for more"));
    let member = hub.join(SUBSCRIBERS_MAX).ok_or_else(full)?;
    let now = hub.now();
    let places = after.unwrap_or_else(|| now.1.clone());
    let state = if places == now.1 { At::Live(now.0) } else { At::Behind };
    let wanted = wanted(&uri);
    let past = match &edge.home {
        Home::Away(services, _) if matches!(state, At::Behind) => {
            match Past::open(services, &hub.partitions, &places, &now, &wanted).await? {
                Opened::Past(past) => Some(past),
                Opened::Problem(problem) => return Ok(problem),
            }
        }
        Home::Away(..) | Home::Here(_) => None,
    };
    let subscriber =
        Subscriber { edge, member, filter, places, state, past, wanted, ready: VecDeque::new(), greeted: false, follows };
    let body = stream::unfold(subscriber, async |mut subscriber| {
        let bytes = subscriber.next().await?;
        Some((Ok::<_, Infallible>(bytes), subscriber))
    });
    Ok(events(Body::from_stream(body)))
}

/// An answer that is a stream of events.
fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What stands between is told not to hold it back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The parameters that say which events are wanted, as they came.
fn wanted(uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&');
    let filters = pairs.filter(|pair| ["type=", "key=", "tenant="].iter().any(|name| pair.starts_with(name)));
    filters.map(|pair| format!("&{pair}")).collect()
}

/// Where a subscriber says that it is: in `Last-Event-ID`, which a browser sends when it connects again, or else in `after`.
struct Asked<'a> {
    field: &'static str,
    text: &'a str,
}

impl<'a> Asked<'a> {
    fn of(headers: &'a HeaderMap, parameter: Option<&'a str>) -> Option<Asked<'a>> {
        let header = headers.get(&LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("ñ"));
        // A browser that has seen no event yet may say so.
        match (header.filter(|text| !text.is_empty()), parameter) {
            (Some(text), _) => Some(Asked { field: "Last-Event-ID", text }),
            (None, Some(text)) => Some(Asked { field: "after", text }),
            (None, None) => None,
        }
    }

    fn places(&self, partitions: &[Partition]) -> Result<Places, Problem> {
        Places::parse(self.text, partitions).map_err(|why| no_place(&why, self.field))
    }
}

fn no_place(why: &str, field: &'static str) -> Problem {
    let why = format!(
        "this is no place in the log of this server: {why}. It is the id of an event of this stream, as it came; without one it begins now, \
         with 0 at the beginning"
    );
    Problem::malformed("event-id-invalid", why).at(field)
}

/// Whether the log, which is at these heads, goes on from these places.
async fn checked(
    edge: &Edge,
    partitions: &[Partition],
    places: &Places,
    head: Places,
    field: &'static str,
) -> Result<(), Problem> {
    if *places == head {
        return Ok(());
    }
    let (partitions, asked) = (partitions.to_vec(), places.clone());
    let checked = edge.query(move |read| {
        let known = replay::check(read, &partitions, &asked, &head)?;
        let open = Filter::default();
        Ok(known.map(|()| replay::piece(read, &partitions, &asked, &open).err()))
    });
    match checked.await?.map_err(|why| no_place(&why, field))? {
        None => Ok(()),
        Some(Missing::Dropped) => {
            let why = "the log no longer has what came after this event: read what you need anew, and connect without an id";
            Err(Problem::new(StatusCode::GONE, "event-id-dropped", why).at(field))
        }
        Some(Missing::Broken(why)) => {
            tracing::error!(why, "the log cannot be read");
            Err(Problem::unavailable("store-unreadable", "the log cannot be read at the moment; the server's own log says why"))
        }
    }
}

/// What a subscriber reads next.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The log, from its places.
    Behind,
    /// The burst of this number, as the log was read beyond its beginning: if it is gone, the log again.
    Joining(u64),
    /// The burst of this number.
    Live(u64),
    Ended,
}

struct Subscriber {
    edge: Arc<Edge>,
    member: Member,
    filter: Filter,
    /// Everything up to here was sent, or was not wanted.
    places: Places,
    state: At,
    /// What it has missed, where the services tell that.
    past: Option<Past>,
    /// Which events it wants, as the services are asked.
    wanted: String,
    ready: VecDeque<Bytes>,
    greeted: bool,
    /// Whether it goes on when it has reached the present.
    follows: bool,
}

impl Subscriber {
    /// The next bytes; None: it is over.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            let live = if matches!(self.state, At::Live(_)) { LIVE } else { "" };
            if !self.follows && matches!(self.state, At::Live(_)) {
                self.state = At::Ended;
            }
            return Some(self.said(&format!("retry: {RETRY}\n{live}")));
        }
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.member.hub.closed.load(Ordering::Relaxed) {
                return None;
            }
            let bytes = match self.state {
                At::Ended => return None,
                At::Behind => self.catch_up().await,
                At::Joining(number) | At::Live(number) => {
                    // What comes after this look is seen by the one after it.
                    self.member.next.mark_unchanged();
                    match self.member.hub.burst(number) {
                        Found::Burst(burst) => {
                            self.state = At::Live(number + 1);
                            self.take(&burst);
                            None
                        }
                        Found::Lost if matches!(self.state, At::Joining(_)) => {
                            self.state = At::Behind;
                            None
                        }
                        Found::Lost => Some(self.resync("you read too slowly, and what comes next is no longer in memory")),
                        Found::Nothing if self.member.hub.closed.load(Ordering::Relaxed) => None,
                        Found::Nothing => match tokio::time::timeout(HEARTBEAT, self.member.next.changed()).await {
                            Ok(_) => None,
                            Err(_) => Some(self.said(":\n")),
                        },
                    }
                }
            };
            if bytes.is_some() {
                return bytes;
            }
        }
    }

    /// Takes from a burst what it has not had and wants. Whoever wants all of it shares it with all others.
    fn take(&mut self, burst: &Burst) {
        if self.filter.is_open() && self.places == burst.before {
            self.places = burst.after.clone();
            self.ready.push_back(burst.bytes.clone());
            return;
        }
        let mut run = 0..0;
        for frame in &burst.frames {
            let wanted = self.places.advance(frame.partition, frame.place) && self.filter.passes(&burst.asked(frame));
            if !wanted {
                continue;
            }
            if run.end == frame.bytes.start && !run.is_empty() {
                run.end = frame.bytes.end;
            } else {
                self.push(burst, run);
                run = frame.bytes.clone();
            }
        }
        self.push(burst, run);
    }

    fn push(&mut self, burst: &Burst, run: std::ops::Range<usize>) {
        if !run.is_empty() {
            self.ready.push_back(burst.bytes.slice(run));
        }
    }

    /// Reads on in the log, until there is something or its end.
    async fn catch_up(&mut self) -> Option<Bytes> {
        if let Home::Away(services, live) = &self.edge.clone().home {
            return self.catch_up_elsewhere(services, live).await;
        }
        for _ in 0..FRUITLESS {
            let (number, _) = self.member.hub.now();
            let (hub, places, filter) = (self.member.hub.clone(), self.places.clone(), self.filter.clone());
            let piece = self.edge.catch_up(move |read| Ok(replay::piece(read, &hub.partitions, &places, &filter))).await;
            match piece {
                Ok(Ok(piece)) => {
                    self.places = piece.places;
                    let mut text = piece.text;
                    if piece.end {
                        self.state = if self.follows { At::Joining(number) } else { At::Ended };
                        self.comment(LIVE, &mut text);
                    }
                    if !text.is_empty() {
                        return Some(text.into());
                    }
                }
                Ok(Err(Missing::Dropped)) => return Some(self.resync("the log no longer has what comes next")),
                Ok(Err(Missing::Broken(why))) => {
                    tracing::error!(why, "the log cannot be read");
                    return Some(self.resync("the log cannot be read at the moment"));
                }
                Err(_) => return Some(self.resync("the log cannot be read at the moment")),
            }
        }
        Some(self.said(":\n"))
    }

    /// Reads on in what the services tell.
    async fn catch_up_elsewhere(&mut self, services: &Services, live: &Live) -> Option<Bytes> {
        let partitions = &self.member.hub.partitions;
        let mut past = match self.past.take() {
            Some(past) => past,
            // It was too slow for what is new, and is behind once more.
            None => {
                let opened = match live.hub(services).await {
                    Ok(hub) => Past::open(services, partitions, &self.places, &hub.now(), &self.wanted).await,
                    Err(problem) => Err(problem),
                };
                match opened {
                    Ok(Opened::Past(past)) => past,
                    Ok(Opened::Problem(_)) | Err(_) => return Some(self.resync("the log cannot be read on at the moment")),
                }
            }
        };
        match past.piece(&mut self.places, partitions).await {
            Ok(past::Piece { mut text, end }) => {
                if end {
                    self.state = if self.follows { At::Joining(past.joins) } else { At::Ended };
                    self.comment(LIVE, &mut text);
                } else {
                    self.past = Some(past);
                }
                Some(if text.is_empty() { self.said(":\n") } else { text.into() })
            }
            Err(why) => {
                tracing::warn!(why, "the past of a service has broken off");
                Some(self.resync("the log cannot be read on at the moment"))
            }
        }
    }

    fn said(&self, lines: &str) -> Bytes {
        let mut text = String::new();
        self.comment(lines, &mut text);
        text.into()
    }

    /// Lines, and the id of where it is: a client keeps it though no event comes with it.
    fn comment(&self, lines: &str, into: &mut String) {
        comment(lines, &self.places, &self.member.hub.partitions, into);
    }

    /// Tells it to connect again, and ends.
    fn resync(&mut self, why: &str) -> Bytes {
        self.state = At::Ended;
        resync(why)
    }
}

fn comment(lines: &str, places: &Places, partitions: &[Partition], into: &mut String) {
    into.push_str(lines);
    into.push_str("id: ");
    places.write(partitions, into);
    into.push_str("\n\n");
}

fn resync(why: &str) -> Bytes {
    format!("event: resync\ndata: {{\"detail\":\"{why}; connect again with the id of the last event that you have\"}}\n\n").into()
}
