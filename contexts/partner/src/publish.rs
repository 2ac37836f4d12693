//! What the world may know: each event of an aggregate becomes a message, or is said to stay inside.
#![deny(clippy::wildcard_enum_match_arm)]

use seedwork::{Outbox, Publish};

use crate::enrolment::{self, Enrolment};
use crate::known_campaign::{self, KnownCampaign};
use crate::partner::{self, Partner};

impl Publish for Partner {
    type Event = partner::Event;

    fn publish(&self, event: partner::Event, out: &mut Outbox) {
        let partner = self.partner().clone();
        match event {
            partner::Event::Registered => {
                let (name, profile) = (self.name().to_owned(), self.profile().to_owned());
                out.event(wire::PartnerRegistered { partner, name, profile });
            }
            partner::Event::Banned => {
                out.event(wire::PartnerBanned { partner, reason: self.ban_reason().map(str::to_owned) });
            }
            partner::Event::Unbanned => out.event(wire::PartnerUnbanned { partner }),
        }
    }
}

impl Publish for Enrolment {
    type Event = enrolment::Event;

    fn publish(&self, event: enrolment::Event, out: &mut Outbox) {
        let enrolment = self.enrolment().clone();
        match event {
            enrolment::Event::Registered => {
                out.event(wire::EnrolmentRegistered { enrolment, name: self.name().to_owned(), kind: self.kind() });
            }
            enrolment::Event::Cancelled { reason } => out.event(wire::EnrolmentCancelled { enrolment, reason }),
        }
    }
}

impl Publish for KnownCampaign {
    type Event = known_campaign::Event;

    fn publish(&self, event: known_campaign::Event, out: &mut Outbox) {
        match event {
            // The campaign's own context has said so.
            known_campaign::Event::Heard => out.nothing(),
        }
    }
}
