//! Yesterday's messages are readable today, and whoever reads a topic's schema can read tomorrow's.
//!
//! `ALPES_BLESS=1 cargo test -p wire` writes what is missing: a schema that changed compatibly, the message of a new kind, the
//! catalogue. It never writes over a golden message, nor a schema over one that the new one cannot be read with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value as Avro;
use seedwork::message::{Direction, Entry, Envelope, Packet, Role, SagaRef, topic_schema};
use serde_json::Value;

mod samples;

use samples::{Sample, samples};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn blessed() -> bool {
    std::env::var_os("ALPES_BLESS").is_some_and(|value| value == "1")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; ALPES_BLESS=1 writes it", path.display()))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn record_of(kind: &str) -> Option<&'static str> {
    entries().find(|entry| entry.kind == kind).map(|entry| entry.record)
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    wire::TABLES.iter().flat_map(|table| table.iter())
}

/// Every topic that carries messages of the tables, and its schema now.
fn topics() -> Vec<(String, Value)> {
    let names: BTreeSet<_> = entries().map(|entry| (entry.context, entry.role)).collect();
    let schema =
        |(context, role): (&str, Role)| (format!("{context}.{}", role.topic()), topic_schema(context, role, wire::TABLES));
    names.into_iter().map(schema).collect()
}

fn envelope(sample: &Sample) -> Envelope {
    let saga = SagaRef {
        id: "c-12345~019947f0d0007a3c8e1f5b2d4c6a7980".into(),
        context: "campaign".into(),
        row: 2,
        index: 1,
        direction: Direction::Do,
        attempt: 1,
    };
    let asked = sample.role == Role::Command;
    Envelope {
        id: format!("{}/0/1757462400000/7", sample.context).into(),
        source: sample.context.into(),
        kind: sample.kind.into(),
        key: sample.key.clone().into(),
        time: 1_757_462_400_123_456,
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        correlation: "campaign.register:c-12345".into(),
        causation: Some("campaign.register:c-12345".into()),
        actor: "ana@example.org".into(),
        tenant: Some("alpes".into()),
        saga: asked.then_some(saga),
        answer_to: asked.then(|| "bff-1".into()),
        expected: None,
    }
}

fn golden(sample: &Sample) -> PathBuf {
    file(&format!("golden/messages/{}.json", sample.kind))
}

/// The golden messages, in the order of the tables.
fn golden_messages() -> Vec<(Sample, String)> {
    let samples = samples();
    let (known, sampled): (Vec<_>, Vec<_>) =
        (entries().map(|entry| entry.kind).collect(), samples.iter().map(|sample| sample.kind).collect());
    assert_eq!(sampled, known, "tests/samples.rs has one sample of each kind, in the order of the tables");
    let text = |sample: Sample| {
        let path = golden(&sample);
        if blessed() && !path.exists() {
            let packet = Packet::encode(envelope(&sample), sample.record, sample.body.as_bytes()).unwrap();
            write(&path, &format!("{}\n", std::str::from_utf8(packet.raw()).unwrap()));
        }
        let text = read(&path);
        (sample, text)
    };
    samples.into_iter().map(text).collect()
}

#[test]
fn a_golden_message_is_written_again_byte_for_byte() {
    for (sample, text) in golden_messages() {
        let packet = Packet::parse(text.as_bytes(), record_of).unwrap();
        assert_eq!(&*packet.envelope.kind, sample.kind);
        let (body, key) = (sample.read_and_write)(packet.body()).unwrap();
        assert_eq!(key, &*packet.envelope.key, "{}: its key", sample.kind);
        let again = Packet::encode(packet.envelope, sample.record, body.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(again.raw()).unwrap(), text.trim_end(), "{}", sample.kind);
    }
}

#[test]
fn the_first_field_of_a_message_is_its_key() {
    for sample in samples() {
        let entry = entries().find(|entry| entry.kind == sample.kind).unwrap();
        let Schema::Record(record) = (entry.schema)() else { panic!("{} is no record", sample.kind) };
        let body: Value = serde_json::from_str(&sample.body).unwrap();
        assert_eq!(body[&record.fields[0].name], *sample.key, "{}", sample.kind);
    }
}

#[test]
fn no_golden_message_is_of_an_unknown_kind() {
    let known: BTreeSet<_> = entries().map(|entry| format!("{}.json", entry.kind)).collect();
    let _written = golden_messages();
    for found in std::fs::read_dir(file("golden/messages")).unwrap() {
        let name = found.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "golden/messages/{name}: a kind that was ever published is readable for ever");
    }
}

#[test]
fn surplus_fields_of_a_newer_build_are_passed_over() {
    for (sample, text) in golden_messages() {
        let mut newer: Value = serde_json::from_str(&text).unwrap();
        newer["surplus"] = serde_json::json!({"id": "x", "type": ["y"]});
        newer[sample.record]["surplus"] = serde_json::json!([1, {"campaign": null}]);
        if let Some(first) = newer[sample.record].get_mut("participants").and_then(|list| list.get_mut(0)) {
            first["surplus"] = "z".into();
        }
        let packet = Packet::parse(newer.to_string().as_bytes(), record_of).unwrap();
        let golden = Packet::parse(text.as_bytes(), record_of).unwrap();
        assert_eq!((sample.read_and_write)(packet.body()).unwrap(), (sample.read_and_write)(golden.body()).unwrap());
        assert_eq!(packet.envelope, golden.envelope);
    }
}

#[test]
fn what_avro_calls_optional_may_be_missing_in_json_too() {
    let mut optional = 0;
    for (sample, text) in golden_messages() {
        let entry = entries().find(|entry| entry.kind == sample.kind).unwrap();
        let Schema::Record(record) = (entry.schema)() else { panic!("{} is no record", sample.kind) };
        let mut older: Value = serde_json::from_str(&text).unwrap();
        let body = older[sample.record].as_object_mut().unwrap();
        for field in &record.fields {
            assert_eq!(field.default.is_none(), is_needed(&sample, field.name.as_str()), "{}.{}", sample.record, field.name);
            if field.default.is_some() {
                optional += 1;
                body.remove(&field.name);
            }
        }
        let (read, _) = (sample.read_and_write)(serde_json::to_string(body).unwrap().as_bytes()).unwrap();
        assert!(read.len() <= sample.body.len(), "{read}");
    }
    assert!(optional > 5, "only {optional} fields are optional: has the schema lost its defaults?");
}

/// Whether a message cannot be read without this field.
fn is_needed(sample: &Sample, field: &str) -> bool {
    let mut body: Value = serde_json::from_str(&sample.body).unwrap();
    body.as_object_mut().unwrap().remove(field);
    (sample.read_and_write)(body.to_string().as_bytes()).is_err()
}

/// The fields of a topic's record, each with a schema that stands alone: apache-avro compares a type's definition with the mere name
/// of it as if they differed, and which kind defines a shared type depends on the order of the table.
fn fields_apart(schema: &Value) -> BTreeMap<String, (Schema, bool)> {
    fn define(value: &Value, known: &mut BTreeMap<String, Value>) {
        if let (Some("record"), Some(name)) = (value["type"].as_str(), value["name"].as_str()) {
            known.insert(name.to_owned(), value.clone());
        }
        value.as_object().into_iter().flat_map(|object| object.values()).for_each(|inner| define(inner, known));
        value.as_array().into_iter().flatten().for_each(|inner| define(inner, known));
    }
    fn expand(value: &mut Value, known: &BTreeMap<String, Value>, seen: &mut BTreeSet<String>) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|inner| expand(inner, known, seen)),
            Value::Object(object) if object.get("type").is_some_and(|kind| kind == "record") => {
                seen.insert(object["name"].as_str().unwrap().to_owned());
                expand(&mut object["fields"], known, seen);
            }
            Value::Object(object) => {
                for (_, inner) in object.iter_mut().filter(|(name, _)| matches!(name.as_str(), "type" | "items" | "values")) {
                    expand(inner, known, seen);
                }
            }
            Value::String(name) if seen.insert(name.clone()) => {
                if let Some(definition) = known.get(name) {
                    *value = definition.clone();
                    expand(value, known, seen);
                }
            }
            _ => {}
        }
    }
    let mut known = BTreeMap::new();
    define(&schema["fields"], &mut known);
    let alone = |field: &Value| {
        let mut kind = field["type"].clone();
        expand(&mut kind, &known, &mut BTreeSet::new());
        let name = field["name"].as_str().unwrap().to_owned();
        (name, (Schema::parse(&kind).unwrap(), field.get("default").is_some()))
    };
    schema["fields"].as_array().unwrap().iter().map(alone).collect()
}

/// What a reader of one of two schemas could not read of the other.
fn breaks(one: &Value, other: &Value) -> Vec<String> {
    let (one, other) = (fields_apart(one), fields_apart(other));
    let differ = |name: &String| match (one.get(name), other.get(name)) {
        (Some((one, _)), Some((other, _))) => !matches!(SchemaCompatibility::mutual_read(one, other), Ok(Compatibility::Full)),
        (Some((_, default)), None) | (None, Some((_, default))) => !default,
        (None, None) => false,
    };
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| differ(name)).cloned().collect()
}

#[test]
fn a_topic_s_schema_is_the_golden_one_and_both_read_each_other() {
    for (topic, schema) in topics() {
        let path = file(&format!("golden/schema/{topic}.avsc"));
        if let Err(error) = Schema::parse(&schema) {
            panic!("{topic} is no Avro schema: {error}");
        }
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if blessed() && !path.exists() {
            write(&path, &text);
        }
        let broken = breaks(&schema, &serde_json::from_str(&read(&path)).unwrap());
        assert!(broken.is_empty(), "{topic} breaks readers of {broken:?}: a breaking change is a new kind in <context>_v2.rs");
        if blessed() {
            write(&path, &text);
        }
        assert_eq!(read(&path), text, "{topic} has changed: ALPES_BLESS=1 writes it, since both read each other");
    }
}

#[test]
fn a_breaking_change_of_a_schema_is_seen() {
    let (_, schema) = topics().into_iter().find(|(topic, _)| topic == "campaign.commands").unwrap();
    let changed = |change: fn(&mut Vec<Value>)| {
        let mut changed = schema.clone();
        let kinds = changed["fields"].as_array_mut().unwrap();
        let kind = kinds.iter_mut().find(|kind| kind["name"] == "ApproveReservation").unwrap();
        change(kind["type"][1]["fields"].as_array_mut().unwrap());
        breaks(&schema, &changed)
    };
    assert_eq!(breaks(&schema, &schema), [""; 0]);
    assert_eq!(changed(|fields| fields.push(serde_json::json!({"name": "added", "type": "string"}))), ["ApproveReservation"]);
    assert_eq!(changed(|fields| fields.truncate(1)), ["ApproveReservation"], "an older build needs the amount");
    assert_eq!(changed(|fields| fields[1]["type"] = "long".into()), ["ApproveReservation"], "money is no number");
    assert_eq!(
        changed(|fields| fields.push(serde_json::json!({"name": "added", "type": ["null", "string"], "default": null}))),
        [""; 0],
        "an optional field breaks nobody"
    );
    let without_first = topic_schema("campaign", Role::Command, &[&wire::campaign_v1::TABLE[1..]]);
    assert!(!without_first.to_string().contains("RegisterCampaign"), "the kind that defines Money for the others is gone");
    assert_eq!(breaks(&schema, &without_first), [""; 0], "which kind defines a shared type does not matter");
}

#[test]
fn each_golden_message_is_what_its_topic_s_schema_says() {
    let topics = topics();
    for (sample, text) in golden_messages() {
        let topic = format!("{}.{}", sample.context, sample.role.topic());
        let schema = &topics.iter().find(|(name, _)| *name == topic).unwrap().1;
        let schema = Schema::parse(schema).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        // A field that the schema does not know is passed over by Avro, so the names are compared as well.
        let Schema::Record(record) = &schema else { panic!("{topic} is no record") };
        for name in json.as_object().unwrap().keys() {
            assert!(record.fields.iter().any(|field| field.name == *name), "{}: {name} is not in {topic}", sample.kind);
        }
        if let Err(error) = Avro::try_from(json).unwrap().resolve(&schema) {
            panic!("{} is not what {topic} says: {error}", sample.kind);
        }
    }
}

#[test]
fn the_catalogue_is_the_one_on_file() {
    let path = file("CATALOGUE.md");
    if blessed() {
        write(&path, &wire::catalogue());
    }
    assert_eq!(read(&path), wire::catalogue(), "ALPES_BLESS=1 writes it");
}

#[test]
fn the_catalogue_names_every_message_and_who_hears_it() {
    let text = wire::catalogue();
    for entry in entries() {
        assert!(text.contains(&format!("### {}\n\n`{}`, from ", entry.record, entry.kind)), "{}", entry.kind);
        let asked = entry.role == Role::Command;
        assert!(!asked || !wire::counterparts(entry.kind).is_empty(), "nobody asks for {}", entry.kind);
    }
    assert!(text.contains("`campaign.activated.v1`, from campaign to partner, tracking."), "{text}");
    assert!(text.contains("| `participants` | Participant list | Who promotes it: 1 to 1,000, each once. |"), "{text}");
    assert!(text.contains("| `starts` | string, optional | When its window begins. |"), "{text}");
}
