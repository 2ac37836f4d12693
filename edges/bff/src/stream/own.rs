//! The past of one context, told by its service: the log from a place to its present, where it ends. What is new the edge in front hears.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use seedwork::operator::streams;
use seedwork::store::{Partition, Place};
use seedwork::view::Read;

use super::filter::Filter;
use super::place::Places;
use super::replay::{self, Missing};
use super::{Asked, FRUITLESS, LIVE, checked, comment, events, resync};
use crate::problem::Problem;
use crate::{Here, Shared};

/// Where the logs of these partitions are.
fn heads(read: &dyn Read, partitions: &[Partition]) -> Result<Places, String> {
    let mut heads = Places::beginning(partitions);
    for stream in streams::streams(read)? {
        if let Some(partition) = partitions.iter().position(|partition| *partition == stream.partition) {
            heads.advance(partition, Place { epoch: stream.epoch, position: stream.head });
        }
    }
    Ok(heads)
}

pub(super) async fn past(edge: &Shared, asked: Option<Asked<'_>>, filter: Filter, follows: bool) -> Result<Response, Problem> {
    let Here { replicas: Some(replicas), only: Some(only), .. } = edge.here()? else { return Err(none()) };
    if follows {
        return Err(none());
    }
    let partitions = (0..replicas.partitions()).map(|number| Partition { context: (*only).into(), number });
    let partitions: Vec<Partition> = partitions.collect();
    let of = partitions.clone();
    let head = edge.query(move |read| heads(read, &of)).await?;
    let places = match asked {
        Some(asked) => {
            let places = asked.places(&partitions)?;
            checked(edge, &partitions, &places, head, asked.field).await?;
            places
        }
        None => head,
    };
    let told = Told { edge: edge.clone(), partitions, places, filter, ended: false };
    let body = stream::unfold(told, async |mut told| {
        let bytes = told.next().await?;
        Some((Ok::<_, Infallible>(bytes), told))
    });
    Ok(events(Body::from_stream(body)))
}

fn none() -> Problem {
    let why = "this is the service of one context, and tells its past alone: add follow=false, or ask the bff, which sees every context";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no-stream", why)
}

/// How far it has told.
struct Told {
    edge: Shared,
    partitions: Vec<Partition>,
    places: Places,
    filter: Filter,
    ended: bool,
}

impl Told {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut text = String::new();
        for _ in 0..FRUITLESS {
            let (partitions, places, filter) = (self.partitions.clone(), self.places.clone(), self.filter.clone());
            let piece = self.edge.catch_up(move |read| Ok(replay::piece(read, &partitions, &places, &filter))).await;
            let missing = match piece {
                Ok(Ok(piece)) => {
                    self.places = piece.places;
                    text = piece.text;
                    if piece.end {
                        self.ended = true;
                        comment(LIVE, &self.places, &self.partitions, &mut text);
                    }
                    if text.is_empty() {
                        continue;
                    }
                    return Some(text.into());
                }
                Ok(Err(Missing::Dropped)) => "the log no longer has what comes next",
                Ok(Err(Missing::Broken(why))) => {
                    tracing::error!(why, "the log cannot be read");
                    "the log cannot be read at the moment"
                }
                Err(_) => "the log cannot be read at the moment",
            };
            self.ended = true;
            return Some(resync(missing));
        }
        comment(":\n", &self.places, &self.partitions, &mut text);
        Some(text.into())
    }
}
