//! The laws of sagas, for each saga of Alpes: every row refused, faulted, dead and timed out at every index, every action and undo twice.

use campaign::campaign::{Campaign, Facts};
use seedwork::message::{Command, Message, Role};
use seedwork::testing::{Case, World, assert_saga_laws};
use seedwork::{Context, Result, UnitOfWork};
use serde::{Deserialize, Serialize};
use walks::{CLOSING, HOUR, REGISTRATION, Told, click, contexts, enrol, id, money, view};
use wire::values::{CampaignId, CampaignKind, ReservationId};

#[test]
fn the_registration_obeys_the_laws_of_sagas() {
    assert_saga_laws(&Case {
        contexts,
        saga: REGISTRATION,
        start: |world| world.ask(&walks::campaign("c-1").participants(2)),
        view,
    });
}

#[test]
fn the_closing_of_a_cancelled_campaign_obeys_the_laws_of_sagas() {
    assert_saga_laws(&Case {
        contexts: with_founding,
        saga: CLOSING,
        start: |world| {
            found(world);
            world.ask(&walks::cancel("c-1", "too dear"))
        },
        view,
    });
}

#[test]
fn the_closing_of_a_finished_campaign_obeys_the_laws_of_sagas() {
    assert_saga_laws(&Case {
        contexts: with_founding,
        saga: CLOSING,
        start: |world| {
            found(world);
            world.ask(&walks::finish("c-1"))
        },
        view,
    });
}

/// Makes a campaign active without a saga, so that the closing is the only one that the laws disturb.
#[derive(Serialize, Deserialize)]
struct FoundCampaign {
    campaign: CampaignId,
}

impl Message for FoundCampaign {
    type Owner = wire::campaign_v1::Campaign;
    const ROLE: Role = Role::Command;
    const KIND: &'static str = "campaign.found.v1";
    const RECORD: &'static str = "FoundCampaign";
    fn key(&self) -> &str {
        self.campaign.as_str()
    }
}

impl Command for FoundCampaign {}

fn found_campaign(ask: FoundCampaign, work: &mut UnitOfWork<'_>) -> Result {
    let wire::RegisterCampaign { name, budget, brand, participants, .. } = walks::campaign("c-1").participants(2);
    let participants = participants.into_iter().map(|said| campaign::campaign::Participant {
        id: said.id,
        kind: said.kind,
        kind_as_sent: None,
        name: said.name,
        profile: said.profile,
    });
    let facts = Facts {
        name,
        kind: CampaignKind::Mixed,
        kind_as_sent: None,
        starts: None,
        ends: None,
        budget,
        brand,
        participants: participants.collect(),
    };
    let (mut campaign, registered) = Campaign::register(ask.campaign, facts, "founded".into(), id("2025-09-01T00:00:00Z"))?;
    let activated = campaign.activate()?;
    work.save(campaign, std::iter::once(registered).chain(activated))
}

fn with_founding() -> Vec<Context> {
    let found = |context: Context| match context.name() {
        "campaign" => context.command("campaigns.write", found_campaign),
        _ => context,
    };
    contexts().into_iter().map(found).collect()
}

/// All that a registration leaves, made by hand.
fn found(world: &mut World) {
    world.ask(&FoundCampaign { campaign: id("c-1") });
    let reservation: ReservationId = id("b-1~c-1");
    world.ask(&wire::ApproveReservation { reservation, amount: money("15000", "USD") });
    world.settle(HOUR);
    for partner in ["p-1", "p-2"] {
        world.ask(&enrol(&format!("{partner}~c-1")));
        world.ask(&click(&format!("{partner}~c-1~e-1")));
    }
    world.settle(HOUR);
    let expected = "campaign c-1 active\naccount b-1~USD 15000.00 USD of 1000000.00 USD\nreservation b-1~c-1 15000.00 USD\n\
                    enrolment p-1~c-1 ambassador \"Enrolled by hand\"\nenrolment p-2~c-1 ambassador \"Enrolled by hand\"\n\
                    event p-1~c-1~e-1 click\nevent p-2~c-1~e-1 click\n\
                    partner knows \"Campaign c-1\"\ntracking knows \"Campaign c-1\"\n";
    assert_eq!(view(world), expected);
}
