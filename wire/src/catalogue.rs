//! Every message, written down for people: what it says, who says it, who hears it, and what it holds.

use std::fmt::Write as _;

use apache_avro::schema::{RecordField, Schema};
use seedwork::message::{Entry, Role};

/// Who sends a command beside whoever asks over HTTP, or reacts to an event; contexts by name, `bff` for the edge. The context that
/// owns the message is the other side and not listed.
///
/// This crate cannot see who uses it, so the table is kept by hand, and each context's tests hold it against what the context does.
const COUNTERPARTS: &[(&str, &[&str])] = &[
    ("campaign.register.v1", &["bff"]),
    ("campaign.activate.v1", &["campaign"]),
    ("campaign.undo-registration.v1", &["campaign"]),
    ("campaign.cancel.v1", &["bff"]),
    ("campaign.pause.v1", &["bff"]),
    ("campaign.resume.v1", &["bff"]),
    ("campaign.finish.v1", &["bff"]),
    ("campaign.approve-reservation.v1", &["campaign"]),
    ("campaign.release-reservation.v1", &["campaign"]),
    ("campaign.set-limit.v1", &["bff"]),
    ("campaign.activated.v1", &["partner", "tracking"]),
    ("partner.register-enrolment.v1", &["campaign", "bff"]),
    ("partner.cancel-enrolment.v1", &["campaign", "bff"]),
    ("partner.ban.v1", &["bff"]),
    ("partner.unban.v1", &["bff"]),
    ("tracking.record-event.v1", &["campaign", "bff"]),
    ("tracking.cancel-event.v1", &["campaign", "bff"]),
    ("tracking.know-enrolment.v1", &["partner"]),
    ("tracking.block.v1", &["bff"]),
    ("tracking.unblock.v1", &["bff"]),
];

/// Who sends this command or reacts to this event, by its `type`; nobody when it is not listed.
pub fn counterparts(kind: &str) -> &'static [&'static str] {
    COUNTERPARTS.iter().find(|(listed, _)| *listed == kind).map_or(&[], |(_, names)| names)
}

/// The text of `CATALOGUE.md`.
pub fn catalogue() -> String {
    let mut text = String::from(
        "# Every message\n\n\
         Generated from the tables in `src/`; `ALPES_BLESS=1 cargo test -p wire` writes it again. The first field of a message is its \
         key: what stands before its first `~` decides the partition. The envelope around a message is told in `seedwork::message`.\n",
    );
    for table in crate::TABLES {
        for role in [Role::Command, Role::Event] {
            let mut entries = table.iter().filter(|entry| entry.role == role).peekable();
            if let Some(first) = entries.peek() {
                let topic = format!("{}.{}", first.context, role.topic());
                // Writing to a String cannot fail.
                let _ = write!(text, "\n## {topic}\n");
            }
            entries.for_each(|entry| describe(entry, &mut text));
        }
    }
    text
}

fn describe(entry: &Entry, text: &mut String) {
    let others = match counterparts(entry.kind) {
        [] => "nobody yet".to_owned(),
        names => names.join(", "),
    };
    let (says, hears) = match entry.role {
        Role::Command => (others.as_str(), entry.context),
        Role::Event | Role::Reply => (entry.context, others.as_str()),
    };
    let _ = write!(text, "\n### {}\n\n`{}`, from {says} to {hears}.", entry.record, entry.kind);
    if let Schema::Record(record) = (entry.schema)() {
        if let Some(doc) = &record.doc {
            let _ = write!(text, " {}", one_line(doc));
        }
        text.push_str("\n\n| field | type | |\n|---|---|---|\n");
        record.fields.iter().for_each(|field| describe_field(field, text));
    }
}

fn describe_field(field: &RecordField, text: &mut String) {
    let doc = field.doc.as_deref().map(one_line).unwrap_or_default();
    let _ = writeln!(text, "| `{}` | {} | {doc} |", field.name, type_of(&field.schema));
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A type as people read it: `string`, `Money`, `Participant list`, `string, optional`.
fn type_of(schema: &Schema) -> String {
    match schema {
        Schema::Union(union) => {
            let some: Vec<_> = union.variants().iter().filter(|variant| **variant != Schema::Null).map(type_of).collect();
            let optional = if some.len() < union.variants().len() { ", optional" } else { "" };
            format!("{}{optional}", some.join(" or "))
        }
        Schema::Array(array) => format!("{} list", type_of(&array.items)),
        Schema::Record(record) => record.name.name().to_owned(),
        Schema::Ref { name } => name.name().to_owned(),
        Schema::Long => "integer".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
