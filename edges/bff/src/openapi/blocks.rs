//! Tracking events and blocks.

use serde_json::{Value, json};
use wire::values::ID_MAX_PARTS;

use super::Area;
use super::operation::{Operation, delete, get, post};
use super::schema::{about, any_text, id, instant, joined, object, of, word};

pub(super) fn area() -> Area {
    Area {
        name: "tracking",
        text: "What happened in enrolments (clicks, conversions), and blocks: whose events are not taken.",
        operations: operations(),
        schemas: schemas(),
    }
}

fn block(operation: Operation) -> Operation {
    operation.part("id", joined(2, 2), "p-54321~partner", "What is blocked: its id, `~`, and `partner` or `campaign`.").no(&[404])
}

fn operations() -> Vec<Operation> {
    vec![
        get("/v1/events/{id}", "getEvent", "A tracking event")
            .part("id", joined(2, ID_MAX_PARTS), "p-98765~c-67890~registration", "The enrolment's id, `~`, and an id of its own.")
            .no(&[404])
            .tagged()
            .answers(200, "Event", "The event."),
        post("/v1/blocks", "block", "Block a partner or a campaign")
            .says("Its events are refused from now on. What was recorded stays.")
            .takes(
                "NewBlock",
                true,
                &[("a partner", json!({"partner": "p-54321"})), ("a campaign", json!({"campaign": "c-67890"}))],
            )
            .answers(201, "Block", "The block."),
        block(get("/v1/blocks/{id}", "getBlock", "A block")).tagged().answers(200, "Block", "The block, lifted or not."),
        block(delete("/v1/blocks/{id}", "unblock", "Lift a block")).answers(200, "Block", "The block, lifted."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let event = object(
        json!({
            "id": joined(2, ID_MAX_PARTS),
            "enrolment": joined(2, 2),
            "kind": about(any_text(), "what happened"),
            "at": instant(),
            "status": word(["recorded", "cancelled"]),
        }),
        json!({"value": of("Amount")}),
    );
    let block =
        object(json!({"id": joined(2, 2), "status": word(["active", "lifted"])}), json!({"partner": id(), "campaign": id()}));
    let of_partner = object(json!({"partner": about(id(), "all events of this partner")}), json!({}));
    let of_campaign = object(json!({"campaign": about(id(), "all events in this campaign")}), json!({}));
    vec![("Event", event), ("Block", block), ("NewBlock", json!({"oneOf": [of_partner, of_campaign]}))]
}
