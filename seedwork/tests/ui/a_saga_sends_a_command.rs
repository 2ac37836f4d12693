//! The twin of `a_saga_sends_no_event`.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::open).nothing_to_undo();
    let _context = Context::of::<parking::Parking>().saga(saga);
}
