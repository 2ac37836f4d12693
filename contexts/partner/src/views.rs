//! The read side: partners and enrolments are only asked for by id, so their state is their view.

use seedwork::message::Owner;
use seedwork::view::{Read, state};
use serde::{Deserialize, Serialize};
use wire::partner_v1::Partner as Here;
use wire::values::{EnrolmentId, PartnerId, PartnerKind};

use crate::enrolment::{self, Enrolment};
use crate::partner::{self, Partner};

/// A partner, as queries answer it. Names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerDoc {
    /// Its id.
    pub id: PartnerId,
    /// What it was called when it became known.
    pub name: String,
    /// What it said of itself when it became known.
    pub profile: String,
    /// Where it stands.
    pub status: partner::Status,
    /// Why it is banned, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An enrolment, as queries answer it. Names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentDoc {
    /// Which partner in which campaign.
    pub id: EnrolmentId,
    /// What the partner was called when it was enrolled.
    pub name: String,
    /// What the partner is to the campaign.
    pub kind: PartnerKind,
    /// How the kind was spelled, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
    /// Where it stands.
    pub status: enrolment::Status,
    /// Why it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The partner with this id.
///
/// # Errors
/// When the store is away or the state cannot be read: a text for the log, not for the client.
pub fn partner(read: &dyn Read, id: &PartnerId) -> Result<Option<PartnerDoc>, String> {
    let found = state::<Partner>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|found| PartnerDoc {
        id: found.partner().clone(),
        name: found.name().to_owned(),
        profile: found.profile().to_owned(),
        status: found.status(),
        reason: found.ban_reason().map(str::to_owned),
    }))
}

/// The enrolment with this id.
///
/// # Errors
/// As [`partner()`].
pub fn enrolment(read: &dyn Read, id: &EnrolmentId) -> Result<Option<EnrolmentDoc>, String> {
    let found = state::<Enrolment>(read, Here::NAME, id.as_str())?;
    Ok(found.map(|found| EnrolmentDoc {
        id: found.enrolment().clone(),
        name: found.name().to_owned(),
        kind: found.kind(),
        kind_as_sent: found.kind_as_sent().map(str::to_owned),
        status: found.status(),
        reason: found.cancel_reason().map(str::to_owned),
    }))
}
