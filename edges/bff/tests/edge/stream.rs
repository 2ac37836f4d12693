//! The live stream: everything that is said, once, in order, for whoever was there and whoever was away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use seedwork::message::{Envelope, Packet};
use seedwork::store::{Destination, LogRow, Partition, Place, Route, Writes};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Answer, Edge, answer, campaign};

/// Nothing takes longer on a machine that works.
const BOUND: Duration = Duration::from_secs(30);

/// A subscriber.
struct Reader {
    body: Body,
    text: String,
    /// The id of the last block that had one.
    id: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Reader {
    async fn open(edge: &Edge, path: &str, last: Option<&str>) -> Reader {
        Reader::try_open(edge, path, last).await.unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    async fn try_open(edge: &Edge, path: &str, last: Option<&str>) -> Result<Reader, Answer> {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = edge.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if response.status() != 200 {
            return Err(answer(response).await);
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Reader { body: response.into_body(), text: String::new(), id: String::new() })
    }

    /// The next block that is an event; None when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (mut name, mut data) = (String::new(), String::new());
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => self.id = id.to_owned(),
                        Some(("event", event)) => name = event.to_owned(),
                        Some(("data", text)) => data.push_str(text),
                        Some(("retry", _)) => {}
                        _ => assert!(line.starts_with(':'), "{line:?} is no line of an event stream"),
                    }
                }
                self.text = rest.to_owned();
                if !data.is_empty() {
                    return Some(Event { id: self.id.clone(), name, data: serde_json::from_str(&data).unwrap() });
                }
            }
            let frame = tokio::time::timeout(BOUND, self.body.frame()).await.expect("something comes");
            self.text.push_str(std::str::from_utf8(&frame?.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn event(&mut self) -> Event {
        // Comments that say nothing come all the while.
        tokio::time::timeout(BOUND, self.next()).await.expect("an event comes").expect("the stream goes on")
    }

    /// So many events.
    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }
}

fn kinds(events: &[Event]) -> BTreeSet<&str> {
    events.iter().map(|event| event.data["type"].as_str().unwrap()).collect()
}

/// The messages' own ids: which row of the log each is.
fn rows(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data["id"].as_str().unwrap()).collect()
}

/// That each stream's rows come in their order, none twice.
fn in_order(events: &[Event]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows(events) {
        let (stream, position) = row.rsplit_once('/').unwrap();
        let position = position.parse().unwrap();
        let before = last.insert(stream.to_owned(), position);
        assert!(before < Some(position), "{row} comes after {before:?}");
    }
}

/// What the registration of a campaign with one participant says.
const REGISTRATION: [&str; 6] = [
    "campaign.activated.v1",
    "campaign.registered.v1",
    "campaign.reservation-approved.v1",
    "partner.enrolment-registered.v1",
    "partner.registered.v1",
    "tracking.event-recorded.v1",
];

#[tokio::test]
async fn whatever_is_said_is_heard_by_who_listens() {
    let edge = Edge::start();
    let mut reader = Reader::open(&edge, "/v1/stream", None).await;
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    let events = reader.events(REGISTRATION.len()).await;
    assert_eq!(kinds(&events), BTreeSet::from(REGISTRATION));
    in_order(&events);
    let first = &events[0];
    assert_eq!((first.name.as_str(), &first.data["subject"], &first.data["actor"]), ("", &json!("c-1"), &json!("local")));
    assert_eq!(first.data["CampaignRegistered"]["campaign"], "c-1", "an event is its whole message: {}", first.data);
    assert_eq!(edge.stream.subscribers(), 1);
    drop(reader);
    assert_eq!(edge.stream.subscribers(), 0);
}

#[tokio::test]
async fn who_comes_back_with_any_id_gets_exactly_what_it_missed() {
    let edge = Edge::start();
    for number in 0..5 {
        let campaign = campaign(&format!("c-{number}"), &["p-1", "p-2"]).to_string();
        assert_eq!(edge.wait("/v1/campaigns", campaign).await.status, 201);
    }
    let count = 5 * 9 - 4 * 2;
    let events = Reader::open(&edge, "/v1/stream?after=0", None).await.events(count).await;
    in_order(&events);
    for (at, event) in events.iter().enumerate() {
        let mut back = Reader::open(&edge, "/v1/stream?after=0", Some(&event.id)).await;
        assert_eq!(rows(&back.events(count - 1 - at).await), rows(&events[at + 1..]), "after {}", event.id);
    }
    // And nothing more: the next is what is said next.
    let mut back = Reader::open(&edge, "/v1/stream", Some(&events[count - 1].id)).await;
    edge.post("/v1/campaigns/c-0/pause", "").await;
    assert_eq!(back.event().await.data["type"], "campaign.paused.v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_log_to_what_is_live_nothing_is_lost_or_doubled() {
    let edge = Arc::new(Edge::start());
    const CAMPAIGNS: usize = 60;
    let load = tokio::spawn({
        let edge = edge.clone();
        async move {
            let one = |number| {
                let edge = edge.clone();
                async move {
                    edge.wait("/v1/campaigns", campaign(&format!("c-{number}"), &[&format!("p-{number}")]).to_string()).await
                }
            };
            let mut asked = tokio::task::JoinSet::new();
            (0..CAMPAIGNS).for_each(|number| drop(asked.spawn(one(number))));
            while let Some(answered) = asked.join_next().await {
                assert_eq!(answered.unwrap().status, 201);
            }
        }
    });
    // They come while it runs, each at another moment.
    let mut readers = Vec::new();
    while !load.is_finished() || readers.is_empty() {
        let mut reader = Reader::open(&edge, "/v1/stream?after=0", None).await;
        readers.push(tokio::spawn(async move { reader.events(CAMPAIGNS * REGISTRATION.len()).await }));
        edge.get("/healthz").await;
        if readers.len() > 40 {
            break;
        }
    }
    load.await.unwrap();
    let whole = Reader::open(&edge, "/v1/stream?after=0", None).await.events(CAMPAIGNS * REGISTRATION.len()).await;
    let expected: BTreeSet<&str> = rows(&whole).into_iter().collect();
    for reader in readers {
        let events = reader.await.unwrap();
        in_order(&events);
        assert_eq!(rows(&events).into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[tokio::test]
async fn filters_let_through_what_was_asked_for_from_the_log_and_live() {
    let edge = Edge::start();
    let filters = ["type=campaign.activated.v1,partner.*", "key=p-1", "key=p-1&type=partner.enrolment-registered.v1"];
    let mut live = Vec::new();
    for filter in filters {
        live.push(Reader::open(&edge, &format!("/v1/stream?{filter}"), None).await);
    }
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1", "p-2"]).to_string()).await.status, 201);
    for (filter, mut live) in filters.into_iter().zip(live) {
        let count = [5, 2, 1][filters.iter().position(|other| *other == filter).unwrap()];
        let live = live.events(count).await;
        let past = Reader::open(&edge, &format!("/v1/stream?after=0&{filter}"), None).await.events(count).await;
        assert_eq!(rows(&live), rows(&past), "{filter}");
        for event in &live {
            let (kind, key) = (event.data["type"].as_str().unwrap(), event.data["subject"].as_str().unwrap());
            let fits = match filter.starts_with("type") {
                true => kind == "campaign.activated.v1" || kind.starts_with("partner."),
                false => key == "p-1" || key.starts_with("p-1~"),
            };
            assert!(fits, "{filter}: {kind} {key}");
        }
    }
    let mut nobodys = Reader::open(&edge, "/v1/stream?after=0&tenant=t-1", None).await;
    let all = Reader::open(&edge, "/v1/stream?after=0", None).await.events(9).await;
    // What it does not want takes it further all the same.
    while nobodys.id != all[8].id {
        let frame = tokio::time::timeout(BOUND, nobodys.body.frame()).await.expect("a comment").unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().into()).unwrap();
        assert!(!text.contains("data"), "{text}");
        nobodys.id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_wrong_id_or_filter_is_400_and_names_what_is_wrong() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    let long = "1".repeat(5000);
    for id in [
        "nonsense",
        "-1",
        "1",
        "1.campaign/0:99999",
        "1.campaign/0:1.campaign/0:1",
        "2.campaign/0:1",
        "0.campaign/0:1",
        "ñ",
        &long,
    ] {
        let wrong = Reader::try_open(&edge, "/v1/stream", Some(id)).await.err().unwrap_or_else(|| panic!("{id} was taken"));
        let told = (wrong.status.as_u16(), &wrong.json["code"], &wrong.json["field"]);
        assert_eq!(told, (400, &json!("event-id-invalid"), &json!("Last-Event-ID")), "{id}: {}", wrong.text);
    }
    for (query, field) in [
        ("after=x", "after"),
        ("type=campaign.activate.v1", "type"),
        ("type=", "type"),
        ("key=a%20b", "key"),
        ("tenant=%00", "tenant"),
        ("follow=maybe", "follow"),
        ("kind=x", "kind"),
    ] {
        let wrong = edge.get(&format!("/v1/stream?{query}")).await;
        assert_eq!((wrong.status.as_u16(), &wrong.json["field"]), (400, &json!(field)), "{query}: {}", wrong.text);
    }
    assert_eq!(edge.stream.subscribers(), 0, "who was refused takes no place");
}

/// What the owner hands to its taps when it has committed these rows.
pub fn committed(log: Vec<LogRow>) -> Writes {
    Writes { log, ..Writes::default() }
}

/// An event of 100 kB that the owner of campaigns commits.
pub fn large(position: u64) -> LogRow {
    let partition = Partition { context: "campaign".into(), number: 0 };
    let asked = Envelope::asked(format!("campaign/0/1/{position}"), "x", "x", 0);
    let envelope = Envelope { kind: "campaign.paused.v1".into(), key: "c-1".into(), ..asked };
    let body = format!("\"{}\"", "y".repeat(100_000));
    let packet = Packet::encode(envelope, "CampaignPaused", body.as_bytes()).unwrap();
    LogRow {
        route: Route { from: partition, to: Destination { topic: "campaign.events".into(), partition: 0 } },
        place: Place { epoch: 1, position },
        predecessor: None,
        raw: packet.raw().clone(),
        packet: Some(Arc::new(packet)),
        times: [0; 3],
    }
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_and_cut_and_holds_up_nobody() {
    let edge = Edge::start();
    let mut slow = Reader::open(&edge, "/v1/stream", None).await;
    let mut quick = Reader::open(&edge, "/v1/stream?key=c-1", None).await;
    let mut tap = edge.stream.tap();
    for position in 1..=200 {
        tap.committed(&committed(vec![large(position)]));
        assert_eq!(quick.event().await.data["id"], format!("campaign/0/1/{position}"));
    }
    let event = slow.event().await;
    assert_eq!(event.name, "resync", "{}", event.data);
    assert_eq!(slow.next().await, None, "and then it is over");
    assert_eq!(edge.stream.subscribers(), 1);
}

#[tokio::test]
async fn a_burst_that_memory_has_no_room_for_sends_everybody_to_the_log() {
    let edge = Edge::start();
    let mut reader = Reader::open(&edge, "/v1/stream", None).await;
    // 20 MB, which nobody has had the time to take.
    edge.stream.tap().committed(&committed((1..=200).map(large).collect()));
    assert_eq!(reader.event().await.name, "resync");
    assert_eq!(reader.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn when_nothing_happens_a_comment_is_heard() {
    let edge = Edge::start();
    let mut reader = Reader::open(&edge, "/v1/stream", None).await;
    let mut text = async || {
        let frame = tokio::time::timeout(2 * bff::HEARTBEAT, reader.body.frame()).await.expect("a heartbeat");
        String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().into()).unwrap()
    };
    let greeting = text().await;
    assert!(greeting.starts_with("retry: ") && greeting.contains("\n:live\nid: ") && greeting.ends_with("\n\n"), "{greeting}");
    for _ in 0..3 {
        let comment = text().await;
        assert!(comment.starts_with(":\nid: 1.campaign/0:"), "{comment}");
    }
    edge.stream.close();
    let over = tokio::time::timeout(BOUND, reader.body.frame()).await.expect("it ends");
    assert!(over.is_none());
    assert_eq!(edge.get("/v1/stream").await.status, 503);
}

#[tokio::test]
async fn who_does_not_follow_gets_the_past_and_an_end() {
    let edge = Edge::start();
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    let past = edge.get("/v1/stream?after=0&follow=false").await;
    assert_eq!(past.text.matches("\ndata: ").count(), REGISTRATION.len(), "{}", past.text);
    assert!(past.text.contains("\n:live\nid: ") || past.text.contains("\n\n:live\nid: "), "{}", past.text);
    let present = edge.get("/v1/stream?follow=false").await;
    assert!(present.text.starts_with("retry: ") && !present.text.contains("data"), "{}", present.text);
}
