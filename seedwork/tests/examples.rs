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
    executor "../examples/executor.rs";
    log "../examples/log.rs";
    inbox "../examples/inbox.rs";
    saga "../examples/saga.rs";
    deadlines "../examples/deadlines.rs";
    tutorial "../examples/tutorial.rs";
    view "../examples/view.rs";
    world_faults "../examples/world_faults.rs";
    saga_laws "../examples/saga_laws.rs";
}

/// The blocks of Rust in a page of Markdown.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut inside: Option<String> = None;
    for line in page.lines() {
        match (&mut inside, line) {
            (None, "```rust") => inside = Some(String::new()),
            (Some(_), "```") => blocks.extend(inside.take()),
            (Some(block), line) => block.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn every_block_of_the_tutorial_stands_in_the_program_and_makes_up_all_of_it() {
    let page = include_str!("../../docs/tutorial.md");
    let mut rest = include_str!("../examples/tutorial.rs").to_owned();
    let blocks = blocks(page);
    assert!(blocks.len() > 5, "{blocks:?}");
    for block in blocks {
        assert!(rest.contains(&block), "not in seedwork/examples/tutorial.rs:\n{block}");
        rest = rest.replacen(&block, "", 1);
    }
    assert_eq!(rest.trim(), "", "in the program, but not on the page");
}
