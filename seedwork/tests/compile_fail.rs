//! What must not compile, each beside a twin that does, so that no case fails for another reason than it says.
// The cases do not know the feature, and another build of everything for them takes minutes.
#![cfg(not(feature = "distributed"))]

#[test]
fn a_table_that_makes_no_sense_does_not_compile() {
    let cases = trybuild::TestCases::new();
    for (wrong, right) in [
        ("a_saga_sends_no_event", "a_saga_sends_a_command"),
        ("a_step_says_nothing_of_its_undo", "a_step_says_how_it_is_undone"),
        ("a_last_step_says_nothing_of_its_undo", "a_step_says_how_it_is_undone"),
        ("a_step_to_undo_after_the_pivot", "a_step_to_undo_before_the_pivot"),
        ("a_second_pivot", "a_step_to_undo_before_the_pivot"),
        ("an_undo_to_another_context", "an_undo_to_the_same_context"),
    ] {
        cases.compile_fail(format!("tests/ui/{wrong}.rs"));
        cases.pass(format!("tests/ui/{right}.rs"));
    }
}
