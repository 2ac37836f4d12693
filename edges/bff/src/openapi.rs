//! The description of the API, OpenAPI 3.1, served at `/openapi.json`: made of one table per area, below this file.
//!
//! It cannot drift. A test holds the tables against the router, in both directions; every answer in the edge's tests is checked against
//! its schema, and every body that was taken against the schema of its request; the examples are sent, in the order of the tables, which
//! therefore tell a story: what one needs, an earlier one has made.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};

use crate::answer;
use crate::routes::Routes;

mod blocks;
mod brands;
mod campaigns;
mod commands;
mod dead_letters;
mod machine;
mod operation;
mod partners;
mod sagas;
mod schema;
mod seed_003;
mod seed_004;
mod streams;

use operation::Operation;

/// What belongs together: it is a tag of the document and a chapter of the page.
struct Area {
    name: &'static str,
    text: &'static str,
    operations: Vec<Operation>,
    schemas: Vec<(&'static str, Value)>,
}

/// The areas, in the order of the story that the examples tell.
fn areas() -> Vec<Area> {
    vec![
        campaigns::area(),
        brands::area(),
        partners::area(),
        blocks::area(),
        sagas::area(),
        dead_letters::area(),
        streams::area(),
        commands::area(),
        seed_003::area(),
        seed_004::area(),
        machine::area(),
    ]
}

pub(crate) fn routes() -> Routes {
    Routes::new().route("/openapi.json", get(serve))
}

async fn serve() -> Response {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| document().to_string().into());
    answer::json(axum::http::StatusCode::OK, written.clone())
}

/// An example of an operation, as the tests send it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path, as the document has it.
    pub path: &'static str,
    /// What is answered when nothing is wrong, if that is not a success.
    pub quiet: Option<u16>,
}

/// The operations in the order of the story that their examples tell.
pub fn story() -> Vec<Step> {
    let areas = areas();
    let operations = areas.iter().flat_map(|area| &area.operations);
    operations.map(|of| Step { method: of.method, path: of.path, quiet: of.quiet }).collect()
}

/// The document.
pub fn document() -> Value {
    let areas = areas();
    let mut paths: Map<String, Value> = Map::new();
    let mut schemas = schema::common();
    let tags: Vec<Value> = areas.iter().map(|area| json!({"name": area.name, "description": area.text})).collect();
    for area in areas {
        for operation in area.operations {
            let (method, path) = (operation.method, operation.path);
            paths.entry(path).or_insert_with(|| json!({}))[method] = operation.apart().document(area.name);
        }
        schemas.extend(area.schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Alpes Partners",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Partner marketing: campaigns, the partners who promote them, and what came of it.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this server"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas, "responses": operation::problems()},
    })
}

const ABOUT: &str = "\
Whatever changes something is a **command**. It is answered when it is on the disk, not before. Many a command starts a **saga**, steps \
in several services that all happen or are all undone: then the answer is 202 with the saga's id, or, for who sends `Prefer: wait=10`, \
the outcome.

**Sent again.** A command with an `Idempotency-Key` has the same answer however often it is sent, for seven days; without one, the \
creation of a thing that has an id counts once. The same key with another body is 409.

**No.** A problem (RFC 9457) says why, names the field, and has a `type` that explains it and what to do.

**Amounts** are decimal texts in major units: `\"15000.00\"`. **Instants** are RFC 3339. **Ids** are 1 to 64 characters of \
`A-Z a-z 0-9 . _ : -`; composed ones join them with `~`.";
