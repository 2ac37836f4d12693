//! The saga that closes a campaign that was active: its budget is free again, and when it is cancelled so are the enrolments that its
//! registration made. It has no way back: each row is only tried again. What tracking has recorded stays.

use seedwork::Saga;
use seedwork::saga::Committed;
use serde::{Deserialize, Serialize};
use wire::values::{BrandId, CampaignId, EnrolmentId, PartnerId, ReservationId};

/// What the saga knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    campaign: CampaignId,
    reservation: ReservationId,
    enrolments: Vec<EnrolmentId>,
    reason: String,
}

/// The table.
pub fn saga() -> Saga<Closing, Committed> {
    Saga::new("campaign.closing") //            1  the unit of work that finished or cancelled the campaign
        .then(Closing::release_reservation) //  2
        .each(Closing::enrolments) //           3  one per enrolment; none when it is finished
        .then(Closing::cancel_enrolment)
}

impl Closing {
    /// The campaign ended well: its enrolments stay.
    pub fn finished(campaign: &CampaignId, brand: &BrandId) -> Closing {
        let reservation = ReservationId::join(brand, campaign);
        Closing { campaign: campaign.clone(), reservation, enrolments: Vec::new(), reason: "finished".to_owned() }
    }

    /// The campaign was cancelled, and with it the enrolments of these partners.
    pub fn cancelled<'a>(
        campaign: &CampaignId,
        brand: &BrandId,
        partners: impl Iterator<Item = &'a PartnerId>,
        reason: &str,
    ) -> Closing {
        let enrolments = partners.map(|partner| EnrolmentId::join(partner, campaign)).collect();
        Closing { enrolments, reason: reason.to_owned(), ..Closing::finished(campaign, brand) }
    }

    fn release_reservation(&self) -> wire::ReleaseReservation {
        wire::ReleaseReservation { reservation: self.reservation.clone() }
    }

    fn enrolments(&self) -> &[EnrolmentId] {
        &self.enrolments
    }

    fn cancel_enrolment(&self, enrolment: &EnrolmentId) -> wire::CancelEnrolment {
        wire::CancelEnrolment { enrolment: enrolment.clone(), reason: self.reason.clone() }
    }
}

#[cfg(test)]
mod tests {
    use seedwork::saga::{Definition, engine::Phase};

    use super::*;

    #[test]
    fn nothing_in_it_can_be_undone() {
        let plan = Definition::from(saga()).plan;
        let rows: Vec<_> = plan.iter().map(|row| (row.phase, row.command, row.undo)).collect();
        assert_eq!(
            rows,
            [
                (Phase::Start, None, None),
                (Phase::Then, Some("campaign.release-reservation.v1"), None),
                (Phase::Then, Some("partner.cancel-enrolment.v1"), None),
            ]
        );
    }

    #[test]
    fn a_cancelled_campaign_takes_its_enrolments_along_and_a_finished_one_does_not() {
        let (campaign, brand) = ("c-1".parse().unwrap(), "b-1".parse().unwrap());
        let partners: Vec<PartnerId> = vec!["p-1".parse().unwrap(), "p-2".parse().unwrap()];
        let cancelled = Closing::cancelled(&campaign, &brand, partners.iter(), "too dear");
        let asked: Vec<_> = cancelled.enrolments().iter().map(|enrolment| cancelled.cancel_enrolment(enrolment)).collect();
        assert_eq!(asked.iter().map(|ask| ask.enrolment.as_str()).collect::<Vec<_>>(), ["p-1~c-1", "p-2~c-1"]);
        assert!(asked.iter().all(|ask| ask.reason == "too dear"));
        let finished = Closing::finished(&campaign, &brand);
        assert_eq!(finished.enrolments(), []);
        for closing in [cancelled, finished] {
            assert_eq!(closing.release_reservation().reservation.as_str(), "b-1~c-1");
            let text = serde_json::to_string(&closing).unwrap();
            assert_eq!(serde_json::from_str::<Closing>(&text).unwrap(), closing);
        }
    }
}
