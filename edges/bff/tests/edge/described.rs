//! Holds whatever is asked and answered in these tests against the description of the API.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::Answer;

/// The description.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(bff::openapi::document)
}

/// What is wrong with a value by the schema at this JSON pointer of the description; nothing when it is as described.
pub fn wrong(pointer: &str, value: &Value) -> Option<String> {
    static VALIDATORS: Mutex<BTreeMap<String, Validator>> = Mutex::new(BTreeMap::new());
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators.entry(pointer.to_owned()).or_insert_with(|| {
        let schema = document().pointer(pointer).unwrap_or_else(|| panic!("no schema is at {pointer}"));
        let schema = json!({"allOf": [schema], "components": document()["components"]});
        jsonschema::options().should_validate_formats(true).build(&schema).unwrap_or_else(|error| panic!("{pointer}: {error}"))
    });
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    (!errors.is_empty()).then(|| format!("{}\n{value:#}", errors.join("\n")))
}

/// A part of a JSON pointer.
pub fn part(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

/// Whether a path is one of this template.
fn is_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(template, path): (&&str, &&str)| if template.starts_with('{') { !path.is_empty() } else { template == path };
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

/// The pointer to the operation that serves this.
fn operation(method: &str, path: &str) -> Option<String> {
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let path = path.split('?').next().unwrap_or_default();
    let paths = document()["paths"].as_object().unwrap();
    let at = |template: &String| format!("/paths/{}/{method}", part(template));
    let serves = |(template, operations): &(&String, &Value)| {
        let Some(operation) = operations.get(&method) else { return false };
        let also = operation["x-also"].as_array();
        let mut also = also.into_iter().flatten().filter_map(Value::as_str);
        is_of(template, path) || also.any(|template| is_of(template, path))
    };
    let found: Vec<&String> = paths.iter().filter(serves).map(|(template, _)| template).collect();
    // A path that is written out is meant before one with a parameter.
    found.iter().find(|template| !template.contains('{')).or(found.first()).map(|template| at(template))
}

/// Fails when an answer is not as described, or a body was taken that is not.
#[track_caller]
pub fn check(method: &str, path: &str, sent: Option<&[u8]>, answer: &Answer) {
    let status = answer.status.as_u16();
    let about = format!("{method} {path} → {status} {}", answer.text);
    let Some(operation) = operation(method, path).filter(|_| status != 405) else {
        assert!([404, 405].contains(&status), "no operation is described that answers {about}");
        return problem(method, &about, answer);
    };
    // A defect is no part of the API, but reads as every other problem.
    if status == 500 {
        return problem(method, &about, answer);
    }
    let described = document().pointer(&operation).unwrap();
    let Some(response) = described["responses"].get(status.to_string()) else {
        panic!("{operation} does not describe {about}");
    };
    let response = match response["$ref"].as_str() {
        Some(pointer) => pointer.trim_start_matches('#').to_owned(),
        None => format!("{operation}/responses/{status}"),
    };
    let media_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
    match document().pointer(&response).unwrap()["content"].as_object() {
        None => assert!(answer.text.is_empty() && media_type.is_none(), "{operation} describes no body: {about}"),
        Some(content) => {
            let media_type = media_type.unwrap_or_else(|| panic!("no media type: {about}"));
            let essence = media_type.split(';').next().unwrap().trim();
            assert!(content.contains_key(essence), "{operation} does not describe {media_type}: {about}");
            if essence.ends_with("json") && method != "HEAD" {
                let wrong = wrong(&format!("{response}/content/{}/schema", part(essence)), &answer.json);
                assert_eq!(wrong, None, "{about}");
            }
        }
    }
    // A body of a GET says nothing.
    let taken = sent.filter(|sent| method != "GET" && answer.status.is_success() && !sent.trim_ascii().is_empty());
    if let Some(sent) = taken {
        let sent: Value = serde_json::from_slice(sent).unwrap_or_else(|error| panic!("{error}: {about}"));
        assert!(described.get("requestBody").is_some() || sent == json!({}), "{operation} describes no body, but took {sent}");
        if described.get("requestBody").is_some() {
            let wrong = wrong(&format!("{operation}/requestBody/content/application~1json/schema"), &sent);
            assert_eq!(wrong, None, "taken by {about}");
        }
    }
}

#[track_caller]
fn problem(method: &str, about: &str, answer: &Answer) {
    if method != "HEAD" {
        assert_eq!(wrong("/components/schemas/Problem", &answer.json), None, "{about}");
    }
}
