//! What is there to see, and that whatever is written about it names what is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{Edge, campaign};

/// The value of a line of `/metrics`, up to the blank.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|of| of.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
}

fn names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let edge = Edge::start();
    let before = edge.get("/metrics").await;
    assert_eq!(before.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(value(&before.text, "alpes_commits_total"), 0.0);
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-1", &["p-1"]).to_string()).await.status, 201);
    edge.post("/v1/blocks", r#"{"partner":"p-2"}"#).await;
    assert_eq!(edge.wait("/v1/campaigns", campaign("c-2", &["p-2"]).to_string()).await.status, 200);
    edge.get("/nowhere").await;
    let text = edge.get("/metrics").await.text;
    for (line, least) in [
        ("alpes_commits_total", 3.0),
        ("alpes_inputs_total", 10.0),
        ("alpes_batch_inputs_count", 3.0),
        ("alpes_commit_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("alpes_sagas_ended_total{context=\"campaign\",saga=\"campaign.registration\",outcome=\"completed\"}", 1.0),
        ("alpes_sagas_ended_total{context=\"campaign\",saga=\"campaign.registration\",outcome=\"undone\"}", 1.0),
        ("alpes_http_requests_total{route=\"/v1/campaigns\",method=\"POST\",status=\"201\"}", 1.0),
        ("alpes_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"}", 1.0),
        ("alpes_http_request_seconds_count{route=\"/v1/campaigns\"}", 2.0),
        ("alpes_store_bytes", 4096.0),
        ("alpes_store_readable", 1.0),
        ("alpes_queue_capacity", 1.0),
    ] {
        let value = value(&text, line);
        assert!(value >= least, "{line} is {value}");
    }
    for line in ["alpes_store_paused", "alpes_dead_letters", "alpes_sagas{state=\"stuck\"}", "alpes_sagas_late"] {
        assert_eq!(value(&text, line), 0.0, "{line}");
    }
    let lags = text.lines().filter(|line| line.starts_with("alpes_lag_rows{")).count();
    assert!(lags > 0, "{text}");
}

/// The names of metrics in a text: a histogram's series are its name's.
fn named(text: &str) -> BTreeSet<String> {
    let part = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    let words = text.split(|character| !part(character));
    let words = words.filter(|word| word.starts_with("alpes_") || word.starts_with("process_"));
    let base = |word: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        histogram.unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

#[tokio::test]
async fn documentation_alerts_and_dashboard_name_the_metrics_that_there_are() {
    let there = names(&Edge::start().get("/metrics").await.text);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |name: &str| named(&std::fs::read_to_string(docs.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")));
    assert_eq!(read("operations.md"), there, "docs/operations.md explains each metric and no other");
    assert_eq!(read("grafana-dashboard.json"), there, "docs/grafana-dashboard.json shows each metric and no other");
    let alerts = read("alerts.yml");
    assert!(alerts.is_subset(&there), "docs/alerts.yml names what is not there: {:?}", alerts.difference(&there));
    let rules = std::fs::read_to_string(docs.join("alerts.yml")).unwrap();
    let runbook = std::fs::read_to_string(docs.join("operations.md")).unwrap();
    let rules: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(rules.len() > 5, "{rules:?}");
    for rule in rules {
        assert!(runbook.contains(&format!("### {rule}\n")), "docs/operations.md has no runbook for {rule}");
    }
}
