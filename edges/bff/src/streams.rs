//! Log streams: what each partition has published, read, sent again, and skipped by a reader to which it is lost.

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decided, Decision};
use seedwork::operator::streams::{self, Row, Stream};
use seedwork::store::{Destination, Partition, Place, Route};
use seedwork::view::Read;
use serde::{Deserialize, Serialize};
use wire::values::Timestamp;

use crate::answer::{document, json, written};
use crate::body;
use crate::message::Message;
use crate::operate;
use crate::pages::{self, Page, Positions};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::subscriptions::{self, At};
use crate::{Edge, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/streams", get(list))
        .route("/v1/streams/{context}/{partition}/{epoch}", get(rows))
        .route("/v1/streams/{context}/{partition}/{epoch}/resend", post(resend))
        .route("/v1/streams/{context}/{partition}/{epoch}/skip", post(skip))
        .route("/v1/streams/{context}/{partition}/{epoch}/new-epoch", post(new_epoch))
}

/// A stream's parts of a path, as they came.
type Parts = Path<(String, String, String)>;

/// A stream, as it is answered.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    context: &'a str,
    partition: u16,
    epoch: u64,
    current: bool,
    /// The first row that is kept.
    first: Option<u64>,
    /// The last row written; 0: none yet.
    head: u64,
    relayed: Option<u64>,
    destinations: Vec<To<'a>>,
}

#[derive(Serialize)]
struct To<'a> {
    topic: &'a str,
    partition: u16,
    last: u64,
}

impl<'a> Told<'a> {
    fn of(stream: &'a Stream) -> Told<'a> {
        let to = |(to, last): &'a (Destination, u64)| To { topic: &to.topic, partition: to.partition, last: *last };
        Told {
            id: format!("{}/{}", stream.partition, stream.epoch),
            context: &stream.partition.context,
            partition: stream.partition.number,
            epoch: stream.epoch,
            current: stream.current,
            first: stream.first,
            head: stream.head,
            relayed: stream.relayed,
            destinations: stream.destinations.iter().map(to).collect(),
        }
    }
}

async fn list(State(edge): State<Shared>) -> Result<Response, Problem> {
    let body = edge.query(|read| {
        let streams = streams::streams(read)?;
        written(&Page { items: streams.iter().map(Told::of).collect(), next: None })
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// A row of a stream, as it is answered.
#[derive(Serialize)]
struct Shown<'a> {
    position: u64,
    topic: &'a str,
    partition: u16,
    predecessor: Option<At>,
    received: Timestamp,
    started: Timestamp,
    written: Timestamp,
    #[serde(flatten)]
    message: Message<'a>,
}

impl<'a> Shown<'a> {
    fn of(row: &'a Row) -> Shown<'a> {
        let [received, started, written] = row.times.map(Timestamp::saturating_from_micros);
        Shown {
            position: row.position,
            topic: &row.to.topic,
            partition: row.to.partition,
            predecessor: row.predecessor.map(At::from),
            received,
            started,
            written,
            message: Message::of(&row.raw),
        }
    }
}

fn unknown((context, partition, epoch): &(String, String, String)) -> Problem {
    Problem::unknown("stream", &format!("{context}/{partition}/{epoch}"))
}

fn named((context, partition, epoch): &(String, String, String)) -> Option<(Partition, u64)> {
    Some((Partition { context: context.as_str().into(), number: partition.parse().ok()? }, epoch.parse().ok()?))
}

fn stream(read: &dyn Read, of: &(Partition, u64)) -> Result<Option<Stream>, String> {
    Ok(streams::streams(read)?.into_iter().find(|stream| (&stream.partition, stream.epoch) == (&of.0, of.1)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    after: Option<String>,
    topic: Option<String>,
}

/// A page of rows; `next` is the position to give as `after`.
async fn rows(State(edge): State<Shared>, Path(id): Parts, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, after, topic } = pages::parameters(&uri)?;
    let limit = pages::limit(limit.as_deref())?;
    let bad = |_| Problem::malformed("query-invalid", "a position is a whole number from 0").at("after");
    let after: u64 = after.map_or(Ok(0), |after| after.parse()).map_err(bad)?;
    let of = named(&id).ok_or_else(|| unknown(&id))?;
    let found = edge.query(move |read| {
        let Some(stream) = stream(read, &of)? else { return Ok(None) };
        let page = streams::rows(read, &stream, topic.as_deref(), after, limit)?;
        let next = page.next.map(|next| pages::joined(&next));
        written(&Positions { items: page.items.iter().map(Shown::of).collect(), next }).map(Some)
    });
    found.await?.map(|body| json(StatusCode::OK, body)).ok_or_else(|| unknown(&id))
}

/// What is sent again, and where to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Resend {
    topic: String,
    #[serde(default)]
    partition: u16,
    after: u64,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Resent {
    topic: String,
    partition: u16,
    after: u64,
    /// The first row that goes out again; all that follow on this way go with it.
    first: At,
}

async fn known(edge: &Edge, id: &(String, String, String)) -> Result<(Partition, u64), Problem> {
    let of = named(id).ok_or_else(|| unknown(id))?;
    let looked = of.clone();
    edge.query(move |read| stream(read, &looked)).await?.map(|_| of).ok_or_else(|| unknown(id))
}

async fn resend(State(edge): State<Shared>, Path(id): Parts, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Resend { topic, partition, after, reason } = body::json(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    let (from, epoch) = known(&edge, &id).await?;
    let route = Route { from, to: Destination { topic: topic.as_str().into(), partition } };
    let decision = Decision::Resend { route, after: Place { epoch, position: after }, reason };
    match operate::decide(&edge, order.by, decision).await? {
        Decided::Resent(first) => document(StatusCode::OK, &Resent { topic, partition, after, first: first.into() }),
        _ => Err(Problem::internal()),
    }
}

/// Why a new epoch begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct NewEpoch {
    reason: Option<String>,
}

#[derive(Serialize)]
struct Begun {
    epoch: u64,
}

async fn new_epoch(State(edge): State<Shared>, Path(id): Parts, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let NewEpoch { reason } = body::json(&order.body)?;
    let reason = operate::reason(reason)?;
    let (partition, epoch) = known(&edge, &id).await?;
    match operate::decide(&edge, order.by, Decision::NewEpoch { partition, epoch, reason }).await? {
        Decided::Epoch(epoch) => document(StatusCode::OK, &Begun { epoch }),
        _ => Err(Problem::internal()),
    }
}

/// Who skips what it misses, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Skip {
    reader: String,
    topic: String,
    #[serde(default)]
    partition: u16,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Skipped {
    reader: String,
    topic: String,
    partition: u16,
    from: Option<At>,
    to: At,
}

async fn skip(State(edge): State<Shared>, Path(id): Parts, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Skip { reader: of, topic, partition, reason } = body::json(&order.body)?;
    let reason = operate::reason(reason)?;
    // Where each context has a store of its own, the reader's knows the stream by what it misses of it.
    let (from, epoch) = match edge.here()?.replicas {
        Some(_) => named(&id).ok_or_else(|| unknown(&id))?,
        None => known(&edge, &id).await?,
    };
    let reader = Partition { context: of.as_str().into(), number: partition };
    let route = Route { from, to: Destination { topic: topic.as_str().into(), partition } };
    subscriptions::found(&edge, &format!("{of}:{partition}:{topic}")).await?;
    match operate::decide(&edge, order.by, Decision::Skip { reader, route, epoch, reason }).await? {
        Decided::Skipped { from, to } => {
            let told = Skipped { reader: of, topic, partition, from: from.map(At::from), to: to.into() };
            document(StatusCode::OK, &told)
        }
        _ => Err(Problem::internal()),
    }
}
