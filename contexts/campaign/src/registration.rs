//! The saga that registers a campaign: everybody is enrolled, everything is on record and the budget is reserved, or nothing is.

use seedwork::Saga;
use seedwork::saga::Committed;
use serde::{Deserialize, Serialize};
use wire::values::{BrandId, CampaignId, EnrolmentId, EventId, IdError, Money, PartnerKind, ReservationId, Timestamp};

/// What the saga knows: the facts that its commands rest on, and the ids of what they make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    campaign: CampaignId,
    brand: BrandId,
    budget: Money,
    at: Timestamp,
    enrolments: Vec<Enrolment>,
}

/// One participant, as it will be enrolled. Names a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolment {
    enrolment: EnrolmentId,
    event: EventId,
    kind: PartnerKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind_as_sent: Option<String>,
    name: String,
    profile: String,
}

/// The table, with the rows' numbers and names of seed 004.
pub fn saga() -> Saga<Registration, Committed> {
    Saga::new("campaign.registration") //                               0  Inicio
        .undo_start(Registration::undo_registration) //                 1  RegistrarCampaña: the unit of work that started it
        .each(Registration::enrolments) //                              2  RegistrarPartner, one per participant, joined
        .step(Registration::register_enrolment)
        .undo(Registration::cancel_enrolment)
        .each(Registration::enrolments) //                              3  RegistrarEvento, one per enrolment
        .step(Registration::record_event)
        .undo(Registration::cancel_event)
        .pivot(Registration::approve_reservation) //                    4  AprobarReserva: from here no way back
        .then(Registration::activate) //                                   only tried again from here on
    //                                                                     Fin
}

impl Registration {
    /// What the registration that is asked for will do, received at this moment.
    ///
    /// # Errors
    /// When an id cannot be composed; ids that were parsed can be.
    pub fn of(ask: &wire::RegisterCampaign, at: Timestamp) -> Result<Registration, IdError> {
        let enrolment = |participant: &wire::Participant| {
            let enrolment = EnrolmentId::join(&participant.id, &ask.campaign);
            Ok(Enrolment {
                event: EventId::registration(&enrolment),
                enrolment,
                kind: participant.kind,
                kind_as_sent: participant.kind_as_sent.clone(),
                name: participant.name.clone(),
                profile: participant.profile.clone(),
            })
        };
        let enrolments = ask.participants.iter().map(enrolment).collect::<Result<_, _>>()?;
        Ok(Registration { campaign: ask.campaign.clone(), brand: ask.brand.clone(), budget: ask.budget, at, enrolments })
    }

    fn undo_registration(&self) -> wire::UndoRegistration {
        wire::UndoRegistration { campaign: self.campaign.clone() }
    }

    fn enrolments(&self) -> &[Enrolment] {
        &self.enrolments
    }

    fn register_enrolment(&self, one: &Enrolment) -> wire::RegisterEnrolment {
        wire::RegisterEnrolment {
            enrolment: one.enrolment.clone(),
            name: one.name.clone(),
            kind: one.kind,
            profile: one.profile.clone(),
            kind_as_sent: one.kind_as_sent.clone(),
        }
    }

    fn cancel_enrolment(&self, one: &Enrolment) -> wire::CancelEnrolment {
        wire::CancelEnrolment { enrolment: one.enrolment.clone(), reason: "registration undone".to_owned() }
    }

    fn record_event(&self, one: &Enrolment) -> wire::RecordEvent {
        wire::RecordEvent {
            event: one.event.clone(),
            enrolment: one.enrolment.clone(),
            kind: EventId::REGISTRATION.to_owned(),
            at: self.at,
            value: None,
        }
    }

    fn cancel_event(&self, one: &Enrolment) -> wire::CancelEvent {
        wire::CancelEvent { event: one.event.clone() }
    }

    fn approve_reservation(&self) -> wire::ApproveReservation {
        wire::ApproveReservation { reservation: ReservationId::join(&self.brand, &self.campaign), amount: self.budget }
    }

    fn activate(&self) -> wire::ActivateCampaign {
        wire::ActivateCampaign { campaign: self.campaign.clone() }
    }
}

#[cfg(test)]
mod tests {
    use seedwork::message::{Message, partition_key};
    use seedwork::saga::{Definition, engine::Phase};
    use wire::Participant;

    use super::*;

    fn participant(id: &str, kind: PartnerKind, kind_as_sent: Option<&str>) -> Participant {
        Participant {
            id: id.parse().unwrap(),
            kind,
            name: format!("name of {id}"),
            profile: format!("profile of {id}"),
            kind_as_sent: kind_as_sent.map(str::to_owned),
        }
    }

    fn registration() -> Registration {
        let ask = wire::RegisterCampaign {
            campaign: "c-1".parse().unwrap(),
            name: "Moda".to_owned(),
            kind: wire::values::CampaignKind::Mixed,
            starts: None,
            ends: None,
            budget: Money::parse("15000.00", "USD").unwrap(),
            brand: "b-1".parse().unwrap(),
            participants: vec![
                participant("p-1", PartnerKind::Influencer, Some("Influencer")),
                participant("p-2", PartnerKind::Affiliate, None),
            ],
            kind_as_sent: None,
        };
        Registration::of(&ask, "2025-09-01T12:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_rows_are_those_of_seed_004() {
        let plan = Definition::from(saga()).plan;
        let rows: Vec<_> = plan.iter().map(|row| (row.row, row.phase, row.context, row.command, row.undo)).collect();
        assert_eq!(
            rows,
            [
                (1, Phase::Start, "campaign", None, Some("campaign.undo-registration.v1")),
                (2, Phase::Step, "partner", Some("partner.register-enrolment.v1"), Some("partner.cancel-enrolment.v1")),
                (3, Phase::Step, "tracking", Some("tracking.record-event.v1"), Some("tracking.cancel-event.v1")),
                (4, Phase::Pivot, "campaign", Some("campaign.approve-reservation.v1"), None),
                (5, Phase::Then, "campaign", Some("campaign.activate.v1"), None),
            ]
        );
    }

    #[test]
    fn each_participant_is_enrolled_and_recorded_under_its_own_key() {
        let saga = registration();
        let [one, two] = saga.enrolments() else { panic!("two participants") };
        let enrol = saga.register_enrolment(one);
        assert_eq!(enrol.enrolment.as_str(), "p-1~c-1");
        assert_eq!((enrol.name.as_str(), enrol.profile.as_str()), ("name of p-1", "profile of p-1"));
        assert_eq!((enrol.kind, enrol.kind_as_sent.as_deref()), (PartnerKind::Influencer, Some("Influencer")));
        let record = saga.record_event(two);
        assert_eq!((record.event.as_str(), record.enrolment.as_str()), ("p-2~c-1~registration", "p-2~c-1"));
        assert_eq!((record.kind.as_str(), record.value), ("registration", None));
        assert_eq!(record.at.to_string(), "2025-09-01T12:00:00Z");
    }

    #[test]
    fn an_undo_has_the_key_of_its_step() {
        let saga = registration();
        for one in saga.enrolments() {
            assert_eq!(saga.cancel_enrolment(one).key(), saga.register_enrolment(one).key());
            assert_eq!(saga.cancel_event(one).key(), saga.record_event(one).key());
        }
        assert_eq!(saga.undo_registration().key(), "c-1", "row 1 was handled under the campaign's key");
    }

    #[test]
    fn the_pivot_reserves_the_budget_under_the_brand() {
        let pivot = registration().approve_reservation();
        assert_eq!(pivot.reservation.as_str(), "b-1~c-1");
        assert_eq!(partition_key(pivot.key()), "b-1");
        assert_eq!(pivot.amount.to_string(), "15000.00 USD");
        assert_eq!(registration().activate().key(), "c-1");
    }

    #[test]
    fn its_state_is_read_back_as_it_was_written() {
        let state = registration();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Registration>(&text).unwrap(), state);
    }
}
