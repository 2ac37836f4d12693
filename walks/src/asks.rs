//! Commands, written the way a story tells them.

use std::fmt::Debug;
use std::str::FromStr;

use wire::values::{CampaignKind, Money, PartnerKind};
use wire::{Participant, RegisterCampaign};

/// An id, or another value that is written as text.
///
/// # Panics
/// When it is not of the right form.
#[track_caller]
pub fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error:?}"))
}

/// An amount in major units.
///
/// # Panics
/// When it is no amount of such a currency.
#[track_caller]
pub fn money(amount: &str, currency: &str) -> Money {
    Money::parse(amount, currency).unwrap_or_else(|error| panic!("{amount} {currency}: {error}"))
}

/// A campaign of 15,000 dollars that brand `b-1` pays, with one participant, `p-1`; [`Told`] changes what a story is about.
pub fn campaign(campaign: &str) -> RegisterCampaign {
    RegisterCampaign {
        campaign: id(campaign),
        name: format!("Campaign {campaign}"),
        kind: CampaignKind::Mixed,
        starts: None,
        ends: None,
        budget: money("15000", "USD"),
        brand: id("b-1"),
        participants: vec![participant("p-1")],
        kind_as_sent: None,
    }
}

fn participant(partner: &str) -> Participant {
    Participant {
        id: id(partner),
        kind: PartnerKind::Influencer,
        name: format!("Name of {partner}"),
        profile: "Moda, 200k".to_owned(),
        kind_as_sent: None,
    }
}

/// What a story says of a campaign.
pub trait Told: Sized {
    /// Who pays.
    #[must_use]
    fn brand(self, brand: &str) -> Self;
    /// How much, in major units.
    #[must_use]
    fn budget(self, amount: &str, currency: &str) -> Self;
    /// So many participants: `p-1`, `p-2` …
    #[must_use]
    fn participants(self, count: usize) -> Self {
        let partners: Vec<String> = (1..=count).map(|number| format!("p-{number}")).collect();
        self.with(&partners)
    }
    /// These participants.
    #[must_use]
    fn with(self, partners: &[impl AsRef<str>]) -> Self;
}

impl Told for RegisterCampaign {
    fn brand(self, brand: &str) -> Self {
        RegisterCampaign { brand: id(brand), ..self }
    }
    fn budget(self, amount: &str, currency: &str) -> Self {
        RegisterCampaign { budget: money(amount, currency), ..self }
    }
    fn with(self, partners: &[impl AsRef<str>]) -> Self {
        RegisterCampaign { participants: partners.iter().map(|partner| participant(partner.as_ref())).collect(), ..self }
    }
}

/// Pause a campaign.
pub fn pause(campaign: &str) -> wire::PauseCampaign {
    wire::PauseCampaign { campaign: id(campaign) }
}

/// Resume a campaign.
pub fn resume(campaign: &str) -> wire::ResumeCampaign {
    wire::ResumeCampaign { campaign: id(campaign) }
}

/// Finish a campaign.
pub fn finish(campaign: &str) -> wire::FinishCampaign {
    wire::FinishCampaign { campaign: id(campaign) }
}

/// Cancel a campaign.
pub fn cancel(campaign: &str, reason: &str) -> wire::CancelCampaign {
    wire::CancelCampaign { campaign: id(campaign), reason: reason.to_owned() }
}

/// Set what a brand may have reserved: `limit("b-1~USD", "500")`.
pub fn limit(account: &str, amount: &str) -> wire::SetLimit {
    let account: wire::values::AccountId = id(account);
    wire::SetLimit { limit: money(amount, account.currency()), account }
}

/// Enrol a partner by hand, as an ambassador: `enrol("p-9~c-1")`.
pub fn enrol(enrolment: &str) -> wire::RegisterEnrolment {
    wire::RegisterEnrolment {
        enrolment: id(enrolment),
        name: "Enrolled by hand".to_owned(),
        kind: PartnerKind::Ambassador,
        profile: String::new(),
        kind_as_sent: None,
    }
}

/// Cancel an enrolment by hand.
pub fn withdraw(enrolment: &str) -> wire::CancelEnrolment {
    wire::CancelEnrolment { enrolment: id(enrolment), reason: "withdrawn by hand".to_owned() }
}

/// Ban a partner.
pub fn ban(partner: &str) -> wire::BanPartner {
    wire::BanPartner { partner: id(partner), reason: Some("fraud".to_owned()) }
}

/// Lift the ban of a partner.
pub fn unban(partner: &str) -> wire::UnbanPartner {
    wire::UnbanPartner { partner: id(partner) }
}

/// Block a partner or a campaign: `block("p-1~partner")`.
pub fn block(what: &str) -> wire::Block {
    wire::Block { block: id(what) }
}

/// Lift a block.
pub fn unblock(what: &str) -> wire::Unblock {
    wire::Unblock { block: id(what) }
}

/// Record a click by hand: `click("p-1~c-1~e-1")`.
pub fn click(event: &str) -> wire::RecordEvent {
    let event: wire::values::EventId = id(event);
    wire::RecordEvent {
        enrolment: event.enrolment(),
        event,
        kind: "click".to_owned(),
        at: id("2025-09-10T12:00:00Z"),
        value: None,
    }
}
