//! Partners and their enrolments.

use partner::http::REASON_MAX_CHARS;
use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, post};
use super::schema::{about, any_text, id, joined, object, text, word};

pub(super) fn area() -> Area {
    Area {
        name: "partners",
        text: "Who promotes campaigns: persons and companies, and their enrolments (a partner in a campaign).",
        operations: operations(),
        schemas: schemas(),
    }
}

fn of_one(operation: Operation, example: &str) -> Operation {
    operation.part("id", id(), example, "The partner.").no(&[404])
}

fn operations() -> Vec<Operation> {
    let reason = [("with a reason", json!({"reason": "clicks from nowhere"}))];
    vec![
        of_one(get("/v1/partners/{id}", "getPartner", "A partner"), "p-98765").tagged().answers(200, "Partner", "The partner."),
        of_one(post("/v1/partners/{id}/ban", "banPartner", "Ban a partner"), "p-54321")
            .says("It may not be enrolled any more; its enrolments stay.")
            .takes("Ban", false, &reason)
            .answers(200, "Partner", "The partner, banned."),
        of_one(post("/v1/partners/{id}/unban", "unbanPartner", "Lift the ban of a partner"), "p-54321")
            .takes("Nothing", false, &[])
            .answers(200, "Partner", "The partner, active again."),
        get("/v1/enrolments/{id}", "getEnrolment", "An enrolment")
            .part("id", joined(2, 2), "p-98765~c-67890", "The partner's id, `~`, and the campaign's.")
            .no(&[404])
            .tagged()
            .answers(200, "Enrolment", "The enrolment."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let partner = object(
        json!({"id": id(), "name": any_text(), "profile": any_text(), "status": word(["active", "banned"])}),
        json!({"reason": about(any_text(), "why it is banned")}),
    );
    let enrolment = object(
        json!({
            "id": joined(2, 2),
            "partner": id(),
            "campaign": id(),
            "kind": about(any_text(), "as it was sent"),
            "name": any_text(),
            "status": word(["registered", "cancelled"]),
        }),
        json!({"reason": about(any_text(), "why it is cancelled")}),
    );
    vec![("Partner", partner), ("Enrolment", enrolment), ("Ban", object(json!({}), json!({"reason": text(1, REASON_MAX_CHARS)})))]
}
