//! The published language of Alpes: whatever crosses the broker between bounded contexts, and nothing else.
//!
//! [`values`] holds what the messages are made of: money, ids, kinds, instants, and who acts. Each context has a file per version,
//! [`campaign_v1`], [`partner_v1`], [`tracking_v1`]: first a table, then plain structs. [`catalogue`] writes all of it down for people.
//!
//! A later field has a default, so old and new read each other. A breaking change is a new kind in a new file; its context publishes
//! both until nobody reads the old one. `golden/` holds one message of each kind and each topic's schema, and a test reads them.

#![allow(clippy::disallowed_types, reason = "apache-avro's trait, and what its derive writes, names std's HashSet")]

mod catalogue;

pub mod campaign_v1;
pub mod partner_v1;
pub mod tracking_v1;
pub mod values;

pub use campaign_v1::{
    ActivateCampaign, ApproveReservation, CampaignActivated, CampaignCancelled, CampaignFinished, CampaignPaused,
    CampaignRegistered, CampaignResumed, CancelCampaign, FinishCampaign, LimitSet, Participant, PauseCampaign, RegisterCampaign,
    ReleaseReservation, ReservationApproved, ReservationReleased, ResumeCampaign, SetLimit, UndoRegistration,
};
pub use catalogue::{catalogue, counterparts};
pub use partner_v1::{
    BanPartner, CancelEnrolment, EnrolmentCancelled, EnrolmentRegistered, PartnerBanned, PartnerRegistered, PartnerUnbanned,
    RegisterEnrolment, UnbanPartner,
};
pub use tracking_v1::{
    Block, Blocked, CancelEvent, EventCancelled, EventRecorded, KnowEnrolment, RecordEvent, Unblock, Unblocked,
};

/// Every message of every context, a table for each context and version.
pub const TABLES: &[&[seedwork::message::Entry]] = &[campaign_v1::TABLE, partner_v1::TABLE, tracking_v1::TABLE];
