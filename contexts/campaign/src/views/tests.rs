//! The queries, on a real SQLite.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use wire::values::{CampaignKind, PartnerKind};

use super::*;
use crate::campaign::Participant;

/// SQLite, in memory, with the view's table.
struct Store(Connection);

impl Store {
    fn new() -> Store {
        let store = Store(Connection::open_in_memory().unwrap());
        // Twice, as at every start.
        CAMPAIGNS.create.iter().chain(CAMPAIGNS.create).for_each(|sql| store.0.execute_batch(sql).unwrap());
        let states =
            "CREATE TABLE campaign_campaign (id TEXT PRIMARY KEY, version BIGINT, format BIGINT, body TEXT) WITHOUT ROWID";
        store.0.execute_batch(states).unwrap();
        store
    }

    fn save(&self, campaign: &Campaign) {
        let row = (CAMPAIGNS.row)(campaign).unwrap();
        assert_eq!(row.len(), CAMPAIGNS.columns.len());
        assert_eq!(row[0], campaign.campaign().as_str().into(), "the id stands first");
        let names: Vec<_> = (1..=row.len()).map(|number| format!("${number}")).collect();
        let sql = format!(
            "INSERT OR REPLACE INTO {} ({}) VALUES ({})",
            CAMPAIGNS.table,
            CAMPAIGNS.columns.join(", "),
            names.join(", ")
        );
        self.0.execute(&sql, rusqlite::params_from_iter(row.iter().map(to_sql))).unwrap();
        let state = "INSERT OR REPLACE INTO campaign_campaign (id, version, format, body) VALUES ($1, 1, 1, $2)";
        let body = serde_json::to_string(campaign).unwrap();
        self.0.execute(state, (campaign.campaign().as_str(), body)).unwrap();
    }

    fn ids(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> (Vec<String>, Option<Cursor>) {
        let page = campaigns(self, filter, after, limit).unwrap();
        (page.campaigns.iter().map(|campaign| campaign.id.to_string()).collect(), page.next)
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
    assert_eq!(
        serde_json::to_value(&draft).unwrap(),
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
    let cancelled = campaign(&store, saved.campaign()).unwrap().unwrap();
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
fn a_list_is_filtered_by_status_and_brand() {
    let store = Store::new();
    for (number, brand) in ["b-1", "b-2", "b-1", "b-1"].iter().enumerate() {
        let mut campaign = campaign_of(&format!("c-{number}"), brand, i64::try_from(number).unwrap());
        if number > 1 {
            campaign.activate().unwrap();
        }
        store.save(&campaign);
    }
    let brand = Some("b-1".parse().unwrap());
    assert_eq!(store.ids(&Filter { brand: brand.clone(), status: None }, None, 9).0, ["c-3", "c-2", "c-0"]);
    assert_eq!(store.ids(&Filter { brand: None, status: Some(Status::Draft) }, None, 9).0, ["c-1", "c-0"]);
    let both = Filter { brand, status: Some(Status::Active) };
    let (first, next) = store.ids(&both, None, 1);
    assert_eq!(first, ["c-3"]);
    assert_eq!(store.ids(&both, next.as_ref(), 1), (vec!["c-2".to_owned()], None));
}

#[test]
fn the_list_walks_its_index_and_sorts_nothing() {
    let store = Store::new();
    let sql = "EXPLAIN QUERY PLAN SELECT format, body FROM view_campaigns JOIN campaign_campaign USING (id) \
               WHERE 1 = 1 AND (created, id) < ($1, $2) \
               ORDER BY created DESC, id DESC LIMIT $3";
    let plan = store.select(sql, &[1.into(), "c".into(), 2.into()]).unwrap();
    let text: Vec<_> = plan.iter().filter_map(|row| row.last().and_then(Value::text)).collect();
    assert!(text.iter().any(|line| line.contains("view_campaigns_newest")), "{text:?}");
    assert!(!text.iter().any(|line| line.contains("TEMP B-TREE")), "{text:?}");
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_and_not_left_out() {
    let store = Store::new();
    store.save(&campaign_of("c-1", "b-1", 1));
    store.0.execute("UPDATE campaign_campaign SET body = '{}'", []).unwrap();
    assert!(campaign(&store, &"c-1".parse().unwrap()).unwrap_err().contains("cannot be read"));
    assert!(campaigns(&store, &Filter::default(), None, 9).is_err());
    store.0.execute_batch("DROP TABLE view_campaigns").unwrap();
    assert!(campaigns(&store, &Filter::default(), None, 9).unwrap_err().contains("view_campaigns"));
}
