//! Dead letters, and the messages that wait.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, decide, get};
use super::schema::{about, any_text, instant, list, number, object, of, page, text, word};
use crate::dead_letters::BULK_MAX;
use crate::operate::REASON_MAX_CHARS;

pub(super) fn area() -> Area {
    Area {
        name: "dead letters",
        text: "Messages that broke their handler until they were given up: seen, edited, replayed and discarded. Each holds up its own \
               lane only.",
        operations: operations(),
        schemas: schemas(),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        filtered(get("/v1/dead-letters", "listDeadLetters", "List dead letters"))
            .leads_to("getDeadLetter", "id", "/items/0/id"),
        of_one(get("/v1/dead-letters/{id}", "getDeadLetter", "A dead letter"))
            .says("With its envelope and body, and what waits behind it in its lane.")
            .answers(200, "WholeLetter", "The dead letter.")
            .quiet(404),
        of_one(decide("/v1/dead-letters/{id}/edit", "editDeadLetter", "Give a dead letter another body"))
            .says(
                "A body of the same kind for the same key. It stays a dead letter until it is replayed; the message as it came is kept \
                 under `original`.",
            )
            .takes("Edit", true, &[("another name", json!({"body": {"name": "Alice"}, "reason": "a typing error"}))])
            .answers(200, "WholeLetter", "The dead letter as it is now.")
            .quiet(404),
        of_one(decide("/v1/dead-letters/{id}/replay", "replayDeadLetter", "Run a dead letter again"))
            .takes("MayDecide", false, &[("as it was seen", json!({"revision": 8}))])
            .answers(200, "Decided", "It waits for its turn.")
            .quiet(404),
        of_one(decide("/v1/dead-letters/{id}/discard", "discardDeadLetter", "Drop a dead letter"))
            .says("The saga that sent it hears *refused*, with the code `discarded`.")
            .takes("MustDecide", true, &[("with a reason", json!({"reason": "cannot be enrolled"}))])
            .answers(200, "Decided", "It is dropped.")
            .quiet(404),
        bulk("/v1/dead-letters/replay", "replayDeadLetters", "Run many dead letters again"),
        bulk("/v1/dead-letters/discard", "discardDeadLetters", "Drop many dead letters"),
        filtered(get("/v1/waiting", "listWaiting", "List the messages that wait and are tried by themselves")),
        of_one(get("/v1/waiting/{id}", "getWaiting", "A message that waits"))
            .answers(200, "WholeLetter", "The message.")
            .quiet(404),
    ]
}

fn filtered(operation: Operation) -> Operation {
    operation
        .query("context", any_text(), "Only those of this context.")
        .query("kind", any_text(), "Only those of this `type`.")
        .query("key", any_text(), "Only those for this key.")
        .query("lane", any_text(), "Only those of this lane.")
        .query("saga", any_text(), "Only those that this saga sent, or that answer it.")
        .query("reason", any_text(), "Only those whose reason holds this text.")
        .query("order", word(["newest", "oldest"]), "Which stand first; the newest when it is left out.")
        .pages()
        .answers(200, "LetterPage", "A page of messages.")
}

fn of_one(operation: Operation) -> Operation {
    operation.part("id", any_text(), "partner:0:1767225600000000", "Context, partition and number.").no(&[404])
}

fn bulk(path: &'static str, id: &str, summary: &str) -> Operation {
    decide(path, id, summary)
        .says(
            "First with a `filter` and `dry_run`: the answer lists what it finds and changes nothing. Then with those `letters`: \
             exactly those are decided on that are still as they were listed, and the answer says which were not. `not-decided`: nothing was \
             done, for the partition was changing hands; ask again.",
        )
        .takes(
            "Bulk",
            true,
            &[
                ("a dry run", json!({"dry_run": true, "filter": {"kind": "partner.register-enrolment.v1"}})),
                ("as listed", json!({"letters": [{"id": "partner:0:1767225600000000", "revision": 8}], "reason": "mended"})),
            ],
        )
        .answers(200, "BulkAnswer", "What a dry run found, or what was done.")
}

fn schemas() -> Vec<(&'static str, Value)> {
    let flag = |text: &str| about(json!({"type": "boolean"}), text);
    let reason = || text(1, REASON_MAX_CHARS);
    let revision = || about(number(1), "the revision that was seen: when it is another one now, nothing is done");
    let letter = json!({
        "id": any_text(),
        "revision": about(number(1), "raised with each change"),
        "state": about(
            word(["dead", "queued", "retrying", "not-yet"]),
            "queued: behind another of its lane; not-yet: for what it names to be known",
        ),
        "context": any_text(),
        "partition": number(0),
        "topic": any_text(),
        "lane": any_text(),
        "attempts": number(0),
        "reason": about(any_text(), "why it waits"),
        "since": instant(),
        "edited": flag("whether an operator gave it another body"),
    });
    let more = json!({
        "kind": any_text(), "key": any_text(), "source": any_text(), "saga": any_text(),
        "due": about(instant(), "when it is tried next"),
    });
    let behind = object(json!({"count": number(0), "first": list(of("Letter"))}), json!({}));
    let mut whole = letter.clone();
    whole["behind"] = about(behind, "what waits behind it in its lane");
    let mut optional = more.clone();
    optional["envelope"] = of("Envelope");
    optional["body"] = json!({});
    optional["unreadable"] = about(any_text(), "the message as text, when it cannot be read");
    optional["original"] = about(any_text(), "the message as it came, when it has been edited");
    let saga = object(
        json!({"id": any_text(), "context": any_text(), "row": number(1), "index": number(0),
            "direction": word(["do", "undo"]), "attempt": number(1)}),
        json!({}),
    );
    let envelope = object(
        json!({"id": any_text(), "source": any_text(), "type": any_text(), "subject": any_text(), "time": instant(),
            "correlationid": any_text(), "actor": any_text()}),
        json!({"causationid": any_text(), "tenant": any_text(), "traceparent": any_text(), "saga": saga}),
    );
    let seen = object(json!({"id": any_text()}), json!({"revision": revision()}));
    let named = object(json!({"id": any_text(), "revision": number(1)}), json!({}));
    let filter = object(
        json!({}),
        json!({"context": any_text(), "kind": any_text(), "key": any_text(), "lane": any_text(), "saga": any_text(),
            "reason": any_text()}),
    );
    let mut some = list(seen);
    some["maxItems"] = BULK_MAX.into();
    let dry = object(
        json!({"dry_run": flag("true"), "count": number(0), "more": flag("whether there are more than are listed"),
            "letters": list(named)}),
        json!({}),
    );
    let changed = object(json!({"id": any_text(), "code": any_text(), "detail": any_text()}), json!({}));
    let decided =
        object(json!({"done": list(any_text()), "changed": about(list(changed), "those that were left, and why")}), json!({}));
    vec![
        ("Letter", object(letter, more)),
        ("LetterPage", page(of("Letter"))),
        ("WholeLetter", object(whole, optional)),
        ("Envelope", envelope),
        ("Edit", object(json!({"body": about(json!({}), "JSON")}), json!({"reason": reason(), "revision": revision()}))),
        ("MayDecide", object(json!({}), json!({"reason": reason(), "revision": revision()}))),
        ("MustDecide", object(json!({"reason": reason()}), json!({"revision": revision()}))),
        ("Bulk", object(json!({}), json!({"filter": filter, "dry_run": flag("only look"), "letters": some, "reason": reason()}))),
        ("BulkAnswer", json!({"anyOf": [of("Decided"), dry]})),
        ("Decided", decided),
    ]
}
