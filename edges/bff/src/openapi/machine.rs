//! The server itself.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get};
use super::schema::{any_text, object, word};

pub(super) fn area() -> Area {
    Area { name: "server", text: "Where to begin, and whether it lives.", operations: operations(), schemas: schemas() }
}

fn operations() -> Vec<Operation> {
    vec![
        get("/", "getIndex", "Where to begin").answers(200, "Index", "What there is."),
        get("/openapi.json", "getDescription", "This description").answers(200, "OpenApi", "OpenAPI 3.1."),
        get("/healthz", "getHealth", "Whether it lives").answers(200, "Health", "It does."),
        get("/readyz", "getReadiness", "Whether it can work")
            .says("It takes commands and can read the store.")
            .answers(200, "Health", "It can."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let links = json!({"type": "object", "additionalProperties": {"type": "string"}});
    vec![
        ("Index", object(json!({"name": any_text(), "links": links}), json!({}))),
        ("OpenApi", json!({"type": "object", "required": ["openapi", "info", "paths"]})),
        ("Health", object(json!({"status": word(["ok"])}), json!({}))),
    ]
}
