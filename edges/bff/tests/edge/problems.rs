//! The pages: the API described, and every "no" explained.

use std::collections::BTreeSet;
use std::path::Path;

use crate::described::document;
use crate::harness::Edge;

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn documented() -> BTreeSet<String> {
    let codes = document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// The text of every source that can say no, without its tests.
fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let skipped = ["tests", "tests.rs", "testing", "testing.rs", "openapi", "codes.rs", "contract"].contains(&name);
        if path.is_dir() && !skipped {
            sources(&path, found);
        } else if name.ends_with(".rs") && !skipped {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push_str(text.split("#[cfg(test)]").next().unwrap());
        }
    }
}

/// The code that begins here, behind what names one.
fn code(rest: &str) -> Option<&str> {
    let (code, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-').then_some(code)
}

#[test]
fn every_code_that_can_be_answered_is_documented_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = String::new();
    for folder in ["edges/bff/src", "seedwork/src"] {
        sources(&root.join(folder), &mut text);
    }
    for context in std::fs::read_dir(root.join("contexts")).unwrap() {
        sources(&context.unwrap().path().join("src"), &mut text);
    }
    let text: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut said = BTreeSet::new();
    for before in [
        "conflict(",
        "unprocessable(",
        "wrong(",
        "malformed(",
        "unavailable(",
        "_ENTITY,",
        "_FOUND,",
        "_ALLOWED,",
        "_LONG,",
        "_LARGE,",
    ] {
        // What is called wrong may be a field; those are one word.
        let is_code = |word: &&str| before != "wrong(" || word.contains('-');
        said.extend(text.split(before).skip(1).filter_map(code).filter(is_code).map(str::to_owned));
    }
    let documented = documented();
    assert!(said.len() > 40, "the sources were read: {said:?}");
    let missing: Vec<_> = said.difference(&documented).collect();
    assert_eq!(missing, Vec::<&String>::new(), "said, but not in edges/bff/src/problem/codes.rs");
    let surplus: Vec<_> = documented.iter().filter(|code| !text.contains(&format!("\"{code}\""))).collect();
    assert_eq!(surplus, Vec::<&String>::new(), "documented, but nobody says it");
}

#[tokio::test]
async fn the_type_of_every_problem_leads_to_what_it_means_and_what_to_do() {
    let edge = Edge::start();
    let all = edge.get("/problems").await.json;
    let listed: BTreeSet<String> =
        all["items"].as_array().unwrap().iter().map(|of| of["code"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, documented());
    for code in &listed {
        let told = edge.get(&format!("/problems/{code}")).await.json;
        assert!(told["means"].as_str().is_some_and(|means| means.ends_with('.')), "{told}");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.ends_with('.')), "{told}");
        let page = edge.ask(&format!("GET /problems/{code}"), &[BROWSER], "").await;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(page.text.contains("What to do") && page.text.contains(code.as_str()), "{}", page.text);
    }
    let no = edge.get("/v1/campaigns/c-0").await.json;
    assert_eq!(edge.get(no["type"].as_str().unwrap()).await.json["code"], no["code"]);
    assert_eq!(edge.get("/problems/%3Cscript%3E").await.status, 404);
}

#[tokio::test]
async fn the_page_shows_every_operation_and_needs_nothing_from_elsewhere() {
    let edge = Edge::start();
    let led = edge.ask("GET /", &[BROWSER], "").await;
    assert_eq!((led.status.as_u16(), &led.headers["location"]), (303, &"/docs".parse().unwrap()));
    let page = edge.ask("GET /docs", &[BROWSER], "").await;
    for step in bff::openapi::story() {
        let id = document()["paths"][step.path][step.method]["operationId"].as_str().unwrap();
        assert!(page.text.contains(&format!("id=\"{id}\"")), "{id} is not on the page");
    }
    for of in ["src=\"", "href=\""] {
        for link in page.text.split(of).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(link.starts_with('/') || link.starts_with('#'), "the page needs {link}");
            if let Some(anchor) = link.strip_prefix('#') {
                assert!(page.text.contains(&format!("id=\"{anchor}\"")), "nothing is at #{anchor}");
            } else {
                assert_eq!(edge.get(link).await.status, 200, "{link}");
            }
        }
    }
}
