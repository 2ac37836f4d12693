//! The engine's rules, one by one: the matrix row by row, then what lies between its cells.

use super::*;

mod always;
mod decided;

/// The deadline of row `n` is `n` minutes, so an effect tells which row it is about.
fn rows(rows: &[(Phase, u32, bool)]) -> Shape {
    let start = RowShape { phase: Phase::Start, children: 1, undo: true, within: minutes(1) };
    let others = rows.iter().zip(2..).map(|((phase, children, undo), row)| RowShape {
        phase: *phase,
        children: *children,
        undo: *undo,
        within: minutes(row),
    });
    Shape { rows: std::iter::once(start).chain(others).collect() }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A saga under test: what it is told, and what it then wants.
struct Told {
    shape: Shape,
    run: Run,
    effects: Vec<Effect>,
}

impl Told {
    fn of(of_rows: &[(Phase, u32, bool)]) -> Told {
        let shape = rows(of_rows);
        let (run, effects) = start(&shape);
        Told { shape, run, effects }
    }

    /// 1 start · 2 step × 2 · 3 step · 4 pivot · 5 then × 2 · 6 then.
    fn whole() -> Told {
        Told::of(&[
            (Phase::Step, 2, true),
            (Phase::Step, 1, true),
            (Phase::Pivot, 1, false),
            (Phase::Then, 2, false),
            (Phase::Then, 1, false),
        ])
    }

    /// The whole table, done up to and without this row.
    fn at(row: u16) -> Told {
        let mut told = Told::whole();
        while told.run.row < row {
            for index in 0..u32::try_from(told.run.active().len()).unwrap() {
                told.answer(told.run.row, index, Direction::Do, 1, Outcome::Done);
            }
        }
        told
    }

    fn give(&mut self, input: Input) -> &mut Told {
        (self.run, self.effects) = step(&self.shape, self.run.clone(), input);
        self
    }

    fn answer(&mut self, row: u16, index: u32, direction: Direction, attempt: u16, outcome: Outcome) -> &mut Told {
        self.give(Input::Answer { row, index, direction, attempt, outcome })
    }

    fn done(&mut self, row: u16, index: u32) -> &mut Told {
        self.answer(row, index, Direction::Do, 1, Outcome::Done)
    }

    fn refused(&mut self, row: u16, index: u32) -> &mut Told {
        self.answer(row, index, Direction::Do, 1, no())
    }

    fn dead(&mut self, row: u16, index: u32) -> &mut Told {
        self.answer(row, index, Direction::Do, 1, Outcome::Dead)
    }

    fn undone(&mut self, row: u16, index: u32) -> &mut Told {
        self.answer(row, index, Direction::Undo, 1, Outcome::Done)
    }

    fn late(&mut self) -> &mut Told {
        self.give(Input::Deadline { row: self.run.row, stage: self.run.stage })
    }

    fn resolve(&mut self, happened: bool) -> &mut Told {
        self.give(Input::Resolve { happened, reason: "seen in the books".to_owned(), actor: "ann".to_owned() })
    }

    /// The commands that the last input sent: `3.0 do 1`.
    fn sends(&self) -> String {
        let sends = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { row, index, direction: Direction::Do, attempt } => Some(format!("{row}.{index} do {attempt}")),
            Effect::Send { row, index, direction: Direction::Undo, attempt } => Some(format!("{row}.{index} undo {attempt}")),
            _ => None,
        });
        sends.collect::<Vec<_>>().join(", ")
    }

    /// What the last input wrote into the saga's log.
    fn logged(&self) -> Vec<&str> {
        let lines = self.effects.iter().filter_map(|effect| match effect {
            Effect::Log(entry) => Some(&*entry.what),
            _ => None,
        });
        lines.collect()
    }

    /// The last thing that the last input said about the deadline.
    fn deadline(&self) -> Option<&Effect> {
        self.effects.iter().rev().find(|effect| matches!(effect, Effect::Deadline(_) | Effect::NoDeadline))
    }

    fn stuck(&self) -> bool {
        self.run.stuck(&self.shape)
    }

    fn code(&self) -> &str {
        self.run.reason.as_ref().map_or("", |reason| &reason.refusal.code)
    }

    /// Answers every undo as it is sent; gives all of them in order.
    fn undo_all(&mut self) -> String {
        let mut all = vec![self.sends()];
        while self.run.stage == Stage::Undoing {
            let row = self.run.row;
            for index in 0..u32::try_from(self.run.active().len()).unwrap() {
                self.undone(row, index);
                all.push(self.sends());
            }
        }
        all.retain(|sends| !sends.is_empty());
        all.join(" | ")
    }
}

fn no() -> Outcome {
    Outcome::Refused(Refusal::conflict("no", "not today"))
}

#[test]
fn a_saga_is_done_row_by_row_and_children_of_a_row_at_once() {
    let mut told = Told::whole();
    assert_eq!(told.sends(), "2.0 do 1, 2.1 do 1");
    assert_eq!(told.deadline(), Some(&Effect::Deadline(minutes(2))));
    assert_eq!(told.done(2, 1).sends(), "", "the row is joined");
    assert_eq!(told.done(2, 0).sends(), "3.0 do 1");
    assert_eq!(told.done(3, 0).sends(), "4.0 do 1");
    assert_eq!(told.done(4, 0).sends(), "5.0 do 1, 5.1 do 1");
    assert_eq!(told.done(5, 0).done(5, 1).sends(), "6.0 do 1");
    told.done(6, 0);
    assert_eq!(told.run.stage, Stage::Completed);
    assert!(told.effects.ends_with(&[Effect::NoDeadline, Effect::Ended]), "{:?}", told.effects);
}

#[test]
fn a_fan_out_over_nothing_is_done_and_a_table_without_rows_has_ended() {
    assert_eq!(Told::of(&[(Phase::Step, 0, true), (Phase::Then, 1, false)]).sends(), "3.0 do 1");
    let told = Told::of(&[]);
    assert_eq!((told.run.stage, told.effects.last()), (Stage::Completed, Some(&Effect::Ended)));
    let mut told = Told::of(&[(Phase::Step, 0, true), (Phase::Step, 1, true)]);
    assert_eq!(told.refused(3, 0).undo_all(), "1.0 undo 1", "there is nothing to undo in a fan-out over nothing");
}

#[test]
fn refused_before_the_pivot_undoes_what_was_sent_in_reverse() {
    let mut told = Told::at(3);
    assert_eq!(told.refused(3, 0).undo_all(), "2.0 undo 1, 2.1 undo 1 | 1.0 undo 1");
    assert_eq!((told.run.stage, told.code()), (Stage::Undone, "no"));
    assert!(told.effects.ends_with(&[Effect::NoDeadline, Effect::Ended]));
}

#[test]
fn a_childs_refusal_undoes_its_siblings_answered_or_not_and_a_late_answer_is_only_logged() {
    for answered in [false, true] {
        let mut told = Told::of(&[(Phase::Step, 3, true)]);
        if answered {
            told.done(2, 0);
        }
        told.refused(2, 1);
        assert_eq!(told.sends(), "2.0 undo 1, 2.2 undo 1", "the refused one has nothing to undo");
        assert_eq!(told.run.reason.as_ref().map(|reason| (reason.row, reason.index)), Some((2, 1)));
        told.done(2, 2);
        assert_eq!((told.sends(), told.logged()), (String::new(), vec!["done"]), "its undo is on its way");
        assert_eq!(told.undone(2, 0).sends(), "", "the row is awaited");
        assert_eq!(told.undone(2, 2).sends(), "1.0 undo 1");
    }
}

#[test]
fn a_sibling_that_is_refused_too_is_still_undone_once() {
    let mut told = Told::of(&[(Phase::Step, 2, true)]);
    told.refused(2, 0).refused(2, 1);
    assert_eq!((told.sends(), told.code()), (String::new(), "no"));
    assert_eq!(told.undone(2, 1).sends(), "1.0 undo 1");
}

#[test]
fn a_row_that_leaves_nothing_behind_is_passed_over() {
    let mut told = Told::of(&[(Phase::Step, 1, true), (Phase::Step, 2, false), (Phase::Step, 1, false)]);
    told.done(2, 0).done(3, 0).done(3, 1);
    assert_eq!(told.refused(4, 0).undo_all(), "2.0 undo 1 | 1.0 undo 1");
}

#[test]
fn a_deadline_before_the_pivot_undoes_what_was_sent() {
    let mut told = Told::whole();
    told.done(2, 0).late();
    assert_eq!(told.sends(), "2.0 undo 1, 2.1 undo 1", "sent and not refused, answered or not");
    assert_eq!(
        (told.code(), told.run.reason.as_ref().map(|reason| reason.index)),
        ("deadline", Some(1)),
        "it names who was late"
    );
}

#[test]
fn a_deadline_of_another_row_or_direction_is_nothing() {
    let mut told = Told::at(3);
    for (row, stage) in [(2, Stage::Running), (3, Stage::Undoing), (4, Stage::Running)] {
        let before = told.run.clone();
        told.give(Input::Deadline { row, stage });
        assert_eq!((&told.run, told.effects.len()), (&before, 0));
    }
}

#[test]
fn a_dead_letter_before_the_pivot_waits_for_the_operator() {
    let mut told = Told::whole();
    told.dead(2, 0);
    assert_eq!(told.deadline(), Some(&Effect::NoDeadline));
    assert!(told.run.waits_for_dead_letter() && !told.stuck());
    assert_eq!(told.late().effects, [], "no deadline runs meanwhile");
    assert_eq!(told.give(Input::Retry).effects, [], "only replay or discard decides");
    assert_eq!(told.resolve(true).effects, []);
    told.done(2, 0);
    assert_eq!(told.deadline(), Some(&Effect::Deadline(minutes(2))), "replayed: the deadline begins anew");
    assert_eq!(told.done(2, 1).sends(), "3.0 do 1");
}

#[test]
fn a_discarded_dead_letter_before_the_pivot_is_a_refusal() {
    let mut told = Told::at(3);
    told.dead(3, 0).refused(3, 0);
    assert_eq!((told.sends(), told.run.stage), ("2.0 undo 1, 2.1 undo 1".to_owned(), Stage::Undoing));
}

#[test]
fn a_siblings_refusal_or_an_abort_undoes_the_dead_child_too() {
    for abort in [false, true] {
        let mut told = Told::of(&[(Phase::Step, 3, true)]);
        told.done(2, 1).dead(2, 0);
        let undone = if abort {
            told.give(Input::Abort { reason: "changed their mind".to_owned() }).sends()
        } else {
            told.refused(2, 2).sends()
        };
        assert_eq!(undone, if abort { "2.0 undo 1, 2.1 undo 1, 2.2 undo 1" } else { "2.0 undo 1, 2.1 undo 1" });
        assert!(told.stuck(), "its undo stands behind the dead letter");
        assert_eq!(told.give(Input::Retry).sends(), "", "nothing but its decision helps");
    }
}

#[test]
fn a_step_that_dies_after_its_undo_was_sent_shows_the_saga_as_stuck_until_it_is_decided() {
    for replayed in [false, true] {
        let mut told = Told::of(&[(Phase::Step, 2, true)]);
        told.refused(2, 0);
        assert!(!told.stuck());
        told.dead(2, 1);
        assert!(told.stuck());
        assert_eq!(told.late().effects, [], "the deadline stands still");
        told.answer(2, 1, Direction::Do, 1, if replayed { Outcome::Done } else { no() });
        assert!(!told.stuck());
        assert_eq!(told.deadline(), Some(&Effect::Deadline(minutes(2))), "and begins anew");
        assert_eq!(told.undone(2, 1).sends(), "1.0 undo 1");
    }
}

#[test]
fn a_retry_sends_no_undo_again_that_stands_behind_a_dead_letter() {
    let mut told = Told::of(&[(Phase::Step, 3, true)]);
    told.done(2, 0).refused(2, 1).dead(2, 2);
    told.answer(2, 0, Direction::Undo, 1, no());
    assert!(told.stuck());
    assert_eq!(told.give(Input::Retry).sends(), "2.0 undo 2", "the undo of 2.2 waits for the decision on its step");
}

#[test]
fn a_dead_step_that_leaves_nothing_behind_does_not_hold_up_the_undo_of_others() {
    let mut told = Told::of(&[(Phase::Step, 1, true), (Phase::Step, 2, false)]);
    told.done(2, 0).dead(3, 0).refused(3, 1);
    assert_eq!(told.sends(), "2.0 undo 1");
    assert!(!told.stuck());
    assert_eq!(told.resolve(true).effects, [], "row 2 is neither stuck nor late: nothing is signed for it");
    assert_eq!(told.undone(2, 0).undone(1, 0).run.stage, Stage::Undone);
}

#[test]
fn the_pivot_refused_undoes_all_before_it() {
    let mut told = Told::at(4);
    assert_eq!(told.refused(4, 0).undo_all(), "3.0 undo 1 | 2.0 undo 1, 2.1 undo 1 | 1.0 undo 1");
}

#[test]
fn at_and_after_the_pivot_and_in_an_undo_nothing_times_out() {
    let mut undo = Told::at(3);
    undo.refused(3, 0);
    for mut told in [Told::at(4), Told::at(5), undo] {
        let stage = told.run.stage;
        assert_eq!((told.late().sends(), told.logged()), (String::new(), vec!["late"]));
        assert!(told.run.late && told.run.stage == stage);
    }
}

#[test]
fn a_dead_letter_at_or_after_the_pivot_or_in_an_undo_is_stuck_until_it_is_decided() {
    let mut undo = Told::at(3);
    undo.refused(3, 0);
    for (mut told, direction) in [(Told::at(4), Direction::Do), (Told::at(5), Direction::Do), (undo, Direction::Undo)] {
        let row = told.run.row;
        told.answer(row, 0, direction, 1, Outcome::Dead);
        assert!(told.stuck());
        assert_eq!(told.deadline(), Some(&Effect::NoDeadline));
        assert_eq!(told.late().effects, []);
        assert_eq!(told.resolve(true).effects, [], "while it may still run, nothing else is recorded");
        told.answer(row, 0, direction, 1, Outcome::Done);
        assert!(!told.stuck() && !told.run.late);
        assert!(matches!(told.deadline(), Some(Effect::Deadline(_))));
    }
}

#[test]
fn a_refusal_after_the_pivot_is_sent_again_ten_times_with_backoff_and_then_stuck() {
    let mut told = Told::at(6);
    for attempt in 1..=10 {
        told.answer(6, 0, Direction::Do, attempt, no());
        let after = backoff(attempt);
        assert!(told.effects.contains(&Effect::Resend { row: 6, index: 0, attempt, after }), "{:?}", told.effects);
        assert!(!told.stuck());
        assert_eq!(told.give(Input::Resend { row: 6, index: 0, attempt }).sends(), format!("6.0 do {}", attempt + 1));
    }
    told.answer(6, 0, Direction::Do, 11, no());
    assert!(told.stuck() && told.sends().is_empty() && told.logged().contains(&"stuck"));
    let waits: Duration = (1..=10).map(backoff).sum();
    assert_eq!((backoff(1), backoff(2), backoff(10)), (Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(300)));
    assert!(waits < super::super::WITHIN, "all of them fit into a row's usual deadline");
}

#[test]
fn a_resend_that_no_longer_matters_sends_nothing() {
    let mut told = Told::at(5);
    told.refused(5, 0);
    assert_eq!(told.give(Input::Resend { row: 5, index: 0, attempt: 2 }).sends(), "", "another attempt");
    assert_eq!(told.give(Input::Resend { row: 5, index: 1, attempt: 1 }).sends(), "", "a sibling that was not refused");
    assert_eq!(told.give(Input::Resend { row: 5, index: 0, attempt: 1 }).sends(), "5.0 do 2");
    assert_eq!(told.give(Input::Resend { row: 5, index: 0, attempt: 1 }).sends(), "", "twice");
}
