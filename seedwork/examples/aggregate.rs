//! An aggregate: its methods decide and return the event, or `None` when it was so already; `publish` says what the world may know.
//!
//! `cargo run -p seedwork --example aggregate`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]

use apache_avro::AvroSchema;
use seedwork::{Aggregate, Outbox, Publish, Refusal, Refuse};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Parking = "parking", version 1;
    events { Entered "entered" by lot; }
}

/// A car came into a car park.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Entered {
    pub lot: String,
    pub car: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Lot {
    id: String,
    places: usize,
    cars: Vec<String>,
}

enum Event {
    Entered(String),
    Enlarged,
}

#[derive(Debug)]
enum Refused {
    Full(usize),
}

impl Lot {
    fn enter(&mut self, car: &str) -> Result<Option<Event>, Refused> {
        if self.cars.iter().any(|inside| inside == car) {
            return Ok(None);
        }
        if self.cars.len() == self.places {
            return Err(Refused::Full(self.places));
        }
        self.cars.push(car.to_owned());
        Ok(Some(Event::Entered(car.to_owned())))
    }

    fn enlarge(&mut self, places: usize) -> Option<Event> {
        (places > 0).then(|| {
            self.places += places;
            Event::Enlarged
        })
    }
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        let Refused::Full(places) = self;
        Refusal::conflict("full", "no place is free").with(serde_json::json!({"places": places}))
    }
}

impl Aggregate for Lot {
    const KIND: &'static str = "lot";
    fn id(&self) -> &str {
        &self.id
    }
}

impl Publish for Lot {
    type Event = Event;
    fn publish(&self, event: Event, out: &mut Outbox) {
        match event {
            Event::Entered(car) => out.event(Entered { lot: self.id.clone(), car }),
            Event::Enlarged => out.nothing(),
        }
    }
}

pub fn main() {
    let mut lot = Lot { id: "north".to_owned(), places: 1, cars: Vec::new() };
    assert!(matches!(lot.enter("car-1"), Ok(Some(Event::Entered(_)))));
    assert!(matches!(lot.enter("car-1"), Ok(None)), "it was so already");
    let refused = lot.enter("car-2").err().expect("there is one place");
    println!("{}", refused.refusal());
    let enlarged = lot.enlarge(1).expect("one place more");
    let entered = lot.enter("car-2").ok().flatten().expect("there is room now");
    let mut out = Outbox::default();
    [enlarged, entered].into_iter().for_each(|event| lot.publish(event, &mut out));
    println!("{out:?}");
}
