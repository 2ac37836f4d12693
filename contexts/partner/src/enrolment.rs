//! An enrolment: a partner in a campaign, one per pair, with the name and kind that the partner had then. Once cancelled it never comes
//! back.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{EnrolmentId, PartnerKind};

use crate::partner::{self, NAME_MAX_CHARS, REASON_MAX_CHARS, check_length};

/// The longest spelling of a kind that is kept as it was sent, in characters.
pub const KIND_MAX_CHARS: usize = 32;

/// An enrolment. Names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    id: EnrolmentId,
    name: String,
    kind: PartnerKind,
    /// How the kind was spelled, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind_as_sent: Option<String>,
    status: Status,
    /// Why it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Where an enrolment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The partner promotes the campaign.
    Registered,
    /// It does so no longer, for good.
    Cancelled,
}

impl Status {
    /// The word for it: `registered` or `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Registered => "registered",
            Status::Cancelled => "cancelled",
        }
    }
}

/// What happened to an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Registered,
    /// It ended.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// Why an enrolment says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was cancelled: a registration that comes after that is late or doubled.
    #[error("the enrolment is cancelled, which is final")]
    Cancelled,
    /// The partner is enrolled in the campaign, with another name or kind.
    #[error("the partner is enrolled in the campaign already, as {kind} {name:?}")]
    Already {
        /// As what.
        kind: PartnerKind,
        /// Under which name.
        name: String,
    },
    /// A text is too short or too long.
    #[error(transparent)]
    Form(#[from] partner::Refused),
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::Cancelled => Refusal::conflict("enrolment-cancelled", self),
            Refused::Already { .. } => Refusal::conflict("already-enrolled", self),
            Refused::Form(refused) => refused.refusal(),
        }
    }
}

impl Enrolment {
    /// A new enrolment. Whether the partner may be enrolled is for the partner to say.
    ///
    /// # Errors
    /// When the name or the spelling of the kind is not of the right length.
    pub fn register(
        id: EnrolmentId,
        name: String,
        kind: PartnerKind,
        kind_as_sent: Option<String>,
    ) -> Result<(Enrolment, Event), Refused> {
        check_length("name", &name, 1, NAME_MAX_CHARS)?;
        if let Some(kind) = &kind_as_sent {
            check_length("kind_as_sent", kind, 1, KIND_MAX_CHARS)?;
        }
        Ok((Enrolment { id, name, kind, kind_as_sent, status: Status::Registered, reason: None }, Event::Registered))
    }

    /// Hears the registration once more: it was so already.
    ///
    /// # Errors
    /// When it has been cancelled, or is of another name or kind.
    pub fn register_again(&self, name: &str, kind: PartnerKind) -> Result<(), Refused> {
        match self.status {
            Status::Cancelled => Err(Refused::Cancelled),
            Status::Registered if self.name == name && self.kind == kind => Ok(()),
            Status::Registered => Err(Refused::Already { kind: self.kind, name: self.name.clone() }),
        }
    }

    /// Ends it for good; the first reason stays.
    ///
    /// # Errors
    /// When the reason is empty or too long.
    pub fn cancel(&mut self, reason: String) -> Result<Option<Event>, Refused> {
        check_length("reason", &reason, 1, REASON_MAX_CHARS)?;
        if self.status == Status::Cancelled {
            return Ok(None);
        }
        self.status = Status::Cancelled;
        self.reason = Some(reason.clone());
        Ok(Some(Event::Cancelled { reason }))
    }

    /// Its id.
    pub fn enrolment(&self) -> &EnrolmentId {
        &self.id
    }

    /// What the partner was called when it was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the partner is to the campaign.
    pub fn kind(&self) -> PartnerKind {
        self.kind
    }

    /// How the kind was spelled, when it was not as [`Enrolment::kind`] is written.
    pub fn kind_as_sent(&self) -> Option<&str> {
        self.kind_as_sent.as_deref()
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why it is cancelled.
    pub fn cancel_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl Aggregate for Enrolment {
    const KIND: &'static str = "enrolment";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolment() -> Enrolment {
        let sent = Some("afiliado".to_owned());
        Enrolment::register("p-1~c-1".parse().unwrap(), "Blog".to_owned(), PartnerKind::Affiliate, sent).unwrap().0
    }

    #[test]
    fn a_registration_heard_twice_is_one_enrolment() {
        let enrolment = enrolment();
        assert_eq!(enrolment.register_again("Blog", PartnerKind::Affiliate), Ok(()));
        for (name, kind) in [("Blog", PartnerKind::Ambassador), ("Other", PartnerKind::Affiliate)] {
            let refused = enrolment.register_again(name, kind).unwrap_err();
            assert_eq!(refused.refusal().code, "already-enrolled");
            assert_eq!(refused.to_string(), "the partner is enrolled in the campaign already, as affiliate \"Blog\"");
        }
    }

    #[test]
    fn a_cancelled_enrolment_never_comes_back() {
        let mut enrolment = enrolment();
        let cancelled = Event::Cancelled { reason: "undone".to_owned() };
        assert_eq!(enrolment.cancel("undone".to_owned()), Ok(Some(cancelled)));
        assert_eq!(enrolment.cancel("again".to_owned()), Ok(None), "it was so already");
        assert_eq!(enrolment.cancel_reason(), Some("undone"));
        let refused = enrolment.register_again("Blog", PartnerKind::Affiliate).unwrap_err();
        assert_eq!(refused.refusal().code, "enrolment-cancelled");
    }

    #[test]
    fn what_is_not_of_the_right_length_names_its_field() {
        let register = |name: &str, sent: &str| {
            let sent = Some(sent.to_owned());
            Enrolment::register("p-1~c-1".parse().unwrap(), name.to_owned(), PartnerKind::Affiliate, sent)
        };
        let field = |refused: Refused| refused.refusal().field.unwrap().into_owned();
        assert_eq!(field(register("", "afiliado").unwrap_err()), "name");
        assert_eq!(field(register("Blog", "").unwrap_err()), "kind_as_sent");
        assert_eq!(field(register("Blog", &"x".repeat(33)).unwrap_err()), "kind_as_sent");
        assert_eq!(field(enrolment().cancel(String::new()).unwrap_err()), "reason");
        assert_eq!(field(enrolment().cancel("x".repeat(501)).unwrap_err()), "reason");
    }

    #[test]
    fn its_state_is_read_back_as_it_was_written() {
        let mut cancelled = enrolment();
        cancelled.cancel("undone".to_owned()).unwrap();
        for enrolment in [enrolment(), cancelled] {
            let text = serde_json::to_string(&enrolment).unwrap();
            assert_eq!(serde_json::from_str::<Enrolment>(&text).unwrap(), enrolment);
        }
    }
}
