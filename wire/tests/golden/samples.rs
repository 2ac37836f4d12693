//! One message of each kind, in the order of the tables, every optional field set.

use seedwork::message::{Message, Owner, Role};
use wire::values::{CampaignKind, Money, PartnerKind, Timestamp};
use wire::*;

/// A message with its type forgotten.
pub struct Sample {
    pub context: &'static str,
    pub role: Role,
    pub kind: &'static str,
    pub record: &'static str,
    pub key: String,
    pub body: String,
    /// Reads a body of this kind, and gives what it is written as again, and its key.
    pub read_and_write: fn(&[u8]) -> serde_json::Result<(String, String)>,
}

fn of<M: Message>(message: M) -> Sample {
    Sample {
        context: M::Owner::NAME,
        role: M::ROLE,
        kind: M::KIND,
        record: M::RECORD,
        key: message.key().to_owned(),
        body: serde_json::to_string(&message).unwrap(),
        read_and_write: |body| {
            let read: M = serde_json::from_slice(body)?;
            Ok((serde_json::to_string(&read)?, read.key().to_owned()))
        },
    }
}

/// An id, or another value that is read from text.
fn v<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    v(text)
}

fn participants() -> Vec<Participant> {
    vec![
        Participant {
            id: v("p-98765"),
            kind: PartnerKind::Influencer,
            name: "Alice Doe".to_owned(),
            profile: "Influencer de moda con 200k seguidores".to_owned(),
            kind_as_sent: Some("Influencer".to_owned()),
        },
        Participant {
            id: v("p-54321"),
            kind: PartnerKind::Affiliate,
            name: "Blog Moda Trends".to_owned(),
            profile: "Sitio web con 50k visitas mensuales".to_owned(),
            kind_as_sent: Some("afiliado".to_owned()),
        },
    ]
}

pub fn samples() -> Vec<Sample> {
    let (name, brand) = ("Campaña Moda Primavera 2025".to_owned(), v("b-12345"));
    let (starts, ends) = (Some(at("2025-09-10T00:00:00Z")), Some(at("2025-12-10T23:59:59.5Z")));
    let budget = Money::parse("15000.00", "USD").unwrap();
    let reason = "the brand withdrew".to_owned();
    [campaign_commands(&name, brand, starts, ends, budget, &reason), campaign_events(&name, starts, ends, budget, &reason)]
        .into_iter()
        .flatten()
        .chain(partner(&reason))
        .chain(tracking(starts.unwrap()))
        .collect()
}

fn campaign_commands(
    name: &str,
    brand: values::BrandId,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
    budget: Money,
    reason: &str,
) -> Vec<Sample> {
    vec![
        of(RegisterCampaign {
            campaign: v("c-12345"),
            name: name.to_owned(),
            kind: CampaignKind::Influencer,
            starts,
            ends,
            budget,
            brand,
            participants: participants(),
            kind_as_sent: Some("Influencer".to_owned()),
        }),
        of(ActivateCampaign { campaign: v("c-12345") }),
        of(UndoRegistration { campaign: v("c-12345") }),
        of(CancelCampaign { campaign: v("c-12345"), reason: reason.to_owned() }),
        of(PauseCampaign { campaign: v("c-12345") }),
        of(ResumeCampaign { campaign: v("c-12345") }),
        of(FinishCampaign { campaign: v("c-12345") }),
        of(ApproveReservation { reservation: v("b-12345~c-12345"), amount: budget }),
        of(ReleaseReservation { reservation: v("b-12345~c-12345") }),
        of(SetLimit { account: v("b-12345~JPY"), limit: Money::parse("2500000", "JPY").unwrap() }),
    ]
}

fn campaign_events(name: &str, starts: Option<Timestamp>, ends: Option<Timestamp>, budget: Money, reason: &str) -> Vec<Sample> {
    vec![
        of(CampaignRegistered {
            campaign: v("c-12345"),
            name: name.to_owned(),
            kind: CampaignKind::Influencer,
            starts,
            ends,
            budget,
            brand: v("b-12345"),
            participants: participants(),
        }),
        of(CampaignActivated {
            campaign: v("c-12345"),
            name: name.to_owned(),
            kind: CampaignKind::Influencer,
            starts,
            ends,
            partners: vec![v("p-98765"), v("p-54321")],
        }),
        of(CampaignPaused { campaign: v("c-12345") }),
        of(CampaignResumed { campaign: v("c-12345") }),
        of(CampaignFinished { campaign: v("c-12345") }),
        of(CampaignCancelled { campaign: v("c-12345"), reason: reason.to_owned() }),
        of(ReservationApproved { reservation: v("b-12345~c-12345"), amount: budget }),
        of(ReservationReleased { reservation: v("b-12345~c-12345"), amount: budget }),
        of(LimitSet { account: v("b-12345~KWD"), limit: Money::parse("2500.125", "KWD").unwrap() }),
    ]
}

fn partner(reason: &str) -> Vec<Sample> {
    let (name, profile) = ("Alice Doe".to_owned(), "Influencer de moda con 200k seguidores".to_owned());
    vec![
        of(RegisterEnrolment {
            enrolment: v("p-98765~c-12345"),
            name: name.clone(),
            kind: PartnerKind::Ambassador,
            profile: profile.clone(),
            kind_as_sent: Some("Embajadora".to_owned()),
        }),
        of(CancelEnrolment { enrolment: v("p-98765~c-12345"), reason: reason.to_owned() }),
        of(BanPartner { partner: v("p-98765"), reason: Some(reason.to_owned()) }),
        of(UnbanPartner { partner: v("p-98765") }),
        of(PartnerRegistered { partner: v("p-98765"), name: name.clone(), profile }),
        of(EnrolmentRegistered { enrolment: v("p-98765~c-12345"), name, kind: PartnerKind::Ambassador }),
        of(EnrolmentCancelled { enrolment: v("p-98765~c-12345"), reason: reason.to_owned() }),
        of(PartnerBanned { partner: v("p-98765"), reason: Some(reason.to_owned()) }),
        of(PartnerUnbanned { partner: v("p-98765") }),
    ]
}

fn tracking(at: Timestamp) -> Vec<Sample> {
    let (kind, value) = ("conversion".to_owned(), Some(Money::parse("19.90", "USD").unwrap()));
    vec![
        of(RecordEvent { event: v("p-98765~c-12345~e-1"), enrolment: v("p-98765~c-12345"), kind: kind.clone(), at, value }),
        of(CancelEvent { event: v("p-98765~c-12345~e-1") }),
        of(KnowEnrolment { enrolment: v("p-98765~c-12345") }),
        of(Block { block: v("p-98765~partner") }),
        of(Unblock { block: v("c-12345~campaign") }),
        of(EventRecorded { event: v("p-98765~c-12345~e-1"), enrolment: v("p-98765~c-12345"), kind, at, value }),
        of(EventCancelled { event: v("p-98765~c-12345~e-1"), enrolment: v("p-98765~c-12345") }),
        of(Blocked { block: v("p-98765~partner") }),
        of(Unblocked { block: v("c-12345~campaign") }),
    ]
}
