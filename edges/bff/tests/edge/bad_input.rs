//! Whatever a client sends wrong is a precise problem that names the field, and never a 5xx.

use axum::body::{Body, Bytes};
use serde_json::json;

use crate::harness::{Answer, Edge, campaign};

mod seeds;

/// What is expected: status, code, and the field if the problem is about one.
type Expected<'a> = (u16, &'a str, Option<&'a str>);

#[track_caller]
fn check(answer: &Answer, (status, code, field): Expected<'_>, about: &str) {
    let Answer { headers, json, .. } = answer;
    assert_eq!(answer.status.as_u16(), status, "{about}: {json}");
    assert_eq!(headers["content-type"], "application/problem+json", "{about}");
    assert_eq!(json["status"], status, "{about}");
    assert_eq!((&json["code"], &json["type"]), (&json!(code), &json!(format!("/problems/{code}"))), "{about}: {json}");
    assert_eq!(json.get("field").and_then(|field| field.as_str()), field, "{about}: {json}");
    for said in ["title", "detail"] {
        assert!(json[said].as_str().is_some_and(|said| !said.is_empty()), "{about}: {json}");
    }
    if let Some(field) = field {
        assert_eq!(json["errors"], json!([{"field": field, "detail": json["detail"]}]), "{about}");
    }
}

/// The body of a good campaign with one piece of its text replaced.
fn with(piece: &str, other: &str) -> String {
    let good = r#"{"id":"c-1","name":"Moda","kind":"mixed","starts":"2025-09-10T00:00:00Z","ends":"2025-12-10T23:59:59Z",
        "brand":"b-1","budget":{"amount":"15000.00","currency":"USD"},
        "participants":[{"id":"p-1","kind":"influencer","name":"Alice"},{"id":"p-2","kind":"affiliate","name":"Bea"}]}"#;
    assert_eq!(good.matches(piece).count(), 1, "{piece}");
    good.replace(piece, other)
}

#[tokio::test]
async fn a_campaign_of_another_form_is_400_and_names_the_field() {
    let edge = Edge::start();
    for (piece, other, code, field) in [
        ("{\"id\":\"c-1\"", "{\"id\":\"c-1\"\"", "json-malformed", None),
        ("}]}", "}]", "json-malformed", None),
        ("}]}", "}]}}", "json-malformed", None),
        ("\"name\":\"Moda\",", "", "field-missing", Some("name")),
        ("\"brand\":\"b-1\",", "", "field-missing", Some("brand")),
        (",\"currency\":\"USD\"", "", "field-missing", Some("budget.currency")),
        (",\"name\":\"Bea\"", "", "field-missing", Some("participants[1].name")),
        ("\"name\":\"Moda\"", "\"name\":7", "type-wrong", Some("name")),
        ("\"name\":\"Moda\"", "\"name\":null", "type-wrong", Some("name")),
        ("\"15000.00\"", "15000.00", "type-wrong", Some("budget.amount")),
        ("{\"amount\":\"15000.00\",\"currency\":\"USD\"}", "[\"15000.00\",\"USD\"]", "type-wrong", Some("budget")),
        ("{\"id\":\"p-1\",\"kind\":\"influencer\",\"name\":\"Alice\"}", "\"p-1\"", "type-wrong", Some("participants[0]")),
        ("\"kind\":\"mixed\"", "\"kind\":\"mixed\",\"color\":\"red\"", "field-unknown", Some("color")),
        ("\"name\":\"Bea\"", "\"name\":\"Bea\",\"color\":\"red\"", "field-unknown", Some("participants[1].color")),
        ("\"kind\":\"mixed\"", "\"kind\":\"mixed\",\"kind\":\"mixed\"", "field-twice", Some("kind")),
        ("\"name\":\"Bea\"", "\"name\":\"Bea\",\"name\":\"Bea\"", "field-twice", Some("participants[1].name")),
    ] {
        check(&edge.post("/v1/campaigns", with(piece, other)).await, (400, code, field), other);
    }
    for (body, code) in [
        (&b""[..], "json-malformed"),
        (b"  ", "json-malformed"),
        (b"null", "type-wrong"),
        (b"[]", "type-wrong"),
        (b"\"c-1\"", "type-wrong"),
        (b"{\"id\": \"\xff\"}", "body-not-utf-8"),
        (b"\xef\xbb\xbf{}", "json-malformed"),
    ] {
        check(&edge.post("/v1/campaigns", body).await, (400, code, None), &String::from_utf8_lossy(body));
    }
    let deep = "[".repeat(100_000);
    check(&edge.post("/v1/campaigns", with("[{", &deep)).await, (400, "type-wrong", Some("participants[0]")), "deep");
    let surplus = with("\"kind\":\"mixed\"", &format!("\"surplus\":{deep}"));
    check(&edge.post("/v1/campaigns", surplus).await, (400, "field-unknown", Some("surplus")), "deep and surplus");
}

#[tokio::test]
async fn a_campaign_of_wrong_values_is_422_and_names_the_field() {
    let edge = Edge::start();
    for (piece, other, code, field) in [
        ("\"c-1\"", "\"a/b\"", "id-invalid", "id"),
        ("\"c-1\"", "\"\"", "id-invalid", "id"),
        ("\"c-1\"", "\"c~1\"", "id-invalid", "id"),
        ("\"c-1\"", &format!("\"{}\"", "c".repeat(65)), "id-invalid", "id"),
        ("\"b-1\"", "\"b/1\"", "id-invalid", "brand"),
        ("\"p-2\"", "\"../p\"", "id-invalid", "participants[1].id"),
        ("\"p-2\"", "\"p-1\"", "participant-twice", "participants[1].id"),
        ("\"Moda\"", "\"\"", "text-length", "name"),
        ("\"mixed\"", "\"everything\"", "kind-unknown", "kind"),
        ("\"affiliate\"", "\"friend\"", "kind-unknown", "participants[1].kind"),
        ("USD", "QQQ", "currency-unknown", "budget.currency"),
        ("USD", "usd", "currency-unknown", "budget.currency"),
        ("15000.00", "-1.00", "budget-not-positive", "budget.amount"),
        ("15000.00", "0", "budget-not-positive", "budget.amount"),
        ("15000.00", "15000.001", "amount-invalid", "budget.amount"),
        ("15000.00", "99999999999999999999.00", "amount-invalid", "budget.amount"),
        ("15000.00", "1e999", "amount-invalid", "budget.amount"),
        ("15000.00", "NaN", "amount-invalid", "budget.amount"),
        ("2025-09-10T00:00:00Z", "2025-02-30T00:00:00Z", "instant-invalid", "starts"),
        ("2025-09-10T00:00:00Z", "yesterday", "instant-invalid", "starts"),
        ("2025-12-10T23:59:59Z", "2025-13-01T00:00:00Z", "instant-invalid", "ends"),
        ("2025-12-10T23:59:59Z", "2024-12-10T23:59:59Z", "window-ends-before-start", "ends"),
    ] {
        check(&edge.post("/v1/campaigns", with(piece, other)).await, (422, code, Some(field)), other);
    }
    let nobody = campaign("c-1", &[]).to_string();
    check(&edge.post("/v1/campaigns", nobody).await, (422, "participants-count", Some("participants")), "nobody");
    let crowd: Vec<String> = (0..1001).map(|at| format!("p-{at}")).collect();
    let crowd = campaign("c-1", &crowd.iter().map(String::as_str).collect::<Vec<_>>()).to_string();
    check(&edge.post("/v1/campaigns", crowd).await, (422, "participants-count", Some("participants")), "a crowd");
    let none = edge.get("/v1/campaigns").await.json;
    assert_eq!(none, json!({"items": [], "next": null}), "nothing of it was done");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_whether_its_size_is_told_or_not() {
    let edge = Edge::start();
    let crowd: Vec<String> = (0..100_000).map(|at| format!("partner-{at:06}")).collect();
    let crowd = campaign("c-1", &crowd.iter().map(String::as_str).collect::<Vec<_>>()).to_string();
    check(&edge.post("/v1/campaigns", crowd).await, (413, "body-too-large", None), "100,000 participants");
    let large = "x".repeat(10 << 20);
    check(&edge.post("/v1/campaigns", large.clone()).await, (413, "body-too-large", None), "10 MB");
    let asks_first = edge.ask("POST /v1/campaigns", &[("expect", "100-continue")], large.clone()).await;
    check(&asks_first, (413, "body-too-large", None), "10 MB, asked before");
    struct Pieces(Bytes);
    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            let length = self.0.len().min(1000);
            let piece = self.0.split_to(length);
            std::task::Poll::Ready((length > 0).then(|| Ok(hyper::body::Frame::data(piece))))
        }
    }
    let in_pieces = edge.post("/v1/campaigns", Body::new(Pieces(large.into()))).await;
    check(&in_pieces, (413, "body-too-large", None), "10 MB in pieces");
    let good = edge.post("/v1/campaigns", Body::new(Pieces(campaign("c-1", &["p-1"; 1]).to_string().into()))).await;
    assert_eq!(good.status, 202, "a good body in pieces: {}", good.json);
    let people: Vec<String> = (0..1000).map(|at| format!("partner-{at:06}")).collect();
    let large = campaign("c-2", &people.iter().map(String::as_str).collect::<Vec<_>>()).to_string();
    assert_eq!(edge.post("/v1/campaigns", large).await.status, 202, "a thousand participants fit");
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_415() {
    let edge = Edge::start();
    let body = || campaign("c-1", &["p-1"]).to_string();
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "aplication/json", ""] {
        let answer = edge.ask("POST /v1/campaigns", &[("content-type", wrong)], body()).await;
        check(&answer, (415, "content-type", Some("Content-Type")), wrong);
    }
    for good in ["application/json", "Application/JSON; Charset=\"UTF-8\"", "application/json;charset=utf-8", "application/json;"]
    {
        let answer = edge.ask("POST /v1/campaigns", &[("content-type", good)], body()).await;
        assert_eq!(answer.status, 202, "{good}: {}", answer.json);
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let edge = Edge::start();
    for path in ["/v2/campaigns", "/v1", "/v1/campaigns/", "/v1/campaigns/a/b", "/campana-query/a/b", "/v1/campaigns/c-1/stop"] {
        check(&edge.get(path).await, (404, "no-such-path", None), path);
    }
    for path in [
        "/v1/campaigns/c-1",
        "/campana-query/c-1",
        "/v1/partners/p-1",
        "/v1/enrolments/p-1~c-1",
        "/v1/events/p-1~c-1~x",
        "/v1/blocks/p-1~partner",
        "/v1/sagas/c-1~x",
        "/v1/sagas/%2F",
        "/v1/commands/nothing%2Fhere",
    ] {
        let answer = edge.get(path).await;
        check(&answer, (404, "unknown", None), path);
        assert!(answer.json["details"]["id"].is_string(), "{}", answer.json);
    }
    for what in [
        "POST /v1/campaigns/c-1/cancel",
        "POST /v1/campaigns/c-1/pause",
        "POST /v1/campaigns/c-1/resume",
        "POST /v1/campaigns/c-1/finish",
        "POST /v1/partners/p-1/ban",
        "POST /v1/partners/p-1/unban",
        "POST /v1/enrolments/p-1~c-1/cancel",
        "POST /v1/events/p-1~c-1~x/cancel",
        "DELETE /v1/blocks/p-1~partner",
    ] {
        check(&edge.ask(what, &[], "{}").await, (404, "unknown", None), what);
    }
    for (what, allowed) in [
        ("DELETE /v1/campaigns", "GET,HEAD,POST"),
        ("PUT /v1/campaigns/c-1", "GET,HEAD"),
        ("POST /v1/partners", "GET,HEAD"),
        ("DELETE /v1/enrolments", "GET,HEAD,POST"),
        ("PATCH /v1/events/p-1~c-1~x", "GET,HEAD"),
        ("GET /v1/events/p-1~c-1~x/cancel", "POST"),
        ("POST /v1/brands", "GET,HEAD"),
        ("GET /v1/campaigns/c-1/cancel", "POST"),
        ("GET /campana-comando", "POST"),
        ("POST /campana-query", "GET,HEAD"),
        ("POST /v1/brands/b-1/accounts/USD", "GET,HEAD,PUT"),
        ("POST /v1/blocks/p-1~partner", "GET,HEAD,DELETE"),
        ("POST /healthz", "GET,HEAD"),
    ] {
        let answer = edge.ask(what, &[], "").await;
        check(&answer, (405, "method-not-allowed", None), what);
        let mut found: Vec<_> = answer.headers["allow"].to_str().unwrap().split(',').collect();
        let mut allowed: Vec<_> = allowed.split(',').collect();
        found.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(found, allowed, "{what}");
    }
}

#[tokio::test]
async fn ids_in_paths_and_parameters_are_checked() {
    let edge = Edge::start();
    for path in ["/v1/campaigns/a%2Fb", "/v1/campaigns/a%20b", "/v1/partners/p~1", "/campana-query/%C3%B1", "/v1/blocks/p-1"] {
        check(&edge.get(path).await, (400, "id-invalid", Some("id")), path);
    }
    check(&edge.get("/v1/campaigns/%FF").await, (400, "path-invalid", Some("id")), "no UTF-8");
    check(&edge.get("/v1/brands/a%2Fb/accounts/USD").await, (400, "id-invalid", Some("id")), "brand");
    check(&edge.get("/v1/brands/b-1/accounts/XXX").await, (400, "currency-unknown", Some("currency")), "currency");
    check(&edge.get("/v1/brands/b-1/accounts/%FF").await, (400, "path-invalid", Some("id")), "no UTF-8");
    for (path, code, field) in [
        ("/v1/campaigns?limit=0", "limit-invalid", "limit"),
        ("/v1/campaigns?limit=201", "limit-invalid", "limit"),
        ("/v1/campaigns?limit=ten", "limit-invalid", "limit"),
        ("/v1/campaigns?cursor=c-1", "cursor-invalid", "cursor"),
        ("/v1/campaigns?cursor=", "cursor-invalid", "cursor"),
        ("/v1/campaigns?cursor=00000000", "cursor-invalid", "cursor"),
        ("/v1/campaigns?sort=budget", "query-invalid", "sort"),
        ("/v1/campaigns?kind=ambassador", "query-invalid", "kind"),
        ("/v1/campaigns?total=maybe", "query-invalid", "total"),
        ("/v1/campaigns?status=open", "query-invalid", "status"),
        ("/v1/partners?status=gone", "query-invalid", "status"),
        ("/v1/partners?sort=name", "query-invalid", "sort"),
        ("/v1/partners?brand=b-1", "query-invalid", "brand"),
        ("/v1/partners?cursor=p-1", "cursor-invalid", "cursor"),
        ("/v1/enrolments?partner=a/b", "query-invalid", "partner"),
        ("/v1/enrolments?campaign=", "query-invalid", "campaign"),
        ("/v1/enrolments?kind=friend", "query-invalid", "kind"),
        ("/v1/enrolments?status=active", "query-invalid", "status"),
        ("/v1/enrolments?limit=9999999999999999999999", "limit-invalid", "limit"),
        ("/v1/events?enrolment=p-1", "query-invalid", "enrolment"),
        ("/v1/events?enrolment=p-1~c-1&partner=p-2", "query-invalid", "partner"),
        ("/v1/events?status=open", "query-invalid", "status"),
        ("/v1/events?sort=time", "query-invalid", "sort"),
        ("/v1/events?sort=id&from=2025-01-01T00:00:00Z", "query-invalid", "sort"),
        ("/v1/events?to=tomorrow", "query-invalid", "to"),
        ("/v1/campaigns?name=", "query-invalid", "name"),
        ("/v1/campaigns?name=M&sort=created", "query-invalid", "sort"),
        ("/v1/partners?status=active&status=active", "query-invalid", "status"),
        ("/v1/blocks?status=raised", "query-invalid", "status"),
        ("/v1/brands?sort=id", "query-invalid", "sort"),
        ("/v1/campaigns?brand=a/b", "query-invalid", "brand"),
        ("/v1/campaigns?color=red", "query-invalid", "color"),
        ("/v1/campaigns?limit=1&limit=2", "query-invalid", "limit"),
        ("/campana-query?limit=-1", "limit-invalid", "limit"),
        ("/v1/sagas?limit=x", "limit-invalid", "limit"),
        ("/v1/sagas?cursor=x", "cursor-invalid", "cursor"),
        ("/v1/sagas?key=a~b", "query-invalid", "key"),
    ] {
        check(&edge.get(path).await, (400, code, Some(field)), path);
    }
}

#[tokio::test]
async fn headers_that_cannot_be_meant_are_400() {
    let edge = Edge::start();
    let body = || campaign("c-1", &["p-1"]).to_string();
    let long = "k".repeat(256);
    for (name, value, field) in [
        ("idempotency-key", "", "Idempotency-Key"),
        ("idempotency-key", "a b", "Idempotency-Key"),
        ("idempotency-key", &long, "Idempotency-Key"),
        ("if-match", "7", "If-Match"),
        ("if-match", "\"7", "If-Match"),
        ("if-match", "\"7\" \"8\"", "If-Match"),
        ("if-match", "", "If-Match"),
        ("alpes-actor", " ", "Alpes-Actor"),
        ("alpes-actor", "a\tb", "Alpes-Actor"),
    ] {
        let answer = edge.ask("POST /v1/campaigns", &[(name, value)], body()).await;
        check(&answer, (400, "header-invalid", Some(field)), value);
    }
}

/// Enrolments of which each is wrong in one way.
const ENROLMENT: [&str; 6] = [
    r#"{"campaign": "c-1", "kind": "influencer"}"#,
    r#"{"campaign": "c-1", "kind": "influencer", "name": "Alice", "color": "red"}"#,
    r#"{"campaign": "c-1", "kind": "influencer", "name": 7}"#,
    r#"{"partner": "p/1", "campaign": "c-1", "kind": "influencer", "name": "Alice"}"#,
    r#"{"campaign": "c-1", "kind": "friend", "name": "Alice"}"#,
    r#"{"campaign": "c-1", "kind": "influencer", "name": ""}"#,
];

/// Events of which each is wrong in one way.
const EVENT: [&str; 8] = [
    r#"{"enrolment": "p-1~c-1"}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "color": "red"}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "value": ["1", "USD"]}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "value": {"amount": "1"}}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "id": "p-1~c-2~x"}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "at": "2025-02-30T00:00:00Z"}"#,
    r#"{"enrolment": "p-1~c-1", "kind": "click", "value": {"amount": "1e999", "currency": "USD"}}"#,
    r#"{"enrolment": "../c-1", "kind": "click"}"#,
];

#[tokio::test]
async fn the_other_commands_name_their_fields_too() {
    let edge = Edge::start();
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(501));
    for (what, body, expected) in [
        ("POST /v1/campaigns/c-1/cancel", "{\"reason\":7}", (400, "type-wrong", Some("reason"))),
        ("POST /v1/campaigns/c-1/cancel", "{\"why\":\"x\"}", (400, "field-unknown", Some("why"))),
        ("POST /v1/campaigns/c-1/cancel", "[]", (400, "type-wrong", None)),
        ("POST /v1/campaigns/c-1/cancel", "{\"reason\":\"\"}", (422, "text-length", Some("reason"))),
        ("POST /v1/campaigns/c-1/pause", "{\"until\":1}", (400, "field-unknown", Some("until"))),
        ("POST /v1/campaigns/c-1/pause", "{", (400, "json-malformed", None)),
        ("POST /v1/partners/p-1/ban", &long, (422, "text-length", Some("reason"))),
        ("POST /v1/partners/p-1/unban", "{\"reason\":\"x\"}", (400, "field-unknown", Some("reason"))),
        ("POST /v1/blocks", "{}", (422, "block-target", Some("partner"))),
        ("POST /v1/blocks", "{\"partner\":\"p\",\"campaign\":\"c\"}", (422, "block-target", Some("campaign"))),
        ("POST /v1/blocks", "{\"partner\":\"p/1\"}", (422, "id-invalid", Some("partner"))),
        ("POST /v1/blocks", "", (400, "json-malformed", None)),
        ("POST /v1/enrolments", "", (400, "json-malformed", None)),
        ("POST /v1/enrolments", "[]", (400, "type-wrong", None)),
        ("POST /v1/enrolments", ENROLMENT[0], (400, "field-missing", Some("name"))),
        ("POST /v1/enrolments", ENROLMENT[1], (400, "field-unknown", Some("color"))),
        ("POST /v1/enrolments", ENROLMENT[2], (400, "type-wrong", Some("name"))),
        ("POST /v1/enrolments", ENROLMENT[3], (422, "id-invalid", Some("partner"))),
        ("POST /v1/enrolments", ENROLMENT[4], (422, "kind-unknown", Some("kind"))),
        ("POST /v1/enrolments", ENROLMENT[5], (422, "text-length", Some("name"))),
        ("POST /v1/enrolments/p-1/cancel", "{}", (400, "id-invalid", Some("id"))),
        ("POST /v1/enrolments/p-1~c-1/cancel", &long, (422, "text-length", Some("reason"))),
        ("POST /v1/events", "{", (400, "json-malformed", None)),
        ("POST /v1/events", EVENT[0], (400, "field-missing", Some("kind"))),
        ("POST /v1/events", EVENT[1], (400, "field-unknown", Some("color"))),
        ("POST /v1/events", EVENT[2], (400, "type-wrong", Some("value"))),
        ("POST /v1/events", EVENT[3], (400, "field-missing", Some("value.currency"))),
        ("POST /v1/events", EVENT[4], (422, "event-elsewhere", Some("id"))),
        ("POST /v1/events", EVENT[5], (422, "instant-invalid", Some("at"))),
        ("POST /v1/events", EVENT[6], (422, "amount-invalid", Some("value.amount"))),
        ("POST /v1/events", EVENT[7], (422, "id-invalid", Some("enrolment"))),
        ("POST /v1/events/p-1~c-1~x/cancel", "{\"reason\":\"x\"}", (400, "field-unknown", Some("reason"))),
        ("PUT /v1/brands/b-1/accounts/USD", "{}", (400, "field-missing", Some("limit"))),
        ("PUT /v1/brands/b-1/accounts/USD", "{\"limit\":7}", (400, "type-wrong", Some("limit"))),
        ("PUT /v1/brands/b-1/accounts/USD", "{\"limit\":\"-1\"}", (422, "limit-negative", Some("limit"))),
        ("PUT /v1/brands/b-1/accounts/JPY", "{\"limit\":\"1.5\"}", (422, "amount-invalid", Some("limit"))),
        ("POST /v1/campaigns/a%2Fb/cancel", "{}", (400, "id-invalid", Some("id"))),
    ] {
        check(&edge.ask(what, &[], body.to_owned()).await, expected, &format!("{what} {body}"));
    }
}
