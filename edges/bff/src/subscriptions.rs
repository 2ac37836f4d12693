//! Subscriptions: each context's reading of each partition of a topic, how far it is, paused and resumed.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decision, Reading};
use seedwork::operator::streams::{self, Backlog, Lag, Pause, topic_of};
use seedwork::store::{Destination, Partition, Place};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wire::values::Timestamp;

use crate::answer::{json, written};
use crate::away::{Asked, ask_holder, is_sent_on, unheld};
use crate::body;
use crate::operate;
use crate::pages::Page;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Edge, Here, Shared, Text};

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
    /// reading, paused, gap: rows are missing, and nothing more is taken on that way until they come or are skipped; or behind: an older
    /// copy of the store was restored, and nothing is taken until a new epoch begins.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<&'a str>,
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
        let Reading { reader, to, paused, gaps, behind } = reading;
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
            state: match (behind, paused, gaps.is_empty()) {
                (Some(_), ..) => "behind",
                (None, true, _) => "paused",
                (None, false, false) => "gap",
                (None, false, true) => "reading",
            },
            behind: behind.as_deref(),
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

async fn list(State(edge): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let readings = operate::readings(&edge).await?;
    let held: BTreeSet<u16> = readings.iter().map(|reading| reading.reader.number).collect();
    let own = edge.query(move |read| {
        let pairs: Vec<_> = readings.iter().map(|reading| (reading.reader.clone(), reading.to.clone())).collect();
        let (lags, pauses, backlogs) = (streams::lags(read, &pairs)?, streams::pauses(read)?, streams::backlogs(read)?);
        let told = |reading| {
            let told = serde_json::value::to_raw_value(&Told::of(reading, &lags, &pauses, &backlogs));
            told.map(|told| (reading.reader.number, told)).map_err(|error| error.to_string())
        };
        readings.iter().map(told).collect::<Result<Vec<_>, String>>()
    });
    let mut all = own.await?;
    all.extend(others(&edge, &parts, held).await?);
    all.sort_by_key(|(partition, _)| *partition);
    let items = all.into_iter().map(|(_, told)| told).collect();
    Ok(json(StatusCode::OK, written(&Page { items, next: None }).map_err(unwritten)?))
}

/// What another replica tells of its own.
#[derive(Deserialize)]
struct Others {
    items: Vec<Box<RawValue>>,
}

/// The partition of a subscription that another replica tells.
#[derive(Deserialize)]
struct Partitioned {
    partition: u16,
}

/// The subscriptions of the partitions that other replicas hold. All of them: a list that leaves some out would look like the whole.
async fn others(edge: &Edge, parts: &Parts, mut held: BTreeSet<u16>) -> Result<Vec<(u16, Box<RawValue>)>, Problem> {
    let Here { replicas: Some(replicas), only: Some(only), .. } = edge.here()? else { return Ok(Vec::new()) };
    if is_sent_on(&parts.headers) {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for number in 0..replicas.partitions() {
        if held.contains(&number) {
            continue;
        }
        let partition = Partition { context: (*only).into(), number };
        let to = PathAndQuery::from_static("/v1/subscriptions");
        let answer = match ask_holder(edge, &partition, parts, to, Bytes::new()).await? {
            Asked::Answer(answer) if answer.status() == StatusCode::OK => answer,
            Asked::Answer(answer) => {
                tracing::warn!(%partition, status = %answer.status(), "another replica does not tell its subscriptions");
                return Err(unheld(&partition));
            }
            Asked::Not(why) => return Err(why),
        };
        let Others { items } = serde_json::from_slice(answer.body()).map_err(unwritten)?;
        for told in items {
            let Partitioned { partition } = serde_json::from_str(told.get()).map_err(unwritten)?;
            if !held.contains(&partition) {
                all.push((partition, told));
            }
        }
        held.extend(all.iter().map(|(partition, _)| *partition));
        if !held.contains(&number) {
            return Err(unheld(&partition));
        }
    }
    Ok(all)
}

fn unwritten(why: impl std::fmt::Display) -> Problem {
    tracing::error!(%why, "subscriptions cannot be told");
    Problem::internal()
}

/// The subscription of this id.
pub(crate) async fn found(edge: &Edge, id: &str) -> Result<Reading, Problem> {
    let all = operate::readings(edge).await?;
    if let Some(reading) = all.iter().find(|reading| id_of(&reading.reader, &reading.to) == id) {
        return Ok(reading.clone());
    }
    let mut parts = id.splitn(3, ':');
    let partition = match (parts.next(), parts.next().and_then(|number| number.parse().ok()), edge.here()?) {
        (Some(context), Some(number), Here { replicas: Some(replicas), only: Some(only), .. })
            if context == *only && number < replicas.partitions() =>
        {
            Some(Partition { context: context.into(), number })
        }
        _ => None,
    };
    // What this replica holds it knows all of.
    match partition.filter(|partition| all.iter().all(|reading| reading.reader != *partition)) {
        Some(partition) => Err(Problem::elsewhere(partition)),
        None => Err(Problem::unknown("subscription", id)),
    }
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
    operate::decide(&edge, order.by, Decision::Pause { reader, to, reason }).await?;
    answer(&edge, &id).await
}

async fn resume(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason } = body::json_or_nothing(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    let Reading { reader, to, .. } = found(&edge, &id).await?;
    operate::decide(&edge, order.by, Decision::Resume { reader, to, reason }).await?;
    answer(&edge, &id).await
}
