//! Every example runs: what it shows, it asserts.
#![allow(missing_docs, clippy::disallowed_types, clippy::duplicate_mod, reason = "programs, some of which share a business")]

macro_rules! examples {
    ($($name:ident $file:literal;)*) => {
        $(#[path = $file] #[allow(dead_code)] mod $name;)*
        mod runs {
            $(#[test] fn $name() { super::$name::main(); })*
        }
    };
}

examples! {
    message "../examples/message.rs";
    aggregate "../examples/aggregate.rs";
    command_handler "../examples/command_handler.rs";
    saga "../examples/saga.rs";
    view "../examples/view.rs";
    world_faults "../examples/world_faults.rs";
    saga_laws "../examples/saga_laws.rs";
}
