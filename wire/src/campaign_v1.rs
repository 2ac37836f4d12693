//! Messages of the context *campaign*, version 1: campaigns, and the brand accounts that pay for them.
//!
//! The first field of each message is its key. What names a person says so.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};

use crate::values::{AccountId, BrandId, CampaignId, CampaignKind, Money, PartnerId, PartnerKind, ReservationId, Timestamp};

seedwork::messages! {
    context Campaign = "campaign", version 1;
    commands {
        RegisterCampaign "register" by campaign;
        ActivateCampaign "activate" by campaign;
        UndoRegistration "undo-registration" by campaign;
        CancelCampaign "cancel" by campaign;
        PauseCampaign "pause" by campaign;
        ResumeCampaign "resume" by campaign;
        FinishCampaign "finish" by campaign;
        ApproveReservation "approve-reservation" by reservation;
        ReleaseReservation "release-reservation" by reservation;
        SetLimit "set-limit" by account;
    }
    events {
        CampaignRegistered "registered" by campaign;
        CampaignActivated "activated" by campaign;
        CampaignPaused "paused" by campaign;
        CampaignResumed "resumed" by campaign;
        CampaignFinished "finished" by campaign;
        CampaignCancelled "cancelled" by campaign;
        ReservationApproved "reservation-approved" by reservation;
        ReservationReleased "reservation-released" by reservation;
        LimitSet "limit-set" by account;
    }
}

/// A partner as a campaign names it. Its id, name and profile name a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct Participant {
    /// Which partner. Names a person.
    pub id: PartnerId,
    /// What the partner is to this campaign.
    pub kind: PartnerKind,
    /// What the partner is called, 1 to 200 characters. Names a person.
    pub name: String,
    /// What the partner says of itself, at most 4,000 characters. Names a person.
    #[serde(default)]
    #[avro(default = r#""""#)]
    pub profile: String,
    /// How whoever registered the campaign spelled the kind, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
}

/// Register a campaign: as a draft, which its registration makes active or cancels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct RegisterCampaign {
    /// The id that it gets.
    pub campaign: CampaignId,
    /// What it is called, 1 to 200 characters.
    pub name: String,
    /// Which partners it is made for.
    pub kind: CampaignKind,
    /// When its window begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When its window ends; after `starts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// What it may cost: more than nothing.
    pub budget: Money,
    /// Who pays.
    pub brand: BrandId,
    /// Who promotes it: 1 to 1,000, each once.
    pub participants: Vec<Participant>,
    /// How whoever asks spelled the kind, when it was not as `kind` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_as_sent: Option<String>,
}

/// Make a draft active: the last step of its registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ActivateCampaign {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// Cancel a draft whose registration is undone: the compensation of its first step, not the wish of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct UndoRegistration {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// Cancel a campaign for good; of a draft, undo its registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CancelCampaign {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Why, in 1 to 500 characters. May name a person.
    pub reason: String,
}

/// Pause an active campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct PauseCampaign {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// Make a paused campaign active again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ResumeCampaign {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// End an active or paused campaign well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct FinishCampaign {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// Set a campaign's budget aside on its brand's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ApproveReservation {
    /// Which brand's, for which campaign.
    pub reservation: ReservationId,
    /// How much; its currency says on which account.
    pub amount: Money,
}

/// Give back what was set aside for a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ReleaseReservation {
    /// Which brand's, for which campaign.
    pub reservation: ReservationId,
}

/// Set how much a brand may have reserved in one currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct SetLimit {
    /// Which account.
    pub account: AccountId,
    /// The new limit, in the account's currency; it may be below what is reserved.
    pub limit: Money,
}

/// A campaign was registered as a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignRegistered {
    /// Which campaign.
    pub campaign: CampaignId,
    /// What it is called.
    pub name: String,
    /// Which partners it is made for.
    pub kind: CampaignKind,
    /// When its window begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When its window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// What it may cost.
    pub budget: Money,
    /// Who pays.
    pub brand: BrandId,
    /// Who promotes it.
    pub participants: Vec<Participant>,
}

/// A campaign became active: its partners are enrolled and its budget is reserved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignActivated {
    /// Which campaign.
    pub campaign: CampaignId,
    /// What it is called.
    pub name: String,
    /// Which partners it is made for.
    pub kind: CampaignKind,
    /// When its window begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When its window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The partners that its registration enrolled. Names persons.
    pub partners: Vec<PartnerId>,
}

/// A campaign was paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignPaused {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// A paused campaign is active again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignResumed {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// A campaign ended well, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignFinished {
    /// Which campaign.
    pub campaign: CampaignId,
}

/// A campaign was cancelled, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct CampaignCancelled {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Why. May name a person.
    pub reason: String,
}

/// A campaign's budget was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ReservationApproved {
    /// Which brand's, for which campaign.
    pub reservation: ReservationId,
    /// How much.
    pub amount: Money,
}

/// What was set aside for a campaign is available again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct ReservationReleased {
    /// Which brand's, for which campaign.
    pub reservation: ReservationId,
    /// How much.
    pub amount: Money,
}

/// A brand's limit in one currency was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
pub struct LimitSet {
    /// Which account.
    pub account: AccountId,
    /// The limit that holds from now on.
    pub limit: Money,
}
