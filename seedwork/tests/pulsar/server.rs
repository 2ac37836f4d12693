//! What only a real broker shows.

use std::time::{Duration, Instant};

use seedwork::broker::Broker;
use seedwork::broker::pulsar::{Pulsar, Settings};
use seedwork::store::Place;

use crate::rig::{Server, connect};
use crate::story::{EPOCH, Story, lot, row, to};

#[test]
fn the_last_row_of_a_topic_is_found_behind_what_others_sent_there() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    let mut story = Story::of(connect(&settings));
    let destination = to("lot.events", 0);
    assert_eq!(story.broker.last_of(&destination), Ok(None));
    story.send(&lot(0), &destination, 1);
    story.until("safe", |story| story.safe(&lot(0), &destination));
    assert_eq!(story.broker.last_of(&destination), Ok(Some((lot(0), Place { epoch: EPOCH, position: 1 }))));
    story.send(&lot(0), &destination, 30);
    story.until("safe", |story| story.safe(&lot(0), &destination));
    assert_eq!(story.broker.last_of(&destination), Ok(Some((lot(0), Place { epoch: EPOCH, position: 31 }))));
}

#[test]
fn a_breaking_schema_is_refused_and_a_field_with_a_default_passes() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    // What a deployment sets once: FULL, so that old and new replicas read each other.
    let path = format!("namespaces/public/{}/schemaCompatibilityStrategy", settings.namespace);
    assert!((200..300).contains(&server.ask("PUT", &path, "\"FULL\"")));
    Pulsar::check(&settings).unwrap();
    let with = |schema: &str| Settings { schemas: [("lot.events".into(), schema.into())].into(), ..settings.clone() };
    let more = r#"{"type":"record","name":"events","namespace":"test","fields":[{"name":"id","type":"string"},{"name":"more","type":["null","string"],"default":null}]}"#;
    Pulsar::check(&with(more)).unwrap();
    let other = r#"{"type":"record","name":"events","namespace":"test","fields":[{"name":"id","type":"long"},{"name":"must","type":"string"}]}"#;
    let trouble = Pulsar::check(&with(other)).unwrap_err();
    assert!(trouble.text.contains("refuses the schema of") && trouble.text.contains("lot.events"), "{trouble}");
    assert!(!trouble.passes, "somebody has to change it");
}

#[test]
fn a_missing_namespace_is_said_in_one_line() {
    let Some(server) = Server::find() else { return };
    for admin in [Some(server.admin.clone()), None] {
        let settings = server.namespace(&["lot.events"]);
        let trouble = Pulsar::check(&Settings { namespace: "nowhere".to_owned(), admin, ..settings }).unwrap_err();
        assert!(trouble.text.contains("knows no namespace \"public/nowhere\"") && !trouble.passes, "{trouble}");
    }
}

#[test]
fn topics_are_made_as_partitioned_and_another_count_is_refused() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    Pulsar::check(&settings).unwrap();
    Pulsar::check(&settings).unwrap();
    let trouble = Pulsar::check(&Settings { partitions: 4, ..settings }).unwrap_err();
    assert!(trouble.text.contains("has 2 partitions and this deployment 4"), "{trouble}");
}

#[test]
fn five_megabytes_pass_and_what_is_larger_comes_without_its_body_and_holds_up_nothing() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    let mut story = Story::of(connect(&settings));
    let destination = to("lot.events", 0);
    let reader = story.subscribe("shop", &destination);
    let sizes = [0, 5_000_000, 5_500_000, 10];
    let rows: Vec<_> = (1..).zip(sizes).map(|(position, bytes)| row(&lot(0), &destination, position, bytes)).collect();
    story.broker.send(&rows);
    story.until("all four", |story| story.count(&reader) == 4);
    let raw: Vec<usize> = story.taken[&reader].iter().map(|row| row.raw.len()).collect();
    assert_eq!(raw, [rows[0].raw.len(), rows[1].raw.len(), 0, rows[3].raw.len()]);
}

#[test]
fn the_namespace_is_unloaded_again_and_again_under_load_and_nothing_is_lost() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.events"]);
    let mut story = Story::of(connect(&settings));
    let destination = to("lot.events", 0);
    let reader = story.subscribe("shop", &destination);
    let (mut sent, mut unloads) = (0_u64, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        story.send(&lot(0), &destination, 5);
        sent += 5;
        for _ in 0..5 {
            story.hear();
            std::thread::sleep(Duration::from_millis(1));
        }
        if begun.elapsed() > Duration::from_secs(2 * (unloads + 1)) {
            unloads += 1;
            let path = format!("namespaces/public/{}/unload", settings.namespace);
            assert!((200..300).contains(&server.ask("PUT", &path, "")));
        }
    }
    let all = usize::try_from(sent).unwrap();
    story.until("all", |story| story.count(&reader) == all && story.safe(&lot(0), &destination));
    story.assert_all(&reader);
    assert!(unloads >= 2);
}

#[test]
fn what_a_foreign_client_sends_is_heard_as_foreign_and_neighbours_flow() {
    let Some(server) = Server::find() else { return };
    let settings = server.namespace(&["lot.commands"]);
    let mut story = Story::of(connect(&settings));
    let destination = to("lot.commands", 0);
    let reader = story.subscribe("lot", &destination);
    type Properties = &'static [(&'static str, &'static str)];
    let hostile: [(&[u8], Properties); 5] = [
        (b"", &[]),
        (b"text", &[("stream", "lot/0/3")]),
        (b"{\"id\":", &[("stream", "lot/0/3"), ("position", "-1")]),
        (b"\xff\xfe\x00", &[("stream", "/////"), ("position", "1"), ("predecessor", "1/1/1")]),
        (&[b'x'; 5_000_000], &[("hash", "h"), ("", "")]),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = pulsar::Pulsar::builder(&settings.url, pulsar::TokioExecutor).build().await.unwrap();
        let topic = format!("{}-partition-0", settings.topic("lot.commands"));
        let mut producer = client.producer().with_topic(topic).build().await.unwrap();
        for (payload, properties) in hostile {
            let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let message = pulsar::producer::Message { payload: payload.to_vec(), properties, ..Default::default() };
            producer.send_non_blocking(message).await.unwrap().await.unwrap();
        }
    });
    story.send(&lot(0), &destination, 3);
    story.until("all", |story| story.foreign.len() == 5 && story.count(&reader) == 3);
    story.assert_all(&reader);
    for (heard, (payload, _)) in story.foreign.iter().zip(hostile) {
        assert_eq!(&*heard.raw, payload, "the bytes are kept");
    }
    assert_eq!(story.foreign[4].hash.as_deref(), Some("h"));
    let mut ids: Vec<_> = story.foreign.iter().map(|foreign| foreign.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{ids:?}");
}
