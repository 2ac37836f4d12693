//! The twin of `an_undo_to_another_context`.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::reserve).undo(Stay::free);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
