//! `/metrics`: what there is to see, in the text format of Prometheus. docs/operations.md explains each.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::get;
use seedwork::view::{Read, Value};

use crate::problem::Problem;
use crate::routes::Routes;
use crate::{Here, Home, Shared, Stream};

mod disk;
mod requests;
mod spans;
mod text;

pub(crate) use disk::{Disk, watch};
pub(crate) use requests::{Requests, counted};
pub use spans::{RequestSpan, Spans};
use text::Text;

/// Sagas under way of which it is looked which are late; with more, the number is a lower bound.
const LOOKED_AT: i64 = 5_000;

pub(crate) fn routes() -> Routes {
    Routes::new().route("/metrics", get(metrics))
}

/// A saga's states, and what each is told as; those that have ended without an exception are not counted one by one.
const STATES: [(&str, &str); 3] = [("running", "running"), ("undoing", "undoing"), ("stuck", "stuck")];

async fn metrics(State(edge): State<Shared>) -> Result<Response, Problem> {
    let mut text = Text::default();
    edge.requests.write(&mut text);
    let subscribers = match &edge.home {
        Home::Here(here) => {
            of_the_owner(here, &mut text);
            here.stream.as_ref().map_or(0, Stream::subscribers)
        }
        Home::Away(_, live) => live.subscribers(),
    };
    text.one("alpes_stream_subscribers", "gauge", "Subscribers of the live stream.", subscribers);
    let (bytes, growth) = edge.disk.look(edge.ids.monotonic());
    text.one("alpes_store_bytes", "gauge", "Bytes of the store's files.", bytes);
    text.one("alpes_store_growth_bytes_per_day", "gauge", "Bytes a day by which they grow, over the last day.", growth);
    of_the_process(&mut text);
    let now = edge.ids.now();
    // What the store cannot tell at the moment is left out; the rest is needed then more than ever.
    let up = match edge.query(move |read| of_the_store(read, now)).await {
        Ok(told) => {
            text.0.push_str(&told.0);
            1
        }
        Err(_) => 0,
    };
    text.one("alpes_store_readable", "gauge", "1 when the store could be read for this answer.", up);
    let mut response = Response::new(Body::from(text.0));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(text::TYPE));
    Ok(response)
}

fn of_the_owner(here: &Here, text: &mut Text) {
    let measured = here.owner.measured();
    let counters = measured.counters;
    for (name, help, value) in [
        ("alpes_commits_total", "Commits.", counters.commits),
        ("alpes_inputs_total", "Inputs settled: commands, messages, alarms, operators' decisions.", counters.inputs),
        ("alpes_duplicates_total", "Messages dropped because they had been here before.", counters.duplicates),
        ("alpes_gaps_total", "Messages dropped because one before them was missing.", counters.gaps),
        ("alpes_gap_alarms_total", "Times a gap did not heal by itself.", counters.gap_alarms),
        ("alpes_waited_total", "Messages that were moved to the waiting table.", counters.waiting),
        ("alpes_dead_letters_total", "Messages that became dead letters.", counters.dead_letters),
        ("alpes_abandoned_total", "Commands not begun, because whoever asked had gone.", counters.abandoned),
    ] {
        text.one(name, "counter", help, value);
    }
    text.metric("alpes_batch_inputs", "histogram", "Inputs of a batch, which is one commit.");
    text.histogram("alpes_batch_inputs", &[], &measured.batches, 1.0);
    text.metric("alpes_commit_seconds", "histogram", "From a batch that has been run to its being on the disk.");
    text.histogram("alpes_commit_seconds", &[], &measured.commits, 0.000_001);
    text.metric("alpes_sagas_ended_total", "counter", "Sagas that have ended, by how.");
    for ((context, saga, outcome), count) in &measured.ended {
        text.value("alpes_sagas_ended_total", &[("context", context), ("saga", saga), ("outcome", outcome)], count);
    }
    text.one(
        "alpes_store_paused",
        "gauge",
        "1 while the store cannot be written and the owner waits.",
        u8::from(measured.paused),
    );
    text.one("alpes_queue_depth", "gauge", "Commands that wait for the owner.", here.owner.depth());
    text.one("alpes_queue_capacity", "gauge", "How many may; more are answered 503.", seedwork::executor::owner::CAPACITY);
}

fn of_the_store(read: &dyn Read, now: i64) -> Result<Text, String> {
    let mut text = Text::default();
    let number = |row: &[Value], place: usize| row.get(place).and_then(Value::integer).unwrap_or(0);
    let word = |row: &[Value], place: usize| row.get(place).and_then(Value::text).unwrap_or_default().to_owned();

    let sql = "SELECT stage, count(*) FROM saga WHERE stage NOT IN ('completed', 'undone') GROUP BY stage";
    let stages = read.select(sql, &[])?;
    text.metric("alpes_sagas", "gauge", "Sagas that have not ended, by where they stand.");
    for (stage, state) in STATES {
        let count = stages.iter().find(|row| word(row, 0) == stage).map_or(0, |row| number(row, 1));
        text.value("alpes_sagas", &[("state", state)], count);
    }
    let sql =
        "SELECT body FROM saga WHERE stage IN ('running', 'undoing', 'stuck') AND stage NOT IN ('completed', 'undone') LIMIT $1";
    let under_way = read.select(sql, &[LOOKED_AT.into()])?;
    let late = |row: &Vec<Value>| {
        serde_json::from_str::<seedwork::SagaRecord>(row.first()?.text()?).ok().map(|record| u64::from(record.run.late))
    };
    let late: u64 = under_way.iter().filter_map(late).sum();
    text.one("alpes_sagas_late", "gauge", "Sagas past the deadline of their row, still waiting.", late);

    let waiting = read.select("SELECT dead, count(*), min(since) FROM waiting GROUP BY dead", &[])?;
    let of = |dead: i64| waiting.iter().find(|row| number(row, 0) == dead);
    for (dead, name, help, oldest, oldest_help) in [
        (
            0,
            "alpes_waiting_messages",
            "Messages in the waiting table that are no dead letters.",
            "alpes_oldest_waiting_seconds",
            "How long the oldest of them has waited.",
        ),
        (
            1,
            "alpes_dead_letters",
            "Dead letters that wait for an operator.",
            "alpes_oldest_dead_letter_seconds",
            "How long the oldest of them has waited.",
        ),
    ] {
        text.one(name, "gauge", help, of(dead).map_or(0, |row| number(row, 1)));
        let age = of(dead).map_or(0, |row| now.saturating_sub(number(row, 2)).max(0));
        text.one(oldest, "gauge", oldest_help, age as f64 / 1_000_000.0);
    }

    let sql = "SELECT reader.text, origin.text, topic.text, destination.position, mark.position FROM destination
        JOIN mark ON mark.origin = destination.partition AND mark.topic = destination.topic
            AND mark.number = destination.number AND mark.epoch = destination.epoch
        JOIN name reader ON reader.id = mark.partition JOIN name origin ON origin.id = destination.partition
        JOIN name topic ON topic.id = destination.topic ORDER BY 1, 2, 3";
    text.metric(
        "alpes_lag_rows",
        "gauge",
        "Rows of a stream that lie between what was sent last to a reader and what it took last.",
    );
    for row in read.select(sql, &[])? {
        let labels = [("reader", word(&row, 0)), ("stream", word(&row, 1)), ("topic", word(&row, 2))];
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        text.value("alpes_lag_rows", &labels, number(&row, 3).saturating_sub(number(&row, 4)).max(0));
    }
    Ok(text)
}

/// What the machine tells of this process (Linux; elsewhere nothing is known).
fn of_the_process(text: &mut Text) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let named =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse::<u64>().ok();
    if let Some(kilobytes) = named("VmRSS:") {
        text.one("process_resident_memory_bytes", "gauge", "Memory of this process.", kilobytes * 1024);
    }
}
