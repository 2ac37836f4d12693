//! What comes over the broker from outside: commands of edges and of foreign clients, and whatever else somebody puts on a topic.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::collections::BTreeSet;
use std::time::Duration;

use ferry::ferry_v1::TakeBerth;
use ferry::harbour_v1::FillPurse;
use ferry::{Berth, Purse, contexts, invariants};
use seedwork::executor::{Decided, Decision, First, Letter, Undecided};
use seedwork::log::partition_of;
use seedwork::store::{Partition, Waiting};
use seedwork::testing::{Faults, Instead, World};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const PARTITIONS: u16 = 4;

fn world(seed: u64) -> World {
    World::distributed(contexts, PARTITIONS, seed)
}

/// A message as a client of its own writes it: `more` is more attributes, each with a comma behind it.
fn message(id: &str, kind: &str, key: &str, more: &str, record: &str, body: &str) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"till","type":"{kind}","subject":"{key}","time":1,{more}"{record}":{body}}}"#
    )
    .into_bytes()
}

fn fill(id: &str, purse: &str, amount: i64) -> Vec<u8> {
    let body = format!(r#"{{"purse":"{purse}","amount":{amount}}}"#);
    message(id, "harbour.fill-purse.v1", purse, "", "FillPurse", &body)
}

fn take(id: &str, berth: &str) -> Vec<u8> {
    message(id, "ferry.take-berth.v1", berth, "", "TakeBerth", &format!(r#"{{"berth":"{berth}"}}"#))
}

fn of(key: &str) -> u16 {
    partition_of(key, PARTITIONS)
}

fn elsewhere(key: &str) -> u16 {
    (of(key) + 1) % PARTITIONS
}

fn purse(world: &World) -> Option<i64> {
    world.state::<Purse>("harbour", "p-1").map(|purse| purse.amount)
}

fn one(letters: &[(Partition, Waiting)]) -> &(Partition, Waiting) {
    let [letter] = letters else { panic!("one letter, not {letters:?}") };
    letter
}

fn replay(partition: &Partition, letter: &Waiting) -> Decision {
    Decision::Replay { partition: partition.clone(), letters: vec![(&letter.head).into()], reason: None }
}

fn edit(partition: &Partition, letter: &Waiting, body: &str) -> Decision {
    let letter = Letter { number: letter.head.number, revision: None };
    Decision::Edit { partition: partition.clone(), letter, body: body.as_bytes().to_vec(), reason: None }
}

#[test]
fn a_foreign_command_starts_a_saga_and_both_answers_go_where_it_says() {
    let mut world = world(1);
    world.put("harbour.commands", of("p-1"), &fill("f-1", "p-1", 100));
    let (ticket, answer_to) = world.listen();
    let body = r#"{"crossing":"x-1","purse":"p-1","passengers":["ann"]}"#;
    let book = |body: &str| {
        let more = format!(r#""answerto":"{answer_to}","#);
        message("f-2", "harbour.book.v1", "x-1", &more, "BookCrossing", body)
    };
    world.put("harbour.commands", of("x-1"), &book(body));
    assert!(world.settle(HOUR));
    assert!(matches!(world.first(ticket), Some(First::Done { saga: Some(_), .. })));
    assert!(world.outcome(ticket).unwrap().completed);
    world.put("harbour.commands", of("x-1"), &book(body));
    world.put("harbour.commands", of("p-1"), &fill("f-1", "p-1", 100));
    assert!(world.settle(HOUR));
    assert_eq!((world.sagas().len(), purse(&world)), (1, Some(90)), "the same id and body again: taken once");
    world.put("harbour.commands", of("x-1"), &book(&body.replace("ann", "bob")));
    world.run(MINUTE);
    assert_eq!(world.first(ticket), Some(First::Mismatch));
    assert_eq!(invariants(&world, 100), Ok(()));
}

#[test]
fn whoever_owns_the_saga_in_the_end_tells_the_outcome() {
    let mut world = world(2);
    world.put("harbour.commands", of("p-1"), &fill("f-1", "p-1", 100));
    world.hold(|envelope| &*envelope.kind == "ferry.take-berth.v1");
    let (ticket, answer_to) = world.listen();
    let more = format!(r#""answerto":"{answer_to}","#);
    let body = r#"{"crossing":"x-1","purse":"p-1","passengers":["ann"]}"#;
    let book = message("f-2", "harbour.book.v1", "x-1", &more, "BookCrossing", body);
    world.put("harbour.commands", of("x-1"), &book);
    world.run(MINUTE);
    assert!(world.first(ticket).is_some() && world.outcome(ticket).is_none());
    // Somebody else asks the same from elsewhere, and hears how it ends too.
    let (other, other_to) = world.listen();
    let book = message("f-2", "harbour.book.v1", "x-1", &format!(r#""answerto":"{other_to}","#), "BookCrossing", body);
    world.restart_all();
    world.put("harbour.commands", of("x-1"), &book);
    world.run(MINUTE);
    assert_eq!((world.first(other), world.outcome(other)), (world.first(ticket), None));
    world.release();
    assert!(world.settle(HOUR));
    assert!(world.outcome(ticket).unwrap().completed && world.outcome(other).unwrap().completed);
    world.put("harbour.commands", of("x-1"), &book);
    world.run(MINUTE);
    assert!(world.outcome(other).unwrap().completed, "also when it has ended already");
}

#[test]
fn what_lies_on_a_wrong_partition_is_taken_once_and_sent_on() {
    for seed in 0..10 {
        let mut world = world(seed);
        let mut faults = Faults::default();
        faults.broker.duplicate = 2;
        world.set_faults(faults);
        for partition in 0..PARTITIONS {
            world.put("harbour.commands", partition, &fill("f-1", "p-1", 100));
        }
        world.run(MINUTE);
        assert_eq!(purse(&world), Some(100));
        world.restart_all();
        world.put("harbour.commands", elsewhere("p-1"), &fill("f-1", "p-1", 100));
        world.put("harbour.commands", elsewhere("p-1"), &fill("f-2", "p-1", 10));
        world.run(MINUTE);
        assert_eq!(purse(&world), Some(110));
        world.put("harbour.commands", elsewhere("p-1"), &fill("f-2", "p-1", 11));
        world.put("harbour.commands", of("p-1"), &fill("f-2", "p-1", 11));
        world.run(MINUTE);
        assert_eq!((purse(&world), world.waiting().len()), (Some(110), 0), "another body under a known id is refused");
    }
}

#[test]
fn what_is_sent_on_is_answered_by_its_owner_and_waits_there_as_a_foreign_command_does() {
    let mut world = world(3);
    let (ticket, answer_to) = world.listen();
    let more = format!(r#""answerto":"{answer_to}","#);
    let confirm = message("f-1", "harbour.confirm.v1", "x-1", &more, "ConfirmCrossing", r#"{"crossing":"x-1"}"#);
    world.put("harbour.commands", elsewhere("x-1"), &confirm);
    world.run(Duration::from_secs(2));
    assert_eq!(world.first(ticket), Some(First::Waiting));
    assert_eq!(one(&world.waiting()).0.number, of("x-1"));
    world.run(MINUTE);
    assert!(matches!(world.first(ticket), Some(First::Refused(refusal)) if refusal.code == "unknown"));
}

#[test]
fn only_what_comes_past_the_edges_waits_for_what_it_names() {
    let mut world = world(4);
    let edge = world.ask(&ferry::harbour_v1::ConfirmCrossing { crossing: "x-1".to_owned() });
    let (ticket, answer_to) = world.listen();
    let more = format!(r#""answerto":"{answer_to}","#);
    let confirm = message("f-1", "harbour.confirm.v1", "x-1", &more, "ConfirmCrossing", r#"{"crossing":"x-1"}"#);
    world.put("harbour.commands", of("x-1"), &confirm);
    world.run(Duration::from_secs(2));
    assert!(matches!(world.first(edge), Some(First::Refused(refusal)) if refusal.code == "unknown"), "over HTTP 404 at once");
    assert_eq!(world.first(ticket), Some(First::Waiting));
    world.ask(&FillPurse { purse: "p-1".to_owned(), amount: 100 });
    world.ask(&ferry::crossing("x-1", "p-1", &["ann"]));
    assert!(world.settle(HOUR));
    assert!(matches!(world.first(ticket), Some(First::Done { .. })), "it was answered when its time had come");
}

/// What lies on topics and is no command, and a word of the reason why.
fn junk() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let body = r#"{"purse":"p-1","amount":1}"#;
    let kind = |kind: &str| message("j-1", kind, "p-1", "", "FillPurse", body);
    let with = |more: &str| message("j-2", "harbour.fill-purse.v1", "p-1", more, "FillPurse", body);
    let fill = fill("j-3", "p-1", 1);
    let saga = r#""saga":{"id":"x~1","context":"harbour","row":2,"index":0,"direction":"do","attempt":1},"#;
    let mut large = message("j-4", "harbour.fill-purse.v1", "p-1", "", "FillPurse", body);
    large.splice(1..1, format!(r#""blob":"{}","#, "x".repeat(5 << 20)).into_bytes());
    vec![
        ("harbour.commands", b"hello".to_vec(), "unreadable"),
        ("harbour.commands", Vec::new(), "unreadable"),
        ("harbour.commands", vec![0xff; 100], "unreadable"),
        ("harbour.commands", fill[..fill.len() / 2].to_vec(), "unreadable"),
        ("harbour.commands", "[".repeat(1 << 20).into_bytes(), "unreadable"),
        ("harbour.commands", large, "bytes are more than"),
        ("harbour.commands", kind("harbour.unheard-of.v1"), "no command of harbour"),
        ("harbour.commands", kind("harbour.fill-purse.v7"), "this build takes harbour.fill-purse.v1"),
        ("harbour.commands", kind("ferry.take-berth.v1"), "no command of harbour"),
        ("harbour.commands", kind("harbour.confirmed.v1"), "no command of harbour"),
        ("harbour.commands", message("j-5", "harbour.fill-purse.v1", "p-2", "", "FillPurse", body), "is about \"p-1\""),
        ("harbour.commands", message("j-6", "harbour.fill-purse.v1", "p-1", "", "FillPurse", "7"), "its body is no"),
        ("harbour.commands", message("sent-on x", "harbour.fill-purse.v1", "p-1", "", "FillPurse", body), "its id"),
        ("harbour.commands", message("", "harbour.fill-purse.v1", "p-1", "", "FillPurse", body), "its id"),
        ("harbour.commands", with(r#""actor":"a\u0000b","#), "its actor"),
        ("harbour.commands", with(saga), "saga and causationid"),
        ("harbour.commands", with(r#""causationid":"x","#), "saga and causationid"),
        ("harbour.events", fill.clone(), "only commands are taken from outside"),
        ("harbour.replies", fill, "only commands are taken from outside"),
        ("harbour.replies", b"{".to_vec(), "unreadable"),
    ]
}

#[test]
fn what_is_no_command_becomes_one_dead_letter_each_and_holds_up_nobody() {
    let mut world = world(5);
    let mut faults = Faults::default();
    faults.broker.duplicate = 1;
    faults.store.missing = 2;
    world.set_faults(faults);
    let junk = junk();
    let readers = |topic: &str| if topic == "harbour.events" { "ferry" } else { "harbour" };
    for (topic, raw, _) in &junk {
        world.put(topic, of("p-1"), raw);
        world.put("harbour.commands", of("p-1"), raw);
    }
    let ticket = world.ask(&FillPurse { purse: "p-1".to_owned(), amount: 100 });
    world.put("harbour.commands", of("p-1"), &fill("f-1", "p-1", 10));
    world.run(MINUTE);
    let twice = world.waiting();
    // The restart hears again what was not acknowledged; who put something twice has put two.
    world.restart_all();
    world.run(MINUTE);
    assert_eq!(twice, world.waiting());
    assert!(matches!(world.first(ticket), Some(First::Done { .. })));
    assert_eq!(purse(&world), Some(110 + 1), "its key flows, and what was a command where it lay second was taken");
    for (topic, raw, why) in &junk {
        let (part, reader) = (topic.rsplit_once('.').unwrap().1, readers(topic));
        let is = |(partition, letter): &&(Partition, Waiting)| {
            *letter.raw == **raw && &*letter.topic == part && *partition.context == *reader
        };
        let letters: Vec<_> = twice.iter().filter(is).collect();
        let both = usize::from(part == "commands");
        assert_eq!(letters.len(), 1 + both, "{topic}: {}", String::from_utf8_lossy(&raw[..raw.len().min(200)]));
        for (_, letter) in letters {
            assert!(letter.head.dead && letter.reason.contains(why), "{why}: {}", letter.reason);
        }
    }
}

#[test]
fn a_newer_minor_version_with_unknown_fields_is_read() {
    let mut world = world(6);
    let body = r#"{"purse":"p-1","amount":100,"colour":{"of":["money"]}}"#;
    let more = r#""dataschema":"later","partner":{"x":1},"#;
    world.put("harbour.commands", of("p-1"), &message("f-1", "harbour.fill-purse.v1", "p-1", more, "FillPurse", body));
    world.run(MINUTE);
    assert_eq!((purse(&world), world.waiting().len()), (Some(100), 0));
}

#[test]
fn a_foreign_command_that_breaks_its_handler_holds_up_only_its_producer_and_can_be_replayed() {
    let mut world = world(7);
    world.intercept(|envelope| match &*envelope.id {
        "f-1" => Instead::Answer(seedwork::Error::fault("boom")),
        _ => Instead::Handle,
    });
    let (ticket, answer_to) = world.listen();
    let more = format!(r#""answerto":"{answer_to}","#);
    let bomb = message("f-1", "ferry.take-berth.v1", "ann~x-1", &more, "TakeBerth", r#"{"berth":"ann~x-1"}"#);
    world.put("ferry.commands", of("ann"), &bomb);
    world.run(Duration::from_secs(2));
    world.put("ferry.commands", of("ann"), &take("f-2", "ann~x-1"));
    let edge = world.ask(&TakeBerth { berth: "ann~x-1".to_owned() });
    world.run(HOUR);
    assert!(matches!(world.first(edge), Some(First::Done { .. })), "an edge's command of the same key flows");
    assert_eq!(world.first(ticket), Some(First::Waiting));
    let letters = world.waiting();
    let dead: Vec<_> = letters.iter().filter(|(_, letter)| letter.head.dead).collect();
    assert_eq!((letters.len(), dead.len()), (2, 1), "its producer's next command waits behind it: {letters:?}");
    let (partition, letter) = dead[0];
    assert_eq!((letter.head.attempts, &*letter.raw), (8, &*bomb));
    world.intercept(|_| Instead::Handle);
    assert!(matches!(world.operate(&replay(partition, letter)), Ok(Decided::Letters { done, .. }) if done.len() == 1));
    world.run(HOUR);
    assert!(world.waiting().is_empty());
    assert!(matches!(world.first(ticket), Some(First::Done { .. })), "and its asker hears of it");
}

#[test]
fn a_letter_that_could_not_be_read_is_edited_and_runs_where_it_belongs() {
    for lies_on in [of("ann"), elsewhere("ann")] {
        let mut world = world(8);
        let (ticket, answer_to) = world.listen();
        let more = format!(r#""answerto":"{answer_to}","#);
        let wrong = message("f-1", "ferry.take-berth.v1", "ann~x-1", &more, "TakeBerth", r#"{"birth":"ann~x-1"}"#);
        world.put("ferry.commands", lies_on, &wrong);
        world.run(MINUTE);
        assert!(matches!(world.first(ticket), Some(First::Invalid(why)) if why.contains("birth") || why.contains("berth")));
        let letters = world.waiting();
        let (partition, letter) = one(&letters);
        // As it is it cannot be taken, however often it is replayed.
        world.operate(&replay(partition, letter)).unwrap();
        world.run(HOUR);
        let again = world.waiting();
        assert!(one(&again).1.head.dead && one(&again).1.head.attempts == 1, "{again:?}");
        let not_its_key = world.operate(&edit(partition, letter, r#"{"berth":"bob~x-1"}"#));
        assert!(matches!(not_its_key, Err(Undecided::Refused(refusal)) if refusal.code == "key-changed"));
        world.operate(&edit(partition, letter, r#"{"berth":"ann~x-1"}"#)).unwrap();
        world.operate(&replay(partition, letter)).unwrap();
        world.run(HOUR);
        assert!(world.waiting().is_empty());
        assert!(world.state::<Berth>("ferry", "ann~x-1").is_some_and(|berth| berth.taken));
        assert!(matches!(world.first(ticket), Some(First::Done { .. })));
        // Whoever sends the mended one under its id again sends the same command.
        world.put("ferry.commands", of("ann"), &wrong);
        world.run(MINUTE);
        assert_eq!(world.waiting().len(), 1, "and the wrong one once more is another message");
    }
}

#[test]
fn a_letter_that_faults_after_it_was_mended_is_tried_again_and_settled_once() {
    let mut world = world(9);
    let (seen, count) = (std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0)), 3);
    let counted = seen.clone();
    world.intercept(move |envelope| {
        if &*envelope.id == "f-1" && counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < count {
            return Instead::Answer(seedwork::Error::fault("not now"));
        }
        Instead::Handle
    });
    let wrong = message("f-1", "harbour.fill-purse.v1", "p-1", "", "FillPurse", "7");
    world.put("harbour.commands", of("p-1"), &wrong);
    world.run(MINUTE);
    let letters = world.waiting();
    let (partition, letter) = one(&letters);
    world.operate(&edit(partition, letter, r#"{"purse":"p-1","amount":100}"#)).unwrap();
    world.operate(&replay(partition, letter)).unwrap();
    world.run(HOUR);
    assert_eq!((purse(&world), world.waiting().len()), (Some(100), 0));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), count + 1);
}

#[test]
fn on_a_bad_day_what_foreign_clients_send_is_taken_once_and_in_the_end() {
    for seed in 0..40 {
        let mut world = world(seed);
        world.set_faults(Faults::all());
        for n in 0..20_u16 {
            let (id, key) = (format!("f-{n}"), format!("p-{}", n % 3));
            for copy in 0..3 {
                world.put("harbour.commands", (n + copy) % PARTITIONS, &fill(&id, &key, 1));
            }
            world.put("harbour.commands", n % PARTITIONS, b"junk");
            world.run(Duration::from_millis(50));
        }
        world.run(MINUTE);
        world.set_faults(Faults::default());
        assert!(world.settle(HOUR), "seed {seed}: {}", world.describe());
        world.run(HOUR);
        let filled: i64 = world.states::<Purse>("harbour").iter().map(|purse| purse.amount).sum();
        // An owner that has lost a partition in silence may still list what was there.
        let letters: BTreeSet<_> =
            world.waiting().into_iter().map(|(partition, letter)| (partition, letter.head.number)).collect();
        assert_eq!((filled, letters.len()), (20, 20), "seed {seed}");
    }
}
