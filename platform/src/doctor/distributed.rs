//! Whether the broker, the databases and the services of the distributed stack can be used.

use seedwork::broker::pulsar::Pulsar;
use seedwork::store::postgres::Postgres;

use super::{Finding, server};
use crate::client::Client;
use crate::serve::distributed::{broker, database};
use crate::settings::Settings;
use crate::trouble::Trouble;

/// Looks at the broker, at each context's database, and at each service.
pub(super) fn look(settings: &Settings) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    if settings.broker.0.is_some() {
        let broker = broker(settings, "doctor".to_owned())?;
        findings.push(match Pulsar::check(&broker) {
            Ok(()) => Finding::good("broker", format!("{} can be used, {} partitions", broker.url, broker.partitions)),
            // It says what to do itself.
            Err(trouble) => Finding::wrong("broker", trouble.to_string(), ""),
        });
    }
    if let Some(url) = &settings.database.0 {
        let contexts = if url.is_for_each() { &bff::CONTEXTS[..] } else { &[] };
        for context in contexts {
            findings.push(match Postgres::connect(&database(settings, context)?) {
                Ok(_) => Finding::good("database", format!("the database of {context} can be used")),
                Err(error) => Finding::wrong("database", format!("the database of {context} cannot be used: {error}"), ""),
            });
        }
        if contexts.is_empty() {
            findings.push(match Postgres::connect(&url.of("")) {
                Ok(_) => Finding::good("database", "it can be used"),
                Err(error) => Finding::wrong("database", format!("it cannot be used: {error}"), ""),
            });
        }
    }
    for url in [&settings.services_campaign, &settings.services_partner, &settings.services_tracking] {
        findings.extend(server::tells(&Client::at(url, settings)));
    }
    Ok(findings)
}
