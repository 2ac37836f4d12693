//! The live stream of a bff over a broker: every event of every context, for whoever was there and whoever was away.
#![expect(clippy::disallowed_methods, reason = "whoever listens does so beside the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, BOUND, Stack, campaign, until};

/// How long nothing comes when nothing is to come.
const SILENCE: Duration = Duration::from_secs(2);

/// An event, or a word of the server's.
#[derive(Clone, Debug)]
struct Event {
    /// The id of the stream, for `Last-Event-ID`.
    at: String,
    name: String,
    data: Value,
}

/// Somebody who listens; None comes when the stream has ended.
struct Listener(Receiver<Option<Event>>);

impl Listener {
    fn open(stack: &Stack, query: &str, last: Option<&str>) -> Listener {
        Listener::try_open(stack, query, last).unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    fn try_open(stack: &Stack, query: &str, last: Option<&str>) -> Result<Listener, Answer> {
        let body = stack.stream("bff", &format!("/v1/stream{query}"), last)?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let (mut at, mut name, mut data) = (String::new(), String::new(), String::new());
            for line in BufReader::new(body.into_reader()).lines().map_while(Result::ok) {
                match line.split_once(": ") {
                    Some(("id", id)) => id.clone_into(&mut at),
                    Some(("event", event)) => event.clone_into(&mut name),
                    Some(("data", text)) => text.clone_into(&mut data),
                    _ if line.is_empty() && !data.is_empty() => {
                        let data = serde_json::from_str(&std::mem::take(&mut data)).expect("JSON");
                        let event = Event { at: at.clone(), name: std::mem::take(&mut name), data };
                        if sender.send(Some(event)).is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
            let _nobody_listens = sender.send(None);
        });
        Ok(Listener(receiver))
    }

    /// What has come, until nothing comes for a while or the stream ends.
    fn all(&self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            match self.0.recv_timeout(SILENCE) {
                Ok(Some(event)) => all.push(event),
                Ok(None) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return all,
            }
        }
    }

    /// The next, which has to come.
    fn next(&self) -> Option<Event> {
        self.0.recv_timeout(BOUND).expect("something comes")
    }
}

/// The ids of the messages, none twice; those of each stream in their order.
#[track_caller]
fn messages(events: &[Event]) -> BTreeSet<String> {
    let mut streams: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for event in events {
        assert_eq!(event.name, "", "{event:?}");
        let id = event.data["id"].as_str().expect("an id");
        let (stream, position) = id.rsplit_once('/').expect("a position");
        let position = position.parse().expect("a number");
        let before = streams.insert(stream.to_owned(), position);
        assert!(before < Some(position), "{id} comes after {before:?}");
        assert!(all.insert(id.to_owned()), "{id} comes twice");
    }
    all
}

/// Everything that was ever said.
fn history(stack: &Stack) -> BTreeSet<String> {
    messages(&Listener::open(stack, "?after=0&follow=false", None).all())
}

#[track_caller]
fn register(stack: &Stack, id: &str) {
    let told = stack.post("/v1/campaigns", 60, &campaign(id, "b-1", 2));
    assert_eq!(told.json["status"], "completed", "{}", told.json);
}

#[test]
fn whoever_listens_hears_each_event_of_every_context_once_also_over_a_restart_of_the_bff() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    register(&stack, "c-before");
    let before = history(&stack);
    assert!(!before.is_empty());
    let (one, other) = (Listener::open(&stack, "", None), Listener::open(&stack, "", None));
    register(&stack, "c-1");
    let heard = one.all();
    assert_eq!(messages(&heard), messages(&other.all()));
    let contexts: BTreeSet<&str> = heard.iter().filter_map(|event| event.data["source"].as_str()).collect();
    assert_eq!(contexts, BTreeSet::from(["campaign", "partner", "tracking"]));
    let after: BTreeSet<String> = history(&stack).difference(&before).cloned().collect();
    assert_eq!(messages(&heard), after, "all that was said since, and nothing from before");

    // One set of readers for both, which leaves nothing behind.
    let readers = |stack: &Stack| stack.subscriptions("campaign.events-partition-0");
    let following = |stack: &Stack| readers(stack).into_iter().filter(|name| name.starts_with("follows-")).count();
    assert_eq!(following(&stack), 1, "{:?}", readers(&stack));
    let last = heard.last().expect("an event").at.clone();
    stack.stop("bff");
    assert!(one.next().is_none(), "whoever listens is told that it ends");
    until("the readers have left", || (following(&stack) == 0).then_some(()));

    // What happens while there is no bff.
    let told = stack.decide_at("campaign", "Ana", "/v1/campaigns/c-1/pause", &json!({}));
    assert_eq!(told.status, 200, "{told:?}");
    stack.start("bff");
    let again = Listener::open(&stack, "", Some(&last));
    let paused = again.next().expect("what was missed");
    assert_eq!((&paused.data["type"], &paused.data["subject"]), (&json!("campaign.paused.v1"), &json!("c-1")));
    register(&stack, "c-2");
    let mut all = heard.clone();
    all.push(paused);
    all.extend(again.all());
    let ever: BTreeSet<String> = history(&stack).difference(&before).cloned().collect();
    assert_eq!(messages(&all), ever, "nothing is lost, and nothing comes twice");

    // Filters hold for what is new and for what was.
    let wanted = "?type=campaign.activated.v1&key=c-2";
    let past = Listener::open(&stack, &format!("{wanted}&after=0&follow=false"), None).all();
    assert_eq!(past.iter().map(|event| &event.data["subject"]).collect::<Vec<_>>(), ["c-2"]);
    let live = Listener::open(&stack, "?type=campaign.activated.v1&key=c-3", None);
    register(&stack, "c-3");
    assert_eq!(live.all().iter().map(|event| &event.data["type"]).collect::<Vec<_>>(), ["campaign.activated.v1"]);
}

#[test]
fn an_id_that_is_none_of_the_streams_is_refused_and_one_service_has_its_past_alone() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    register(&stack, "c-1");
    let past = Listener::open(&stack, "?after=0&follow=false", None).all();
    let last = past.last().expect("an event").at.clone();
    let epoch = last.split_once('.').expect("an epoch").0.to_owned();
    for forged in
        ["nonsense", "1.campaign/0:1", &format!("{epoch}.campaign/0:999999"), &format!("{epoch}.flights/0:1"), "7.campaign/4:1"]
    {
        let Err(told) = Listener::try_open(&stack, "", Some(forged)) else { panic!("{forged}") };
        assert_eq!((told.status, &told.json["code"]), (400, &json!("event-id-invalid")), "{forged}: {told:?}");
    }
    // A service tells the past of its own context, and nothing that is new.
    let told = stack.get_at("partner", "/v1/stream");
    assert_eq!((told.status, &told.json["code"]), (501, &json!("no-stream")), "{told:?}");
    let told = stack.get_at("partner", "/v1/stream?follow=false&after=0");
    let text = told.json.as_str().expect("a text");
    assert!(text.contains("partner.registered.v1") && !text.contains("\"source\":\"campaign\""), "{text}");

    // Without a service its past cannot be told; what is new can.
    let live = Listener::open(&stack, "", None);
    stack.stop("tracking");
    let Err(told) = Listener::try_open(&stack, "", Some("0")) else { panic!("there is no tracking") };
    assert_eq!((told.status, &told.json["code"]), (503, &json!("service-away")), "{told:?}");
    let told = stack.post("/v1/campaigns/c-1/pause", 0, &json!({}));
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(live.next().expect("an event").data["type"], "campaign.paused.v1");
}

#[test]
fn what_passes_by_while_the_topics_are_moved_is_found_again() {
    let Some(stack) = Stack::find().map(Stack::all) else { return };
    register(&stack, "c-0");
    let before = history(&stack);
    let mut listener = Listener::open(&stack, "", None);
    let (mut heard, mut last) = (Vec::new(), None);
    for round in 1..=4 {
        // The broker closes every reader: the client's library connects them again, and they begin where the topic ends then.
        stack.unload();
        register(&stack, &format!("c-{round}"));
    }
    let expected: BTreeSet<String> = history(&stack).difference(&before).cloned().collect();
    until("all of it has come", || {
        while let Ok(event) = listener.0.recv_timeout(Duration::from_millis(200)) {
            match event {
                Some(event) if event.name.is_empty() => {
                    last = Some(event.at.clone());
                    heard.push(event);
                }
                // Cut, because rows passed by: it connects again where it was.
                Some(_) => {}
                None => {
                    // One that had heard nothing had no id: it takes the beginning, and drops what it does not want.
                    listener = Listener::open(&stack, "", Some(last.as_deref().unwrap_or("0")));
                }
            }
        }
        let ids: BTreeSet<String> = heard.iter().filter_map(|event| event.data["id"].as_str()).map(str::to_owned).collect();
        expected.is_subset(&ids).then_some(())
    });
    heard.retain(|event| event.data["id"].as_str().is_some_and(|id| expected.contains(id)));
    assert_eq!(messages(&heard), expected, "each once");
}
