//! An enrolment that was made by hand, as far as it matters here: one that a campaign's registration made is known by the event that the
//! registration recorded.

use seedwork::Aggregate;
use serde::{Deserialize, Serialize};
use wire::values::EnrolmentId;

/// An enrolment that was made by hand. It is known for ever. Its id names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEnrolment {
    id: EnrolmentId,
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The context was told of it.
    Told,
}

impl KnownEnrolment {
    /// An enrolment that the context was told of.
    pub fn told(id: EnrolmentId) -> (KnownEnrolment, Event) {
        (KnownEnrolment { id }, Event::Told)
    }
}

impl Aggregate for KnownEnrolment {
    const KIND: &'static str = "enrolment";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}
