//! What a start asks of the broker: whether it is there and lets us in, whether the topics have as many partitions as the deployment,
//! whether the registry takes their schemas, and what was sent last.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use pulsar::consumer::InitialPosition;
use pulsar::message::proto::MessageIdData;
use pulsar::{Consumer, ConsumerOptions, ProducerOptions, SubType, TokioExecutor};

use super::settings::{Client, Settings, Trouble};
use super::{greeting, rows};
use crate::store::{Destination, Partition, Place};

/// Entries at a topic's end in which the last row is looked for: others may have sent something there.
const LOOK_BACK: u64 = 100;

/// How often, and how long apart, it is looked whether a topic has its partitions.
const VISIBLE: (u32, Duration) = (10, Duration::from_millis(100));

/// Finds out what is wrong, in one line.
pub(super) async fn check(settings: &Arc<Settings>) -> Result<(), Trouble> {
    let url = &settings.url;
    if !(url.starts_with("pulsar://") || url.starts_with("pulsar+ssl://")) {
        return Err(Trouble::stays(format!("the broker's address {url:?} must begin with pulsar:// or pulsar+ssl://")));
    }
    let client = match tokio::time::timeout(settings.patience, settings.client()).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(unreachable(settings, &error).await),
        Err(_) => return Err(Trouble::passes(format!("the broker at {url} does not answer"))),
    };
    for topic in settings.schemas.keys() {
        make(settings, topic).await?;
        match partitions(settings, &client, topic).await.map_err(|error| refused(settings, topic, &error))? {
            0 => {
                tracing::warn!(%topic, "no partitioned topic: foreign clients see a topic for each partition. Set the admin URL")
            }
            found if found == u32::from(settings.partitions) => {}
            found => {
                return Err(Trouble::stays(format!(
                    "the topic {} has {found} partitions and this deployment {}: the number is fixed when a deployment is created",
                    settings.topic(topic),
                    settings.partitions
                )));
            }
        }
        register(settings, &client, topic).await?;
    }
    Ok(())
}

/// How many partitions a topic has; 0: it is none that is partitioned. Of one that another process makes at the same time the broker may not
/// know it yet.
async fn partitions(settings: &Settings, client: &Client, topic: &str) -> Result<u32, pulsar::Error> {
    for _ in 0..VISIBLE.0 {
        match client.lookup_partitioned_topic_number(settings.topic(topic)).await? {
            0 if settings.admin.is_some() => tokio::time::sleep(VISIBLE.1).await,
            found => return Ok(found),
        }
    }
    client.lookup_partitioned_topic_number(settings.topic(topic)).await
}

async fn unreachable(settings: &Settings, error: &pulsar::Error) -> Trouble {
    let text = error.to_string();
    // The crate keeps the reason to itself.
    if text.contains("fatal error") {
        return greeting::heard(settings).await;
    }
    Trouble::passes(format!("no broker can be reached at {}: {text}", settings.url))
}

fn refused(settings: &Settings, topic: &str, error: &pulsar::Error) -> Trouble {
    let text = error.to_string();
    let space = format!("{}/{}", settings.tenant, settings.namespace);
    let told = format!("the broker does not give {}: {text}", settings.topic(topic));
    // A broker that starts, or hands a topic on, names the namespace too.
    if ["ServiceNotReady", "MetadataError", "PersistenceError"].iter().any(|sign| text.contains(sign)) {
        return Trouble::passes(told);
    }
    if text.contains("IncompatibleSchema") || text.contains("ncompatible schema") {
        return Trouble::stays(format!(
            "the registry refuses the schema of {}: what changed breaks whoever reads or sends the old one: {text}",
            settings.topic(topic)
        ));
    }
    if text.contains("amespace") || text.contains("olicies") || text.contains("enant") {
        return Trouble::stays(format!("the broker knows no namespace {space:?}: create it, or name another: {text}"));
    }
    let said_no = ["Authentication", "Authorization", "NotAllowed", "UnsupportedVersion", "InvalidTopicName", "Terminated"];
    if said_no.iter().any(|sign| text.contains(sign)) { Trouble::stays(told) } else { Trouble::passes(told) }
}

/// Has the schema registered, or refused.
async fn register(settings: &Settings, client: &Client, topic: &str) -> Result<(), Trouble> {
    let destination = settings.destination(&Destination { topic: topic.into(), partition: 0 });
    let options = ProducerOptions { schema: settings.schema(topic), ..ProducerOptions::default() };
    let building = client.producer().with_topic(destination).with_options(options).build();
    let mut producer = building.await.map_err(|error| refused(settings, topic, &error))?;
    drop(producer.close().await);
    Ok(())
}

/// Makes a partitioned topic through the admin API: the broker's own protocol has no word for it.
async fn make(settings: &Arc<Settings>, topic: &str) -> Result<(), Trouble> {
    let Some(admin) = settings.admin.clone() else { return Ok(()) };
    if !admin.starts_with("http://") {
        return Err(Trouble::stays(format!("the broker's admin URL {admin:?} must begin with http://")));
    }
    let path = format!("persistent/{}/{}/{topic}/partitions", settings.tenant, settings.namespace);
    let address = format!("{}/admin/v2/{path}", admin.trim_end_matches('/'));
    let (partitions, token, patience) = (settings.partitions.to_string(), settings.token.clone(), settings.patience);
    let asked = tokio::task::spawn_blocking(move || put(&address, &partitions, token.as_deref(), patience)).await;
    let status = asked
        .map_err(|error| error.to_string())
        .flatten()
        .map_err(|error| Trouble::passes(format!("the broker's admin API at {admin} does not answer: {error}")))?;
    match status {
        // 409: it is there.
        200..=299 | 409 => Ok(()),
        401 | 403 => Err(Trouble::stays(format!("the broker's admin API at {admin} refuses the token ({status})"))),
        404 => Err(Trouble::stays(format!(
            "the broker knows no namespace \"{}/{}\": create it, or name another",
            settings.tenant, settings.namespace
        ))),
        _ => {
            let told = format!("the broker's admin API at {admin} did not make the topic {topic}: it answers {status}");
            Err(if status >= 500 { Trouble::passes(told) } else { Trouble::stays(told) })
        }
    }
}

fn put(address: &str, body: &str, token: Option<&str>, patience: Duration) -> Result<u16, String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build().into();
    let mut request = agent.put(address).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.send(body).map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

/// The last row on a topic's partition: whose, and where it stands. None: there is none in its last entries.
pub(super) async fn last_of(settings: &Settings, to: &Destination) -> Result<Option<(Partition, Place)>, String> {
    let client = settings.client().await.map_err(|error| error.to_string())?;
    let topic = settings.destination(to);
    // Names of their own: other replicas ask too, and a subscription of the same name may not have gone yet.
    let mut end = browse(
        &client,
        &topic,
        &format!("last-of-{}", settings.name),
        ConsumerOptions::default().with_initial_position(InitialPosition::Latest),
    )
    .await?;
    let last = end.get_last_message_id().await.map_err(|error| error.to_string())?.pop();
    drop(end.close().await);
    // No entry has the number -1, which has become the greatest.
    let Some(last) = last.filter(|last| i64::try_from(last.entry_id).is_ok()) else { return Ok(None) };
    // It begins behind the one that is named; before the first stands -1.
    let before = last.entry_id.checked_sub(LOOK_BACK + 1).unwrap_or(u64::MAX);
    let start = MessageIdData { ledger_id: last.ledger_id, entry_id: before, ..MessageIdData::default() };
    let mut reader = browse(
        &client,
        &topic,
        &format!("before-last-of-{}", settings.name),
        ConsumerOptions::default().starting_on_message(start),
    )
    .await?;
    let mut found = None;
    loop {
        let message = match tokio::time::timeout(settings.patience, reader.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            // What was at the end has expired meanwhile.
            Ok(None) | Err(_) => break,
        };
        let metadata = &message.payload.metadata;
        if let Some(row) = rows::incoming(to, &metadata.properties, &Arc::from(&b""[..])) {
            found = Some((row.route.from, row.place));
        }
        let id = message.message_id();
        let entry_ends = message.message_id.batch_size.is_none_or(|size| id.batch_index.unwrap_or(0) + 1 >= size);
        if entry_ends && (id.ledger_id, id.entry_id) >= (last.ledger_id, last.entry_id) {
            break;
        }
    }
    drop(tokio::time::timeout(Duration::from_secs(1), reader.close()).await);
    Ok(found)
}

/// A consumer that leaves no trace.
pub(super) async fn browse(
    client: &Client,
    topic: &str,
    name: &str,
    options: ConsumerOptions,
) -> Result<Consumer<Vec<u8>, TokioExecutor>, String> {
    let building = client
        .consumer()
        .with_topic(topic)
        .with_subscription(name)
        .with_subscription_type(SubType::Exclusive)
        .with_options(options.durable(false))
        .build();
    match tokio::time::timeout(Duration::from_secs(10), building).await {
        Ok(built) => built.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
