//! Partners and their enrolments.

use partner::http::{NAME_MAX_CHARS, PROFILE_MAX_CHARS, REASON_MAX_CHARS};
use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, post};
use super::schema::{about, any_text, counted, id, joined, object, of, text, word};

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
    let enrolment =
        json!({"partner": "p-77777", "campaign": "c-67890", "kind": "ambassador", "name": "Bea", "profile": "Film, 20k"});
    vec![
        get("/v1/partners", "listPartners", "List partners")
            .query("status", word(["active", "banned"]), "Only those that stand so.")
            .listed(["id", "-id"])
            .answers(200, "PartnerPage", "A page of partners.")
            .leads_to("listPartners", "cursor", "/next"),
        of_one(get("/v1/partners/{id}", "getPartner", "A partner"), "p-98765").tagged().answers(200, "Partner", "The partner."),
        of_one(post("/v1/partners/{id}/ban", "banPartner", "Ban a partner"), "p-54321")
            .says("It may not be enrolled any more; its enrolments stay.")
            .takes("Ban", false, &reason)
            .answers(200, "Partner", "The partner, banned."),
        of_one(post("/v1/partners/{id}/unban", "unbanPartner", "Lift the ban of a partner"), "p-54321")
            .takes("Nothing", false, &[])
            .answers(200, "Partner", "The partner, active again."),
        post("/v1/enrolments", "registerEnrolment", "Enrol a partner by hand")
            .says(
                "A partner that is not known becomes known, and one that is left out is a new one. A campaign is known from its \
                 activation on: one that is not is waited for, and refused when it does not come within 30 seconds.",
            )
            .takes("NewEnrolment", true, &[("an ambassador", enrolment)])
            .answers(201, "Enrolment", "The enrolment."),
        get("/v1/enrolments", "listEnrolments", "List enrolments")
            .query("partner", id(), "Only those of this partner.")
            .query("campaign", id(), "Only those in this campaign.")
            .like("c-67890")
            .query("status", word(["registered", "cancelled"]), "Only those that stand so.")
            .query("kind", any_text(), "Only those of partners of this kind.")
            .listed(["id", "-id"])
            .answers(200, "EnrolmentPage", "A page of enrolments.")
            .leads_to("listEnrolments", "cursor", "/next"),
        post("/v1/enrolments/{id}/cancel", "cancelEnrolment", "Cancel an enrolment")
            .says("For good. Its events stay on record.")
            .part("id", joined(2, 2), "p-77777~c-67890", "The partner's id, `~`, and the campaign's.")
            .no(&[404])
            .takes("Cancel", false, &[("with a reason", json!({"reason": "it left"}))])
            .answers(200, "Enrolment", "The enrolment, cancelled."),
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
    let new_enrolment = object(
        json!({
            "campaign": id(),
            "kind": about(any_text(), "influencer, affiliate or ambassador, in any case; also afiliado, embajador"),
            "name": text(1, NAME_MAX_CHARS),
        }),
        json!({"partner": about(id(), "minted when it is left out"), "profile": text(0, PROFILE_MAX_CHARS)}),
    );
    vec![
        ("Partner", partner),
        ("PartnerPage", counted(of("Partner"))),
        ("Enrolment", enrolment),
        ("EnrolmentPage", counted(of("Enrolment"))),
        ("NewEnrolment", new_enrolment),
        ("Ban", object(json!({}), json!({"reason": text(1, REASON_MAX_CHARS)}))),
    ]
}
