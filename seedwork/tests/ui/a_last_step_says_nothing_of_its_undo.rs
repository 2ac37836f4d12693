//! Nor may the table end with such a step.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::reserve);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
