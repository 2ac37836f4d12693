//! `alpes schema`: what each topic is registered with, so that a registry can refuse a breaking change.

use std::collections::BTreeMap;

use seedwork::message::{Role, topic_schema};
use serde_json::Value;

use crate::print;
use crate::trouble::{Exit, Trouble};

/// Every topic and its schema.
fn topics() -> BTreeMap<String, Value> {
    let mut topics = BTreeMap::new();
    for entry in wire::TABLES.iter().flat_map(|table| table.iter()) {
        for role in [entry.role, Role::Reply] {
            let name = format!("{}.{}", entry.context, role.topic());
            topics.entry(name).or_insert_with(|| topic_schema(entry.context, role, wire::TABLES));
        }
    }
    topics
}

/// Prints the schema of one topic, or an object of all of them.
///
/// # Errors
/// When there is no such topic.
pub fn run(topic: Option<&str>) -> Result<(), Trouble> {
    let topics = topics();
    let Some(topic) = topic else { return print::json(&topics) };
    let schema = topics.get(topic).ok_or_else(|| {
        let known: Vec<&str> = topics.keys().map(String::as_str).collect();
        Trouble::new(format!("there is no topic {topic:?}: there are {}", known.join(", "))).exit(Exit::NotFound)
    })?;
    print::json(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_schema_that_names_its_messages() {
        let topics = topics();
        let names: Vec<&str> = topics.keys().map(String::as_str).collect();
        let contexts = ["campaign", "partner", "tracking"];
        let expected: Vec<String> = contexts
            .iter()
            .flat_map(|context| ["commands", "events", "replies"].map(|topic| format!("{context}.{topic}")))
            .collect();
        assert_eq!(names, expected);
        assert!(topics["campaign.events"].to_string().contains("CampaignActivated"));
        assert!(topics["partner.replies"].to_string().contains("SagaAnswered"));
    }
}
