//! Messages of the context *partner*, version 1: persons, and their enrolments in campaigns.
//!
//! The first field of each message is its key. What names a person says so.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};

use crate::values::{EnrolmentId, PartnerId, PartnerKind};

seedwork::messages! {
    context Partner = "partner", version 1;
    commands {
        RegisterEnrolment "register-enrolment" by enrolment;
        CancelEnrolment "cancel-enrolment" by enrolment;
        BanPartner "ban" by partner;
        UnbanPartner "unban" by partner;
    }
    events {
        PartnerRegistered "registered" by partner;
        EnrolmentRegistered "enrolment-registered" by enrolment;
        EnrolmentCancelled "enrolment-cancelled" by enrolment;
        PartnerBanned "banned" by partner;
        PartnerUnbanned "unbanned" by partner;
    }
}

/// Enrol a partner in a campaign; a partner that is not known yet becomes known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct RegisterEnrolment {
    /// Which partner in which campaign. Names a person.
    pub enrolment: EnrolmentId,
    /// What the partner is called, 1 to 200 characters. Names a person.
    pub name: String,
    /// What the partner is to this campaign.
    pub kind: PartnerKind,
    /// What the partner says of itself, at most 4,000 characters; kept when it is the first time. Names a person.
    #[serde(default)]
    #[avro(default = r#""""#)]
    pub profile: String,
    /// How whoever asks spelled the kind, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
}

/// End an enrolment for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CancelEnrolment {
    /// Which partner in which campaign. Names a person.
    pub enrolment: EnrolmentId,
    /// Why, in 1 to 500 characters. May name a person.
    pub reason: String,
}

/// Refuse a partner's enrolments from now on; those that it has stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct BanPartner {
    /// Which partner. Names a person.
    pub partner: PartnerId,
    /// Why, in 1 to 500 characters. May name a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Accept a banned partner's enrolments again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct UnbanPartner {
    /// Which partner. Names a person.
    pub partner: PartnerId,
}

/// A partner became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct PartnerRegistered {
    /// Which partner. Names a person.
    pub partner: PartnerId,
    /// What the partner is called. Names a person.
    pub name: String,
    /// What the partner says of itself. Names a person.
    pub profile: String,
}

/// A partner was enrolled in a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct EnrolmentRegistered {
    /// Which partner in which campaign. Names a person.
    pub enrolment: EnrolmentId,
    /// What the partner was called then. Names a person.
    pub name: String,
    /// What the partner is to this campaign.
    pub kind: PartnerKind,
}

/// An enrolment ended, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct EnrolmentCancelled {
    /// Which partner in which campaign. Names a person.
    pub enrolment: EnrolmentId,
    /// Why. May name a person.
    pub reason: String,
}

/// A partner's enrolments are refused from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct PartnerBanned {
    /// Which partner. Names a person.
    pub partner: PartnerId,
    /// Why. May name a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A partner's enrolments are accepted again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct PartnerUnbanned {
    /// Which partner. Names a person.
    pub partner: PartnerId,
}
