//! What the `type` of a problem leads to: a page for people, JSON for programs.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::codes::{CODES, Code, find};
use super::{Problem, title};
use crate::Text;
use crate::answer::document;
use crate::docs::{html, inline, page, wants_html};
use crate::routes::Routes;

pub(crate) fn routes() -> Routes {
    Routes::new().route("/problems", get(all)).route("/problems/{code}", get(one))
}

async fn all(headers: HeaderMap) -> Result<Response, Problem> {
    if !wants_html(&headers) {
        let items: Vec<_> = CODES.iter().map(told).collect();
        return document(StatusCode::OK, &json!({"items": items}));
    }
    let row = |of: &Code| {
        format!("<tr><td><a href=\"/problems/{0}\"><code>{0}</code></a></td><td>{1}</td></tr>", of.code, inline(of.means))
    };
    let rows: String = CODES.iter().map(row).collect();
    Ok(page("Problems", &format!("<h1>Problems</h1><p>Every code that a “no” may have.</p><table>{rows}</table>")))
}

async fn one(Text(code): Text, headers: HeaderMap) -> Result<Response, Problem> {
    let found = find(&code).ok_or_else(|| Problem::unknown("problem", &code))?;
    if !wants_html(&headers) {
        return document(StatusCode::OK, &told(found));
    }
    let body = format!(
        "<p><a href=\"/problems\">Problems</a></p><h1>{}</h1><p><code>{}</code></p><p>{}</p><h2>What to do</h2><p>{}</p>",
        html(&title(found.code)),
        found.code,
        inline(found.means),
        inline(found.remedy)
    );
    Ok(page(&title(found.code), &body))
}

fn told(of: &Code) -> serde_json::Value {
    json!({
        "type": format!("/problems/{}", of.code), "code": of.code, "title": title(of.code), "means": of.means, "remedy": of.remedy,
    })
}
