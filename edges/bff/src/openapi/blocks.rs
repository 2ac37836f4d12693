//! Tracking events and blocks.

use serde_json::{Value, json};
use wire::values::ID_MAX_PARTS;

use super::Area;
use super::operation::{Operation, delete, get, post};
use super::schema::{about, any_text, counted, id, instant, joined, object, of, text, word};

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
    let sale = json!({
        "id": "p-98765~c-67890~sale-1",
        "enrolment": "p-98765~c-67890",
        "kind": "sale",
        "at": "2025-09-12T10:00:00Z",
        "value": {"amount": "12.50", "currency": "USD"},
    });
    vec![
        post("/v1/events", "recordEvent", "Record an event by hand")
            .says("The enrolment and the campaign must be known; what is not is waited for, and refused when it does not come.")
            .takes("NewEvent", true, &[("a sale", sale)])
            .answers(201, "Event", "The event."),
        get("/v1/events", "listEvents", "List events")
            .says(
                "The newest first, by when they happened; those of an enrolment or a partner go by id, unless `sort`, `from` or `to` says \
                 otherwise. A list of a partner by time may have short pages: follow `next` to its end.",
            )
            .query("enrolment", joined(2, 2), "Only those of this enrolment.")
            .query("partner", id(), "Only those of this partner.")
            .query("campaign", id(), "Only those in this campaign.")
            .like("c-67890")
            .query("status", word(["recorded", "cancelled"]), "Only those that stand so.")
            .query("kind", any_text(), "Only those of this kind.")
            .query("from", instant(), "Only those that happened then or later.")
            .like("2025-01-01T00:00:00Z")
            .query("to", instant(), "Only those that happened before then.")
            .listed(["-at", "at", "id", "-id"])
            .answers(200, "EventPage", "A page of events.")
            .leads_to("listEvents", "cursor", "/next"),
        post("/v1/events/{id}/cancel", "cancelEvent", "Cancel an event")
            .says("It no longer counts, for good; its record stays.")
            .part("id", joined(2, ID_MAX_PARTS), "p-98765~c-67890~sale-1", "The enrolment's id, `~`, and an id of its own.")
            .no(&[404])
            .takes("Nothing", false, &[])
            .answers(200, "Event", "The event, cancelled."),
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
        get("/v1/blocks", "listBlocks", "List blocks")
            .query("status", word(["active", "lifted"]), "Only those that stand so.")
            .listed(["id", "-id"])
            .answers(200, "BlockPage", "A page of blocks.")
            .leads_to("listBlocks", "cursor", "/next"),
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
    let new_event = object(
        json!({"enrolment": joined(2, 2), "kind": about(id(), "what happened: a word")}),
        json!({
            "id": about(joined(3, ID_MAX_PARTS), "the enrolment's id, `~`, and its own; minted when it is left out"),
            "at": about(instant(), "now when it is left out"),
            "value": object(json!({"amount": text(1, wire::values::AMOUNT_MAX_CHARS), "currency": any_text()}), json!({})),
        }),
    );
    vec![
        ("Event", event),
        ("EventPage", counted(of("Event"))),
        ("NewEvent", new_event),
        ("Block", block),
        ("BlockPage", counted(of("Block"))),
        ("NewBlock", json!({"oneOf": [of_partner, of_campaign]})),
    ]
}
