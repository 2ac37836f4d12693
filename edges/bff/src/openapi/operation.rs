//! One operation: a method of a path, what it takes and what it answers.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::schema::{self, of};
use crate::PROBLEM_JSON;
use crate::asked::{KEY_MAX_CHARS, WAIT_MAX};
use crate::away::{CONTEXTS, Whose, whose};
use crate::pages::{LIMIT_DEFAULT, LIMIT_MAX};

/// See the module's text. It is written as a sentence: `get(path, id, summary).id(…).answers(…)`.
pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    document: Value,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    links: Map<String, Value>,
    also: Vec<String>,
    /// What its example is answered when nothing is wrong, if that is not a success.
    pub quiet: Option<u16>,
}

fn operation(method: &'static str, path: &'static str, id: &str, summary: &str) -> Operation {
    let document = json!({"operationId": id, "summary": summary});
    let new = Operation {
        method,
        path,
        document,
        parameters: Vec::new(),
        responses: Map::new(),
        links: Map::new(),
        also: Vec::new(),
        quiet: None,
    };
    new.no(&[414, 431, 503])
}

/// A query.
pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Operation {
    operation("get", path, id, summary)
}

/// A command.
pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Operation {
    operation("post", path, id, summary).command()
}

/// An operator's decision.
pub(super) fn decide(path: &'static str, id: &str, summary: &str) -> Operation {
    operation("post", path, id, summary).actor().no(&[400, 403, 408, 409, 413, 415, 422])
}

/// A command.
pub(super) fn put(path: &'static str, id: &str, summary: &str) -> Operation {
    operation("put", path, id, summary).command()
}

/// A command.
pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Operation {
    operation("delete", path, id, summary).command()
}

impl Operation {
    /// What there is to say beyond the summary, in Markdown.
    pub fn says(mut self, text: &str) -> Operation {
        self.document["description"] = text.into();
        self
    }

    /// It is there for whoever uses it already.
    pub fn deprecated(mut self) -> Operation {
        self.document["deprecated"] = true.into();
        self
    }

    /// It answers at these paths as well.
    pub fn also(mut self, paths: impl IntoIterator<Item = String>) -> Operation {
        self.also.extend(paths);
        self
    }

    /// A part of the path, in braces there.
    pub fn part(mut self, name: &str, schema: Value, example: &str, text: &str) -> Operation {
        self.parameters.push(
            json!({"name": name, "in": "path", "required": true, "schema": schema, "example": example, "description": text}),
        );
        self.no(&[400])
    }

    /// A parameter behind the `?`.
    pub fn query(mut self, name: &str, schema: Value, text: &str) -> Operation {
        self.parameters.push(json!({"name": name, "in": "query", "schema": schema, "description": text}));
        self.no(&[400])
    }

    /// The last parameter, with an example.
    pub fn like(mut self, example: impl Into<Value>) -> Operation {
        if let Some(parameter) = self.parameters.last_mut() {
            parameter["example"] = example.into();
        }
        self
    }

    /// A header that may be there.
    pub fn header(mut self, name: &str, schema: Value, text: &str) -> Operation {
        self.parameters.push(json!({"name": name, "in": "header", "schema": schema, "description": text}));
        self
    }

    /// A list in pages: `limit` and `cursor`.
    pub fn pages(self) -> Operation {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT});
        self.query("limit", limit, "How many items a page has.").like(2).query(
            "cursor",
            schema::any_text(),
            "Where the page begins: `next` of the page before, as it came.",
        )
    }

    /// A list in pages that is sorted in one of these ways (the first when it is not said) and counted for who asks.
    pub fn listed<const N: usize>(self, sorts: [&str; N]) -> Operation {
        self.pages()
            .query("sort", schema::word(sorts), "In which order; with `-` the other way round.")
            .query("total", schema::word(["true", "false"]), "Whether the list is counted.")
            .like("true")
    }

    /// It is accepted at once: nothing is waited for.
    pub fn at_once(mut self) -> Operation {
        self.responses.remove("202");
        self.parameters.retain(|parameter| parameter["name"] != "Prefer");
        self
    }

    /// What it also takes and answers where each context is a service of its own.
    pub fn apart(self) -> Operation {
        let method = Method::from_bytes(self.method.to_uppercase().as_bytes()).unwrap_or_default();
        match whose(&method, self.path) {
            Whose::Of(_) => self.no(&[421]),
            Whose::Each if self.parameters.iter().all(|parameter| parameter["name"] != "context") => self.query(
                "context",
                schema::word(CONTEXTS),
                "For a bff before services: the one that is asked. Without it each is asked until one knows the thing.",
            ),
            Whose::Each | Whose::Anyones | Whose::Command => self,
        }
    }

    /// Its answer has an entity tag.
    pub fn tagged(self) -> Operation {
        let tags = "Entity tags that are known already: if it is still one of them, the answer is 304 without a body.";
        let mut tagged = self.header("If-None-Match", schema::any_text(), tags);
        let header = json!({"ETag": {"schema": {"type": "string"}, "description": "another one when the document is another"}});
        tagged.responses.insert("304".to_owned(), json!({"description": "It is as it was.", "headers": header}));
        tagged
    }

    fn actor(self) -> Operation {
        let actor = json!({"type": "string", "minLength": 1, "maxLength": wire::values::Actor::MAX_CHARS, "default": "local"});
        self.header("Alpes-Actor", actor, "Who asks.")
    }

    /// Its example needs something to be wrong: when nothing is, this is the answer.
    pub fn quiet(mut self, status: u16) -> Operation {
        self.quiet = Some(status);
        self
    }

    /// What every command takes in its headers, and may answer.
    fn command(self) -> Operation {
        let key = json!({"type": "string", "pattern": format!("^[!-~]{{1,{KEY_MAX_CHARS}}}$")});
        let wait =
            format!("`wait=N`: the outcome of the saga is waited for, N seconds at most ({} are the most).", WAIT_MAX.as_secs());
        self.header("Idempotency-Key", key, "The command's id: sent again it has the same answer, and is not done twice.")
            .header("Prefer", schema::any_text(), &wait)
            .like("wait=10")
            .actor()
            .header("traceparent", schema::any_text(), "The trace that it belongs to (W3C Trace Context).")
            .header("If-Match", schema::any_text(), "Entity tags of the versions that it is about: of another it is refused.")
            .answers(202, "Settled", "It is durable, and goes on: `Location` says where to look.")
            .no(&[400, 403, 408, 409, 412, 413, 415, 422])
    }

    /// A JSON body of this schema, with an example; optional bodies are empty or an object.
    pub fn takes(mut self, schema: &str, required: bool, examples: &[(&str, Value)]) -> Operation {
        let examples: Map<String, Value> =
            examples.iter().map(|(name, value)| ((*name).to_owned(), json!({"value": value}))).collect();
        self.document["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": of(schema), "examples": examples}}});
        self
    }

    /// A status with a JSON document of this schema.
    pub fn answers(mut self, status: u16, schema: &str, text: &str) -> Operation {
        let content = json!({"application/json": {"schema": of(schema)}});
        self.responses.insert(status.to_string(), json!({"description": text, "content": content}));
        self
    }

    /// A status with a document of another media type, beside one in JSON if that has been said.
    pub fn answers_as(mut self, status: u16, media_type: &str, text: &str) -> Operation {
        let response = self.responses.entry(status.to_string()).or_insert_with(|| json!({"description": text, "content": {}}));
        response["content"][media_type] = json!({"schema": {"type": "string"}});
        self
    }

    /// A status without a document.
    pub fn moves(mut self, status: u16, text: &str) -> Operation {
        self.responses.insert(status.to_string(), json!({"description": text}));
        self
    }

    /// The problems that it may answer, by status.
    pub fn no(mut self, statuses: &[u16]) -> Operation {
        for status in statuses {
            let problem = json!({"$ref": format!("#/components/responses/{status}")});
            self.responses.entry(status.to_string()).or_insert(problem);
        }
        self
    }

    /// A member of the answer (a JSON pointer) is this parameter of another operation.
    pub fn leads_to(mut self, operation: &str, parameter: &str, pointer: &str) -> Operation {
        let link = json!({"operationId": operation, "parameters": {parameter: format!("$response.body#{pointer}")}});
        self.links.insert(operation.to_owned(), link);
        self
    }

    /// As the document has it.
    pub fn document(self, tag: &str) -> Value {
        let Operation { mut document, parameters, mut responses, links, also, .. } = self;
        for (status, response) in &mut responses {
            if status.starts_with('2') && !links.is_empty() {
                response["links"] = links.clone().into();
            }
        }
        document["tags"] = json!([tag]);
        document["responses"] = responses.into();
        if !parameters.is_empty() {
            document["parameters"] = parameters.into();
        }
        if !also.is_empty() {
            document["x-also"] = also.into();
        }
        document
    }
}

/// The answers that are problems, by status.
pub(super) fn problems() -> Value {
    let statuses = [
        (400, "The request is not of the form that is expected."),
        (403, "A page of another site may not do this."),
        (404, "There is no such thing."),
        (408, "The body did not come in time."),
        (409, "It disagrees with the present state; later it may not."),
        (410, "It was there, and is no more."),
        (412, "It has changed since it was read."),
        (413, "The body is larger than what is read."),
        (414, "Path and query are longer than what is read."),
        (415, "The body is of another media type than is expected."),
        (421, "This is the service of another context: each has one of its own, and the bff asks the right one."),
        (422, "It can never be done as asked."),
        (428, "It must say which version it means."),
        (431, "The headers are more, or longer, than what is read."),
        (501, "The service of one context cannot do it: ask the bff."),
        (503, "It cannot be done at the moment, for no fault of the client."),
    ];
    let response = |(status, text): (u16, &str)| {
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        let mut response =
            json!({"description": format!("{title}. {text}"), "content": {PROBLEM_JSON: {"schema": of("Problem")}}});
        if status == 503 {
            response["headers"] =
                json!({"Retry-After": {"schema": {"type": "integer"}, "description": "after so many seconds it may go"}});
        }
        (status.to_string(), response)
    };
    statuses.into_iter().map(response).collect::<Map<String, Value>>().into()
}
