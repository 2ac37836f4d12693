//! Subscriptions and log streams.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, decide, get};
use super::schema::{about, any_text, instant, list, number, object, of, page, text, word};
use crate::operate::REASON_MAX_CHARS;
use crate::pages::{LIMIT_DEFAULT, LIMIT_MAX};

pub(super) fn area() -> Area {
    Area {
        name: "streams",
        text: "What each partition has published (a log stream), and who reads it (subscriptions).",
        operations: operations(),
        schemas: schemas(),
    }
}

fn operations() -> Vec<Operation> {
    let limit = json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT});
    vec![
        get("/v1/subscriptions", "listSubscriptions", "List subscriptions")
            .says("Each context's reading of each partition of a topic: how far it is, and what waits.")
            .answers(200, "SubscriptionPage", "All of them."),
        subscription(get("/v1/subscriptions/{id}", "getSubscription", "A subscription")),
        subscription(decide("/v1/subscriptions/{id}/pause", "pauseSubscription", "Stop reading"))
            .says("Also after a restart, until it is resumed. Commands from outside to a paused topic are answered 503.")
            .takes("Must", true, &[("with a reason", json!({"reason": "the bank is being mended"}))]),
        subscription(decide("/v1/subscriptions/{id}/resume", "resumeSubscription", "Go on reading")).takes(
            "May",
            false,
            &[("with a reason", json!({"reason": "the bank is back"}))],
        ),
        get("/v1/streams", "listStreams", "List log streams")
            .answers(200, "StreamPage", "All of them.")
            .leads_to("getStream", "epoch", "/items/0/epoch")
            .leads_to("resendStream", "epoch", "/items/0/epoch")
            .leads_to("skipStream", "epoch", "/items/0/epoch"),
        stream(get("/v1/streams/{context}/{partition}/{epoch}", "getStream", "Rows of a log stream"))
            .query("after", number(0), "After which position; `next` of the page before.")
            .query("topic", any_text(), "Only those of this topic.")
            .query("limit", limit, "How many rows a page has.")
            .like(2)
            .answers(200, "RowPage", "A page of rows."),
        stream(decide("/v1/streams/{context}/{partition}/{epoch}/resend", "resendStream", "Send rows again"))
            .says("To one destination, after a position. Who has taken them drops them.")
            .takes("Resend", true, &[("all of them", json!({"topic": "partner.commands", "after": 0}))])
            .answers(200, "Resent", "They are sent."),
        stream(decide("/v1/streams/{context}/{partition}/{epoch}/skip", "skipStream", "Skip rows that are lost"))
            .says("Only where rows are missing, and only this moves a reader's mark over them.")
            .takes(
                "Skip",
                true,
                &[("with a reason", json!({"reader": "partner", "topic": "partner.commands", "reason": "the disk was damaged"}))],
            )
            .answers(200, "Skipped", "The mark is moved.")
            .quiet(409),
        stream(decide("/v1/streams/{context}/{partition}/{epoch}/new-epoch", "beginEpoch", "Begin a new epoch"))
            .says("After an older copy of the store was restored: from now on rows stand where none has stood before.")
            .takes("Must", true, &[("with a reason", json!({"reason": "the backup of yesterday was restored"}))])
            .answers(200, "Begun", "It has begun."),
    ]
}

fn subscription(operation: Operation) -> Operation {
    operation.part("id", any_text(), "partner:0:partner.commands", "Context, partition and topic.").no(&[404]).answers(
        200,
        "Subscription",
        "The subscription as it is now.",
    )
}

fn stream(operation: Operation) -> Operation {
    operation
        .part("context", any_text(), "campaign", "Whose it is.")
        .part("partition", any_text(), "0", "Its partition.")
        .part("epoch", any_text(), "1", "Its epoch.")
        .no(&[404])
}

fn schemas() -> Vec<(&'static str, Value)> {
    let flag = |text: &str| about(json!({"type": "boolean"}), text);
    let reason = || text(1, REASON_MAX_CHARS);
    let place = || object(json!({"epoch": number(1), "position": number(0)}), json!({}));
    let maybe = || json!({"anyOf": [of("Place"), {"type": "null"}]});
    let maybe_number = || json!({"type": ["integer", "null"], "minimum": 0});
    let lag = || object(json!({"rows": number(0), "more": flag("whether there are more than were counted")}), json!({}));
    let of_stream = object(
        json!({"context": any_text(), "partition": number(0), "mark": maybe(), "sent": maybe(), "lag": of("Lag")}),
        json!({"gap": about(of("Place"), "what a skip moves the mark to")}),
    );
    let paused = object(json!({"at": instant(), "actor": any_text(), "reason": any_text()}), json!({}));
    let subscription = object(
        json!({
            "id": any_text(), "context": any_text(), "partition": number(0), "topic": any_text(),
            "state": about(
                word(["reading", "paused", "gap", "behind"]),
                "gap: rows are missing; behind: an older copy of the store was restored, and a new epoch has to begin",
            ),
            "lag": of("Lag"), "waiting": number(0), "dead_letters": number(0), "streams": list(of_stream),
        }),
        json!({
            "paused": paused, "oldest_waiting": instant(),
            "behind": about(any_text(), "how far behind, and the command that begins a new epoch"),
        }),
    );
    let to = object(json!({"topic": any_text(), "partition": number(0), "last": number(1)}), json!({}));
    let stream = object(
        json!({
            "id": any_text(), "context": any_text(), "partition": number(0), "epoch": number(1),
            "current": flag("whether rows are written to it now"),
            "first": about(maybe_number(), "the first row that is kept"),
            "head": about(number(0), "the last row written"),
            "relayed": about(maybe_number(), "up to which row the broker has all; of the current epoch"),
            "destinations": list(to),
        }),
        json!({}),
    );
    let row = object(
        json!({
            "position": number(1), "topic": any_text(), "partition": number(0), "predecessor": maybe(),
            "received": about(instant(), "when what caused it was received"),
            "started": about(instant(), "when that was begun to be handled"),
            "written": about(instant(), "when its batch was written"),
        }),
        json!({"envelope": of("Envelope"), "body": json!({}), "unreadable": any_text()}),
    );
    vec![
        ("Place", place()),
        ("Lag", lag()),
        ("Subscription", subscription),
        ("SubscriptionPage", page(of("Subscription"))),
        ("May", object(json!({}), json!({"reason": reason()}))),
        ("Must", object(json!({"reason": reason()}), json!({}))),
        ("Stream", stream),
        ("StreamPage", page(of("Stream"))),
        ("Row", row),
        ("RowPage", page(of("Row"))),
        ("Resend", object(json!({"topic": any_text(), "after": number(0)}), json!({"partition": number(0), "reason": reason()}))),
        (
            "Resent",
            object(json!({"topic": any_text(), "partition": number(0), "after": number(0), "first": of("Place")}), json!({})),
        ),
        ("Begun", object(json!({"epoch": number(1)}), json!({}))),
        ("Skip", object(json!({"reader": any_text(), "topic": any_text(), "reason": reason()}), json!({"partition": number(0)}))),
        (
            "Skipped",
            object(
                json!({"reader": any_text(), "topic": any_text(), "partition": number(0), "from": maybe(), "to": of("Place")}),
                json!({}),
            ),
        ),
    ]
}
