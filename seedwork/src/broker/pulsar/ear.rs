//! A listener on a topic whose messages are not kept.

use std::sync::Arc;

use futures_util::StreamExt;
use pulsar::{Consumer, ConsumerOptions, SubType, TokioExecutor};

use super::reader::{Shared, priority};
use super::settings::Backoff;

/// Messages that may be on their way.
const PERMITS: u32 = 1_000;

/// Hands every message of a topic to `hear`, for ever. Of several listeners of one name the one with the highest fence hears.
pub(super) async fn listen(shared: Arc<Shared>, topic: String, name: String, fence: u64, hear: impl Fn(&[u8]) + Send + Sync) {
    let mut backoff = Backoff::new(fence);
    loop {
        match hear_all(&shared, &topic, &name, fence, &hear, &mut backoff).await {
            Ok(()) => tracing::debug!(topic, "listening ended: beginning anew"),
            Err(why) => tracing::warn!(topic, %why, "cannot listen: waiting for the broker"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn hear_all(
    shared: &Shared,
    topic: &str,
    name: &str,
    fence: u64,
    hear: &(impl Fn(&[u8]) + Send + Sync),
    backoff: &mut Backoff,
) -> Result<(), String> {
    let (which, client) = shared.get().await.map_err(|error| error.to_string())?;
    let options = ConsumerOptions { priority_level: Some(priority(fence)), ..ConsumerOptions::default() };
    let building = client
        .consumer()
        .with_topic(topic)
        .with_subscription(name)
        .with_subscription_type(SubType::Failover)
        .with_batch_size(PERMITS)
        .with_options(options)
        .build();
    let built = match tokio::time::timeout(2 * shared.settings.patience, building).await {
        Ok(built) => built.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    };
    let mut consumer: Consumer<Vec<u8>, TokioExecutor> = match built {
        Ok(consumer) => consumer,
        Err(why) => {
            shared.broke(which).await;
            return Err(why);
        }
    };
    backoff.done();
    while let Some(Ok(message)) = consumer.next().await {
        hear(&message.payload.data);
    }
    shared.broke(which).await;
    Ok(())
}
