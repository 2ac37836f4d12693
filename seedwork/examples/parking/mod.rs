//! The business that several examples share: a car park whose cars pay before the gate opens. The saga over it is in `saga.rs`.

use apache_avro::AvroSchema;
use seedwork::testing::World;
use seedwork::{Aggregate, Context, Outbox, Publish, Refusal, Result, UnitOfWork};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Parking = "parking", version 1;
    commands { Arrive "arrive" by car; Leave "leave" by car; Reserve "reserve" by place; Free "free" by place; Pay "pay" by car; Open "open" by car; }
}

/// A car stands at the gate.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Arrive {
    pub car: String,
    pub place: String,
    pub money: i64,
}

/// It is away again: the undo of its arrival.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Leave {
    pub car: String,
}

/// Keep a place for a car.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Reserve {
    pub place: String,
    pub car: String,
}

/// The undo of that.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Free {
    pub place: String,
}

/// Take the fee.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Pay {
    pub car: String,
    pub fee: i64,
}

/// Open the gate.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Open {
    pub car: String,
}

/// What a stay knows: written once, when it starts.
#[derive(Serialize, Deserialize)]
pub struct Stay {
    pub car: String,
    pub place: String,
}

/// What each row of the saga sends.
impl Stay {
    pub fn leave(&self) -> Leave {
        Leave { car: self.car.clone() }
    }
    pub fn reserve(&self) -> Reserve {
        Reserve { place: self.place.clone(), car: self.car.clone() }
    }
    pub fn free(&self) -> Free {
        Free { place: self.place.clone() }
    }
    pub fn pay(&self) -> Pay {
        Pay { car: self.car.clone(), fee: 3 }
    }
    pub fn open(&self) -> Open {
        Open { car: self.car.clone() }
    }
}

/// A car, and where it is: `gate`, `inside` or `away`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Car {
    id: String,
    at: String,
    money: i64,
    paid: bool,
}

/// A place, and who has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    id: String,
    car: Option<String>,
}

macro_rules! aggregate {
    ($name:ident, $kind:literal) => {
        impl Aggregate for $name {
            const KIND: &'static str = $kind;
            fn id(&self) -> &str {
                &self.id
            }
        }
        impl Publish for $name {
            type Event = ();
            fn publish(&self, (): (), out: &mut Outbox) {
                out.nothing();
            }
        }
    };
}
aggregate!(Car, "car");
aggregate!(Place, "place");

fn arrive(ask: Arrive, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<Car>(&ask.car)?.is_some() {
        return Err(Refusal::conflict("known", "this car has been here").into());
    }
    work.start(Stay { car: ask.car.clone(), place: ask.place })?;
    work.save(Car { id: ask.car, at: "gate".to_owned(), money: ask.money, paid: false }, [()])
}

fn leave(ask: Leave, work: &mut UnitOfWork<'_>) -> Result {
    let mut car = work.load::<Car>(&ask.car)?;
    let changed = (car.at != "away").then_some(());
    car.at = "away".to_owned();
    work.save(car, changed)
}

fn reserve(ask: Reserve, work: &mut UnitOfWork<'_>) -> Result {
    let mut place = work.find::<Place>(&ask.place)?.unwrap_or(Place { id: ask.place, car: None });
    match &place.car {
        Some(car) if *car == ask.car => return Ok(()),
        Some(_) => return Err(Refusal::conflict("taken", "somebody stands there").into()),
        None => place.car = Some(ask.car),
    }
    work.save(place, [()])
}

fn free(ask: Free, work: &mut UnitOfWork<'_>) -> Result {
    let Some(mut place) = work.find::<Place>(&ask.place)? else { return Ok(()) };
    let changed = place.car.take().map(|_| ());
    work.save(place, changed)
}

fn pay(ask: Pay, work: &mut UnitOfWork<'_>) -> Result {
    let mut car = work.load::<Car>(&ask.car)?;
    if car.paid {
        return Ok(());
    }
    if car.money < ask.fee {
        return Err(Refusal::conflict("no-money", "the fee cannot be paid").into());
    }
    (car.money, car.paid) = (car.money - ask.fee, true);
    work.save(car, [()])
}

fn open(ask: Open, work: &mut UnitOfWork<'_>) -> Result {
    let mut car = work.load::<Car>(&ask.car)?;
    let changed = (car.at != "inside").then_some(());
    car.at = "inside".to_owned();
    work.save(car, changed)
}

/// The context, but for its saga.
pub fn context() -> Context {
    let parking = Context::of::<Parking>().aggregate::<Car>().aggregate::<Place>();
    let parking = parking.command("parking.write", arrive).command("parking.saga", leave).command("parking.saga", reserve);
    parking.command("parking.saga", free).command("parking.saga", pay).command("parking.saga", open)
}

/// Asks for a stay.
pub fn arrival(car: &str, place: &str, money: i64) -> Arrive {
    Arrive { car: car.to_owned(), place: place.to_owned(), money }
}

/// Who is inside, which places are taken, and what everybody has left.
pub fn view(world: &World) -> String {
    let cars = world.states::<Car>("parking");
    let cars = cars.iter().map(|car| format!("{} inside: {}, {} left\n", car.id, car.at == "inside", car.money));
    let places = world.states::<Place>("parking");
    let places = places.iter().filter_map(|place| Some(format!("{} has {}\n", place.car.as_ref()?, place.id)));
    cars.chain(places).collect()
}
