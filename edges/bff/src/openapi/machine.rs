//! The server itself.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get};
use super::schema::{any_id, any_text, list, object, of, word};

pub(super) fn area() -> Area {
    Area { name: "server", text: "Where to begin, and whether it lives.", operations: operations(), schemas: schemas() }
}

fn operations() -> Vec<Operation> {
    vec![
        get("/", "getIndex", "Where to begin").answers(200, "Index", "What there is.").moves(303, "A browser is led to `/docs`."),
        get("/openapi.json", "getDescription", "This description").answers(200, "OpenApi", "OpenAPI 3.1."),
        get("/docs", "getDocs", "The same as a page").answers_as(
            200,
            "text/html",
            "The page, which needs nothing from elsewhere.",
        ),
        get("/docs/style.css", "getDocsStyle", "How the page looks").answers_as(200, "text/css", "A style sheet."),
        get("/docs/script.js", "getDocsScript", "What sends the examples of the page").answers_as(
            200,
            "text/javascript",
            "A script.",
        ),
        get("/problems", "listProblems", "Every code of a problem").answers(200, "ProblemCodePage", "All of them.").answers_as(
            200,
            "text/html",
            "A page, for a browser.",
        ),
        get("/problems/{code}", "getProblem", "What a code means, and what to do")
            .says("The `type` of a problem leads here.")
            .part("code", any_text(), "limit-exceeded", "The code.")
            .no(&[404])
            .answers(200, "ProblemCode", "The code.")
            .answers_as(200, "text/html", "A page, for a browser."),
        get("/healthz", "getHealth", "Whether it lives").answers(200, "Health", "It does."),
        get("/readyz", "getReadiness", "Whether it can work")
            .says("It takes commands and can read the store.")
            .answers(200, "Health", "It can."),
        get("/metrics", "getMetrics", "What there is to see")
            .says("The text format of Prometheus; docs/operations.md explains each metric.")
            .answers_as(200, "text/plain", "The metrics."),
        get("/v1/stream", "streamEvents", "Every event as it is committed")
            .says(
                "Server-sent events: the data of each is its message, the id a place in the log. `retry:` comes first, the comment `:live` \
                 between the past and the present, a comment whenever it is quiet. Who reads too slowly gets `event: resync` and is cut: \
                 connected again with the last id, it has lost nothing.\n\nOver a broker the bff tells what every context says: what is \
                 new from their topics, what was before from the services' logs (503 for who needs the log of a service that is away). The \
                 service of one context tells its own past alone, with `follow=false`.",
            )
            .query("type", any_text(), "Only these types, commas between them; one that ends with `*` stands for all that begin so.")
            .like("campaign.*")
            .query("key", any_text(), "Only those about this key, or one that begins with it and `~`.")
            .query("tenant", any_id(), "Only those of this tenant.")
            .query("after", any_text(), "The id after which it begins, for who cannot send `Last-Event-ID`; 0 is the beginning.")
            .like("0")
            .query("follow", json!({"type": "boolean", "default": true}), "Whether it goes on when it has reached the present.")
            .like(false)
            .header("Last-Event-ID", any_text(), "The id of the last event that is known; without one it begins now.")
            .no(&[410, 501])
            .answers_as(200, "text/event-stream", "The events."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let links = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let text = any_text;
    let code = object(json!({"type": text(), "code": text(), "title": text(), "means": text(), "remedy": text()}), json!({}));
    vec![
        ("ProblemCode", code),
        ("ProblemCodePage", object(json!({"items": list(of("ProblemCode"))}), json!({}))),
        ("Index", object(json!({"name": any_text(), "links": links}), json!({}))),
        ("OpenApi", json!({"type": "object", "required": ["openapi", "info", "paths"]})),
        ("Health", object(json!({"status": word(["ok"])}), json!({}))),
    ]
}
