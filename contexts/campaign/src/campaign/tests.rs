//! The rules of a campaign, one sentence each.

use seedwork::command::Class;
use wire::values::{CampaignKind, Money, PartnerKind};

use super::*;

fn participant(id: &str) -> Participant {
    Participant {
        id: id.parse().unwrap(),
        kind: PartnerKind::Influencer,
        kind_as_sent: None,
        name: "Alice Doe".to_owned(),
        profile: String::new(),
    }
}

fn facts() -> Facts {
    Facts {
        name: "Moda".to_owned(),
        kind: CampaignKind::Mixed,
        kind_as_sent: None,
        starts: Some("2025-09-10T00:00:00Z".parse().unwrap()),
        ends: Some("2025-12-10T23:59:59Z".parse().unwrap()),
        budget: Money::parse("15000.00", "USD").unwrap(),
        brand: "b-1".parse().unwrap(),
        participants: vec![participant("p-1"), participant("p-2")],
    }
}

fn register(facts: Facts) -> Result<(Campaign, Event), Refused> {
    Campaign::register("c-1".parse().unwrap(), facts, "c-1~saga".into(), "2025-09-01T00:00:00Z".parse().unwrap())
}

fn draft() -> Campaign {
    register(facts()).unwrap().0
}

fn active() -> Campaign {
    let mut campaign = draft();
    assert_eq!(campaign.activate(), Ok(Some(Event::Activated)));
    campaign
}

fn paused() -> Campaign {
    let mut campaign = active();
    assert_eq!(campaign.pause(), Ok(Some(Event::Paused)));
    campaign
}

fn finished() -> Campaign {
    let mut campaign = active();
    assert_eq!(campaign.finish(), Ok(Some(Event::Finished)));
    campaign
}

fn cancelled() -> Campaign {
    let mut campaign = active();
    assert_eq!(campaign.cancel(why()), Ok(Some(Event::Cancelled { reason: why() })));
    campaign
}

fn undone() -> Campaign {
    let mut campaign = draft();
    campaign.undo_registration().unwrap();
    campaign
}

fn why() -> String {
    "too dear".to_owned()
}

/// Registers what `change` makes of good facts; gives the refusal's code and field.
fn refused(change: impl FnOnce(&mut Facts)) -> (String, String) {
    let mut facts = facts();
    change(&mut facts);
    let refusal = register(facts).unwrap_err().refusal();
    assert_eq!(refusal.class, Class::Unprocessable, "{refusal}");
    (refusal.code.into(), refusal.field.unwrap().into())
}

#[test]
fn a_campaign_begins_as_a_draft_of_its_registration() {
    let (campaign, event) = register(facts()).unwrap();
    assert_eq!(event, Event::Registered);
    assert_eq!((campaign.id(), campaign.status()), ("c-1", Status::Draft));
    assert_eq!(campaign.registration().map(|saga| &**saga), Some("c-1~saga"));
    assert_eq!(campaign.reservation().as_str(), "b-1~c-1");
    assert_eq!(campaign.partners().map(PartnerId::as_str).collect::<Vec<_>>(), ["p-1", "p-2"]);
}

#[test]
fn a_name_has_1_to_200_characters_not_bytes() {
    assert_eq!(refused(|facts| facts.name.clear()), ("text-length".into(), "name".into()));
    assert_eq!(refused(|facts| facts.name = "ñ".repeat(201)), ("text-length".into(), "name".into()));
    let mut facts = facts();
    facts.name = "ñ".repeat(200);
    assert!(register(facts).is_ok());
}

#[test]
fn its_window_ends_after_it_starts_and_both_are_optional() {
    let window = |facts: &mut Facts| facts.ends = facts.starts;
    assert_eq!(refused(window), ("window-ends-before-start".into(), "ends".into()));
    for (starts, ends) in [(None, None), (facts().starts, None), (None, facts().ends)] {
        assert!(register(Facts { starts, ends, ..facts() }).is_ok(), "{starts:?} {ends:?}");
    }
    let past = Facts { starts: Some(Timestamp::MIN), ends: Some("1999-01-01T00:00:00Z".parse().unwrap()), ..facts() };
    assert!(register(past).is_ok(), "a past window is accepted");
}

#[test]
fn its_budget_is_more_than_nothing() {
    for amount in ["0", "-0.01"] {
        let budget = Money::parse(amount, "USD").unwrap();
        assert_eq!(refused(|facts| facts.budget = budget), ("budget-not-positive".into(), "budget".into()));
    }
}

#[test]
fn it_has_1_to_1000_participants_each_once() {
    let many = |count: usize| (0..count).map(|number| participant(&format!("p-{number}"))).collect::<Vec<_>>();
    assert_eq!(refused(|facts| facts.participants.clear()), ("participants-count".into(), "participants".into()));
    assert_eq!(refused(|facts| facts.participants = many(1_001)), ("participants-count".into(), "participants".into()));
    assert!(register(Facts { participants: many(1_000), ..facts() }).is_ok());
    let twice = |facts: &mut Facts| facts.participants.push(participant("p-1"));
    assert_eq!(refused(twice), ("participant-twice".into(), "participants[2].id".into()));
}

#[test]
fn what_is_wrong_with_a_participant_names_which_one() {
    let field = |change: fn(&mut Participant)| refused(|facts| change(&mut facts.participants[1])).1;
    assert_eq!(field(|one| one.name.clear()), "participants[1].name");
    assert_eq!(field(|one| one.name = "x".repeat(201)), "participants[1].name");
    assert_eq!(field(|one| one.profile = "x".repeat(4_001)), "participants[1].profile");
    assert_eq!(field(|one| one.kind_as_sent = Some("x".repeat(33))), "participants[1].kind_as_sent");
    assert_eq!(refused(|facts| facts.kind_as_sent = Some(String::new())).1, "kind_as_sent");
}

#[test]
fn a_draft_refuses_to_be_paused_resumed_finished_or_cancelled_like_an_active_one() {
    let mut campaign = draft();
    for refused in [campaign.pause(), campaign.resume(), campaign.finish(), campaign.cancel(why())] {
        let refusal = refused.unwrap_err().refusal();
        assert_eq!((&*refusal.code, refusal.class), ("campaign-is-draft", Class::Conflict));
    }
    assert_eq!(campaign, draft(), "a refusal changes nothing");
}

#[test]
fn its_registration_makes_it_active_and_lets_go_of_it() {
    let mut campaign = active();
    assert_eq!((campaign.status(), campaign.registration()), (Status::Active, None));
    assert_eq!(campaign.activate(), Ok(None), "it was so already");
    assert_eq!(campaign.cancel_as_kept(), None, "no cancel was kept");
}

#[test]
fn an_activation_that_is_heard_again_is_done_whatever_came_after() {
    for mut campaign in [paused(), finished(), cancelled()] {
        let before = campaign.clone();
        assert_eq!(campaign.activate(), Ok(None));
        assert_eq!(campaign, before);
    }
    assert_eq!(undone().activate(), Err(Refused::Final(Status::Cancelled)), "it never was active");
}

#[test]
fn active_and_paused_follow_each_other_and_twice_is_once() {
    let mut campaign = active();
    assert_eq!(campaign.resume(), Ok(None));
    assert_eq!(campaign.pause(), Ok(Some(Event::Paused)));
    assert_eq!(campaign.pause(), Ok(None));
    assert_eq!(campaign.resume(), Ok(Some(Event::Resumed)));
    assert_eq!(campaign.status(), Status::Active);
}

#[test]
fn finished_and_cancelled_are_final() {
    for (mut campaign, status) in
        [(finished(), Status::Finished), (cancelled(), Status::Cancelled), (undone(), Status::Cancelled)]
    {
        let before = campaign.clone();
        for refused in [campaign.pause(), campaign.resume()] {
            assert_eq!(refused, Err(Refused::Final(status)));
        }
        assert_eq!(campaign.keep_cancel(why()), Err(Refused::Registered(status)));
        assert_eq!(campaign, before);
    }
    assert_eq!(finished().finish(), Ok(None));
    assert_eq!(finished().cancel(why()), Err(Refused::Final(Status::Finished)));
    assert_eq!(cancelled().cancel("again".to_owned()), Ok(None), "it was so already");
    assert_eq!(cancelled().finish(), Err(Refused::Final(Status::Cancelled)));
    assert_eq!(Refused::Final(Status::Finished).refusal().message, "the campaign is finished, which is final");
}

#[test]
fn a_paused_campaign_can_be_finished_and_cancelled() {
    assert_eq!(paused().finish(), Ok(Some(Event::Finished)));
    assert_eq!(paused().cancel(why()), Ok(Some(Event::Cancelled { reason: why() })));
    assert_eq!(cancelled().cancel_reason(), Some("too dear"));
}

#[test]
fn a_cancel_has_a_reason_of_1_to_500_characters() {
    for reason in [String::new(), "x".repeat(501)] {
        for mut campaign in [draft(), active()] {
            let asked = if campaign.status() == Status::Draft {
                campaign.keep_cancel(reason.clone())
            } else {
                campaign.cancel(reason.clone())
            };
            let refusal = asked.unwrap_err().refusal();
            assert_eq!((&*refusal.code, refusal.field.as_deref()), ("text-length", Some("reason")));
        }
    }
    assert!(active().cancel("ñ".repeat(500)).is_ok());
}

#[test]
fn the_undo_of_its_registration_cancels_a_draft_once() {
    let mut campaign = draft();
    assert_eq!(campaign.undo_registration(), Ok(Some(Event::Cancelled { reason: "registration undone".to_owned() })));
    assert_eq!((campaign.status(), campaign.registration()), (Status::Cancelled, None));
    assert_eq!(campaign.cancel_reason(), Some("registration undone"));
    assert_eq!(campaign.undo_registration(), Ok(None), "it was so already");
}

#[test]
fn the_undo_of_a_registration_never_cancels_what_was_active() {
    for mut campaign in [active(), paused(), finished(), cancelled()] {
        let status = campaign.status();
        assert_eq!(campaign.undo_registration(), Err(Refused::Registered(status)));
    }
}

#[test]
fn the_reason_of_an_abort_is_the_reason_of_the_cancel_that_follows() {
    let mut campaign = draft();
    assert_eq!(campaign.keep_cancel(why()), Ok(Some(Event::CancelKept)));
    assert_eq!(campaign.keep_cancel("another".to_owned()), Ok(None), "the first reason stays");
    assert_eq!(campaign.status(), Status::Draft);
    assert_eq!(campaign.undo_registration(), Ok(Some(Event::Cancelled { reason: why() })));
}

#[test]
fn a_cancel_that_came_too_late_is_carried_out_with_the_activation() {
    let mut campaign = draft();
    campaign.keep_cancel(why()).unwrap();
    assert_eq!(campaign.cancel_as_kept(), None, "not before it is active");
    assert_eq!(campaign.activate(), Ok(Some(Event::Activated)));
    assert_eq!(campaign.cancel_as_kept(), Some(Event::Cancelled { reason: why() }));
    assert_eq!(campaign.status(), Status::Cancelled);
    assert_eq!((campaign.activate(), campaign.cancel_as_kept()), (Ok(None), None), "heard again, both were so already");
}

#[test]
fn its_state_is_read_back_as_it_was_written() {
    for campaign in [draft(), active(), paused(), finished(), cancelled(), undone()] {
        let text = serde_json::to_string(&campaign).unwrap();
        assert_eq!(serde_json::from_str::<Campaign>(&text).unwrap(), campaign, "{text}");
        assert!(text.contains(&format!("\"status\":\"{}\"", campaign.status().as_str())), "{text}");
    }
}
