//! There is one point of no return.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").pivot(Stay::open).pivot(Stay::reserve);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
