//! An event is said by an aggregate; nobody can be asked for one.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::entered).nothing_to_undo();
    let _context = Context::of::<parking::Parking>().saga(saga);
}
