//! What holds whatever a saga is told, in whatever order.

use proptest::prelude::*;

use super::*;

fn shapes() -> impl Strategy<Value = Shape> {
    let before = prop::collection::vec((Just(Phase::Step), 0..4_u32, any::<bool>()), 0..4);
    let pivot = prop::collection::vec((Just(Phase::Pivot), Just(1_u32), Just(false)), 0..2);
    let after = prop::collection::vec((Just(Phase::Then), 0..4_u32, Just(false)), 0..3);
    (before, pivot, after).prop_map(|(before, pivot, after)| rows(&[before, pivot, after].concat()))
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![5 => Just(Outcome::Done), 2 => Just(no()), 1 => Just(Outcome::Dead)]
}

fn inputs() -> impl Strategy<Value = Input> {
    let direction = prop_oneof![Just(Direction::Do), Just(Direction::Undo)];
    let stage = prop_oneof![Just(Stage::Running), Just(Stage::Undoing), Just(Stage::Completed), Just(Stage::Undone)];
    prop_oneof![
        20 => (0..9_u16, 0..5_u32, direction, 0..4_u16, outcomes())
            .prop_map(|(row, index, direction, attempt, outcome)| Input::Answer { row, index, direction, attempt, outcome }),
        1 => (0..9_u16, 0..5_u32).prop_map(|(row, index)| {
            Input::Decided { row, index, did: "replayed".into(), reason: None, actor: "ann".into() }
        }),
        3 => (0..9_u16, stage).prop_map(|(row, stage)| Input::Deadline { row, stage }),
        3 => (0..9_u16, 0..5_u32, 0..4_u16).prop_map(|(row, index, attempt)| Input::Resend { row, index, attempt }),
        1 => Just(Input::Abort { reason: "changed their mind".to_owned() }),
        2 => Just(Input::Retry),
        2 => any::<bool>().prop_map(|happened| Input::Resolve { happened, reason: "seen in the books".to_owned(), actor: "ann".to_owned() }),
    ]
}

/// The commands that are under way, as a broker would have them: each is answered in the order of its lane, once.
#[derive(Default)]
struct Lanes(Vec<(u16, u32, Direction, u16)>);

impl Lanes {
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Send { row, index, direction, attempt } = effect {
                self.0.push((*row, *index, *direction, *attempt));
            }
        }
    }

    /// Answers the first of the lane that `pick` falls into; a dead letter stays at its head.
    fn answer(&mut self, pick: usize, outcome: Outcome) -> Option<Input> {
        let (row, index, ..) = *self.0.get(pick.checked_rem(self.0.len())?)?;
        let first = self.0.iter().position(|(of_row, of_index, ..)| (*of_row, *of_index) == (row, index))?;
        let (row, index, direction, attempt) = self.0[first];
        if outcome != Outcome::Dead {
            self.0.remove(first);
        }
        Some(Input::Answer { row, index, direction, attempt, outcome })
    }
}

/// What every step of every saga must keep.
#[derive(Default)]
struct Watch {
    ended: usize,
    undoing_row: Option<u16>,
}

impl Watch {
    fn step(&mut self, before: &Run, after: &Run, effects: &[Effect]) -> Result<(), TestCaseError> {
        self.ended += effects.iter().filter(|effect| **effect == Effect::Ended).count();
        prop_assert_eq!(self.ended, usize::from(after.stage.ended()), "it ends once, and says so then");
        if before.stage.ended() {
            prop_assert_eq!(before.stage, after.stage, "an ended run never changes its stage");
            prop_assert!(effects.iter().all(|effect| matches!(effect, Effect::Log(_))), "and wants nothing: {:?}", effects);
        }
        if before.stage == Stage::Undoing {
            prop_assert!(matches!(after.stage, Stage::Undoing | Stage::Undone), "nobody turns twice");
        }
        for effect in effects {
            if let Effect::Send { row, direction, .. } = effect {
                prop_assert_eq!(*row, after.row, "only the active row's commands are sent");
                prop_assert_eq!(*direction == Direction::Undo, after.stage == Stage::Undoing);
            }
        }
        if after.stage == Stage::Undoing {
            let row = effects.iter().find_map(|effect| match effect {
                Effect::Send { row, direction: Direction::Undo, attempt: 1, .. } => Some(*row),
                _ => None,
            });
            if let Some(row) = row {
                prop_assert!(
                    self.undoing_row.is_none_or(|last| row < last),
                    "undo goes down: {row} after {:?}",
                    self.undoing_row
                );
                self.undoing_row = Some(row);
            }
        }
        let stored = serde_json::to_string(after).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Run>(&stored).unwrap(), after, "what is stored is read back: {}", stored);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_in_any_order_breaks_a_run(shape in shapes(), given in prop::collection::vec(inputs(), 0..120)) {
        let (mut run, effects) = start(&shape);
        let mut watch = Watch { ended: effects.iter().filter(|effect| **effect == Effect::Ended).count(), undoing_row: None };
        for input in given {
            let (next, effects) = step(&shape, run.clone(), input);
            watch.step(&run, &next, &effects)?;
            run = next;
        }
    }

    #[test]
    fn every_saga_whose_commands_are_answered_ends_and_half_is_never_left(
        shape in shapes(),
        given in prop::collection::vec((any::<prop::sample::Index>(), outcomes(), 0..12_u8), 0..60),
    ) {
        let (mut run, effects) = start(&shape);
        let mut watch = Watch { ended: effects.iter().filter(|effect| **effect == Effect::Ended).count(), undoing_row: None };
        let mut lanes = Lanes::default();
        lanes.take(&effects);
        // Chance first; then every handler is well and an operator retries what is stuck.
        let calm = (0..2000_usize).map(|n| (n, Outcome::Done, if n % 3 == 2 { 1 } else { 9 }));
        let chance = given.iter().map(|(index, outcome, what)| (index.index(1000), outcome.clone(), *what));
        for (pick, outcome, what) in chance.chain(calm) {
            if run.stage.ended() {
                break;
            }
            let input = match what {
                0 => Some(Input::Deadline { row: run.row, stage: run.stage }),
                1 => Some(Input::Retry),
                2 => Some(Input::Abort { reason: "changed their mind".to_owned() }),
                _ => lanes.answer(pick, outcome),
            };
            // A backoff is over before anything else happens.
            let refused = run.active().iter().zip(0..).find(|(child, _)| {
                run.stage == Stage::Running && child.step == Progress::Refused && child.step_attempt < ATTEMPTS
            });
            let resend = refused.map(|(child, index)| Input::Resend { row: run.row, index, attempt: child.step_attempt });
            for input in input.into_iter().chain(resend) {
                let (next, effects) = step(&shape, run.clone(), input);
                watch.step(&run, &next, &effects)?;
                lanes.take(&effects);
                run = next;
            }
        }
        prop_assert!(run.stage.ended(), "{:?} waits for {:?}", run, lanes.0);
        for (row, children) in shape.rows.iter().zip(&run.rows) {
            for child in children {
                if run.stage == Stage::Completed {
                    prop_assert_eq!(child.step, Progress::Done);
                } else {
                    prop_assert!(!row.undo || child.undo == Progress::Done || child.step == Progress::Refused, "{:?}", run);
                    prop_assert!(row.phase == Phase::Step || row.phase == Phase::Start || child.step == Progress::Refused);
                }
            }
        }
    }
}
