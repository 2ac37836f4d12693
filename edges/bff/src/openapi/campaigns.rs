//! Campaigns.

use campaign::http::{NAME_MAX_CHARS, PARTICIPANTS_MAX, PROFILE_MAX_CHARS, REASON_MAX_CHARS};
use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, post};
use super::schema::{about, any_id, any_text, counted, id, instant, object, of, text, word};

const STATUSES: [&str; 5] = ["draft", "active", "paused", "finished", "cancelled"];

pub(super) fn area() -> Area {
    Area { name: "campaigns", text: "What a brand pays for and partners promote.", operations: operations(), schemas: schemas() }
}

fn of_one(operation: Operation, example: &str) -> Operation {
    operation.part("id", id(), example, "The campaign.").no(&[404])
}

/// The body that registers a campaign of this id.
pub(super) fn example(id: &str) -> Value {
    json!({
        "id": id,
        "name": "Moda Primavera 2025",
        "kind": "influencer",
        "starts": "2025-09-10T00:00:00Z",
        "ends": "2025-12-10T23:59:59Z",
        "brand": "b-12345",
        "budget": {"amount": "15000.00", "currency": "USD"},
        "participants": [
            {"id": "p-98765", "kind": "influencer", "name": "Alice Doe", "profile": "Fashion, 200k followers"},
            {"id": "p-54321", "kind": "affiliate", "name": "Blog Moda Trends"},
        ],
    })
}

fn operations() -> Vec<Operation> {
    let reason = [("with a reason", json!({"reason": "the brand asked for it"}))];
    vec![
        post("/v1/campaigns", "registerCampaign", "Register a campaign")
            .says(
                "Starts a saga: each participant is made known as a partner and enrolled, an event is recorded for each, the budget \
                 is reserved on the brand's account (from here there is no way back), and the campaign becomes active. If any of it \
                 is refused, all of it is undone. Ids that are left out are minted.",
            )
            .takes("NewCampaign", true, &[("two participants", example("c-12345")), ("another", example("c-67890"))])
            .answers(200, "Settled", "The saga was waited for, and has been undone: `reason` says why.")
            .answers(201, "Settled", "The saga was waited for, and has completed.")
            .leads_to("getSaga", "id", "/saga"),
        get("/v1/campaigns", "listCampaigns", "List campaigns")
            .says("The newest first, unless `sort` says otherwise; with a `name` they go by name.")
            .query("status", word(STATUSES), "Only those that stand so.")
            .query("brand", id(), "Only those of this brand.")
            .like("b-12345")
            .query("kind", any_text(), "Only those of this kind.")
            .query("name", text(1, campaign::http::NAME_MAX_CHARS), "Only those whose names begin so, in capitals or not.")
            .listed(["-created", "created", "name", "-name"])
            .answers(200, "CampaignPage", "A page of campaigns.")
            .leads_to("listCampaigns", "cursor", "/next"),
        of_one(get("/v1/campaigns/{id}", "getCampaign", "A campaign"), "c-12345").tagged().answers(200, "Campaign", "The campaign."),
        of_one(post("/v1/campaigns/{id}/pause", "pauseCampaign", "Pause a campaign"), "c-12345")
            .takes("Nothing", false, &[])
            .answers(200, "Campaign", "The campaign, paused."),
        of_one(post("/v1/campaigns/{id}/resume", "resumeCampaign", "Resume a campaign"), "c-12345")
            .takes("Nothing", false, &[])
            .answers(200, "Campaign", "The campaign, active again."),
        of_one(post("/v1/campaigns/{id}/finish", "finishCampaign", "Finish a campaign"), "c-67890")
            .says("For good. A saga gives the reserved budget back.")
            .takes("Nothing", false, &[])
            .answers(200, "CampaignOrSettled", "The campaign as it is; or what became of the saga, if one was started."),
        of_one(post("/v1/campaigns/{id}/cancel", "cancelCampaign", "Cancel a campaign"), "c-12345")
            .says(
                "For good. While its registration runs, that is undone; later a saga cancels its enrolments and gives the reserved \
                 budget back.",
            )
            .takes("Cancel", false, &reason)
            .answers(200, "CampaignOrSettled", "The campaign as it is; or what became of the saga, if there is one."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let budget = object(json!({"amount": text(1, wire::values::AMOUNT_MAX_CHARS), "currency": any_text()}), json!({}));
    let new_participant = object(
        json!({
            "kind": about(any_text(), "influencer, affiliate or ambassador, in any case; also afiliado, embajador"),
            "name": text(1, NAME_MAX_CHARS),
        }),
        json!({
            "id": about(id(), "which partner; minted when it is left out"),
            "profile": text(0, PROFILE_MAX_CHARS),
        }),
    );
    let new = object(
        json!({
            "name": text(1, NAME_MAX_CHARS),
            "brand": about(id(), "who pays"),
            "budget": budget,
            "participants": json!({"type": "array", "minItems": 1, "maxItems": PARTICIPANTS_MAX, "items": new_participant}),
        }),
        json!({
            "id": about(id(), "minted when it is left out"),
            "kind": about(any_text(), "influencer, affiliate or mixed, in any case; also afiliado, mixta, mixto; mixed when it is left out"),
            "starts": instant(),
            "ends": about(instant(), "after `starts`"),
        }),
    );
    let participant = object(
        json!({"id": id(), "kind": about(any_text(), "as it was sent"), "name": any_text(), "profile": any_text()}),
        json!({}),
    );
    let campaign = object(
        json!({
            "id": id(),
            "name": any_text(),
            "kind": about(any_text(), "as it was sent"),
            "status": word(STATUSES),
            "brand": id(),
            "budget": of("Amount"),
            "participants": json!({"type": "array", "items": participant}),
            "created": instant(),
        }),
        json!({
            "starts": instant(),
            "ends": instant(),
            "saga": about(any_id(), "the registration that is under way"),
            "reason": about(any_text(), "why it is cancelled"),
        }),
    );
    let cancel = object(json!({}), json!({"reason": text(1, REASON_MAX_CHARS)}));
    vec![
        ("NewCampaign", new),
        ("Campaign", campaign),
        ("CampaignPage", counted(of("Campaign"))),
        ("CampaignOrSettled", json!({"anyOf": [of("Campaign"), of("Settled")]})),
        ("Cancel", cancel),
        ("Nothing", object(json!({}), json!({}))),
    ]
}
