//! What schemas are made of (JSON Schema 2020-12, as OpenAPI 3.1 has it), and those that all areas share.

use serde_json::{Map, Value, json};
use wire::values::{AMOUNT_MAX_CHARS, ID_MAX_CHARS, ID_MAX_PARTS};

use crate::problem::codes::CODES;

/// The schema of this name.
pub(super) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object with these members and no others.
pub(super) fn object(required: Value, optional: Value) -> Value {
    let mut members = Map::new();
    let names: Vec<String> = required.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    for part in [required, optional] {
        if let Value::Object(part) = part {
            members.extend(part);
        }
    }
    json!({"type": "object", "required": names, "properties": members, "additionalProperties": false})
}

/// The same schema, described.
pub(super) fn about(mut schema: Value, text: &str) -> Value {
    schema["description"] = text.into();
    schema
}

/// A text of so many characters.
pub(super) fn text(least: usize, most: usize) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// Any text.
pub(super) fn any_text() -> Value {
    json!({"type": "string"})
}

/// One of these words.
pub(super) fn word<W: Into<Value>>(words: impl IntoIterator<Item = W>) -> Value {
    json!({"type": "string", "enum": words.into_iter().map(Into::into).collect::<Vec<Value>>()})
}

/// A whole number, at least this.
pub(super) fn number(least: i64) -> Value {
    json!({"type": "integer", "minimum": least})
}

/// Any number of these.
pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// An id of one thing.
pub(super) fn id() -> Value {
    json!({"type": "string", "pattern": format!("^[A-Za-z0-9._:-]{{1,{ID_MAX_CHARS}}}$")})
}

/// Ids joined by `~`: so many parts.
pub(super) fn joined(least: usize, most: usize) -> Value {
    let part = format!("[A-Za-z0-9._:-]{{1,{ID_MAX_CHARS}}}");
    json!({"type": "string", "pattern": format!("^{part}(~{part}){{{},{}}}$", least - 1, most - 1)})
}

/// An id of any kind.
pub(super) fn any_id() -> Value {
    joined(1, ID_MAX_PARTS)
}

/// An instant.
pub(super) fn instant() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A decimal text in major units.
pub(super) fn amount() -> Value {
    json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$", "maxLength": AMOUNT_MAX_CHARS, "examples": ["15000.00"]})
}

/// An ISO 4217 code.
pub(super) fn currency() -> Value {
    json!({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]})
}

/// A page of such items.
pub(super) fn page(items: Value) -> Value {
    let next = json!({"type": ["string", "null"], "description": "the cursor of the next page; null when this is the last"});
    object(json!({"items": list(items), "next": next}), json!({}))
}

/// A page of such items, with the total for who asked for it.
pub(super) fn counted(items: Value) -> Value {
    let mut page = page(items);
    let exact = about(json!({"type": "boolean"}), "false: so many at least");
    page["properties"]["total"] = object(json!({"count": number(0), "exact": exact}), json!({}));
    page
}

/// What every area may name.
pub(super) fn common() -> Map<String, Value> {
    let said = object(
        json!({
            "id": about(any_id(), "what the command is about"),
            "status": about(
                word(["waiting", "accepted", "done", "completed", "undone", "undoing", "kept"]),
                "waiting: durable, not run yet; accepted: done, and a saga goes on; done; completed or undone: the saga has ended so; \
                 undoing: the saga that is under way is being undone; kept: it is carried out as soon as it can be",
            ),
        }),
        json!({
            "saga": about(any_id(), "the saga that it started"),
            "command": about(any_text(), "its id, when its turn is still to come"),
            "reason": about(of("Reason"), "why the saga was undone"),
            "step": about(any_text(), "the command that was refused"),
            "exceptions": about(list(of("Exception")), "what an operator signed instead of an answer"),
        }),
    );
    let reason = object(
        json!({"code": about(any_text(), "stable; programs match on it"), "message": any_text()}),
        json!({"field": any_text(), "details": about(json!({}), "figures and ids for programs")}),
    );
    let exception = object(
        json!({"row": number(1), "index": number(0), "direction": word(["do", "undo"]), "reason": any_text()}),
        json!({"actor": about(any_text(), "who signed it")}),
    );
    let problem = object(
        json!({
            "type": json!({"type": "string", "format": "uri-reference", "description": "a page that explains it"}),
            "title": any_text(),
            "status": json!({"type": "integer", "minimum": 400, "maximum": 599}),
            "detail": about(any_text(), "what is wrong with this request, and what to do"),
            "code": about(word(CODES.iter().map(|code| code.code)), "stable; programs match on it"),
        }),
        json!({
            "field": about(any_text(), "the member, parameter or header that it is about"),
            "errors": list(object(json!({"field": any_text(), "detail": any_text()}), json!({}))),
            "details": about(json!({}), "figures and ids for programs"),
        }),
    );
    let amount = object(json!({"amount": amount(), "currency": currency()}), json!({}));
    let all = [("Settled", said), ("Reason", reason), ("Exception", exception), ("Problem", problem), ("Amount", amount)];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
