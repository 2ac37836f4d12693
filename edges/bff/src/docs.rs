//! `/docs`: the description of the API as a page. It is written by the server, so it needs no network and works without JavaScript; with
//! it, the examples can be sent from where they stand.

use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

use crate::openapi;
use crate::routes::Routes;

const STYLE: &str = include_str!("docs/style.css");
const SCRIPT: &str = include_str!("docs/script.js");

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/docs", get(docs))
        .route("/docs/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/docs/script.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
}

fn asset(media_type: &'static str, text: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Whether whoever asks is a browser: it names HTML before anything else that it takes.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim()).next() == Some("text/html")
}

/// A text inside HTML.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A sentence with `code` and **strong** words in it.
pub(crate) fn inline(text: &str) -> String {
    let marked = |text: &str, mark: &str, tag: &str| {
        let parts = text.split(mark).enumerate();
        parts.map(|(at, part)| if at % 2 == 1 { format!("<{tag}>{part}</{tag}>") } else { part.to_owned() }).collect::<String>()
    };
    marked(&marked(&html(text), "`", "code"), "**", "strong")
}

/// A whole page.
pub(crate) fn page(title: &str, body: &str) -> Response {
    let title = html(title);
    let mut response = asset(
        "text/html; charset=utf-8",
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title} · Alpes</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body>\
             <header><a href=\"/docs\"><b>▲ Alpes</b></a><nav><a href=\"/docs\">API</a><a href=\"/problems\">Problems</a>\
             <a href=\"/openapi.json\">OpenAPI 3.1</a></nav></header>{body}<script src=\"/docs/script.js\"></script></body></html>"
        ),
    );
    *response.status_mut() = StatusCode::OK;
    // Nothing from elsewhere, and no script that did not come from here.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

async fn docs() -> Response {
    let document = openapi::document();
    let mut menu = String::new();
    let mut chapters = String::new();
    for area in document["tags"].as_array().into_iter().flatten() {
        let name = text(&area["name"]);
        let anchor = name.replace(' ', "-");
        menu.push_str(&format!("<h2><a href=\"#{anchor}\">{}</a></h2><ul>", html(name)));
        chapters.push_str(&format!(
            "<section id=\"{anchor}\"><h2>{}</h2><p>{}</p>",
            html(name),
            inline(text(&area["description"]))
        ));
        for step in openapi::story() {
            let operation = &document["paths"][step.path][step.method];
            if operation["tags"][0] == area["name"] {
                let (id, summary) = (html(text(&operation["operationId"])), inline(text(&operation["summary"])));
                menu.push_str(&format!("<li><a href=\"#{id}\"><i class=\"{0}\">{0}</i> {summary}</a></li>", step.method));
                chapters.push_str(&chapter(step.method, step.path, operation));
            }
        }
        menu.push_str("</ul>");
        chapters.push_str("</section>");
    }
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let schemas: String = schemas
        .map(|(name, schema)| {
            format!("<details id=\"schema-{name}\"><summary><code>{name}</code></summary><pre>{}</pre></details>", linked(schema))
        })
        .collect();
    let about: String =
        text(&document["info"]["description"]).split("\n\n").map(|part| format!("<p>{}</p>", inline(part))).collect();
    let body = format!(
        "<main class=\"docs\"><aside><input type=\"search\" placeholder=\"Filter\" aria-label=\"Filter\" hidden>{menu}\
         <h2><a href=\"#schemas\">schemas</a></h2></aside><article><h1>{} <small>{}</small></h1><p class=\"lead\">{}</p>{about}\
         {chapters}<section id=\"schemas\"><h2>schemas</h2>{schemas}</section></article></main>",
        html(text(&document["info"]["title"])),
        html(text(&document["info"]["version"])),
        html(text(&document["info"]["summary"]))
    );
    page("API", &body)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A JSON document as text, in which the names of schemas lead to them.
fn linked(value: &Value) -> String {
    let text = html(&format!("{value:#}"));
    let mut parts = text.split("#/components/schemas/");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_at(part.find('&').unwrap_or(part.len()));
        linked.push_str(&format!("<a href=\"#schema-{name}\">{name}</a>{rest}"));
    }
    linked
}

/// What a schema is called, as a link if it has a name.
fn kind(schema: &Value) -> String {
    match (schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()), schema["type"].as_str()) {
        (Some(name), _) => format!("<a href=\"#schema-{name}\">{name}</a>"),
        (None, Some("array")) => format!("list of {}", kind(&schema["items"])),
        (None, Some(name)) => match schema["enum"].as_array() {
            Some(words) => words.iter().map(|word| format!("<code>{}</code>", html(text(word)))).collect::<Vec<_>>().join(" · "),
            None => html(schema["format"].as_str().unwrap_or(name)),
        },
        (None, None) => "JSON".to_owned(),
    }
}

fn chapter(method: &str, path: &str, operation: &Value) -> String {
    let id = html(text(&operation["operationId"]));
    let deprecated = if operation["deprecated"] == true { " <em>deprecated</em>" } else { "" };
    let mut chapter = format!(
        "<details class=\"operation\" id=\"{id}\"><summary><i class=\"{method}\">{method}</i><code>{}</code><span>{}{deprecated}</span>\
         </summary>",
        html(&decoded(path)),
        inline(text(&operation["summary"]))
    );
    if let Some(more) = operation["description"].as_str() {
        chapter.push_str(&format!("<p>{}</p>", inline(more)));
    }
    let parameters: String = operation["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    chapter.push_str(&format!("<form data-method=\"{method}\" data-path=\"{}\">", html(path)));
    if !parameters.is_empty() {
        chapter.push_str(&format!("<h3>Parameters</h3><table>{parameters}</table>"));
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        for (media_type, body) in content {
            let example = body["examples"].as_object().and_then(|examples| examples.values().next());
            let example = example.map(|example| format!("{:#}", example["value"])).unwrap_or_default();
            let lines = example.lines().count().clamp(2, 24);
            chapter.push_str(&format!(
                "<h3>Body <small>{media_type}, {}</small></h3><textarea name=\"body\" rows=\"{lines}\" spellcheck=\"false\" \
                 aria-label=\"Body\">{}</textarea>",
                kind(&body["schema"]),
                html(&example)
            ));
        }
    }
    chapter.push_str("<p><button hidden>Send</button></p><pre class=\"answer\" hidden></pre></form><h3>Answers</h3><table>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let described = match answer["$ref"].as_str() {
            Some(_) => "<a href=\"/problems\">a problem</a>".to_owned(),
            None => {
                let content = answer["content"].as_object().into_iter().flatten();
                let kinds: Vec<String> = content.map(|(_, content)| kind(&content["schema"])).collect();
                format!("{} {}", inline(text(&answer["description"])), kinds.join(", "))
            }
        };
        chapter.push_str(&format!("<tr><td><b class=\"s{}\">{status}</b></td><td>{described}</td></tr>", &status[..1]));
    }
    chapter.push_str("</table></details>");
    chapter
}

fn parameter(parameter: &Value) -> String {
    let name = html(text(&parameter["name"]));
    let example = match &parameter["example"] {
        Value::Null => String::new(),
        Value::String(example) => example.clone(),
        other => other.to_string(),
    };
    format!(
        "<tr><td><label><code>{name}</code> <small>{place}{required}</small></label></td><td><input name=\"{name}\" \
         data-in=\"{place}\" value=\"{}\" aria-label=\"{name}\"></td><td>{} <small>{}</small></td></tr>",
        html(&example),
        inline(text(&parameter["description"])),
        kind(&parameter["schema"]),
        place = html(text(&parameter["in"])),
        required = if parameter["required"] == true { ", required" } else { "" },
    )
}

/// A path as people read it.
fn decoded(path: &str) -> String {
    path.replace("%C3%B1", "ñ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_escaped_before_it_is_marked_up() {
        assert_eq!(inline("`a<b` & **so**"), "<code>a&lt;b</code> &amp; <strong>so</strong>");
    }

    #[test]
    fn a_browser_is_who_names_html_first() {
        let asks = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_html(&headers)
        };
        assert!(asks("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!asks("*/*") && !asks("application/json, text/html") && !wants_html(&HeaderMap::new()));
    }
}
