//! What operators decide, between two replicas that each hold a part: whoever is asked, it is done.
#![expect(clippy::disallowed_methods, reason = "two decide at the same time, and nobody may be kept waiting for long")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Stack, campaign, until};

/// The ids in a list.
#[track_caller]
fn ids(told: &Answer) -> Vec<String> {
    let items = told.json["items"].as_array().unwrap_or_else(|| panic!("{told:?}"));
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// The partitions that a replica says it holds itself, when it was asked on another's behalf.
fn held(stack: &Stack, name: &str) -> BTreeSet<u64> {
    let told = stack.get_sent_on(name, "/v1/subscriptions");
    told.json["items"].as_array().into_iter().flatten().filter_map(|item| item["partition"].as_u64()).collect()
}

/// Waits until two replicas have halved the partitions.
fn shared(stack: &Stack, [one, other]: [&str; 2]) {
    until("each replica holds half of the partitions", || {
        let (one, other) = (held(stack, one), held(stack, other));
        (one.len() == 2 && other.len() == 2 && one.is_disjoint(&other)).then_some(())
    });
}

#[test]
fn a_subscription_is_paused_and_resumed_at_whichever_replica_is_asked() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    stack.start_replica("partner", "partner-2", 0);
    shared(&stack, ["partner", "partner-2"]);
    let all = stack.get_at("partner", "/v1/subscriptions");
    let ids = ids(&all);
    assert_eq!(ids.len() % 4, 0, "{ids:?}");
    for told in [stack.get_at("partner-2", "/v1/subscriptions"), stack.get("/v1/subscriptions?context=partner")] {
        let other: Vec<&Value> = told.json["items"].as_array().expect("a list").iter().map(|item| &item["id"]).collect();
        assert_eq!(other, ids.iter().collect::<Vec<_>>(), "each tells all of them");
    }
    for id in &ids {
        let because = json!({"reason": "we look"});
        let (pause, resume) = (format!("/v1/subscriptions/{id}/pause"), format!("/v1/subscriptions/{id}/resume"));
        // Two at once: the owner takes one after the other.
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| stack.decide_at("partner", "Ana", &pause, &because));
            let other = scope.spawn(|| stack.decide_at("partner-2", "Ana", &pause, &because));
            (one.join().expect("an answer"), other.join().expect("an answer"))
        });
        assert_eq!(BTreeSet::from([one.status, other.status]), BTreeSet::from([200, 409]), "{one:?} {other:?}");
        for name in ["partner", "partner-2", "bff"] {
            assert_eq!(stack.get_at(name, &format!("/v1/subscriptions/{id}")).json["state"], "paused", "{name}");
        }
        let resumed = stack.decide_at("bff", "Ben", &resume, &json!({}));
        assert_eq!((resumed.status, &resumed.json["state"]), (200, &json!("reading")), "{resumed:?}");
    }
    // Each is kept with who took it, though another replica carried it out.
    let kept = stack.get("/v1/operations?context=partner&limit=200");
    let by = |actor: &str| kept.json["items"].as_array().expect("a list").iter().filter(|one| one["actor"] == actor).count();
    assert_eq!((by("Ana"), by("Ben")), (ids.len(), ids.len()), "{}", kept.json);
    for (id, status) in [("partner:4:partner.commands", 404), ("partner:0:flights.events", 404), ("nothing", 404)] {
        for name in ["partner", "partner-2", "bff"] {
            assert_eq!(stack.get_at(name, &format!("/v1/subscriptions/{id}")).status, status, "{name} {id}");
        }
    }
}

#[test]
fn a_saga_is_followed_at_the_bff_and_at_every_replica_whether_or_not_it_holds_it() {
    let Some(mut stack) = Stack::find() else { return };
    // Without partner and tracking the saga stands.
    for service in ["campaign", "bff"] {
        stack.start(service);
    }
    stack.start_replica("campaign", "campaign-2", 0);
    shared(&stack, ["campaign", "campaign-2"]);
    assert_eq!(stack.post("/v1/campaigns", 0, &campaign("c-0", "b-1", 1)).status, 202);
    let path = until("its saga runs", || {
        let told = stack.get("/v1/sagas?context=campaign&key=c-0");
        Some(format!("/v1/sagas/{}", told.json["items"][0]["id"].as_str()?))
    });
    let names = ["campaign", "campaign-2", "bff"];
    let (seen, tag) = stack.changed_at("bff", &path, "\"0\"", 0);
    assert_eq!((seen.status, &seen.json["status"]), (200, &json!("running")), "{seen:?}");
    for name in names {
        assert_eq!(stack.changed_at(name, &path, &tag, 1).0.status, 304, "{name}");
    }
    let follow = |name: &str| {
        until(&format!("it has moved, says {name}"), || {
            let (told, _) = stack.changed_at(name, &path, &tag, 20);
            (told.status != 304).then_some(told)
        })
    };
    std::thread::scope(|scope| {
        let follows = names.map(|name| scope.spawn(move || follow(name)));
        let abort = stack.decide_at("bff", "Ana", &format!("{path}/abort"), &json!({"reason": "the brand has changed its mind"}));
        assert_eq!(abort.status, 200, "{abort:?}");
        for (name, told) in names.into_iter().zip(follows) {
            let told = told.join().expect("it is told");
            assert_eq!((told.status, &told.json["status"]), (200, &json!("undoing")), "{name}: {told:?}");
        }
    });
}

#[test]
fn a_saga_is_aborted_and_a_stream_sent_again_at_whichever_replica_is_asked() {
    let Some(mut stack) = Stack::find() else { return };
    // Without partner and tracking the sagas stand.
    for service in ["campaign", "bff"] {
        stack.start(service);
    }
    stack.start_replica("campaign", "campaign-2", 0);
    shared(&stack, ["campaign", "campaign-2"]);
    let mut sagas = Vec::new();
    for number in 0..12 {
        let told = stack.post("/v1/campaigns", 0, &campaign(&format!("c-{number}"), "b-1", 1));
        assert_eq!(told.status, 202, "{told:?}");
        sagas.push(until("its saga runs", || {
            let told = stack.get(&format!("/v1/sagas?context=campaign&key=c-{number}"));
            told.json["items"][0]["id"].as_str().map(str::to_owned)
        }));
    }
    for (saga, name) in sagas.iter().zip(["campaign", "campaign-2", "bff"].into_iter().cycle()) {
        let path = format!("/v1/sagas/{saga}/abort");
        let told = stack.decide_at(name, "Ana", &path, &json!({"reason": "the brand has changed its mind"}));
        assert_eq!((told.status, &told.json["status"]), (200, &json!("undoing")), "{name}: {told:?}");
        let again = stack.decide_at("campaign", "Ana", &path, &json!({"reason": "once more"}));
        assert_eq!((again.status, &again.json["code"]), (409, &json!("saga-undoing")), "{again:?}");
        assert_eq!(stack.decide_at(name, "Ana", &path, &json!({})).json["code"], "reason-missing");
    }
    let streams = stack.get_at("campaign", "/v1/streams");
    let mut sent = 0;
    for stream in streams.json["items"].as_array().expect("a list") {
        let id = stream["id"].as_str().expect("an id");
        for to in stream["destinations"].as_array().expect("a list") {
            let body = json!({"topic": to["topic"], "partition": to["partition"], "after": 0});
            for name in ["campaign", "campaign-2", "bff"] {
                let told = stack.decide_at(name, "Ana", &format!("/v1/streams/{id}/resend"), &body);
                assert_eq!(told.status, 200, "{name}: {told:?}");
                sent += 1;
            }
        }
    }
    assert!(sent > 0, "{}", streams.json);
    stack.start("partner");
    stack.start("tracking");
    for number in 0..12 {
        assert_eq!(stack.ended(&format!("c-{number}")), "undone");
    }
}

#[test]
fn dead_letters_of_all_partitions_are_decided_on_at_one_replica() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    stack.stop("tracking");
    // Three in each partition: what their handler reads, for campaigns that are known to nobody else.
    let plant = "INSERT INTO name (text) VALUES ('events') ON CONFLICT DO NOTHING;
        INSERT INTO waiting (partition, number, lane, attempts, due, dead, not_yet, topic, reason, raw, since, kind, key, source, saga,
            revision, original)
        SELECT partition.id, letter, 'lane ' || letter, 8, NULL, 1, NULL, topic.id, 'the disk was on fire',
            convert_to('{\"specversion\":\"1.0\",\"id\":\"x/' || letter || '\",\"source\":\"campaign\",\"type\":\"campaign.unknown.v1\",'
                || '\"subject\":\"c-x\",\"time\":1,\"correlation\":\"x\",\"actor\":\"local\"}', 'UTF8'),
            0, 'campaign.unknown.v1', 'c-x', 'campaign', NULL, 1, NULL
        FROM name AS partition, name AS topic, generate_series(1, 3) AS letter
        WHERE partition.text LIKE 'tracking/%' AND topic.text = 'events'";
    stack.sql("tracking", plant);
    stack.start("tracking");
    stack.start_replica("tracking", "tracking-2", 0);
    shared(&stack, ["tracking", "tracking-2"]);
    let listed = stack.get("/v1/dead-letters?context=tracking&limit=100");
    let letters = ids(&listed);
    assert_eq!(letters.len(), 12, "{}", listed.json);
    // One by one: of each partition one, at a replica that need not hold it.
    let mut first = BTreeMap::new();
    for id in &letters {
        let (partition, _) = id.rsplit_once(':').expect("a number");
        first.entry(partition.to_owned()).or_insert_with(|| id.clone());
    }
    assert_eq!(first.len(), 4);
    for (id, name) in first.values().zip(["tracking", "tracking", "tracking-2", "bff"]) {
        let told = stack.decide_at(name, "Ana", &format!("/v1/dead-letters/{id}/discard"), &json!({"reason": "nobody's"}));
        assert_eq!((told.status, &told.json["done"]), (200, &json!([id])), "{name}: {told:?}");
        let again = stack.decide_at("tracking-2", "Ana", &format!("/v1/dead-letters/{id}/discard"), &json!({"reason": "x"}));
        assert_eq!(again.status, 404, "{again:?}");
    }
    // All at once, at one replica, when the other has just died: of what that one held it is said that nothing was done.
    let left = ids(&stack.get("/v1/dead-letters?context=tracking&limit=100"));
    assert_eq!(left.len(), 8);
    let lost = held(&stack, "tracking-2");
    stack.kill("tracking-2");
    let named = |left: &[String]| left.iter().map(|id| json!({"id": id, "revision": 1})).collect::<Vec<Value>>();
    let decided = json!({"letters": named(&left), "reason": "nobody's"});
    let told = stack.decide_at("tracking", "Ben", "/v1/dead-letters/discard", &decided);
    let changed = told.json["changed"].as_array().expect("a list");
    assert!(changed.iter().all(|one| one["code"] == "not-decided"), "{told:?}");
    let mut undecided: Vec<&str> = changed.iter().map(|one| one["id"].as_str().expect("an id")).collect();
    let of_the_lost = |id: &&str| lost.iter().any(|partition| id.starts_with(&format!("tracking:{partition}:")));
    let mut expected: Vec<&str> = left.iter().map(String::as_str).filter(of_the_lost).collect();
    undecided.sort_unstable();
    expected.sort_unstable();
    assert_eq!(undecided, expected, "{told:?}");
    assert_eq!(told.json["done"].as_array().map(Vec::len), Some(4), "{told:?}");
    stack.start_replica("tracking", "tracking-2", 0);
    shared(&stack, ["tracking", "tracking-2"]);
    // All at once, at one replica.
    let left = ids(&stack.get("/v1/dead-letters?context=tracking&limit=100"));
    assert_eq!(left.len(), 4);
    let stale = json!({"letters": [{"id": left[0], "revision": 7}, {"id": "tracking:9:1"}], "reason": "x"});
    let told = stack.decide_at("tracking", "Ana", "/v1/dead-letters/discard", &stale);
    let codes: Vec<&Value> = told.json["changed"].as_array().expect("a list").iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["letter-changed", "unknown"], "{told:?}");
    let told =
        stack.decide_at("tracking-2", "Ben", "/v1/dead-letters/discard", &json!({"letters": named(&left), "reason": "nobody's"}));
    let mut done: Vec<&str> = told.json["done"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mut expected: Vec<&str> = left.iter().map(String::as_str).collect();
    done.sort_unstable();
    expected.sort_unstable();
    assert_eq!((told.status, done), (200, expected), "{told:?}");
    assert_eq!(stack.get("/v1/dead-letters?context=tracking").json["items"], json!([]));
    let kept = stack.get("/v1/operations?context=tracking&limit=100");
    assert!(kept.json["items"].as_array().expect("a list").iter().any(|one| one["actor"] == "Ben"), "{}", kept.json);
}

#[test]
fn what_a_replica_held_that_is_gone_is_503_until_another_holds_it() {
    let Some(mut stack) = Stack::find().map(Stack::all) else { return };
    stack.start_replica("tracking", "tracking-2", 0);
    shared(&stack, ["tracking", "tracking-2"]);
    let lost = *held(&stack, "tracking-2").first().expect("it holds some");
    let id = format!("tracking:{lost}:tracking.commands");
    stack.kill("tracking-2");
    let pause =
        |stack: &Stack| stack.decide_at("tracking", "Ana", &format!("/v1/subscriptions/{id}/pause"), &json!({"reason": "x"}));
    let told = pause(&stack);
    // Its lease has not ended, and nobody listens there any more.
    assert_eq!((told.status, &told.json["code"]), (503, &json!("partition-away")), "{told:?}");
    let took = until("another holds it", || match pause(&stack) {
        Answer { status: 503, .. } => None,
        told => Some(told),
    });
    assert_eq!((took.status, &took.json["state"]), (200, &json!("paused")), "{took:?}");

    // One that stands still may have taken it: that is not said to be nothing.
    stack.start_replica("tracking", "tracking-3", 0);
    shared(&stack, ["tracking", "tracking-3"]);
    let still = *held(&stack, "tracking-3").first().expect("it holds some");
    stack.signal("tracking-3", "-STOP");
    let from = std::time::Instant::now();
    let path = format!("/v1/subscriptions/tracking:{still}:campaign.events/pause");
    let told = stack.decide_at("tracking", "Ana", &path, &json!({"reason": "x"}));
    assert_eq!((told.status, &told.json["code"]), (503, &json!("no-answer")), "{told:?}");
    assert!(from.elapsed() < Duration::from_secs(15), "nobody is kept waiting: {:?}", from.elapsed());
    stack.signal("tracking-3", "-CONT");
}
