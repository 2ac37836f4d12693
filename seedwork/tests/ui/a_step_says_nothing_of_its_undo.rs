//! Before the pivot every step says how it is undone, or that there is nothing to undo.
#[path = "shared/parking.rs"]
mod parking;
use parking::Stay;
use seedwork::Context;
use seedwork::saga::Saga;

fn main() {
    let saga = Saga::new("parking.stay").step(Stay::reserve).pivot(Stay::open);
    let _context = Context::of::<parking::Parking>().saga(saga);
}
