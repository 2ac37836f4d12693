//! What the crate lacks or gets wrong, and what a network does: each on the broker of ours, with the fault.

use std::time::Duration;

use pulsar::message::proto::ServerError;
use seedwork::broker::pulsar::{Edge, NotSent, Pulsar, Settings};
use seedwork::broker::{Broker, contract};
use seedwork::message::{Envelope, Packet};
use seedwork::store::Partition;

use crate::fake::Fake;
use crate::story::{Story, lot, to};

fn settings(fake: &Fake) -> Settings {
    Settings { partitions: 2, patience: Duration::from_millis(500), ..Settings::new(fake.url.clone(), "one") }
}

fn story(fake: &Fake) -> Story {
    Story::of(Pulsar::connect(settings(fake), || ()).unwrap())
}

#[test]
fn it_passes_the_suite_of_every_broker() {
    struct Ours(Option<Fake>);
    impl contract::Subject for Ours {
        fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
            self.0 = Some(Fake::start());
            self.again(origins)
        }
        fn again(&mut self, _origins: &[Partition]) -> Box<dyn Broker> {
            Box::new(Pulsar::connect(settings(self.0.as_ref().unwrap()), || ()).unwrap())
        }
        fn wait(&mut self, times: u32) -> bool {
            std::thread::sleep(Duration::from_millis(2));
            times < 100
        }
    }
    contract::check(&mut Ours(None));
}

#[test]
fn a_connection_that_ends_before_the_receipt_loses_nothing_and_breaks_no_order() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    let reader = story.subscribe("shop", &to);
    for round in 1..=5 {
        fake.fault(|faults| faults.drop_before_receipt = 1);
        story.send(&from, &to, 20);
        story.until("all is safe", |story| story.safe(&from, &to) && story.count(&reader) == 20 * round);
    }
    story.assert_all(&reader);
    assert!(story.duplicates > 0, "what had arrived without a receipt came twice");
}

#[test]
fn a_send_that_hangs_for_ever_is_given_up_and_sent_again() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    let reader = story.subscribe("shop", &to);
    story.send(&from, &to, 5);
    story.until("all is safe", |story| story.safe(&from, &to));
    // The crate would wait for the receipt of one that the broker has, and of one that it lost.
    for (round, lost) in [(1, false), (2, true)] {
        fake.fault(|faults| if lost { faults.lose = 1 } else { faults.no_receipt = 1 });
        story.send(&from, &to, 5);
        story.until("all is safe", |story| story.safe(&from, &to) && story.count(&reader) == 5 + 5 * round);
        assert_eq!(story.failures, round, "the owner is told");
    }
    story.assert_all(&reader);
}

#[test]
fn a_stream_that_ends_is_read_on_from_where_it_was_acknowledged() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    let reader = story.subscribe("shop", &to);
    story.send(&from, &to, 10);
    story.until("ten", |story| story.count(&reader) == 10);
    // Ends with the connection, ends with the consumer, and ends where the crate gives up: it cannot find the topic again.
    for round in 2..=4 {
        let topic = "persistent://public/default/lot.events-partition-0";
        story.until("all is acknowledged", |_| fake.acknowledged(topic, "shop") == fake.entries());
        match round {
            2 => fake.hang_up(),
            3 => fake.close_consumers(),
            _ => {
                fake.fault(|faults| faults.refuse_lookup = 3);
                fake.close_consumers();
            }
        }
        story.send(&from, &to, 10);
        story.until("ten more", |story| story.count(&reader) == 10 * round);
    }
    story.until("all is safe", |story| story.safe(&from, &to));
    story.assert_all(&reader);
    assert!(story.duplicates <= 20, "nothing that was acknowledged comes again: {}", story.duplicates);
}

#[test]
fn a_lookup_that_is_refused_or_not_answered_is_tried_again() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    fake.fault(|faults| (faults.refuse_lookup, faults.ignore_lookup) = (2, 0));
    let reader = story.subscribe("shop", &to);
    story.send(&from, &to, 10);
    story.until("ten", |story| story.count(&reader) == 10);
    fake.fault(|faults| faults.ignore_lookup = 2);
    fake.hang_up();
    story.send(&from, &to, 10);
    story.until("twenty", |story| story.count(&reader) == 20 && story.safe(&from, &to));
    story.assert_all(&reader);
}

#[test]
fn what_comes_twice_counts_once() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    let reader = story.subscribe("shop", &to);
    fake.fault(|faults| faults.double = 3);
    story.send(&from, &to, 10);
    story.until("ten", |story| story.count(&reader) == 10 && story.duplicates > 0);
    story.assert_all(&reader);
}

#[test]
fn a_producer_never_shares_the_connection_of_a_consumer() {
    // The crate sets no TCP_NODELAY: a producer there would wait for delayed acknowledgements, 44 ms a hop.
    let fake = Fake::start();
    let mut story = story(&fake);
    let readers: Vec<_> = (0..2).map(|partition| story.subscribe("lot", &to("lot.commands", partition))).collect();
    for partition in 0..2 {
        story.send(&lot(0), &to("lot.commands", partition), 50);
        story.send(&lot(1), &to("lot.commands", partition), 50);
    }
    story.until("all", |story| readers.iter().all(|reader| story.count(reader) == 100));
    assert_eq!(fake.mixed(), 0);
}

#[test]
fn each_destination_is_a_partition_named_by_us_and_a_batch_is_one_entry() {
    let fake = Fake::start();
    let mut story = story(&fake);
    for partition in 0..2 {
        story.send(&lot(0), &to("lot.events", partition), 40);
        story.until("all is safe", |story| story.safe(&lot(0), &to("lot.events", partition)));
    }
    let topics: Vec<String> = (0..2).map(|number| format!("persistent://public/default/lot.events-partition-{number}")).collect();
    let sent: Vec<String> = fake.topics().into_iter().filter(|topic| topic.starts_with("persistent")).collect();
    assert_eq!(sent, topics, "no message was routed by the crate");
    assert_eq!(fake.entries(), 2, "40 rows of a batch are one entry");
}

#[test]
fn whoever_first_sends_commands_or_replies_makes_their_readers_subscription() {
    let fake = Fake::start();
    let mut story = story(&fake);
    for topic in ["shop.commands", "shop.replies", "lot.events"] {
        story.send(&lot(0), &to(topic, 0), 3);
        story.until("all is safe", |story| story.safe(&lot(0), &to(topic, 0)));
    }
    let of = |topic: &str| fake.subscriptions(&format!("persistent://public/default/{topic}-partition-0"));
    assert_eq!((of("shop.commands"), of("shop.replies")), (vec!["shop".to_owned()], vec!["shop".to_owned()]));
    assert!(of("lot.events").is_empty(), "whoever reads events says so itself");
}

#[test]
fn only_whole_entries_are_acknowledged() {
    let fake = Fake::start();
    let mut story = story(&fake);
    story.acknowledges = false;
    let (from, to) = (lot(0), to("lot.events", 0));
    let reader = story.subscribe("shop", &to);
    for count in [3, 4] {
        story.send(&from, &to, count);
        story.until("safe", |story| story.safe(&from, &to));
    }
    story.until("all", |story| story.count(&reader) == 7);
    let topic = "persistent://public/default/lot.events-partition-0";
    let mut acknowledge = |upto: u64, entries: usize| {
        story.broker.acknowledge(&reader, upto);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(fake.acknowledged(topic, "shop"), entries, "up to message {upto}");
    };
    acknowledge(2, 0);
    acknowledge(3, 1);
    acknowledge(6, 1);
    acknowledge(7, 2);
}

#[test]
fn what_waits_for_an_owner_that_does_not_hear_is_bounded() {
    let fake = Fake::start();
    let mut story = story(&fake);
    let (from, to) = (lot(0), to("lot.events", 0));
    for _ in 0..30 {
        story.send(&from, &to, 1_000);
        story.until("safe", |story| story.safe(&from, &to));
    }
    let mut slow = Story::of(Pulsar::connect(settings(&fake), || ()).unwrap());
    let reader = slow.subscribe("shop", &to);
    std::thread::sleep(Duration::from_secs(1));
    let mut heard = Vec::new();
    let mut store = seedwork::store::Sqlite::memory().unwrap();
    slow.broker.hear(usize::MAX >> 1, &mut store, &mut heard).unwrap();
    assert!((1_000..=4_200).contains(&heard.len()), "{} waited", heard.len());
    drop((reader, slow));
}

fn command(key: &str) -> Packet {
    let asked = Envelope::asked(format!("k-{key}"), "edge", "local", 1);
    let envelope = Envelope { kind: "lot.enter.v1".into(), key: key.into(), answer_to: Some("edge-1".into()), ..asked };
    Packet::encode(envelope, "Enter", br#"{"car":"c"}"#).unwrap()
}

#[test]
fn a_command_of_an_edge_is_heard_with_its_hash_and_the_answer_comes_back() {
    let fake = Fake::start();
    let (sender, answers) = std::sync::mpsc::channel();
    let edge = Edge::connect(Settings { name: "edge-1".to_owned(), ..settings(&fake) }, move |answered| {
        drop(sender.send(answered));
    })
    .unwrap();
    let mut story = story(&fake);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let packet = command("car-1");
    runtime.block_on(edge.send("lot", &packet, "h1")).unwrap();
    let partition = seedwork::log::partition_of("car-1", 2);
    story.subscribe("lot", &to("lot.commands", partition));
    story.until("the command", |story| story.foreign.len() == 1);
    let heard = &story.foreign[0];
    assert_eq!((&*heard.raw, heard.hash.as_deref()), (&**packet.raw(), Some("h1")), "the bytes as they were sent");
    let answered = seedwork::executor::Answered { command: "k-car-1".into(), first: None, outcome: None };
    // Best effort: whoever is not listening yet misses it, and asks again.
    let answer = (0..100).find_map(|_| {
        story.broker.answer(edge.answer_to(), &answered);
        answers.recv_timeout(Duration::from_millis(100)).ok()
    });
    assert_eq!(answer.as_ref(), Some(&answered));
    story.broker.answer("../lot.commands", &answered);
    assert!(fake.topics().iter().all(|topic| !topic.contains("..")));
}

#[test]
fn an_edge_says_what_it_does_not_know() {
    let fake = Fake::start();
    let edge = Edge::connect(settings(&fake), |_| ()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(edge.send("lot", &command("car-1"), "h")).unwrap();
    fake.fault(|faults| faults.no_receipt = 1);
    let unknown = runtime.block_on(edge.send("lot", &command("car-1"), "h"));
    assert!(matches!(&unknown, Err(NotSent::Unknown(_))), "{unknown:?}");
    runtime.block_on(edge.send("lot", &command("car-1"), "h")).unwrap();
}

#[test]
fn it_is_opened_and_closed_on_a_thread_of_another_runtime_too() {
    let fake = Fake::start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let broker = Pulsar::connect(settings(&fake), || ()).unwrap();
        assert_eq!(broker.last_of(&to("lot.events", 0)), Ok(None));
        drop((broker, Edge::connect(settings(&fake), |_| ()).unwrap()));
    });
}

#[test]
fn a_connection_that_is_cut_off_in_the_greeting_is_an_outage_and_a_refusal_is_none() {
    let fake = Fake::start();
    // The crate's own greeting and the one that asks why; then the broker is there again between the two.
    for (cut, says) in [(2, "cut the connection off during the greeting"), (1, "took no connection a moment ago")] {
        fake.fault(|faults| faults.cut_greeting = cut);
        let trouble = Pulsar::check(&settings(&fake)).unwrap_err();
        assert!(trouble.passes && trouble.text.contains(says) && !trouble.text.contains('\n'), "{trouble:?}");
        assert_eq!(Pulsar::check(&settings(&fake)), Ok(()), "and then it is over");
    }
    for (refused, passes) in [(ServerError::AuthenticationError, false), (ServerError::ServiceNotReady, true)] {
        fake.fault(|faults| faults.refuse_greeting = Some(refused));
        let trouble = Pulsar::check(&settings(&fake)).unwrap_err();
        assert!(trouble.passes == passes && trouble.text.contains("so it is"), "the broker's own words: {trouble:?}");
    }
}

#[test]
fn a_wrong_address_is_said_in_one_line() {
    for (url, says) in [("http://x", "must begin with pulsar://"), ("pulsar://127.0.0.1:1", "no broker can be reached")] {
        let trouble = Pulsar::check(&Settings::new(url, "one")).unwrap_err();
        assert!(trouble.text.contains(says) && !trouble.text.contains('\n'), "{trouble}");
        assert_eq!(trouble.passes, says.starts_with("no broker"), "a broker that is away may come; a wrong address stays wrong");
    }
    let fake = Fake::start();
    let encrypted = Settings { url: fake.url.replace("pulsar://", "pulsar+ssl://"), ..settings(&fake) };
    let trouble = Pulsar::check(&encrypted).unwrap_err();
    assert!(trouble.text.contains(&encrypted.url), "{trouble}");
    let other = Settings { partitions: 8, schemas: [("lot.events".into(), "{}".into())].into(), ..settings(&fake) };
    let trouble = Pulsar::check(&other).unwrap_err();
    assert!(trouble.text.contains("has 2 partitions and this deployment 8"), "{trouble}");
}
