//! Sagas.

use seedwork::operator::State;
use serde_json::{Value, json};
use wire::values::ID_MAX_PARTS;

use super::Area;
use super::operation::{Operation, decide, get};
use super::schema::{about, any_id, any_text, instant, joined, list, number, object, of, page, text, word};
use crate::asked::WAIT_MAX;
use crate::operate::REASON_MAX_CHARS;
use crate::sagas::SERVICE_MAX;

pub(super) fn area() -> Area {
    Area {
        name: "sagas",
        text: "Processes whose steps all happen or are all undone: where each stands, and what an operator may do about it.",
        operations: operations(),
        schemas: schemas(),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        get("/v1/sagas", "listSagas", "List sagas")
            .query("key", any_id(), "Only those that live under this key: a campaign's id.")
            .like("c-12345")
            .query("status", word(State::ALL.iter().map(|(name, _)| *name)), "Only those that stand so.")
            .query("name", any_text(), "Only those of this name: campaign.registration.")
            .query("context", any_text(), "Only those that this context runs.")
            .query("order", word(["newest", "oldest"]), "Which stand first; the newest when it is left out.")
            .pages()
            .answers(200, "SagaPage", "A page of sagas.")
            .leads_to("getSaga", "id", "/items/0/id")
            .leads_to("whySaga", "id", "/items/0/id")
            .leads_to("retrySaga", "id", "/items/0/id")
            .leads_to("resolveSaga", "id", "/items/0/id")
            .leads_to("abortSaga", "id", "/items/0/id"),
        get("/v1/sagas/{id}", "getSaga", "A saga")
            .says(
                "With its plan as it stands, what would be undone if it failed now, and its log. To follow one, send its `ETag` back in \
                 `If-None-Match` with `Prefer: wait=N`: the answer comes as soon as it has moved, or is 304 when the time is over, or when \
                 it has ended and moves no more.",
            )
            .part("id", joined(2, ID_MAX_PARTS), "c-12345~01890a5d", "The key that it lives under, `~`, and a minted part.")
            .tagged()
            .header(
                "Prefer",
                any_text(),
                &format!(
                    "`wait=N`: with `If-None-Match`, a move is waited for, N seconds at most ({} are the most; a service of the distributed \
                     stack waits for {}).",
                    WAIT_MAX.as_secs(),
                    SERVICE_MAX.as_secs()
                ),
            )
            .like("wait=20")
            .no(&[404])
            .answers(200, "Saga", "The saga."),
        get("/v1/sagas/{id}/why", "whySaga", "What its command caused, and where the time went")
            .says("Every message behind what caused it, each with when it was said, received, handled and committed.")
            .part("id", joined(2, ID_MAX_PARTS), "c-12345~01890a5d", "The key that it lives under, `~`, and a minted part.")
            .no(&[404])
            .answers(200, "Story", "The story."),
        of_one(decide("/v1/sagas/{id}/retry", "retrySaga", "Send the row of a saga again"))
            .says("Open for a row that is stuck or past its deadline.")
            .takes("Why", false, &[("with a reason", json!({"reason": "the bank is back"}))]),
        of_one(decide("/v1/sagas/{id}/resolve", "resolveSaga", "Record what an operator found"))
            .says(
                "Open for a row that is stuck or past its deadline. At the pivot `outcome` says whether it happened; elsewhere it is \
                 left out, and the saga goes on and ends with an exception that bears the operator's name.",
            )
            .takes("Found", true, &[("done by hand", json!({"reason": "cancelled by telephone"}))]),
        of_one(decide("/v1/sagas/{id}/abort", "abortSaga", "Undo a saga"))
            .says("Open until the pivot's command has been sent.")
            .takes("WhyIndeed", true, &[("with a reason", json!({"reason": "nobody wants it"}))]),
        get("/v1/operations", "listOperations", "What operators decided")
            .says("Who, when, why, and what came of it. The newest first.")
            .query("about", any_text(), "Only those about this: a saga, a dead letter, a subscription.")
            .pages()
            .answers(200, "OperationPage", "A page of decisions."),
    ]
}

fn of_one(operation: Operation) -> Operation {
    operation
        .part("id", joined(2, ID_MAX_PARTS), "c-12345~01890a5d", "The key that it lives under, `~`, and a minted part.")
        .no(&[404])
        .answers(200, "Saga", "The saga as it is now, with what was written down.")
        .quiet(409)
}

/// The members of a saga in a list.
fn summary() -> (Value, Value) {
    let why = object(
        json!({"row": number(1), "index": number(0), "code": any_text(), "message": any_text()}),
        json!({"step": about(any_text(), "the command that was refused"), "field": any_text(), "details": json!({})}),
    );
    let required = json!({
        "id": joined(2, ID_MAX_PARTS),
        "key": any_id(),
        "name": any_text(),
        "version": number(1),
        "context": any_text(),
        "status": about(
            word(["running", "undoing", "completed", "undone", "stuck"]),
            "stuck: nothing more is sent until an operator decides",
        ),
        "row": about(number(0), "the row that is being done, or undone; 0 when all of it is undone"),
        "started": instant(),
        "updated": instant(),
        "actor": any_text(),
        "command": about(any_text(), "the command that started it"),
        "correlation": any_text(),
    });
    let optional = json!({
        "stage": about(word(["running", "undoing", "completed", "undone"]), "where it is stuck"),
        "late": about(json!({"type": "boolean"}), "whether its row has passed its deadline and still waits"),
        "rows": number(1),
        "reason": about(why, "why it turned round"),
        "exceptions": about(list(of("Exception")), "what operators signed instead of an answer"),
    });
    (required, optional)
}

fn merged(one: &Value, other: Value) -> Value {
    let mut all = one.as_object().cloned().unwrap_or_default();
    if let Value::Object(other) = other {
        all.extend(other);
    }
    all.into()
}

fn schemas() -> Vec<(&'static str, Value)> {
    let nullable = || json!({"type": ["string", "null"]});
    let counts = || {
        let count = || number(1);
        object(
            json!({}),
            json!({"sent": count(), "done": count(), "refused": count(), "dead_letters": count(), "resolved": count()}),
        )
    };
    let row = object(
        json!({
            "row": number(1),
            "phase": word(["start", "step", "pivot", "then"]),
            "context": any_text(),
            "command": nullable(),
            "undo": nullable(),
            "within_seconds": number(0),
            "status": word(["done", "running", "remaining", "undoing", "undone", "refused", "sent", "not reached"]),
        }),
        json!({
            "children": number(0),
            "steps": about(counts(), "how many of its commands stand where"),
            "undos": about(counts(), "how many of its compensations stand where"),
        }),
    );
    let undo = object(json!({"row": number(1), "undo": any_text(), "context": any_text(), "children": number(1)}), json!({}));
    let entry = json!({"row": number(0), "what": any_text()});
    let more = json!({
        "index": number(0), "detail": any_text(), "actor": about(any_text(), "who decided it"),
        "by": about(number(1), "the position of the answer that it was written for, in the stream of whoever answered"),
    });
    let line = object(merged(&entry, json!({"at": instant()})), more.clone());
    let (required, optional) = summary();
    let whole = json!({
        "plan": list(row),
        "undo_if_failed_now": about(list(undo), "what would be undone, nearest first; nothing after the pivot"),
        "log": list(line),
        "possible": about(list(word(["retry", "resolve", "abort"])), "what an operator may do now"),
    });
    let did = json!({"did": about(list(object(entry, more)), "what was written down of the decision that this answers")});
    let saga = object(merged(&required, whole), merged(&optional, did));
    let reason = || text(1, REASON_MAX_CHARS);
    let outcome = about(word(["happened", "did-not-happen"]), "at the pivot only");
    let operation = object(
        json!({"at": instant(), "actor": any_text(), "decision": any_text(), "about": any_text(), "told": json!({})}),
        json!({"reason": any_text()}),
    );
    let summary = object(required, optional);
    let spent = || of("Spent");
    let told = object(
        json!({"id": any_text(), "cause": nullable(), "depth": about(number(0), "how many causes stand above it")}),
        json!({
            "kind": any_text(), "key": any_text(), "source": any_text(), "topic": any_text(),
            "row": number(1), "index": number(0), "direction": word(["do", "undo"]), "attempt": number(1),
            "said": about(instant(), "when the batch that said it was written"),
            "received": instant(), "started": about(instant(), "when its handler started"),
            "committed": about(instant(), "when the batch that handled it was written"),
            "spent": spent(),
        }),
    );
    let story = object(
        json!({
            "saga": any_text(), "command": any_text(), "started": instant(), "updated": instant(),
            "complete": about(json!({"type": "boolean"}), "whether all of it was found, and all rows behind each event were looked through for what it caused"),
            "spent": about(spent(), "the sum over the path"),
            "path": about(list(any_text()), "from the first cause to what was said last"),
            "messages": list(told),
        }),
        json!({}),
    );
    let microseconds = |text: &str| about(number(0), text);
    let spent = object(
        json!({
            "waiting_us": microseconds("microseconds from when it was said until it was received"),
            "queued_us": microseconds("microseconds from then until its handler began"),
            "handling_us": microseconds("microseconds from then until its batch was written"),
        }),
        json!({}),
    );
    vec![
        ("Story", story),
        ("Spent", spent),
        ("SagaSummary", summary),
        ("SagaPage", page(of("SagaSummary"))),
        ("Saga", saga),
        ("Why", object(json!({}), json!({"reason": reason()}))),
        ("WhyIndeed", object(json!({"reason": reason()}), json!({}))),
        ("Found", object(json!({"reason": reason()}), json!({"outcome": outcome}))),
        ("Operation", operation),
        ("OperationPage", page(of("Operation"))),
    ]
}
