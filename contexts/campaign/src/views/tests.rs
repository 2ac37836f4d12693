//! The queries, on a real SQLite.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use wire::values::{CampaignKind, PartnerKind};

use seedwork::view::Value;

use super::*;
use crate::campaign::{Facts, Participant};

/// SQLite, in memory, with the view's table.
struct Store(Connection);

impl Store {
    fn new() -> Store {
        let store = Store(Connection::open_in_memory().unwrap());
        let columns: String = CAMPAIGNS.columns.iter().map(|(name, kind)| format!(", {name} {kind}")).collect();
        let own = "id TEXT PRIMARY KEY, version BIGINT, format BIGINT, body TEXT";
        let accounts = format!("CREATE TABLE campaign_account ({own}) WITHOUT ROWID");
        store.0.execute_batch(&format!("CREATE TABLE campaign_campaign ({own}{columns}) WITHOUT ROWID; {accounts}")).unwrap();
        for (name, columns) in CAMPAIGNS.indexes {
            store.0.execute_batch(&format!("CREATE INDEX {name} ON campaign_campaign ({columns})")).unwrap();
        }
        store
    }

    fn save(&self, campaign: &Campaign) {
        let row = (CAMPAIGNS.row)(campaign);
        assert_eq!(row.len(), CAMPAIGNS.columns.len());
        let own =
            [Value::from(campaign.campaign().as_str()), 7.into(), 1.into(), serde_json::to_string(campaign).unwrap().into()];
        let sql = "INSERT OR REPLACE INTO campaign_campaign VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.0.execute(sql, rusqlite::params_from_iter(own.iter().chain(&row).map(to_sql))).unwrap();
    }

    fn open_account(&self, brand: &str, currency: &str) {
        let limit = Money::parse("1", currency).unwrap();
        let (account, _) = Account::open(&brand.parse().unwrap(), limit);
        let row = (account.account().as_str(), serde_json::to_string(&account).unwrap());
        self.0.execute("INSERT INTO campaign_account VALUES ($1, 3, 1, $2)", row).unwrap();
    }

    fn ids(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> (Vec<String>, Option<Cursor>) {
        let page = campaigns(self, filter, after, limit).unwrap();
        (page.campaigns.iter().map(|campaign| campaign.value.id.to_string()).collect(), page.next)
    }
}

fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Integer(number) => Sql::Integer(*number),
        Value::Text(text) => Sql::Text(text.clone()),
    }
}

impl Read for Store {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let mut statement = self.0.prepare(sql).map_err(|error| error.to_string())?;
        let columns = statement.column_count();
        let rows = statement.query_map(rusqlite::params_from_iter(parameters.iter().map(to_sql)), |row| {
            let value = |column| {
                Ok(match row.get::<_, Sql>(column)? {
                    Sql::Integer(number) => Value::Integer(number),
                    Sql::Text(text) => Value::Text(text),
                    Sql::Null | Sql::Real(_) | Sql::Blob(_) => Value::Null,
                })
            };
            (0..columns).map(value).collect()
        });
        rows.and_then(Iterator::collect).map_err(|error| error.to_string())
    }
}

fn campaign_of(id: &str, brand: &str, created: i64) -> Campaign {
    let facts = Facts {
        name: format!("Campaña \"{id}\""),
        kind: CampaignKind::Influencer,
        kind_as_sent: Some("Influencer".to_owned()),
        starts: Some("2025-09-10T00:00:00Z".parse().unwrap()),
        ends: None,
        budget: Money::parse("15000.00", "USD").unwrap(),
        brand: brand.parse().unwrap(),
        participants: vec![Participant {
            id: "p-98765".parse().unwrap(),
            kind: PartnerKind::Affiliate,
            kind_as_sent: Some("afiliado".to_owned()),
            name: "Alice Doe".to_owned(),
            profile: "Moda, 200k".to_owned(),
        }],
    };
    let created = Timestamp::from_micros(created).unwrap();
    Campaign::register(id.parse().unwrap(), facts, format!("{id}~saga").into(), created).unwrap().0
}

#[test]
fn a_campaign_is_found_by_its_id_with_all_that_was_said_of_it() {
    let store = Store::new();
    let mut saved = campaign_of("c-1", "b-1", 7_000_001);
    store.save(&saved);
    let draft = campaign(&store, saved.campaign()).unwrap().unwrap();
    assert_eq!(draft.version, 7);
    assert_eq!(
        serde_json::to_value(&draft.value).unwrap(),
        serde_json::json!({
            "id": "c-1", "status": "draft", "created": "1970-01-01T00:00:07.000001Z", "registration": "c-1~saga",
            "name": "Campaña \"c-1\"", "kind": "influencer", "kind_as_sent": "Influencer", "starts": "2025-09-10T00:00:00Z",
            "budget": {"amount": 1_500_000, "currency": "USD"}, "brand": "b-1",
            "participants": [{"id": "p-98765", "kind": "affiliate", "kind_as_sent": "afiliado", "name": "Alice Doe",
                              "profile": "Moda, 200k"}],
        })
    );
    saved.activate().unwrap();
    saved.cancel("too dear".to_owned()).unwrap();
    store.save(&saved);
    let cancelled = campaign(&store, saved.campaign()).unwrap().unwrap().value;
    assert_eq!(
        (cancelled.status, cancelled.reason.as_deref(), cancelled.registration),
        (Status::Cancelled, Some("too dear"), None)
    );
    assert_eq!(campaign(&store, &"c-2".parse().unwrap()), Ok(None));
}

#[test]
fn campaigns_are_listed_newest_first_page_by_page() {
    let store = Store::new();
    // Two of the same microsecond are told apart by their ids.
    for (id, created) in [("c-1", 10), ("c-2", 30), ("c-3", 20), ("c-4", 20), ("c-5", 40)] {
        store.save(&campaign_of(id, "b-1", created));
    }
    let all = Filter::default();
    let (first, next) = store.ids(&all, None, 2);
    assert_eq!(first, ["c-5", "c-2"]);
    let (second, next) = store.ids(&all, next.as_ref(), 2);
    assert_eq!((second, next.clone()), (vec!["c-4".into(), "c-3".into()], Some(Cursor { created: 20, id: "c-3".into() })));
    let (last, next) = store.ids(&all, next.as_ref(), 2);
    assert_eq!((last, next), (vec!["c-1".to_owned()], None));
    assert_eq!(store.ids(&all, None, 5).1, None, "a full last page has none after it");
    assert_eq!(store.ids(&all, None, 0).0, ["c-5"], "a page holds one at least");
}

#[test]
fn the_oldest_come_first_when_that_is_asked_for() {
    let store = Store::new();
    for (id, created) in [("c-1", 10), ("c-2", 30), ("c-3", 20), ("c-4", 20)] {
        store.save(&campaign_of(id, "b-1", created));
    }
    let oldest = Filter { oldest_first: true, ..Filter::default() };
    let (first, next) = store.ids(&oldest, None, 2);
    assert_eq!(first, ["c-1", "c-3"]);
    assert_eq!(store.ids(&oldest, next.as_ref(), 9), (vec!["c-4".to_owned(), "c-2".to_owned()], None));
}

#[test]
fn a_list_is_filtered_by_status_kind_and_brand_and_counted() {
    let store = Store::new();
    for (number, brand) in ["b-1", "b-2", "b-1", "b-1"].iter().enumerate() {
        let mut campaign = campaign_of(&format!("c-{number}"), brand, i64::try_from(number).unwrap());
        if number > 1 {
            campaign.activate().unwrap();
        }
        store.save(&campaign);
    }
    let brand = Some("b-1".parse().unwrap());
    let of_brand = Filter { brand: brand.clone(), ..Filter::default() };
    assert_eq!(store.ids(&of_brand, None, 9).0, ["c-3", "c-2", "c-0"]);
    assert_eq!(total(&store, &of_brand), Ok(seedwork::view::Total { count: 3, exact: true }));
    let drafts = Filter { statuses: vec![Status::Draft], ..Filter::default() };
    assert_eq!(store.ids(&drafts, None, 9).0, ["c-1", "c-0"]);
    let both = Filter { statuses: vec![Status::Active], brand, ..Filter::default() };
    let (first, next) = store.ids(&both, None, 1);
    assert_eq!(first, ["c-3"]);
    assert_eq!(store.ids(&both, next.as_ref(), 1), (vec!["c-2".to_owned()], None));
    let other = Filter { kind: Some(CampaignKind::Mixed), ..Filter::default() };
    assert_eq!((store.ids(&other, None, 9).0.len(), total(&store, &other).unwrap().count), (0, 0));
    let these = Filter { kind: Some(CampaignKind::Influencer), statuses: vec![Status::Active, Status::Draft], ..both };
    assert_eq!(store.ids(&these, None, 9).0, ["c-3", "c-2", "c-0"]);
}

#[test]
fn a_list_walks_an_index_whatever_it_is_filtered_by() {
    struct Explained<'a>(&'a Store);
    impl Read for Explained<'_> {
        fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
            let plan = self.0.select(&format!("EXPLAIN QUERY PLAN {sql}"), parameters)?;
            let lines: Vec<_> = plan.iter().filter_map(|row| row.last().and_then(Value::text)).collect();
            assert!(!lines.iter().any(|line| line.starts_with("SCAN campaign_campaign")), "{lines:#?}");
            let by_brand = sql.contains("brand =");
            let index = if by_brand { "by_brand (brand=? AND status=? AND kind=?" } else { "by_status (status=? AND kind=?" };
            let pieces = lines.iter().filter(|line| line.contains(index) && line.contains("COVERING INDEX")).count();
            assert_eq!(pieces, sql.matches(" AS piece_").count(), "{lines:#?}");
            // A piece is in order already; a page of each is sorted when they are put together, and no more.
            let sorts = |pair: &[&str]| pair[0].starts_with("SEARCH campaign") && pair[1].contains("TEMP B-TREE");
            assert!(!lines.windows(2).any(sorts), "{lines:#?}");
            assert!(lines.iter().filter(|line| line.contains("TEMP B-TREE")).count() <= 2, "once, and once the page: {lines:#?}");
            Ok(vec![vec![0.into()]].into_iter().filter(|_| sql.contains("count(*)")).collect())
        }
    }
    let store = Store::new();
    let after = Some(Cursor { created: 7, id: "c-7".to_owned() });
    for brand in [None, Some("b-1".parse().unwrap())] {
        for kind in [None, Some(CampaignKind::Mixed)] {
            for statuses in [vec![], vec![Status::Paused]] {
                for oldest_first in [false, true] {
                    let filter = Filter { brand: brand.clone(), kind, statuses: statuses.clone(), oldest_first, names: None };
                    campaigns(&Explained(&store), &filter, None, 50).unwrap();
                    campaigns(&Explained(&store), &filter, after.as_ref(), 50).unwrap();
                    total(&Explained(&store), &filter).unwrap();
                }
            }
        }
    }
}

#[test]
fn campaigns_are_listed_by_how_their_names_begin_whatever_their_capitals() {
    let store = Store::new();
    for (id, name, brand) in [
        ("c-1", "Moda Ágil", "b-1"),
        ("c-2", "MODA", "b-2"),
        ("c-3", "Mode", "b-1"),
        ("c-4", "moda", "b-1"),
        ("c-5", "ÁGIL", "b-1"),
    ] {
        let mut facts = campaign_of(id, brand, 1).facts().as_ref().clone();
        facts.name = name.to_owned();
        let created = Timestamp::from_micros(1).unwrap();
        store.save(&Campaign::register(id.parse().unwrap(), facts, format!("{id}~saga").into(), created).unwrap().0);
    }
    let by = |beginning: &str, descending| Filter {
        names: Some(Names { beginning: beginning.to_owned(), descending }),
        ..Filter::default()
    };
    let all = |filter: &Filter| {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (ids, next) = store.ids(filter, after.as_ref(), 1);
            seen.extend(ids);
            after = next;
            if after.is_none() {
                return seen.join(" ");
            }
        }
    };
    assert_eq!(all(&by("moda", false)), "c-2 c-4 c-1");
    assert_eq!(all(&by("MOD", true)), "c-3 c-1 c-4 c-2");
    assert_eq!(all(&by("ág", false)), "c-5");
    assert_eq!((all(&by("oda", false)), all(&by("", false))), (String::new(), "c-2 c-4 c-1 c-3 c-5".to_owned()));
    let of_brand = Filter { brand: Some("b-1".parse().unwrap()), statuses: vec![Status::Draft], ..by("moda", false) };
    assert_eq!(all(&of_brand), "c-4 c-1");
    assert_eq!(total(&store, &of_brand), Ok(seedwork::view::Total { count: 2, exact: true }));
}

#[test]
fn a_brand_is_known_by_its_campaigns_and_by_its_accounts() {
    let store = Store::new();
    for (number, brand) in ["b", "b-1", "b.1", "b-1", "z"].iter().enumerate() {
        store.save(&campaign_of(&format!("c-{number}"), brand, 1));
    }
    for (brand, currency) in [("b", "USD"), ("b", "JPY"), ("b.1", "USD"), ("a", "USD"), ("b.2", "USD")] {
        store.open_account(brand, currency);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = brands(&store, after.as_ref(), 2).unwrap();
        seen.extend(page.brands.into_iter().map(|brand| (brand.id.to_string(), brand.accounts.len())));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    let expected = [("a", 1), ("b", 2), ("b-1", 0), ("b.1", 1), ("b.2", 1), ("z", 0)];
    assert_eq!(seen, expected.map(|(id, accounts)| (id.to_owned(), accounts)), "each once, whatever its id begins with");
    let accounts = accounts(&store, &"b".parse().unwrap()).unwrap();
    let told: Vec<_> = accounts.iter().map(|account| (account.value.limit.currency.as_str(), account.version)).collect();
    assert_eq!(told, [("JPY", 3), ("USD", 3)]);
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_and_not_left_out() {
    let store = Store::new();
    store.save(&campaign_of("c-1", "b-1", 1));
    store.0.execute("UPDATE campaign_campaign SET body = '{}'", []).unwrap();
    assert!(campaign(&store, &"c-1".parse().unwrap()).unwrap_err().contains("cannot be read"));
    assert!(campaigns(&store, &Filter::default(), None, 9).is_err());
    store.0.execute_batch("DROP TABLE campaign_campaign").unwrap();
    assert!(campaigns(&store, &Filter::default(), None, 9).unwrap_err().contains("campaign_campaign"));
}
