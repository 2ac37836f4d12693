//! Dead letters: seen, edited, replayed and discarded, one by one or all that a filter finds; and the messages that wait and are not dead.

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decided, Decision, Letter};
use seedwork::operator::letters::{self, Letters};
use seedwork::store::Partition;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{document, json, written};
use crate::body;
use crate::operate;
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Edge, Here, Shared, Text};

mod bulk;
mod told;

use bulk::bulk;
use told::{Told, Whole};

/// Dead letters that one bulk decides on at most.
pub const BULK_MAX: usize = 1_000;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/dead-letters", get(|edge, uri| list(edge, uri, true)))
        .route("/v1/dead-letters/replay", post(|edge, request| bulk(edge, request, Verb::Replay)))
        .route("/v1/dead-letters/discard", post(|edge, request| bulk(edge, request, Verb::Discard)))
        .route("/v1/dead-letters/{id}", get(|edge, id| one(edge, id, true)))
        .route("/v1/dead-letters/{id}/edit", post(edit))
        .route("/v1/dead-letters/{id}/replay", post(|edge, id, request| single(edge, id, request, Verb::Replay)))
        .route("/v1/dead-letters/{id}/discard", post(|edge, id, request| single(edge, id, request, Verb::Discard)))
        .route("/v1/waiting", get(|edge, uri| list(edge, uri, false)))
        .route("/v1/waiting/{id}", get(|edge, id| one(edge, id, false)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Replay,
    Discard,
}

/// What letters are looked for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Filter {
    context: Option<String>,
    kind: Option<String>,
    key: Option<String>,
    lane: Option<String>,
    saga: Option<String>,
    reason: Option<String>,
}

impl Filter {
    fn letters(self, dead: bool, newest_first: bool) -> Letters {
        let Filter { context, kind, key, lane, saga, reason } = self;
        Letters { dead, context, kind, key, lane, saga, reason, newest_first }
    }
}

/// The parameters of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    order: Option<String>,
    context: Option<String>,
    kind: Option<String>,
    key: Option<String>,
    lane: Option<String>,
    saga: Option<String>,
    reason: Option<String>,
}

async fn list(State(edge): State<Shared>, uri: Uri, dead: bool) -> Result<Response, Problem> {
    let Parameters { limit, cursor, order, context, kind, key, lane, saga, reason } = pages::parameters(&uri)?;
    let limit = pages::limit(limit.as_deref())?;
    let after = pages::numbers(cursor.as_deref(), 2)?;
    let newest_first = pages::newest_first(order.as_deref())?;
    let filter = Filter { context, kind, key, lane, saga, reason }.letters(dead, newest_first);
    let body = edge.query(move |read| {
        let page = letters::letters(read, &filter, after.as_deref(), limit)?;
        written(&Page { items: page.items.iter().map(Told::of).collect(), next: page.next.map(|next| pages::joined(&next)) })
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// Where a letter waits, and its number there, from its id.
fn place(id: &str) -> Option<(Partition, u64)> {
    let (rest, number) = id.rsplit_once(':')?;
    let (context, partition) = rest.rsplit_once(':')?;
    Some((Partition { context: context.into(), number: partition.parse().ok()? }, number.parse().ok()?))
}

/// Whether there is such a partition.
async fn held(edge: &Edge, partition: &Partition) -> Result<bool, Problem> {
    if let Here { replicas: Some(replicas), only: Some(only), .. } = edge.here()? {
        return Ok(*only == &*partition.context && partition.number < replicas.partitions());
    }
    Ok(operate::readings(edge).await?.iter().any(|reading| reading.reader == *partition))
}

fn unknown(id: &str, dead: bool) -> Problem {
    Problem::unknown(if dead { "dead letter" } else { "waiting message" }, id)
}

async fn one(State(edge): State<Shared>, Text(id): Text, dead: bool) -> Result<Response, Problem> {
    let (partition, number) = place(&id).ok_or_else(|| unknown(&id, dead))?;
    let found = edge.query(move |read| {
        let whole = letters::letter_of(read, &partition, number)?.filter(|whole| whole.letter.dead == dead);
        whole.map(|whole| written(&Whole::of(&whole))).transpose()
    });
    found.await?.map(|body| json(StatusCode::OK, body)).ok_or_else(|| unknown(&id, dead))
}

/// A letter as it was seen: whoever names its revision decides on exactly that.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Seen {
    id: String,
    revision: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Why {
    reason: Option<String>,
    revision: Option<u64>,
}

/// A new body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Edited<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
    reason: Option<String>,
    revision: Option<u64>,
}

async fn edit(State(edge): State<Shared>, Text(id): Text, request: Request) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Edited { body, reason, revision } = body::json(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    let (partition, number) = place(&id).ok_or_else(|| unknown(&id, true))?;
    let (letter, body) = (Letter { number, revision }, body.get().as_bytes().to_vec());
    if !held(&edge, &partition).await? {
        return Err(unknown(&id, true));
    }
    let decision = Decision::Edit { partition: partition.clone(), letter, body, reason };
    operate::decide(&edge, order.by, decision).await?;
    let whole = edge.just_written(|read| {
        letters::letter_of(read, &partition, number)?.map(|whole| written(&Whole::of(&whole))).transpose()
    })?;
    whole.map(|body| json(StatusCode::OK, body)).ok_or_else(|| unknown(&id, true))
}

fn decision(verb: Verb, partition: Partition, letters: Vec<Letter>, reason: Option<String>) -> Result<Decision, Problem> {
    Ok(match verb {
        Verb::Replay => Decision::Replay { partition, letters, reason },
        Verb::Discard => Decision::Discard { partition, letters, reason: operate::reason(reason)? },
    })
}

/// What became of the letters that were decided on.
#[derive(Default, Deserialize, Serialize)]
struct Done {
    done: Vec<String>,
    /// Those about which nothing was done: not as they had been seen, or not decided at all. Of one with the code `unavailable` that is not
    /// known.
    changed: Vec<Changed>,
}

impl Done {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.changed.is_empty()
    }
}

#[derive(Deserialize, Serialize)]
struct Changed {
    id: String,
    code: String,
    detail: String,
}

async fn single(State(edge): State<Shared>, Text(id): Text, request: Request, verb: Verb) -> Result<Response, Problem> {
    let (_, order) = operate::order(&edge, request).await?;
    let Why { reason, revision } = body::json_or_nothing(&order.body)?;
    let reason = operate::optional_reason(reason)?;
    let (partition, number) = place(&id).ok_or_else(|| unknown(&id, true))?;
    if !held(&edge, &partition).await? {
        return Err(unknown(&id, true));
    }
    let decision = decision(verb, partition, vec![Letter { number, revision }], reason)?;
    let Decided::Letters { changed, .. } = operate::decide(&edge, order.by, decision).await? else {
        return Err(Problem::internal());
    };
    match changed.first() {
        Some((_, refusal)) if refusal.code == "unknown" => Err(unknown(&id, true)),
        Some((_, refusal)) => Err(Problem::refused(refusal, |field| field.into())),
        None => document(StatusCode::OK, &Done { done: vec![id], changed: Vec::new() }),
    }
}
