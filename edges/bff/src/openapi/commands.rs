//! Commands, by their ids.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get};
use super::schema::{about, any_id, any_text, instant, object, of, word};

pub(super) fn area() -> Area {
    Area { name: "commands", text: "What became of a command, for seven days.", operations: operations(), schemas: schemas() }
}

fn operations() -> Vec<Operation> {
    let id = "Its `Idempotency-Key`; of a creation without one, its kind, `:`, and the id of what it makes.";
    vec![
        get("/v1/commands/{id}", "getCommand", "What became of a command")
            .part("id", json!({"type": "string", "minLength": 1}), "campaign.register.v1:c-12345", id)
            .no(&[404])
            .answers(200, "Command", "The command."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let command = object(
        json!({
            "id": any_text(),
            "kind": any_text(),
            "key": any_id(),
            "received": instant(),
            "status": about(
                word(["accepted", "done", "refused", "dead-letter"]),
                "accepted: its turn is still to come; dead-letter: it broke its handler, and waits for an operator",
            ),
        }),
        json!({
            "saga": about(any_id(), "the saga that it started"),
            "reason": about(of("Reason"), "why it was refused"),
            "told": about(json!({"type": "object"}), "what its handler said of it"),
        }),
    );
    vec![("Command", command)]
}
