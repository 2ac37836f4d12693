//! The topic of replies: every answer to a saga is what the topic's schema says, and yesterday's is read today.
//!
//! `ALPES_BLESS=1 cargo test -p seedwork --test replies` writes a golden file that is missing, and never over one that is there.

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use seedwork::Refusal;
use seedwork::message::{Direction, Envelope, Packet, Role, SagaRef, topic_schema};
use seedwork::saga::{ANSWER_KIND, ANSWER_RECORD, Answer, Operator, Outcome};

fn golden(name: &str, now: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("ALPES_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn answers() -> Vec<Answer> {
    let plain = Refusal::conflict("full", "no place is free");
    let whole = Refusal::unprocessable("too-long", "car", "a car is at most 5 m long")
        .with(serde_json::json!({"most": 5, "car": {"length": 7.5}}));
    [
        Outcome::Done,
        Outcome::Refused(plain),
        Outcome::Refused(whole),
        Outcome::Refused(Refusal::unknown("car", "c-1")),
        Outcome::Dead,
    ]
    .map(Answer::from)
    .into()
}

/// Answers with what an operator did, which came later.
fn signed() -> Vec<Answer> {
    let discarded = Refusal::conflict("discarded", "they have moved").with(serde_json::json!({"actor": "ann"}));
    let operator = |did: &'static str, reason: Option<&str>| {
        Some(Operator { did: did.into(), actor: "ann".into(), reason: reason.map(str::to_owned) })
    };
    vec![
        Answer { outcome: Outcome::Dead, operator: operator("edited", Some("a typo")) },
        Answer { outcome: Outcome::Dead, operator: operator("replayed", None) },
        Answer { outcome: Outcome::Refused(discarded), operator: operator("discarded", Some("they have moved")) },
    ]
}

/// As builds before [`Operator`] read an answer.
#[derive(serde::Deserialize)]
struct Before {
    outcome: String,
}

fn packet(answer: &Answer) -> Packet {
    let saga =
        SagaRef { id: "car-1~x".into(), context: "parking".into(), row: 2, index: 0, direction: Direction::Undo, attempt: 3 };
    let envelope = Envelope {
        kind: ANSWER_KIND.into(),
        key: "car-1~x".into(),
        correlation: "ask-1".into(),
        causation: Some("parking/0/1757462400000/3".into()),
        saga: Some(saga),
        ..Envelope::asked("shop/0/1757462400000/7", "shop", "ann", 1_757_462_400_123_456)
    };
    Packet::encode(envelope, ANSWER_RECORD, &serde_json::to_vec(answer).unwrap()).unwrap()
}

#[test]
fn yesterdays_answers_are_read_today_and_written_again_byte_for_byte() {
    for (name, answers) in [("replies.jsonl", answers()), ("replies-signed.jsonl", signed())] {
        let now: String =
            answers.iter().map(|answer| format!("{}\n", std::str::from_utf8(packet(answer).raw()).unwrap())).collect();
        let golden = golden(name, &now);
        let lines: Vec<&str> = golden.lines().collect();
        assert_eq!(lines.len(), answers.len());
        for (line, answer) in lines.iter().zip(answers) {
            let read = Packet::parse(line.as_bytes(), |kind| (kind == ANSWER_KIND).then_some(ANSWER_RECORD)).unwrap();
            assert_eq!(serde_json::from_slice::<Answer>(read.body()).unwrap(), answer);
            assert_eq!(std::str::from_utf8(packet(&answer).raw()).unwrap(), *line);
        }
    }
}

#[test]
fn a_build_that_knows_no_operators_reads_what_it_is_told_by_the_outcome() {
    // A dead letter that is a dead letter still changes nothing there.
    let read: Vec<String> =
        signed().iter().map(|answer| serde_json::from_slice::<Before>(packet(answer).body()).unwrap().outcome).collect();
    assert_eq!(read, ["dead", "dead", "refused"]);
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_that_says_why() {
    for (body, says) in [
        (r#"{"outcome":"maybe"}"#, "maybe"),
        (r#"{"outcome":"refused"}"#, "why"),
        (r#"{"outcome":"refused","refusal":{"code":"c","class":"conflict","message":"m","details":"{"}}"#, "details"),
        ("{}", "outcome"),
    ] {
        let error = serde_json::from_str::<Answer>(body).unwrap_err().to_string();
        assert!(error.contains(says), "{body}: {error}");
    }
}

#[test]
fn every_answer_is_what_the_schema_of_its_topic_says() {
    let topic = topic_schema("parking", Role::Reply, &[]);
    let golden: serde_json::Value = serde_json::from_str(&golden("replies.avsc", &format!("{topic:#}\n"))).unwrap();
    assert_eq!(
        topic, golden,
        "the schema of replies has changed: only an optional field may be added, and the golden file with it"
    );
    let schema = Schema::parse(&topic).unwrap();
    let Schema::Record(record) = &schema else { panic!("a topic's schema is a record") };
    for answer in answers().into_iter().chain(signed()) {
        let json: serde_json::Value = serde_json::from_slice(packet(&answer).raw()).unwrap();
        // A field that the schema does not know is passed over by Avro, so the names are compared as well.
        for name in json.as_object().unwrap().keys() {
            assert!(record.fields.iter().any(|field| field.name == *name), "{name} is not in the schema");
        }
        let body = &golden["fields"].as_array().unwrap().iter().find(|field| field["name"] == ANSWER_RECORD).unwrap()["type"][1];
        let inner = |place: usize| &body["fields"][place]["type"][1];
        let json_of = &json[ANSWER_RECORD];
        for (name, of) in [(json_of, body), (&json_of["refusal"], inner(1)), (&json_of["operator"], inner(2))] {
            for name in name.as_object().into_iter().flat_map(|object| object.keys()) {
                assert!(
                    of["fields"].as_array().unwrap().iter().any(|field| field["name"] == *name),
                    "{name} is not in the schema"
                );
            }
        }
        Avro::try_from(json).unwrap().resolve(&schema).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
    }
}

#[test]
fn only_the_topic_of_replies_carries_answers() {
    for (role, there) in [(Role::Command, false), (Role::Event, false), (Role::Reply, true)] {
        assert_eq!(topic_schema("parking", role, &[]).to_string().contains(ANSWER_RECORD), there, "{role:?}");
    }
}
