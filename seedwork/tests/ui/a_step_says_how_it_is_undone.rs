//! The twin of `a_step_says_nothing_of_its_undo`, both ways to say it.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let undone = Saga::new("parking.stay").step(Stay::reserve).undo(Stay::free).pivot(Stay::open);
    let nothing = Saga::new("parking.look").step(Stay::open).nothing_to_undo();
    let _context = Context::of::<parking::Parking>().saga(undone).saga(nothing);
}
