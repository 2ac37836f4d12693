//! Dead letters decided on in bulk: those that a dry run listed, wherever their partitions are held.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use seedwork::executor::{Decided, Letter, letter_id};
use seedwork::operator::letters;
use seedwork::store::Partition;
use serde::{Deserialize, Serialize};

use super::told::id_of;
use super::{BULK_MAX, Changed, Done, Filter, Seen, Verb, decision, held, place};
use crate::answer::{document, json, written};
use crate::away::{AGAIN, Asked, ask_holder, is_sent_on};
use crate::body;
use crate::operate::{self, By};
use crate::problem::Problem;
use crate::submit::FIRST_MAX;
use crate::{Edge, Shared};

/// Pages of waiting messages that one dry run looks at.
const PAGES: usize = 50;

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

pub(super) async fn bulk(State(edge): State<Shared>, request: Request, verb: Verb) -> Result<Response, Problem> {
    let (parts, order) = operate::order(&edge, request).await?;
    let Bulk { filter, dry_run, letters, reason } = body::json(&order.body)?;
    let wrong = |why: &str, field: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bulk-invalid", why.to_owned()).at(field);
    match (filter, letters, dry_run) {
        (Some(filter), None, true) => dry(&edge, filter).await,
        (None, Some(letters), false) => {
            let reason = operate::optional_reason(reason)?;
            act(&edge, &parts, order.by, verb, &letters, reason).await
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

async fn act(edge: &Edge, parts: &Parts, by: By, verb: Verb, seen: &[Seen], reason: Option<String>) -> Result<Response, Problem> {
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
    let until = edge.ids.monotonic() + FIRST_MAX;
    let deciding = Deciding { edge, parts, by, verb, reason };
    let mut all = Done::default();
    loop {
        let mut moving = Vec::new();
        for (partition, letters) in by_partition {
            match deciding.there(&partition, &letters).await? {
                Became::Told(told) => {
                    all.done.extend(told.done);
                    all.changed.extend(told.changed);
                }
                Became::Moving(problem) => moving.push((partition, letters, problem)),
            }
        }
        if is_sent_on(&parts.headers)
            && all.is_empty()
            && let Some((.., problem)) = moving.pop()
        {
            // Whoever sent it on looks for the holder again.
            return Err(problem);
        }
        if moving.is_empty() || edge.ids.monotonic() + AGAIN >= until {
            let why = "nothing was done: its partition is changing hands; ask again in some seconds";
            all.changed.extend(moving.iter().flat_map(|(partition, letters, _)| left(partition, letters, "not-decided", why)));
            return document(StatusCode::OK, &all);
        }
        tokio::time::sleep(AGAIN).await;
        by_partition = moving.into_iter().map(|(partition, letters, _)| (partition, letters)).collect();
    }
}

/// What came of deciding on the letters of one partition.
enum Became {
    Told(Done),
    /// Nothing was done: nobody holds it now, or whoever held it does no more.
    Moving(Problem),
}

/// A decision on many letters.
struct Deciding<'a> {
    edge: &'a Edge,
    parts: &'a Parts,
    by: By,
    verb: Verb,
    reason: Option<String>,
}

impl Deciding<'_> {
    /// Decides on the letters of one partition, here or where it is held.
    async fn there(&self, partition: &Partition, letters: &[Letter]) -> Result<Became, Problem> {
        let left = |code, why| Became::Told(Done { changed: left(partition, letters, code, why), ..Done::default() });
        let decision = decision(self.verb, partition.clone(), letters.to_vec(), self.reason.clone())?;
        if !held(self.edge, partition).await? {
            return Ok(left("unknown", "there is no such partition"));
        }
        let not_known = || left("unavailable", "whether this was done is not known: look, and ask again");
        match operate::decide(self.edge, self.by.clone(), decision).await {
            Ok(Decided::Letters { done, changed }) => {
                let id = |number: u64| letter_id(partition, number);
                let changed = changed.into_iter().map(|(number, refusal)| Changed {
                    id: id(number),
                    code: refusal.code.into_owned(),
                    detail: refusal.message,
                });
                Ok(Became::Told(Done { done: done.into_iter().map(id).collect(), changed: changed.collect() }))
            }
            Ok(_) => Err(Problem::internal()),
            Err(problem) if problem.is_elsewhere().is_some() => {
                if is_sent_on(&self.parts.headers) {
                    return Ok(Became::Moving(problem));
                }
                Ok(self.elsewhere(partition, letters).await.unwrap_or_else(not_known))
            }
            // What was done in other partitions before is done: the answer says so.
            Err(_) => Ok(not_known()),
        }
    }

    /// Has letters decided on by the replica that holds them. None: it is not known what became of them.
    async fn elsewhere(&self, partition: &Partition, letters: &[Letter]) -> Option<Became> {
        let named = |letter: &Letter| Seen { id: letter_id(partition, letter.number), revision: letter.revision };
        let body = serde_json::json!({"letters": letters.iter().map(named).collect::<Vec<_>>(), "reason": self.reason});
        let to = self.parts.uri.path_and_query().cloned()?;
        match ask_holder(self.edge, partition, self.parts, to, body.to_string().into()).await {
            Ok(Asked::Answer(answer)) if answer.status() == StatusCode::OK => {
                serde_json::from_slice(answer.body()).ok().map(Became::Told)
            }
            Ok(Asked::Answer(answer)) => {
                tracing::warn!(%partition, status = %answer.status(), "another replica has not decided on dead letters");
                None
            }
            Ok(Asked::Not(why)) => Some(Became::Moving(why)),
            Err(_) => None,
        }
    }
}

/// Letters about which nothing is said but this.
fn left(partition: &Partition, letters: &[Letter], code: &str, why: &str) -> Vec<Changed> {
    let of = |letter: &Letter| Changed { id: letter_id(partition, letter.number), code: code.to_owned(), detail: why.to_owned() };
    letters.iter().map(of).collect()
}
