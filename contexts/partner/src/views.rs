//! The read side: partners and enrolments, in the order of their ids.

use seedwork::message::Owner;
use seedwork::view::{List, Listed, Read, Total, Versioned, View, list, state, total};
use serde::{Deserialize, Serialize};
use wire::partner_v1::Partner as Here;
use wire::values::{CampaignId, EnrolmentId, PartnerId, PartnerKind};

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

impl PartnerDoc {
    fn of(partner: &Partner) -> PartnerDoc {
        PartnerDoc {
            id: partner.partner().clone(),
            name: partner.name().to_owned(),
            profile: partner.profile().to_owned(),
            status: partner.status(),
            reason: partner.ban_reason().map(str::to_owned),
        }
    }
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

impl EnrolmentDoc {
    fn of(enrolment: &Enrolment) -> EnrolmentDoc {
        EnrolmentDoc {
            id: enrolment.enrolment().clone(),
            name: enrolment.name().to_owned(),
            kind: enrolment.kind(),
            kind_as_sent: enrolment.kind_as_sent().map(str::to_owned),
            status: enrolment.status(),
            reason: enrolment.cancel_reason().map(str::to_owned),
        }
    }
}

/// What partners are looked for by. Few lists are long, so no index costs those who register.
pub const PARTNERS: View<Partner> =
    View { columns: &[("status", "TEXT")], indexes: &[], row: |partner| vec![partner.status().as_str().into()] };

/// What enrolments are looked for by; those of a partner stand together, for their ids begin with its.
pub const ENROLMENTS: View<Enrolment> = View {
    columns: &[("campaign", "TEXT"), ("status", "TEXT"), ("kind", "TEXT")],
    indexes: &[("by_campaign", "campaign, id")],
    row: |enrolment| {
        vec![enrolment.enrolment().second().into(), enrolment.status().as_str().into(), enrolment.kind().as_str().into()]
    },
};

/// Which partners a list holds, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partners {
    /// Only those that stand there.
    pub status: Option<partner::Status>,
    /// The greatest id first.
    pub descending: bool,
}

/// Which enrolments a list holds, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolments {
    /// Only those of this partner.
    pub partner: Option<PartnerId>,
    /// Only those in this campaign.
    pub campaign: Option<CampaignId>,
    /// Only those that stand there.
    pub status: Option<enrolment::Status>,
    /// Only those of partners of this kind.
    pub kind: Option<PartnerKind>,
    /// The greatest id first.
    pub descending: bool,
}

impl Partners {
    fn list(&self) -> List<'_> {
        let matching = self.status.map(|status| ("status", status.as_str().into()));
        List { matching: matching.into_iter().collect(), descending: self.descending, ..List::default() }
    }
}

impl Enrolments {
    fn list(&self) -> List<'_> {
        let status = self.status.map(|status| ("status", status.as_str().into()));
        let kind = self.kind.map(|kind| ("kind", kind.as_str().into()));
        List {
            under: self.partner.as_ref().map(PartnerId::as_str).unwrap_or_default(),
            within: self.campaign.as_ref().map(|campaign| ("campaign", campaign.as_str().into())),
            matching: status.into_iter().chain(kind).collect(),
            descending: self.descending,
            ..List::default()
        }
    }
}

/// The partner with this id.
///
/// # Errors
/// When the store is away or the state cannot be read: a text for the log, not for the client.
pub fn partner(read: &dyn Read, id: &PartnerId) -> Result<Option<Versioned<PartnerDoc>>, String> {
    Ok(state::<Partner>(read, Here::NAME, id.as_str())?.map(|found| found.map(|partner| PartnerDoc::of(&partner))))
}

/// The enrolment with this id.
///
/// # Errors
/// As [`partner()`].
pub fn enrolment(read: &dyn Read, id: &EnrolmentId) -> Result<Option<Versioned<EnrolmentDoc>>, String> {
    Ok(state::<Enrolment>(read, Here::NAME, id.as_str())?.map(|found| found.map(|enrolment| EnrolmentDoc::of(&enrolment))))
}

/// A page of partners: at most `limit`, after this id.
///
/// # Errors
/// As [`partner()`].
pub fn partners(read: &dyn Read, of: &Partners, after: Option<&str>, limit: usize) -> Result<Listed<PartnerDoc>, String> {
    let Listed { items, next } = list::<Partner>(read, Here::NAME, &of.list(), after, limit)?;
    Ok(Listed { items: items.iter().map(|found| PartnerDoc::of(&found.value)).collect(), next })
}

/// A page of enrolments: at most `limit`, after this id.
///
/// # Errors
/// As [`partner()`].
pub fn enrolments(read: &dyn Read, of: &Enrolments, after: Option<&str>, limit: usize) -> Result<Listed<EnrolmentDoc>, String> {
    let Listed { items, next } = list::<Enrolment>(read, Here::NAME, &of.list(), after, limit)?;
    Ok(Listed { items: items.iter().map(|found| EnrolmentDoc::of(&found.value)).collect(), next })
}

/// How many partners a list holds.
///
/// # Errors
/// As [`partner()`].
pub fn count_partners(read: &dyn Read, of: &Partners) -> Result<Total, String> {
    total::<Partner>(read, Here::NAME, &of.list())
}

/// How many enrolments a list holds.
///
/// # Errors
/// As [`partner()`].
pub fn count_enrolments(read: &dyn Read, of: &Enrolments) -> Result<Total, String> {
    total::<Enrolment>(read, Here::NAME, &of.list())
}
