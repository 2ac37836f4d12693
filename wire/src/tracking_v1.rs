//! Messages of the context *tracking*, version 1: what enrolled partners cause, and whose events are not taken.
//!
//! The first field of each message is its key. What names a person says so.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};

use crate::values::{BlockId, EnrolmentId, EventId, Money, Timestamp};

seedwork::messages! {
    context Tracking = "tracking", version 1;
    commands {
        RecordEvent "record-event" by event;
        CancelEvent "cancel-event" by event;
        KnowEnrolment "know-enrolment" by enrolment;
        Block "block" by block;
        Unblock "unblock" by block;
    }
    events {
        EventRecorded "event-recorded" by event;
        EventCancelled "event-cancelled" by event;
        Blocked "blocked" by block;
        Unblocked "unblocked" by block;
    }
}

/// Record what happened in an enrolment: a click, a conversion, the registration itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct RecordEvent {
    /// The id that it gets: the enrolment's id, `~`, and its own. Names a person.
    pub event: EventId,
    /// In which enrolment it happened. Names a person.
    pub enrolment: EnrolmentId,
    /// What happened, as a word with the characters of an id: `registration`, `click`, `conversion`.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What it was worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
}

/// Say that an event does not count; its record stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CancelEvent {
    /// Which event. Names a person.
    pub event: EventId,
}

/// Take the events of an enrolment that was made by hand: no registration has recorded one, as it does for those that it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct KnowEnrolment {
    /// Which partner in which campaign. Names a person.
    pub enrolment: EnrolmentId,
}

/// Take no more events of a partner, or of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Block {
    /// What is blocked. May name a person.
    pub block: BlockId,
}

/// Take the events of a blocked partner or campaign again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Unblock {
    /// What is blocked. May name a person.
    pub block: BlockId,
}

/// An event was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct EventRecorded {
    /// Which event. Names a person.
    pub event: EventId,
    /// In which enrolment it happened. Names a person.
    pub enrolment: EnrolmentId,
    /// What happened.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What it was worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
}

/// An event no longer counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct EventCancelled {
    /// Which event. Names a person.
    pub event: EventId,
    /// In which enrolment it had happened. Names a person.
    pub enrolment: EnrolmentId,
}

/// Events of a partner or a campaign are refused from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Blocked {
    /// What is blocked. May name a person.
    pub block: BlockId,
}

/// Events of a partner or a campaign are taken again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Unblocked {
    /// What was blocked. May name a person.
    pub block: BlockId,
}
