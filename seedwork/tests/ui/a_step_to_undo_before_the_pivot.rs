//! The twin of `a_step_to_undo_after_the_pivot` and of `a_second_pivot`: the same rows, in an order that makes sense.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::reserve).undo(Stay::free).pivot(Stay::open).then(Stay::open);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
