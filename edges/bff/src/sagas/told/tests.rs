//! What an operator reads of a saga at each turn of it.

use std::time::Duration;

use seedwork::Refusal;
use seedwork::message::Direction::{Do, Undo as Back};
use seedwork::saga::Outcome::{self, Done};
use seedwork::saga::engine::{Input, RowShape, Shape, start, step};
use serde_json::{Value, json};

use super::*;

/// Undoable start, two fan-outs of which the second cannot be undone, a pivot, a last row.
fn plan() -> Plan {
    let row = |row, phase, command, undo| PlanRow { row, phase, context: "shop", command, undo, within_seconds: 900 };
    Plan {
        context: "shop",
        name: "shop.order",
        version: 1,
        rows: vec![
            row(1, Phase::Start, None, Some("shop.drop.v1")),
            row(2, Phase::Step, Some("shop.pack.v1"), Some("shop.unpack.v1")),
            row(3, Phase::Step, Some("shop.greet.v1"), None),
            row(4, Phase::Pivot, Some("shop.pay.v1"), None),
            row(5, Phase::Then, Some("shop.send.v1"), None),
        ],
    }
}

fn shape() -> Shape {
    let plan = plan();
    let rows = plan.rows.iter().map(|row| RowShape {
        phase: row.phase,
        children: if row.phase == Phase::Step { 2 } else { 1 },
        undo: row.undo.is_some(),
        within: Duration::from_secs(900),
    });
    Shape { rows: rows.collect() }
}

fn answer(row: u16, index: u32, direction: Direction, outcome: Outcome) -> Input {
    Input::Answer { row, index, direction, attempt: 1, outcome }
}

fn refused() -> Outcome {
    Outcome::Refused(Refusal::conflict("empty", "there is none left"))
}

/// The run after these answers.
fn run(inputs: &[(u16, u32, Direction, Outcome)]) -> Run {
    let shape = shape();
    let (mut run, _) = start(&shape);
    for (row, index, direction, outcome) in inputs {
        (run, _) = step(&shape, run, answer(*row, *index, *direction, outcome.clone()));
    }
    run
}

fn told(run: Run, stuck: bool) -> Value {
    let (plan, id) = (plan(), "o-1~7");
    let record = SagaRecord {
        name: "shop.order".into(),
        version: 1,
        context: "shop".into(),
        correlation: "k".into(),
        actor: "local".into(),
        answer_to: None,
        command: "k".into(),
        trace: None,
        started: 0,
        updated: 1_000_000,
        lines: 0,
        stuck,
        run,
        log: Vec::new(),
    };
    serde_json::to_value(Told::of(id, &record, Some(&plan), &[], None)).unwrap()
}

fn statuses(told: &Value) -> Vec<&str> {
    told["plan"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect()
}

fn undos(told: &Value) -> Vec<(u64, u64)> {
    let undo = |undo: &Value| (undo["row"].as_u64().unwrap(), undo["children"].as_u64().unwrap());
    told["undo_if_failed_now"].as_array().unwrap().iter().map(undo).collect()
}

#[test]
fn a_saga_that_goes_forward_shows_what_is_done_running_and_remaining() {
    let told = told(run(&[(2, 0, Do, Done)]), false);
    assert_eq!((&told["status"], &told["row"], &told["rows"]), (&json!("running"), &json!(2), &json!(5)));
    assert_eq!(statuses(&told), ["done", "running", "remaining", "remaining", "remaining"]);
    assert_eq!(told["plan"][1]["steps"], json!({"sent": 1, "done": 1}));
    assert_eq!(told["plan"][2].get("children"), None, "how many a row will have is not known before it is reached");
    assert_eq!((&told["started"], &told["updated"]), (&json!("1970-01-01T00:00:00Z"), &json!("1970-01-01T00:00:01Z")));
}

#[test]
fn what_would_be_undone_is_what_was_sent_nearest_first_until_the_pivot_is_done() {
    assert_eq!(undos(&told(run(&[]), false)), [(2, 2), (1, 1)], "sent and not answered is undone too");
    let packed = [(2, 0, Do, Done), (2, 1, Do, Done)];
    let greeted = [&packed[..], &[(3, 0, Do, Done), (3, 1, Do, Done)]].concat();
    assert_eq!(undos(&told(run(&packed), false)), [(2, 2), (1, 1)], "row 3 leaves nothing behind");
    assert_eq!(undos(&told(run(&greeted), false)), [(2, 2), (1, 1)], "the pivot may still be refused");
    let paid = [&greeted[..], &[(4, 0, Do, Done)]].concat();
    let told = told(run(&paid), false);
    assert_eq!((undos(&told), statuses(&told)[4]), (vec![], "running"), "past the pivot there is no way back");
}

#[test]
fn a_saga_that_goes_back_shows_what_is_undone_and_what_is_not() {
    let back = [(2, 0, Do, Done), (2, 1, Do, refused())];
    let under_way = told(run(&back), false);
    assert_eq!(under_way["status"], "undoing");
    assert_eq!(statuses(&under_way), ["done", "undoing", "not reached", "not reached", "not reached"]);
    assert_eq!(undos(&under_way), [(2, 1), (1, 1)], "the refused child left nothing");
    assert_eq!(
        under_way["reason"],
        json!({"row": 2, "index": 1, "step": "shop.pack.v1", "code": "empty", "message": "there is none left"})
    );
    let further = told(run(&[&back[..], &[(2, 0, Back, Done)]].concat()), false);
    assert_eq!((statuses(&further)[..2].to_vec(), undos(&further)), (vec!["undoing", "undone"], vec![(1, 1)]));
    let ended = told(run(&[&back[..], &[(2, 0, Back, Done), (1, 0, Back, Done)]].concat()), false);
    assert_eq!((&ended["status"], statuses(&ended)[..2].to_vec()), (&json!("undone"), vec!["undone", "undone"]));
    assert_eq!(undos(&ended), []);
}

#[test]
fn a_stuck_saga_says_so_and_where() {
    let packed = [(2, 0, Do, Done), (2, 1, Do, Done), (3, 0, Do, Done), (3, 1, Do, Done), (4, 0, Do, Outcome::Dead)];
    let told = told(run(&packed), true);
    assert_eq!((&told["status"], &told["stage"], &told["row"]), (&json!("stuck"), &json!("running"), &json!(4)));
    assert_eq!(told["plan"][3]["steps"], json!({"dead_letters": 1}));
}
