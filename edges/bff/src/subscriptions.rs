//! Subscriptions: each context's reading of each partition of a topic, how far it is, paused and resumed.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decision, Reading};
use seedwork::operator::streams::{self, Backlog, Lag, Pause, topic_of};
use seedwork::store::{Destination, Partition, Place};
use serde::{Deserialize, Serialize};
use wire::values::Timestamp;

use crate::answer::{json, written};
use crate::body;
use crate::operate;
use crate::pages::Page;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Edge, Shared, Text};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/subscriptions", get(list))
        .route("/v1/subscriptions/{id}", get(one))
        .route("/v1/subscriptions/{id}/pause", post(pause))
        .route("/v1/subscriptions/{id}/resume", post(resume))
}

/// A subscription, as it is answered.
#[derive(Serialize)]
struct Told<'a> {
    id: String,
    context: &'a str,
    partition: u16,
    topic: &'a str,
    /// reading, paused, or gap: rows are missing, and nothing more is taken on that way until they come or are skipped.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused<'a>>,
    lag: Behind,
    waiting: i64,
    dead_letters: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_waiting: Option<Timestamp>,
    streams: Vec<Of<'a>>,
}

#[derive(Serialize)]
struct Paused<'a> {
    at: Timestamp,
    actor: &'a str,
    reason: &'a str,
}

/// Rows that it has not taken yet.
#[derive(Serialize)]
struct Behind {
    rows: i64,
    /// Whether there are more than were counted.
    more: bool,
}

/// How far it is with one stream.
#[derive(Serialize)]
struct Of<'a> {
    context: &'a str,
    partition: u16,
    mark: Option<At>,
    sent: Option<At>,
    lag: Behind,
    /// The row before the first that came after a gap: what a skip moves the mark to.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<At>,
}

/// A place in a stream.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct At {
    epoch: u64,
    position: u64,
}

impl From<Place> for At {
    fn from(place: Place) -> At {
        At { epoch: place.epoch, position: place.position }
    }
}

fn id_of(reader: &Partition, to: &Destination) -> String {
    format!("{}:{}:{}", reader.context, reader.number, to.topic)
}

impl<'a> Told<'a> {
    fn of(reading: &'a Reading, lags: &'a [Lag], pauses: &'a [Pause], backlogs: &'a [Backlog]) -> Told<'a> {
        let Reading { reader, to, paused, gaps, ahead: _ } = reading;
        let lags = lags.iter().filter(|lag| lag.reader == *reader && lag.route.to == *to);
        let streams: Vec<Of<'_>> = lags
            .map(|lag| Of {
                context: &lag.route.from.context,
                partition: lag.route.from.number,
                mark: lag.mark.map(At::from),
                sent: lag.sent.map(At::from),
                lag: Behind { rows: lag.rows, more: lag.more },
                gap: gaps.iter().find(|(route, ..)| *route == lag.route).and_then(|(_, _, wants)| wants.map(At::from)),
            })
            .collect();
        let pause = pauses.iter().find(|pause| pause.reader == *reader && pause.to == *to);
        let of_it = |backlog: &&Backlog| {
            backlog.reader == *reader && topic_of(reader, &backlog.topic, backlog.source.as_deref()) == to.topic
        };
        let backlogs: Vec<&Backlog> = backlogs.iter().filter(of_it).collect();
        Told {
            id: id_of(reader, to),
            context: &reader.context,
            partition: reader.number,
            topic: &to.topic,
            state: match (paused, gaps.is_empty()) {
                (true, _) => "paused",
                (false, false) => "gap",
                (false, true) => "reading",
            },
            paused: pause.map(|pause| Paused {
                at: Timestamp::saturating_from_micros(pause.at),
                actor: &pause.actor,
                reason: &pause.reason,
            }),
            lag: Behind { rows: streams.iter().map(|of| of.lag.rows).sum(), more: streams.iter().any(|of| of.lag.more) },
            waiting: backlogs.iter().map(|backlog| backlog.waiting).sum(),
            dead_letters: backlogs.iter().map(|backlog| backlog.dead).sum(),
            oldest_waiting: backlogs.iter().map(|backlog| backlog.oldest).min().map(Timestamp::saturating_from_micros),
            streams,
        }
    }
}

async fn list(State(edge): State<Shared>) -> Result<Response, Problem> {
    let readings = operate::readings(&edge).await?;
    let body = edge.query(move |read| {
        let pairs: Vec<_> = readings.iter().map(|reading| (reading.reader.clone(), reading.to.clone())).collect();
        let (lags, pauses, backlogs) = (streams::lags(read, &pairs)?, streams::pauses(read)?, streams::backlogs(read)?);
        let items = readings.iter().map(|reading| Told::of(reading, &lags, &pauses, &backlogs)).collect();
        written(&Page { items, next: None })
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// The subscription of this id.
async fn found(edge: &Edge, id: &str) -> Result<Reading, Problem> {
    let mut all = operate::readings(edge).await?.into_iter();
    all.find(|reading| id_of(&reading.reader, &reading.to) == id).ok_or_else(|| Problem::unknown("subscription", id))
}

async fn one(State(edge): State<Shared>, Text(id): Text) -> Result<Response, Problem> {
    answer(&edge, &id).await
}

async fn answer(edge: &Edge, id: &str) -> Result<Response, Problem> {
    let reading = found(edge, id).await?;
    let body = edge.query(move |read| {
        let pair = (reading.reader.clone(), reading.to.clone());
        let (lags, pauses, backlogs) = (streams::lags(read, &[pair])?, streams::pauses(read)?, streams::backlogs(read)?);
        written(&Told::of(&reading, &lags, &pauses, &backlogs))
    });
    Ok(json(StatusCode::OK, body.await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Why {
    reason: Option<String>,
}

async fn pause(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::reason(reason)?;
    let Reading { reader, to, .. } = found(&edge, &id).await?;
    operate::decide(&edge, order.actor, Decision::Pause { reader, to, reason }).await?;
    answer(&edge, &id).await
}

async fn resume(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    let Reading { reader, to, .. } = found(&edge, &id).await?;
    operate::decide(&edge, order.actor, Decision::Resume { reader, to, reason }).await?;
    answer(&edge, &id).await
}
