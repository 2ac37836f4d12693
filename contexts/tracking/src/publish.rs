//! What the world may know: each event of an aggregate becomes a message, or is said to stay inside.
#![deny(clippy::wildcard_enum_match_arm)]

use seedwork::{Outbox, Publish};

use crate::block::{self, Block};
use crate::event::{self, TrackingEvent};
use crate::known_campaign::{self, KnownCampaign};
use crate::known_enrolment::{self, KnownEnrolment};

impl Publish for TrackingEvent {
    type Event = event::Event;

    fn publish(&self, event: event::Event, out: &mut Outbox) {
        let (id, facts) = (self.event().clone(), self.facts());
        let enrolment = facts.enrolment.clone();
        match event {
            event::Event::Recorded => out.event(wire::EventRecorded {
                event: id,
                enrolment,
                kind: facts.kind.clone(),
                at: facts.at,
                value: facts.value,
            }),
            event::Event::Cancelled => out.event(wire::EventCancelled { event: id, enrolment }),
        }
    }
}

impl Publish for Block {
    type Event = block::Event;

    fn publish(&self, event: block::Event, out: &mut Outbox) {
        let block = self.block().clone();
        match event {
            block::Event::Raised => out.event(wire::Blocked { block }),
            block::Event::Lifted => out.event(wire::Unblocked { block }),
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

impl Publish for KnownEnrolment {
    type Event = known_enrolment::Event;

    fn publish(&self, event: known_enrolment::Event, out: &mut Outbox) {
        match event {
            // The enrolment's own context has said so.
            known_enrolment::Event::Told => out.nothing(),
        }
    }
}
