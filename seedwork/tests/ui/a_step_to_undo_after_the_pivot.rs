//! After the point of no return there is nothing that could be undone: rows are only tried again.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").then(Stay::open).step(Stay::reserve).undo(Stay::free);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
