//! The read side: columns that are a function of one aggregate, written beside its state, and a query over them.
//!
//! `cargo run -p seedwork --example view`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]

use std::time::Duration;

use apache_avro::AvroSchema;
use seedwork::testing::World;
use seedwork::view::View;
use seedwork::{Aggregate, Context, Outbox, Publish, Result, UnitOfWork};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Parking = "parking", version 1;
    commands { Park "park" by car; }
}

/// A car stands on a floor.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Park {
    pub car: String,
    pub floor: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Car {
    id: String,
    floor: i64,
}

impl Aggregate for Car {
    const KIND: &'static str = "car";
    fn id(&self) -> &str {
        &self.id
    }
}

impl Publish for Car {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.nothing();
    }
}

fn park(ask: Park, work: &mut UnitOfWork<'_>) -> Result {
    work.save(Car { id: ask.car, floor: ask.floor }, [()])
}

/// What cars are looked for by. One SQL for both engines: `$1` parameters, TEXT and BIGINT columns.
const CARS: View<Car> =
    View { columns: &[("floor", "BIGINT")], indexes: &[("by_floor", "floor, id")], row: |car| vec![car.floor.into()] };

pub fn main() {
    let contexts = || vec![Context::of::<Parking>().view(CARS).command("parking.write", park)];
    let mut world = World::embedded(contexts, 1);
    for (car, floor) in [("car-1", 1), ("car-2", 2), ("car-3", 2), ("car-1", 2), ("car-2", 3)] {
        world.ask(&Park { car: car.to_owned(), floor });
    }
    world.run(Duration::from_secs(1));
    // In a process the same query goes through a `view::Read`, beside the owner.
    let sql = "SELECT id, floor FROM parking_car WHERE floor >= $1 ORDER BY floor, id";
    let (_, rows) = world.each_store(sql, &[2.into()]).remove(0);
    let rows: Vec<_> = rows.iter().map(|row| (row[0].text().unwrap_or_default(), row[1].integer().unwrap_or_default())).collect();
    println!("{rows:?}");
    assert_eq!(rows, [("car-1", 2), ("car-3", 2), ("car-2", 3)]);
}
