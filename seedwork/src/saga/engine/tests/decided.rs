//! What operators and whoever aborts may decide, and answers that no longer matter.

use super::*;

#[test]
fn an_undo_refused_is_stuck_and_retried_or_resolved_with_an_exception() {
    let mut told = Told::at(3);
    told.refused(3, 0).undone(2, 0);
    told.answer(2, 1, Direction::Undo, 1, no());
    assert!(told.stuck() && told.sends().is_empty());
    assert_eq!(told.give(Input::Retry).sends(), "2.1 undo 2", "only what is not done is sent again");
    assert!(!told.stuck());
    told.answer(2, 1, Direction::Undo, 2, no());
    assert!(told.stuck());
    assert_eq!(told.resolve(true).sends(), "1.0 undo 1", "the saga goes on");
    told.undone(1, 0);
    assert_eq!(told.run.stage, Stage::Undone);
    let (reason, actor) = ("seen in the books".to_owned(), "ann".to_owned());
    let exception = Exception { row: 2, index: 1, direction: Direction::Undo, reason, actor };
    assert_eq!(told.run.exceptions, [exception]);
}

#[test]
fn at_the_pivot_resolve_decides() {
    let mut told = Told::at(4);
    assert_eq!(told.resolve(true).effects, [], "not while it is in time");
    told.late();
    assert_eq!(told.resolve(true).sends(), "5.0 do 1, 5.1 do 1");
    assert_eq!(told.run.exceptions.len(), 1);
    let mut told = Told::at(4);
    told.late();
    assert_eq!(told.resolve(false).sends(), "3.0 undo 1");
    assert_eq!((told.code(), told.run.exceptions.len()), ("resolved", 1));
    told.done(4, 0);
    assert_eq!((told.sends(), told.run.stage), (String::new(), Stage::Undoing), "what an operator signed is not taken back");
}

#[test]
fn after_the_pivot_resolve_goes_on_either_way_and_lists_what_was_signed() {
    for happened in [false, true] {
        let mut told = Told::at(5);
        told.done(5, 1).late();
        assert_eq!(told.resolve(happened).sends(), "6.0 do 1");
        told.done(6, 0);
        assert_eq!(told.run.stage, Stage::Completed);
        let listed: Vec<_> = told.run.exceptions.iter().map(|exception| (exception.row, exception.index)).collect();
        assert_eq!(listed, [(5, 0)], "the child that was done needs no signature");
    }
}

#[test]
fn retry_and_resolve_are_for_a_row_that_is_stuck_or_late_and_never_before_the_pivot() {
    for row in 2..=6 {
        let mut told = Told::at(row);
        assert_eq!(told.give(Input::Retry).effects, [], "row {row} is in time");
        assert_eq!(told.resolve(true).effects, [], "row {row} is in time");
    }
    let mut told = Told::at(5);
    told.late();
    assert_eq!(told.give(Input::Retry).sends(), "5.0 do 2, 5.1 do 2");
    assert_eq!(told.deadline(), Some(&Effect::Deadline(minutes(5))));
    assert_eq!(told.give(Input::Retry).effects, [], "in time again");
}

#[test]
fn done_of_any_attempt_counts_and_a_refusal_only_of_the_latest() {
    let mut told = Told::at(4);
    told.late().give(Input::Retry);
    assert_eq!(told.refused(4, 0).effects, [], "attempt 2 is on its way");
    assert_eq!(told.done(4, 0).sends(), "5.0 do 1, 5.1 do 1", "attempt 1 was done after all");
    assert_eq!(told.answer(4, 0, Direction::Do, 2, no()).effects, [], "and nothing takes it back");
    let mut told = Told::at(4);
    told.late().give(Input::Retry);
    told.answer(4, 0, Direction::Do, 2, no());
    assert_eq!(told.run.stage, Stage::Undoing);
}

#[test]
fn a_dead_letter_of_an_earlier_attempt_holds_up_the_retry_behind_it_until_it_is_decided() {
    let mut told = Told::at(4);
    told.late().give(Input::Retry);
    told.dead(4, 0);
    assert!(told.stuck(), "attempt 2 queues behind attempt 1");
    assert_eq!(told.resolve(false).effects, [], "or attempt 1, replayed, would happen in a saga that was undone");
    told.refused(4, 0);
    assert!(!told.stuck() && told.run.stage == Stage::Running, "discarded: attempt 2 has its turn");
    assert_eq!(told.deadline(), Some(&Effect::Deadline(minutes(4))));
    told.answer(4, 0, Direction::Do, 2, Outcome::Done);
    assert_eq!(told.sends(), "5.0 do 1, 5.1 do 1");
}

#[test]
fn an_answer_that_comes_twice_or_is_about_nothing_changes_nothing() {
    let mut told = Told::at(4);
    for (row, index, direction) in
        [(3, 0, Direction::Do), (2, 0, Direction::Undo), (9, 0, Direction::Do), (2, 7, Direction::Do), (0, 0, Direction::Do)]
    {
        for outcome in [Outcome::Done, no(), Outcome::Dead] {
            let before = told.run.clone();
            told.answer(row, index, direction, 1, outcome.clone());
            assert_eq!((&told.run, told.effects.len()), (&before, 0), "{row}.{index} {direction:?} {outcome:?}");
        }
    }
}

#[test]
fn an_abort_answers_undoing_too_late_or_ended() {
    let abort = || Input::Abort { reason: "changed their mind".to_owned() };
    for row in [2, 3] {
        let mut told = Told::at(row);
        assert_eq!(told.run.abort_would(&told.shape), Abort::Undoing);
        told.give(abort());
        assert_eq!((told.run.stage, told.code()), (Stage::Undoing, "aborted"));
        assert_eq!(told.run.abort_would(&told.shape), Abort::Undoing);
        assert_eq!(told.give(abort()).effects, [], "it is being undone already");
        told.undo_all();
        assert_eq!(told.run.abort_would(&told.shape), Abort::Ended);
    }
    for row in [4, 5, 6] {
        let mut told = Told::at(row);
        assert_eq!(told.run.abort_would(&told.shape), Abort::TooLate, "the pivot's command has been sent");
        assert_eq!(told.give(abort()).effects, []);
    }
    assert_eq!(Told::at(6).done(6, 0).run.stage, Stage::Completed);
    let told = Told::of(&[(Phase::Then, 1, false)]);
    assert_eq!(told.run.abort_would(&told.shape), Abort::TooLate, "the first row that is only tried again commits");
}
