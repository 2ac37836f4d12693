//! A handler loads, decides, saves. Here a whole context with one command, in a world in memory.
//!
//! `cargo run -p seedwork --example command_handler`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(dead_code, reason = "another example uses this one's business")]

use std::time::Duration;

use apache_avro::AvroSchema;
use seedwork::executor::First;
use seedwork::testing::World;
use seedwork::{Aggregate, Context, Outbox, Publish, Refusal, Result, UnitOfWork};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Parking = "parking", version 1;
    commands { Enter "enter" by lot; }
}

/// Let a car in.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Enter {
    pub lot: String,
    pub car: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Lot {
    id: String,
    cars: Vec<String>,
}

impl Aggregate for Lot {
    const KIND: &'static str = "lot";
    fn id(&self) -> &str {
        &self.id
    }
}

impl Publish for Lot {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.nothing();
    }
}

fn enter(ask: Enter, work: &mut UnitOfWork<'_>) -> Result {
    let mut lot = work.find::<Lot>(&ask.lot)?.unwrap_or(Lot { id: ask.lot, cars: Vec::new() });
    if lot.cars.len() == 2 {
        return Err(Refusal::conflict("full", "no place is free").into());
    }
    lot.cars.push(ask.car);
    work.save(lot, [()])
}

/// The context.
pub fn contexts() -> Vec<Context> {
    vec![Context::of::<Parking>().aggregate::<Lot>().command("parking.write", enter)]
}

pub fn main() {
    let mut world = World::embedded(contexts, 1);
    for car in ["car-1", "car-2", "car-3"] {
        let ticket = world.ask(&Enter { lot: "north".to_owned(), car: car.to_owned() });
        world.run(Duration::from_secs(1));
        match world.first(ticket).expect("every command is answered") {
            First::Refused(refusal) => println!("{car}: {refusal}"),
            first => println!("{car}: {first:?}"),
        }
    }
    // The same id and body again: the same answer, and no second effect.
    let ask = Enter { lot: "south".to_owned(), car: "car-9".to_owned() };
    let tickets = [world.ask_as("key", &ask), world.ask_as("key", &ask)];
    world.run(Duration::from_secs(1));
    assert_eq!(world.first(tickets[0]), world.first(tickets[1]));
    assert_eq!(world.state::<Lot>("parking", "south").expect("it is there").cars, ["car-9"]);
    assert_eq!(world.state::<Lot>("parking", "north").expect("it is there").cars, ["car-1", "car-2"]);
}
