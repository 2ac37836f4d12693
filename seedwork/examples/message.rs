//! Messages: a table, plain structs below it, and the bytes that cross a broker.
//!
//! `cargo run -p seedwork --example message`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]

use apache_avro::AvroSchema;
use seedwork::message::{Envelope, Message, Packet, Role, topic_schema};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Parking = "parking", version 1;
    commands { Enter "enter" by car; }
    events { Entered "entered" by car; }
}

/// Let a car in.
#[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Enter {
    pub car: String,
}

/// A car came in.
#[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Entered {
    pub car: String,
}

pub fn main() {
    let ask = Enter { car: "car-1".to_owned() };
    let envelope = Envelope::asked("ask-1", "gate", "ann", 1_767_225_600_000_000);
    let packet = Packet::of(&ask, envelope).expect("it can be written as JSON");
    println!("{}", String::from_utf8_lossy(packet.raw()));

    // Whoever reads goes by the type, and gets back the same bytes and the same struct.
    let read = Packet::parse(packet.raw(), |kind| (kind == Enter::KIND).then_some(Enter::RECORD)).expect("it can be read");
    assert_eq!(serde_json::from_slice::<Enter>(read.body()).expect("the body is one"), ask);

    // The same table gives the schema that a registry holds for the topic.
    println!("{:#}", topic_schema("parking", Role::Command, &[TABLE]));
}
