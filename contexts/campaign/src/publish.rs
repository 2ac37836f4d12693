//! What the world may know: each event of an aggregate becomes a message, or is said to stay inside.
#![deny(clippy::wildcard_enum_match_arm)]

use seedwork::{Outbox, Publish};

use crate::account::{self, Account};
use crate::campaign::{self, Campaign, Facts, Participant};
use crate::reservation::{self, Reservation};

impl Publish for Campaign {
    type Event = campaign::Event;

    fn publish(&self, event: campaign::Event, out: &mut Outbox) {
        let campaign = self.campaign().clone();
        match event {
            campaign::Event::Registered => out.event(registered(campaign, self.facts())),
            campaign::Event::Activated => out.event(wire::CampaignActivated {
                campaign,
                name: self.facts().name.clone(),
                kind: self.facts().kind,
                starts: self.facts().starts,
                ends: self.facts().ends,
                partners: self.partners().cloned().collect(),
            }),
            campaign::Event::Paused => out.event(wire::CampaignPaused { campaign }),
            campaign::Event::Resumed => out.event(wire::CampaignResumed { campaign }),
            campaign::Event::Finished => out.event(wire::CampaignFinished { campaign }),
            campaign::Event::Cancelled { reason } => out.event(wire::CampaignCancelled { campaign, reason }),
            // A wish, not a fact: the cancel itself follows from the registration's end.
            campaign::Event::CancelKept => out.nothing(),
        }
    }
}

fn registered(campaign: wire::values::CampaignId, facts: &Facts) -> wire::CampaignRegistered {
    wire::CampaignRegistered {
        campaign,
        name: facts.name.clone(),
        kind: facts.kind,
        starts: facts.starts,
        ends: facts.ends,
        budget: facts.budget,
        brand: facts.brand.clone(),
        participants: facts.participants.iter().map(participant).collect(),
    }
}

fn participant(of: &Participant) -> wire::Participant {
    wire::Participant {
        id: of.id.clone(),
        kind: of.kind,
        name: of.name.clone(),
        profile: of.profile.clone(),
        kind_as_sent: of.kind_as_sent.clone(),
    }
}

impl Publish for Account {
    type Event = account::Event;

    fn publish(&self, event: account::Event, out: &mut Outbox) {
        match event {
            account::Event::LimitSet => out.event(wire::LimitSet { account: self.account().clone(), limit: self.limit() }),
            // The default is a setting of this deployment, not a decision about this brand.
            account::Event::Opened => out.nothing(),
            // The reservation says so.
            account::Event::Reserved | account::Event::Released => out.nothing(),
        }
    }
}

impl Publish for Reservation {
    type Event = reservation::Event;

    fn publish(&self, event: reservation::Event, out: &mut Outbox) {
        let (reservation, amount) = (self.reservation().clone(), self.amount());
        match event {
            reservation::Event::Approved => out.event(wire::ReservationApproved { reservation, amount }),
            reservation::Event::Released => out.event(wire::ReservationReleased { reservation, amount }),
        }
    }
}
