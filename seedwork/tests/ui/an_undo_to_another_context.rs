//! Only who did a thing can undo it, and only its own topic keeps the two in order.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::reserve).undo(Stay::take_back);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
