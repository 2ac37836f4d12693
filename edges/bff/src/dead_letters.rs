//! Dead letters: seen, edited, replayed and discarded, one by one or all that a filter finds; and the messages that wait and are not dead.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use seedwork::executor::{Decided, Decision, Letter, letter_id};
use seedwork::operator::letters::{self, Letters};
use seedwork::store::Partition;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{document, json, written};
use crate::away::{Asked, ask_holder, is_sent_on};
use crate::body;
use crate::operate;
use crate::pages::{self, Page};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Edge, Here, Shared, Text};

mod told;

use told::{Told, Whole, id_of};

/// Dead letters that one bulk decides on at most.
pub const BULK_MAX: usize = 1_000;

/// Pages of waiting messages that one dry run looks at.
const PAGES: usize = 50;

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
    operate::decide(&edge, order.actor, decision).await?;
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
    /// Those that were not as they had been seen: nothing was done about them.
    changed: Vec<Changed>,
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
    let Decided::Letters { changed, .. } = operate::decide(&edge, order.actor, decision).await? else {
        return Err(Problem::internal());
    };
    match changed.first() {
        Some((_, refusal)) if refusal.code == "unknown" => Err(unknown(&id, true)),
        Some((_, refusal)) => Err(Problem::refused(refusal, |field| field.into())),
        None => document(StatusCode::OK, &Done { done: vec![id], changed: Vec::new() }),
    }
}

/// What is done to many letters: all that a filter finds, which only a dry run does, or those that are named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Bulk {
    filter: Option<Filter>,
    #[serde(default)]
    dry_run: bool,
    letters: Option<Vec<Seen>>,
    reason: Option<String>,
}

/// What a dry run found.
#[derive(Serialize)]
struct Found {
    dry_run: bool,
    count: usize,
    /// Whether there are more than are listed.
    more: bool,
    letters: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    id: String,
    revision: u64,
}

async fn bulk(State(edge): State<Shared>, request: Request, verb: Verb) -> Result<Response, Problem> {
    let (parts, order) = operate::order(&edge, request).await?;
    let Bulk { filter, dry_run, letters, reason } = body::json(&order.body)?;
    let wrong = |why: &str, field: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bulk-invalid", why.to_owned()).at(field);
    match (filter, letters, dry_run) {
        (Some(filter), None, true) => dry(&edge, filter).await,
        (None, Some(letters), false) => {
            let reason = operate::optional_reason(reason)?;
            act(&edge, &parts, order.actor, verb, &letters, reason).await
        }
        (Some(_), None, false) => Err(wrong("a filter is for a dry run: send it with dry_run, then its letters", "dry_run")),
        (None, Some(_), true) => Err(wrong("a dry run looks by a filter: send that, or leave dry_run out", "dry_run")),
        (Some(_), Some(_), _) => Err(wrong("a filter and letters exclude each other", "letters")),
        (None, None, _) => Err(wrong("send a filter with dry_run, or the letters that a dry run listed", "letters")),
    }
}

async fn dry(edge: &Edge, filter: Filter) -> Result<Response, Problem> {
    let filter = filter.letters(true, false);
    let body = edge.query(move |read| {
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..PAGES {
            let left = BULK_MAX - found.len();
            let page = letters::letters(read, &filter, after.as_deref(), left)?;
            found.extend(page.items.iter().map(|letter| Named { id: id_of(letter), revision: letter.revision }));
            after = page.next;
            if after.is_none() || found.len() == BULK_MAX {
                break;
            }
        }
        written(&Found { dry_run: true, count: found.len(), more: after.is_some(), letters: found })
    });
    Ok(json(StatusCode::OK, body.await?))
}

async fn act(
    edge: &Edge,
    parts: &Parts,
    actor: Arc<str>,
    verb: Verb,
    seen: &[Seen],
    reason: Option<String>,
) -> Result<Response, Problem> {
    if seen.is_empty() || seen.len() > BULK_MAX {
        let why = format!("1 to {BULK_MAX} letters are decided on at a time");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bulk-invalid", why).at("letters"));
    }
    let mut by_partition: Vec<(Partition, Vec<Letter>)> = Vec::new();
    for (at, Seen { id, revision }) in seen.iter().enumerate() {
        let (partition, number) = place(id).ok_or_else(|| {
            let why = format!("{id:?} is no dead letter's id");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bulk-invalid", why).at(format!("letters[{at}].id"))
        })?;
        let letter = Letter { number, revision: *revision };
        match by_partition.iter_mut().find(|(of, _)| *of == partition) {
            Some((_, letters)) if letters.iter().any(|other| other.number == number) => {}
            Some((_, letters)) => letters.push(letter),
            None => by_partition.push((partition, vec![letter])),
        }
    }
    let mut all = Done::default();
    for (partition, letters) in by_partition {
        let id = |number: u64| letter_id(&partition, number);
        let asked = letters.clone();
        let decision = decision(verb, partition.clone(), letters, reason.clone())?;
        if !held(edge, &partition).await? {
            all.changed.extend(asked.iter().map(|letter| Changed {
                id: id(letter.number),
                code: "unknown".to_owned(),
                detail: "there is no such partition".to_owned(),
            }));
            continue;
        }
        match operate::decide(edge, actor.clone(), decision).await {
            Ok(Decided::Letters { done, changed }) => {
                all.done.extend(done.into_iter().map(id));
                all.changed.extend(changed.into_iter().map(|(number, refusal)| Changed {
                    id: id(number),
                    code: refusal.code.into_owned(),
                    detail: refusal.message,
                }));
            }
            Ok(_) => return Err(Problem::internal()),
            Err(problem) if problem.is_elsewhere().is_some() => {
                let there = elsewhere(edge, parts, &partition, &asked, reason.as_deref()).await;
                let Done { done, changed } =
                    there.unwrap_or_else(|| Done { changed: not_known(&partition, &asked), ..Done::default() });
                all.done.extend(done);
                all.changed.extend(changed);
            }
            // What was done in other partitions before is done: the answer says so.
            Err(_) => all.changed.extend(not_known(&partition, &asked)),
        }
    }
    document(StatusCode::OK, &all)
}

fn not_known(partition: &Partition, letters: &[Letter]) -> Vec<Changed> {
    let of = |letter: &Letter| Changed {
        id: letter_id(partition, letter.number),
        code: "unavailable".to_owned(),
        detail: "whether this was done is not known: look, and ask again".to_owned(),
    };
    letters.iter().map(of).collect()
}

/// Has letters decided on by the replica that holds them. None: it is not known what became of them.
async fn elsewhere(edge: &Edge, parts: &Parts, partition: &Partition, letters: &[Letter], reason: Option<&str>) -> Option<Done> {
    if is_sent_on(&parts.headers) {
        return None;
    }
    let named = |letter: &Letter| Seen { id: letter_id(partition, letter.number), revision: letter.revision };
    let body = serde_json::json!({"letters": letters.iter().map(named).collect::<Vec<_>>(), "reason": reason});
    let to = parts.uri.path_and_query().cloned()?;
    match ask_holder(edge, partition, parts, to, body.to_string().into()).await {
        Ok(Asked::Answer(answer)) if answer.status() == StatusCode::OK => serde_json::from_slice(answer.body()).ok(),
        Ok(Asked::Answer(answer)) => {
            tracing::warn!(%partition, status = %answer.status(), "another replica has not decided on dead letters");
            None
        }
        Ok(Asked::Not(_)) | Err(_) => None,
    }
}
