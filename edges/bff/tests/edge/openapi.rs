//! The description of the API is the API.

use std::collections::{BTreeMap, BTreeSet};

use bff::openapi::{Step, story};
use serde_json::{Value, json};

use crate::described::{document, part, wrong};
use crate::harness::{Answer, Edge};

#[tokio::test]
async fn every_route_is_described_and_every_described_route_is_there() {
    let edge = Edge::start();
    let mut served = BTreeSet::new();
    for template in bff::paths() {
        // No route takes this method, so each answers 405 and says in `Allow` what it does take.
        let path = template.replace(['{', '}'], "");
        let answer = edge.ask(&format!("PROPFIND {path}"), &[], "").await;
        assert_eq!(answer.status, 405, "{template}: {}", answer.text);
        let allowed = answer.headers["allow"].to_str().unwrap().to_lowercase();
        served.extend(allowed.split(',').filter(|method| *method != "head").map(|method| format!("{method} {template}")));
    }
    let mut described = BTreeSet::new();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let also = operation["x-also"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for path in also.chain([path.as_str()]) {
                assert!(described.insert(format!("{method} {path}")), "{method} {path} is described twice");
            }
        }
    }
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| these.difference(those).cloned().collect::<Vec<_>>();
    assert_eq!(only(&served, &described), Vec::<String>::new(), "served, but not described below edges/bff/src/openapi");
    assert_eq!(only(&described, &served), Vec::<String>::new(), "described, but not served");
}

/// What earlier answers told about the parameters of later operations: by operation and parameter.
type Told = BTreeMap<(String, String), String>;

/// A request as the description shows it.
struct Example {
    what: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The examples of an operation: one for each example of its body.
fn examples(method: &str, path: &str, operation: &Value, told: &Told) -> Vec<Example> {
    let id = operation["operationId"].as_str().unwrap();
    let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let before = told.get(&(id.to_owned(), name.to_owned())).cloned();
        let Some(value) = before.or_else(|| parameter.get("example").map(plain)) else { continue };
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &value),
            "query" => query.push(format!("{name}={value}")),
            _ => headers.push((name.to_lowercase(), value)),
        }
    }
    assert!(!path.contains('{'), "{id}: a part of the path has no example: {path}");
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let what = format!("{} {path}{query}", method.to_uppercase());
    let bodies = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
    let bodies: Vec<String> =
        bodies.into_iter().flat_map(|bodies| bodies.values()).map(|body| body["value"].to_string()).collect();
    assert!(!bodies.is_empty() || operation["requestBody"]["required"] != true, "{id}: its body has no example");
    let bodies = if bodies.is_empty() { vec![String::new()] } else { bodies };
    bodies.into_iter().map(|body| Example { what: what.clone(), headers: headers.clone(), body }).collect()
}

/// Follows the links of an answer.
fn learn(told: &mut Told, operation: &Value, answer: &Answer) {
    let response = &operation["responses"][answer.status.as_u16().to_string()];
    for link in response["links"].as_object().into_iter().flat_map(|links| links.values()) {
        for (parameter, expression) in link["parameters"].as_object().unwrap() {
            let pointer = expression.as_str().unwrap().strip_prefix("$response.body#").unwrap();
            if let Some(value) = answer.json.pointer(pointer).filter(|value| !value.is_null()) {
                told.insert((link["operationId"].as_str().unwrap().to_owned(), parameter.clone()), plain(value));
            }
        }
    }
}

#[tokio::test]
async fn every_example_works_and_is_answered_as_described() {
    let edge = Edge::start();
    let mut told = Told::new();
    for Step { method, path, quiet } in story() {
        let operation = &document()["paths"][path][method];
        for example in examples(method, path, operation, &told) {
            let headers: Vec<(&str, &str)> =
                example.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            // The harness holds request and answer against their schemas.
            let answer = edge.ask(&example.what, &headers, example.body).await;
            let expected = quiet.map_or_else(|| vec![200, 201], |status| vec![status]);
            assert!(expected.contains(&answer.status.as_u16()), "{} → {} {}", example.what, answer.status, answer.text);
            learn(&mut told, operation, &answer);
        }
    }
    assert!(told.keys().any(|(operation, _)| operation == "getSaga"), "a saga was started and asked for: {told:?}");
}

#[tokio::test]
async fn the_document_is_served_and_each_schema_is_named_and_each_is_needed() {
    let edge = Edge::start();
    let served = edge.get("/openapi.json").await;
    assert_eq!((served.status.as_u16(), &served.json), (200, document()));
    let text = served.text;
    for name in document()["components"]["schemas"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "nothing needs the schema {name}");
        assert!(name.chars().all(|of| of.is_ascii_alphanumeric()), "{name}: OpenAPI names components in ASCII");
    }
    let mut ids = BTreeSet::new();
    for Step { method, path, .. } in story() {
        let operation = &document()["paths"][path][method];
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
        for link in operation["responses"].as_object().unwrap().values().filter_map(|response| response["links"].as_object()) {
            for target in link.values().map(|link| link["operationId"].as_str().unwrap()) {
                assert!(text.contains(&format!("\"operationId\":\"{target}\"")), "{path} leads to {target}, which is not there");
            }
        }
    }
}

#[test]
fn a_schema_takes_nothing_that_it_does_not_name() {
    let problem = json!({"type": "/problems/busy", "title": "Busy", "status": 503, "detail": "too much", "code": "busy"});
    let pointer = format!("/components/responses/503/content/{}/schema", part("application/problem+json"));
    assert_eq!(wrong(&pointer, &problem), None);
    for (name, value) in [("surplus", json!(1)), ("status", json!("503")), ("code", json!(null))] {
        let mut other = problem.clone();
        other[name] = value;
        assert!(wrong(&pointer, &other).is_some(), "{other}");
    }
}
