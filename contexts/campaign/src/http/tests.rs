//! The form of requests, and how answers read.

use serde_json::{from_str, json, to_value};

use super::*;
use crate::views::{AccountDoc, CampaignDoc, Names};

const GOOD: &str = r#"{"id": "c-1", "name": "Moda", "kind": "mixed", "starts": "2025-09-10T00:00:00Z",
    "ends": "2025-12-10T23:59:59Z", "brand": "b-1", "budget": {"amount": "15000.00", "currency": "USD"},
    "participants": [{"id": "p-98765", "kind": "influencer", "name": "Alice Doe", "profile": "Moda, 200k"}]}"#;

fn ask(json: &str) -> Result<wire::RegisterCampaign, Refusal> {
    let mut minted = 0;
    from_str::<NewCampaign<'_>>(json).unwrap().command(|| {
        minted += 1;
        format!("minted-{minted}")
    })
}

/// The good body with one piece of its text replaced.
fn with(piece: &str, other: &str) -> String {
    assert_eq!(GOOD.matches(piece).count(), 1, "{piece}");
    GOOD.replace(piece, other)
}

#[track_caller]
fn refused(piece: &str, other: &str, code: &str, field: &str) {
    let refusal = ask(&with(piece, other)).unwrap_err();
    assert_eq!((&*refusal.code, refusal.field.as_deref()), (code, Some(field)), "{refusal}");
    assert_eq!(refusal.class, seedwork::command::Class::Unprocessable);
    assert!(!refusal.message.is_empty());
}

#[test]
fn the_body_of_the_documentation_becomes_its_command() {
    let command = ask(GOOD).unwrap();
    assert_eq!((command.campaign.as_str(), command.name.as_str(), command.brand.as_str()), ("c-1", "Moda", "b-1"));
    assert_eq!((command.kind, command.kind_as_sent), (CampaignKind::Mixed, None));
    assert_eq!(command.budget.to_string(), "15000.00 USD");
    assert_eq!(command.starts.map(|at| at.to_string()).as_deref(), Some("2025-09-10T00:00:00Z"));
    let [alice] = command.participants.as_slice() else { panic!("one participant") };
    assert_eq!((alice.id.as_str(), alice.kind, &alice.kind_as_sent), ("p-98765", PartnerKind::Influencer, &None));
    assert_eq!((alice.name.as_str(), alice.profile.as_str()), ("Alice Doe", "Moda, 200k"));
}

#[test]
fn what_may_be_left_out_may_be_left_out_or_null() {
    let least = r#"{"name": "Moda", "brand": "b-1", "budget": {"amount": "1", "currency": "JPY"},
        "participants": [{"kind": "afiliado", "name": "A"}, {"id": null, "kind": "Ambassador", "name": "B", "profile": null}]}"#;
    let command = ask(least).unwrap();
    assert_eq!(command.campaign.as_str(), "minted-1");
    assert_eq!((command.kind, command.starts, command.ends), (CampaignKind::Mixed, None, None));
    let people: Vec<_> = command.participants.iter().map(|of| (of.id.as_str(), of.kind, of.kind_as_sent.as_deref())).collect();
    assert_eq!(
        people,
        [("minted-2", PartnerKind::Affiliate, Some("afiliado")), ("minted-3", PartnerKind::Ambassador, Some("Ambassador"))]
    );
}

#[test]
fn texts_are_counted_in_characters() {
    assert!(ask(&with("\"Moda\"", &format!("\"{}\"", "ñ".repeat(NAME_MAX_CHARS)))).is_ok());
    refused("\"Moda\"", &format!("\"{}\"", "ñ".repeat(NAME_MAX_CHARS + 1)), "text-length", "name");
    refused("\"Moda\"", "\"\"", "text-length", "name");
    refused("Alice Doe", "", "text-length", "participants[0].name");
    let profile = "x".repeat(PROFILE_MAX_CHARS + 1);
    refused("Moda, 200k", &profile, "text-length", "participants[0].profile");
}

#[test]
fn what_has_not_the_right_form_is_refused_by_its_field() {
    refused("\"c-1\"", "\"a/b\"", "id-invalid", "id");
    refused("\"c-1\"", "\"\"", "id-invalid", "id");
    refused("\"b-1\"", "\"ñ\"", "id-invalid", "brand");
    refused("p-98765", "p~1", "id-invalid", "participants[0].id");
    refused("\"mixed\"", "\"all\"", "kind-unknown", "kind");
    refused("\"influencer\"", "\"friend\"", "kind-unknown", "participants[0].kind");
    refused("2025-09-10T00:00:00Z", "2025-02-30T00:00:00Z", "instant-invalid", "starts");
    refused("2025-12-10T23:59:59Z", "tomorrow", "instant-invalid", "ends");
    refused("2025-12-10T23:59:59Z", "2025-09-10T00:00:00Z", "window-ends-before-start", "ends");
    refused("USD", "XXX", "currency-unknown", "budget.currency");
    refused("USD", "dollars", "currency-unknown", "budget.currency");
    for amount in ["15000.001", "1e4", "9".repeat(30).as_str(), "", "--1", "15,000"] {
        refused("15000.00", amount, "amount-invalid", "budget.amount");
    }
    refused("15000.00", "-1", "budget-not-positive", "budget.amount");
    refused("15000.00", "0.00", "budget-not-positive", "budget.amount");
}

#[test]
fn it_has_one_to_a_thousand_participants_each_once() {
    let start = GOOD.find('[').unwrap();
    let of = |count: usize| {
        let people: Vec<_> = (0..count).map(|at| format!(r#"{{"id": "p-{at}", "kind": "influencer", "name": "N"}}"#)).collect();
        format!("{}[{}]}}", &GOOD[..start], people.join(","))
    };
    assert_eq!(ask(&of(PARTICIPANTS_MAX)).unwrap().participants.len(), PARTICIPANTS_MAX);
    for count in [0, PARTICIPANTS_MAX + 1] {
        let refusal = ask(&of(count)).unwrap_err();
        assert_eq!((&*refusal.code, refusal.field.as_deref()), ("participants-count", Some("participants")));
    }
    let refusal = ask(&of(7).replace("p-5", "p-2")).unwrap_err();
    assert_eq!((&*refusal.code, refusal.field.as_deref()), ("participant-twice", Some("participants[5].id")));
}

#[test]
fn its_limits_are_the_aggregates() {
    use crate::campaign as aggregate;
    let here = (NAME_MAX_CHARS, PROFILE_MAX_CHARS, REASON_MAX_CHARS, PARTICIPANTS_MAX);
    let there =
        (aggregate::NAME_MAX_CHARS, aggregate::PROFILE_MAX_CHARS, aggregate::REASON_MAX_CHARS, aggregate::PARTICIPANTS_MAX);
    assert_eq!(here, there);
    let longest = CampaignKind::SPELLINGS
        .iter()
        .map(|(spelling, _)| spelling)
        .chain(PartnerKind::SPELLINGS.iter().map(|(spelling, _)| spelling));
    assert!(longest.map(|spelling| spelling.len()).max() <= Some(aggregate::KIND_MAX_CHARS));
}

#[test]
fn a_refusal_names_the_field_of_the_request() {
    for (of_command, of_request) in [
        ("campaign", "id"),
        ("kind_as_sent", "kind"),
        ("participants[3].kind_as_sent", "participants[3].kind"),
        ("participants[3].id", "participants[3].id"),
        ("ends", "ends"),
    ] {
        assert_eq!(field(of_command), of_request);
    }
}

#[test]
fn a_cancel_needs_no_reason_and_a_limit_is_in_the_accounts_currency() {
    let campaign: CampaignId = "c-1".parse().unwrap();
    let cancel = |json: &str| from_str::<Cancel>(json).unwrap().command(campaign.clone());
    assert_eq!(cancel("{}").unwrap().reason, NO_REASON);
    assert_eq!(cancel(r#"{"reason": "too dear"}"#).unwrap().reason, "too dear");
    assert_eq!(cancel(r#"{"reason": ""}"#).unwrap_err().field.as_deref(), Some("reason"));
    let (brand, yen): (BrandId, Currency) = ("b-1".parse().unwrap(), "JPY".parse().unwrap());
    let limit = |amount: &str| NewLimit { limit: amount.to_owned() }.command(&brand, yen);
    let set = limit("0").unwrap();
    assert_eq!((set.account.as_str(), set.limit.amount), ("b-1~JPY", 0));
    assert_eq!(&*limit("1.5").unwrap_err().code, "amount-invalid");
    assert_eq!(&*limit("-1").unwrap_err().code, "limit-negative");
}

#[test]
fn lists_are_filtered_and_continued() {
    let asked =
        |given: &[(&str, &'static str)]| filter(|name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
    let found = asked(&[("status", "active"), ("brand", "b-1"), ("kind", "Afiliado"), ("sort", "created")]).unwrap();
    assert_eq!(found.statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>(), ["active"]);
    assert_eq!(found.brand.map(|brand| brand.to_string()).as_deref(), Some("b-1"));
    assert_eq!((found.kind, found.oldest_first), (Some(CampaignKind::Affiliate), true));
    assert_eq!(asked(&[]).unwrap(), Filter::default());
    assert_eq!(asked(&[("sort", "-created")]).unwrap(), Filter::default());
    let names = |beginning: &str, descending| Some(Names { beginning: beginning.to_owned(), descending });
    assert_eq!(asked(&[("name", "Mod")]).unwrap().names, names("Mod", false));
    assert_eq!(asked(&[("name", "Mod"), ("sort", "-name")]).unwrap().names, names("Mod", true));
    assert_eq!(asked(&[("sort", "name")]).unwrap().names, names("", false));
    for (given, field) in [
        (&[("status", "open")][..], "status"),
        (&[("brand", "a/b")], "brand"),
        (&[("kind", "ambassador")], "kind"),
        (&[("sort", "budget")], "sort"),
        (&[("name", "Mod"), ("sort", "created")], "sort"),
        (&[("name", "")], "name"),
    ] {
        assert_eq!(asked(given).unwrap_err().field.as_deref(), Some(field), "{given:?}");
    }
    let place = Cursor { created: 1_757_462_400_000_000, id: "c.1".to_owned() };
    assert_eq!(parse_cursor(&cursor(&place)), Some(place));
    for text in ["", "7", "x.c-1", "7.", "7.a/b", "99999999999999999999.c-1"] {
        assert_eq!(parse_cursor(text), None, "{text}");
    }
}

#[test]
fn a_campaign_is_answered_with_amounts_as_text_and_kinds_as_sent() {
    let doc: CampaignDoc = serde_json::from_value(json!({
        "id": "c-1", "status": "draft", "created": "2025-09-01T00:00:00Z", "registration": "c-1~1", "name": "Moda",
        "kind": "influencer", "kind_as_sent": "Influencer", "ends": "2025-12-10T23:59:59Z", "brand": "b-1",
        "budget": {"amount": 1_500_000, "currency": "USD"},
        "participants": [{"id": "p-1", "kind": "affiliate", "kind_as_sent": "afiliado", "name": "Alice", "profile": ""}],
    }))
    .unwrap();
    let expected = json!({
        "id": "c-1", "name": "Moda", "kind": "Influencer", "status": "draft", "ends": "2025-12-10T23:59:59Z", "brand": "b-1",
        "budget": {"amount": "15000.00", "currency": "USD"}, "created": "2025-09-01T00:00:00Z", "saga": "c-1~1",
        "participants": [{"id": "p-1", "kind": "afiliado", "name": "Alice", "profile": ""}],
    });
    assert_eq!(to_value(CampaignAnswer::from(&doc)).unwrap(), expected);
}

#[test]
fn an_account_is_answered_with_amounts_as_text() {
    let doc: AccountDoc = serde_json::from_value(json!({
        "brand": "b-1", "limit": {"amount": 1_000_000, "currency": "KWD"}, "reserved": {"amount": 1, "currency": "KWD"},
        "available": {"amount": 999_999, "currency": "KWD"},
    }))
    .unwrap();
    let expected = json!({"brand": "b-1", "currency": "KWD", "limit": "1000.000", "reserved": "0.001", "available": "999.999"});
    assert_eq!(to_value(AccountAnswer::from(&doc)).unwrap(), expected);
}
