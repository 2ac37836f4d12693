//! An event: what happened in an enrolment. Once on record it stays there; cancelled it no longer counts.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{EnrolmentId, EventId, IdError, Money, Timestamp, check_id};

/// An event of an enrolment. Its id names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingEvent {
    id: EventId,
    facts: Facts,
    status: Status,
}

/// What was said of an event; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// In which enrolment it happened.
    pub enrolment: EnrolmentId,
    /// What happened: a word with the characters of an id.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What it was worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It counts.
    Recorded,
    /// It does not count, for good.
    Cancelled,
}

impl Status {
    /// The word for it: `recorded` or `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Recorded => "recorded",
            Status::Cancelled => "cancelled",
        }
    }
}

/// What happened to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was recorded.
    Recorded,
    /// It was cancelled.
    Cancelled,
}

/// Why an event says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its id does not begin with the enrolment's.
    #[error("the event's id is the id of the enrolment {0}, a \"~\" and an id of its own")]
    Elsewhere(EnrolmentId),
    /// Its kind is no word.
    #[error("the kind is a word written as an id is: {0}")]
    Kind(IdError),
    /// There is an event of this id with other facts.
    #[error("there is another event of this id")]
    Other,
    /// It was cancelled: a record that comes after that is late or doubled.
    #[error("the event is cancelled, which is final")]
    Cancelled,
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::Elsewhere(_) => Refusal::unprocessable("event-elsewhere", "event", self),
            Refused::Kind(_) => Refusal::unprocessable("kind-invalid", "kind", self),
            Refused::Other => Refusal::conflict("event-exists", self),
            Refused::Cancelled => Refusal::conflict("event-cancelled", self),
        }
    }
}

impl TrackingEvent {
    /// A new event. Whether its partner or campaign is blocked is for their blocks to say.
    ///
    /// # Errors
    /// When the id is not one of the enrolment's, or the kind no word.
    pub fn record(id: EventId, facts: Facts) -> Result<(TrackingEvent, Event), Refused> {
        let own = id.as_str().strip_prefix(facts.enrolment.as_str()).and_then(|rest| rest.strip_prefix('~'));
        if own.is_none() {
            return Err(Refused::Elsewhere(facts.enrolment));
        }
        check_id(&facts.kind).map_err(Refused::Kind)?;
        Ok((TrackingEvent { id, facts, status: Status::Recorded }, Event::Recorded))
    }

    /// Hears the record once more: it was so already.
    ///
    /// # Errors
    /// When it has been cancelled, or other facts were recorded.
    pub fn record_again(&self, facts: &Facts) -> Result<(), Refused> {
        match self.status {
            Status::Cancelled => Err(Refused::Cancelled),
            Status::Recorded if self.facts == *facts => Ok(()),
            Status::Recorded => Err(Refused::Other),
        }
    }

    /// Says that it does not count; the record stays.
    pub fn cancel(&mut self) -> Option<Event> {
        (self.status == Status::Recorded).then(|| {
            self.status = Status::Cancelled;
            Event::Cancelled
        })
    }

    /// Its id.
    pub fn event(&self) -> &EventId {
        &self.id
    }

    /// What was said of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl Aggregate for TrackingEvent {
    const KIND: &'static str = "event";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            enrolment: "p-1~c-1".parse().unwrap(),
            kind: "conversion".to_owned(),
            at: "2025-09-10T12:00:00Z".parse().unwrap(),
            value: Some(Money::parse("19.90", "USD").unwrap()),
        }
    }

    fn record(id: &str, facts: Facts) -> Result<TrackingEvent, Refused> {
        TrackingEvent::record(id.parse().unwrap(), facts).map(|(event, _)| event)
    }

    #[test]
    fn an_event_is_one_of_its_enrolment() {
        assert_eq!(record("p-1~c-1~e-1", facts()).unwrap().status(), Status::Recorded);
        assert!(record("p-1~c-1~e-1~part-2", facts()).is_ok(), "its own part may be composed");
        for elsewhere in ["p-1~c-2~e-1", "p-2~c-1~e-1", "p-1~c-10~e-1", "p-1~c-1"] {
            let refusal = record(elsewhere, facts()).unwrap_err().refusal();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), ("event-elsewhere", Some("event")), "{elsewhere}");
        }
    }

    #[test]
    fn its_kind_is_a_word() {
        for kind in ["", "two words", "clic~1", &"x".repeat(65)] {
            let refusal = record("p-1~c-1~e-1", Facts { kind: kind.to_owned(), ..facts() }).unwrap_err().refusal();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), ("kind-invalid", Some("kind")), "{kind:?}");
        }
    }

    #[test]
    fn a_record_heard_twice_is_one_record_and_another_of_the_same_id_is_none() {
        let event = record("p-1~c-1~e-1", facts()).unwrap();
        assert_eq!(event.record_again(&facts()), Ok(()));
        let other = Facts { value: None, ..facts() };
        assert_eq!(event.record_again(&other).unwrap_err().refusal().code, "event-exists");
    }

    #[test]
    fn a_cancelled_event_keeps_its_record_and_never_counts_again() {
        let mut event = record("p-1~c-1~e-1", facts()).unwrap();
        assert_eq!(event.cancel(), Some(Event::Cancelled));
        assert_eq!(event.cancel(), None, "it was so already");
        assert_eq!((event.facts(), event.status()), (&facts(), Status::Cancelled));
        assert_eq!(event.record_again(&facts()).unwrap_err().refusal().code, "event-cancelled");
    }

    #[test]
    fn its_state_is_read_back_as_it_was_written() {
        let mut cancelled = record("p-1~c-1~e-1", Facts { value: None, ..facts() }).unwrap();
        cancelled.cancel();
        for event in [record("p-1~c-1~e-1", facts()).unwrap(), cancelled] {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<TrackingEvent>(&text).unwrap(), event, "{text}");
        }
    }
}
