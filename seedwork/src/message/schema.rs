//! What a topic is registered with, so that a registry can refuse a breaking change.

use super::{Entry, Role};

/// The record on every topic of replies; seedwork says it, so no table lists it.
const ANSWERED: &str = "SagaAnswered";

/// An answer to a saga: `done`, `refused` (and why) or `dead`, and what an operator did.
fn answered() -> serde_json::Value {
    use serde_json::json;
    let maybe = |name: &str| json!({"name": name, "type": ["null", "string"], "default": null});
    let refusal = json!({"type": "record", "name": "Refusal", "fields": [
        {"name": "code", "type": "string"}, {"name": "class", "type": "string"}, maybe("field"),
        {"name": "message", "type": "string"}, maybe("details")]});
    let operator = json!({"type": "record", "name": "Operator", "fields": [
        {"name": "did", "type": "string"}, {"name": "actor", "type": "string"}, maybe("reason")]});
    json!({"type": "record", "name": ANSWERED, "fields": [
        {"name": "outcome", "type": "string"}, {"name": "refusal", "type": ["null", refusal], "default": null},
        {"name": "operator", "type": ["null", operator], "default": null}]})
}

/// The Avro record that a topic is registered with: the envelope's attributes, and one optional record per kind, default null.
pub fn topic_schema(context: &str, role: Role, tables: &[&[Entry]]) -> serde_json::Value {
    use serde_json::json;
    let text = |name: &str| json!({"name": name, "type": "string"});
    let maybe = |name: &str| json!({"name": name, "type": ["null", "string"], "default": null});
    let mut fields = vec![
        text("specversion"),
        text("id"),
        text("source"),
        text("type"),
        text("subject"),
        json!({"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}}),
        maybe("traceparent"),
        maybe("correlationid"),
        maybe("causationid"),
        maybe("actor"),
        maybe("tenant"),
        json!({"name": "saga", "default": null, "type": ["null", {"type": "record", "name": "SagaRef", "fields": [
            {"name": "id", "type": "string"}, {"name": "context", "type": "string"}, {"name": "row", "type": "int"},
            {"name": "index", "type": "int"}, {"name": "direction", "type": "string"}, {"name": "attempt", "type": "int"}]}]}),
        maybe("answerto"),
    ];
    if role == Role::Command {
        fields.push(maybe("ifmatch"));
    }
    if role == Role::Reply {
        fields.push(json!({"name": ANSWERED, "type": ["null", answered()], "default": null}));
    }
    for entry in tables.iter().flat_map(|table| table.iter()).filter(|entry| entry.context == context && entry.role == role) {
        // A record's second use in one schema must be its bare name; apache-avro resolves that when the whole is parsed.
        let schema = serde_json::to_value((entry.schema)()).unwrap_or(serde_json::Value::Null);
        fields.push(json!({"name": entry.record, "type": ["null", schema], "default": null}));
    }
    json!({"type": "record", "name": format!("{context}_{}", role.topic()), "namespace": "alpes", "fields": name_once(fields)})
}

/// Avro allows a named type to be defined once; later uses give its name. Messages share value types, so later definitions shrink.
fn name_once(mut fields: Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    fn shrink(value: &mut serde_json::Value, seen: &mut Vec<String>) {
        if let Some(object) = value.as_object_mut() {
            let named = matches!(object.get("type").and_then(|kind| kind.as_str()), Some("record" | "enum" | "fixed"));
            if let (true, Some(name)) = (named, object.get("name").and_then(|name| name.as_str())) {
                if seen.iter().any(|known| known == name) {
                    *value = serde_json::Value::String(name.to_owned());
                    return;
                }
                seen.push(name.to_owned());
            }
            object.values_mut().for_each(|inner| shrink(inner, seen));
        } else if let Some(array) = value.as_array_mut() {
            array.iter_mut().for_each(|inner| shrink(inner, seen));
        }
    }
    let mut seen = Vec::new();
    fields.iter_mut().for_each(|field| shrink(field, &mut seen));
    fields
}
