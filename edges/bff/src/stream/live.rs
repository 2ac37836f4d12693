//! The live stream of an edge without a store: what is new comes from the events topics, what was before from the services' logs.
//!
//! The topics are followed by one set of readers for all subscribers, from the first subscriber on. Where each log is, the services say:
//! then, and again after the readers were interrupted, for what passed by meanwhile is found in the logs alone.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode};
use seedwork::message::Packet;
use seedwork::store::{LogRow, Partition, Place};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::hub::Hub;
use crate::away::{CONTEXTS, Services};
use crate::problem::Problem;

/// How long the first subscriber waits for the readers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What follows the topics as long as it is kept.
pub type Following = Box<dyn Any + Send + Sync>;
/// Done when what is sent from now on is heard.
pub type Begun = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Begins to follow the events topics of all contexts, and tells what it hears; or says why it cannot.
pub type Follow = dyn Fn(Heard) -> Result<(Following, Begun), String> + Send + Sync;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    hub: Arc<Hub>,
    stale: Arc<AtomicBool>,
    follow: Arc<Follow>,
    /// Locked while it is found out where the logs are.
    following: Arc<Mutex<Option<Following>>>,
}

/// Where a follower tells what it hears.
pub struct Heard {
    hub: Arc<Hub>,
    stale: Arc<AtomicBool>,
}

/// The member of a message that holds its body, as far as this build knows its kind.
fn record_of(kind: &str) -> Option<&'static str> {
    wire::TABLES.iter().flat_map(|table| table.iter()).find(|entry| entry.kind == kind).map(|entry| entry.record)
}

impl Heard {
    /// A row of an events topic. It may come twice.
    pub fn row(&self, row: LogRow) {
        // What is said in another context's name is nobody's word.
        if row.route.to.topic.strip_suffix(".events") != Some(&*row.route.from.context) {
            return;
        }
        match Packet::parse(&row.raw, record_of) {
            Ok(packet) => self.hub.heard(LogRow { packet: Some(Arc::new(packet)), ..row }),
            Err(error) => tracing::warn!(%error, from = %row.route.from, "an event cannot be read"),
        }
    }

    /// Rows may have passed by.
    pub fn interrupted(&self) {
        self.stale.store(true, Ordering::SeqCst);
        self.hub.interrupted();
    }
}

impl Live {
    /// The stream of contexts that have so many partitions each. Nothing is followed before the first subscriber comes.
    pub fn new(partitions: u16, follow: impl Fn(Heard) -> Result<(Following, Begun), String> + Send + Sync + 'static) -> Live {
        let all =
            CONTEXTS.iter().flat_map(|context| (0..partitions).map(|number| Partition { context: (*context).into(), number }));
        Live {
            hub: Arc::new(Hub::unknown(all.collect())),
            stale: Arc::default(),
            follow: Arc::new(follow),
            following: Arc::default(),
        }
    }

    /// Ends it for all subscribers: they connect again when there is a server.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Who listens at the moment.
    pub fn subscribers(&self) -> usize {
        self.hub.subscribers.load(Ordering::Relaxed)
    }

    /// The hub, which hears whatever is said from now on, and knows where the logs were.
    ///
    /// # Errors
    /// 503 when the topics cannot be followed now, or a service does not say where its log is.
    pub(super) async fn hub(&self, services: &Services) -> Result<Arc<Hub>, Problem> {
        let mut following = self.following.lock().await;
        if following.is_none() {
            let heard = Heard { hub: self.hub.clone(), stale: self.stale.clone() };
            let away =
                |why: String| Problem::unavailable("stream-away", format!("the events cannot be followed at the moment: {why}"));
            let (kept, begun) = (self.follow)(heard).map_err(away)?;
            if tokio::time::timeout(PATIENCE, begun).await.is_err() {
                return Err(away("the broker does not give all of their topics".to_owned()));
            }
            self.stale.store(true, Ordering::SeqCst);
            *following = Some(kept);
        }
        // Not after it was asked: what is interrupted meanwhile must be asked again.
        if self.stale.swap(false, Ordering::SeqCst) {
            match heads(services).await {
                Ok(heads) => self.hub.is_at(&heads),
                Err(problem) => {
                    self.stale.store(true, Ordering::SeqCst);
                    return Err(problem);
                }
            }
        }
        Ok(self.hub.clone())
    }
}

/// A stream of a service's log.
#[derive(Deserialize)]
struct Stream {
    context: String,
    partition: u16,
    epoch: u64,
    head: u64,
}

#[derive(Deserialize)]
struct Streams {
    items: Vec<Stream>,
}

/// Where the logs of all services are.
async fn heads(services: &Services) -> Result<Vec<(Partition, Place)>, Problem> {
    let mut heads = Vec::new();
    for context in CONTEXTS {
        let path = PathAndQuery::from_static("/v1/streams");
        let answer = services.ask(context, Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
        let streams: Option<Streams> = match answer.status() {
            StatusCode::OK => serde_json::from_slice(answer.body()).ok(),
            _ => None,
        };
        let streams = streams.ok_or_else(|| {
            tracing::warn!(context, status = %answer.status(), "a service does not say where its log is");
            Problem::unavailable(
                "service-away",
                format!("the service of {context} does not say where its log is; the rest goes on"),
            )
        })?;
        heads.extend(streams.items.into_iter().map(|stream| {
            let Stream { context, partition, epoch, head } = stream;
            (Partition { context: context.into(), number: partition }, Place { epoch, position: head })
        }));
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use seedwork::store::{Destination, Route};

    use super::super::hub::Found;
    use super::*;

    fn row(position: u64, predecessor: Option<u64>) -> LogRow {
        let raw: Arc<[u8]> = br#"{"specversion":"1.0","id":"x","source":"partner","type":"partner.banned.v1","subject":"p-1","time":1,"correlationid":"x","actor":"local","PartnerBanned":{}}"#.as_slice().into();
        let from = Partition { context: "partner".into(), number: 1 };
        LogRow {
            route: Route { from, to: Destination { topic: "partner.events".into(), partition: 1 } },
            place: Place { epoch: 7, position },
            predecessor: predecessor.map(|position| Place { epoch: 7, position }),
            packet: None,
            raw,
            times: [0; 3],
        }
    }

    #[tokio::test]
    async fn a_row_that_comes_twice_is_told_once_and_one_that_shows_that_others_passed_by_sends_everybody_to_the_log() {
        let live = Live::new(2, |_| Err("nobody follows here".to_owned()));
        let heard = Heard { hub: live.hub.clone(), stale: live.stale.clone() };
        let partition = Partition { context: "partner".into(), number: 1 };
        live.hub.is_at(&[(partition, Place { epoch: 7, position: 4 })]);
        let mut member = live.hub.join(1).unwrap();
        let (first, _) = live.hub.now();
        // The row at 4 went elsewhere: its own predecessor on this way is before it.
        for row in [row(5, Some(2)), row(5, Some(2)), row(3, Some(2)), row(8, Some(5))] {
            heard.row(row);
        }
        member.next.changed().await.unwrap();
        let Found::Burst(burst) = live.hub.burst(first) else { panic!("a burst") };
        let positions: Vec<u64> = burst.frames.iter().map(|frame| frame.place.position).collect();
        assert_eq!(positions, [5, 8]);

        heard.row(row(12, Some(10)));
        member.next.changed().await.unwrap();
        assert!(matches!(live.hub.burst(first + 1), Found::Lost), "10 has not come");
        assert_eq!(live.hub.now().1.of(3), Some(Place { epoch: 7, position: 12 }), "and goes on after it");

        let (next, _) = live.hub.now();
        heard.interrupted();
        member.next.changed().await.unwrap();
        assert!(matches!(live.hub.burst(next), Found::Lost) && live.stale.load(Ordering::SeqCst));
    }
}
