//! A story over HTTP: told to a running Alpes that other stories are told to at the same time, and of which it sees only what its own ids
//! are in.
#![expect(clippy::disallowed_methods, reason = "stories of real processes wait in real time, with bounds")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use seedwork::command::Class;
use seedwork::executor::{First, Outcome};
use seedwork::message::{Command, Expected};
use seedwork::saga::engine::Entry;
use seedwork::view::{self, Read, Value};
use seedwork::{Aggregate, Refusal, SagaRecord};
use serde_json::{Value as Json, json};

use crate::Alpes;

/// No story takes longer than this on a machine that works.
const BOUND: Duration = Duration::from_secs(120);

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status; 0 when nobody answered.
    pub status: u16,
    /// Its body; a text when it is no JSON.
    pub json: Json,
}

/// A running Alpes, and the stores behind it.
pub trait Deployment {
    /// Sends a request with JSON (null: without a body) to the edge, and lets it wait so many seconds for the outcome.
    fn send(&self, method: &str, path: &str, headers: &[(&'static str, String)], wait: u32, body: &Json) -> Answer;

    /// Each store, with the contexts that are in it.
    fn stores(&self) -> Vec<(Vec<&'static str>, &dyn Read)>;
}

/// How far every stream has come at each of its destinations: by whoever the row is about, the stream's partition, the topic and the number
/// of its partition.
type Positions = BTreeMap<(String, String, String, i64), (i64, i64)>;

/// What these rows of every store say.
fn positions(deployment: &impl Deployment, sql: &str) -> Positions {
    let rows =
        deployment.stores().into_iter().flat_map(|(_, store)| store.select(sql, &[]).expect("a query that a store understands"));
    rows.map(|row| {
        let text = |place: usize| row[place].text().expect("a text").to_owned();
        let number = |place: usize| row[place].integer().expect("a number");
        let about = text(0).split('/').next().unwrap_or_default().to_owned();
        ((about, text(1), text(2), number(3)), (number(4), number(5)))
    })
    .collect()
}

/// Waits until everything that has been sent was taken by everyone who reads it.
fn heard(deployment: &impl Deployment, until: Instant) {
    let sent = positions(
        deployment,
        "SELECT p.text, p.text, t.text, d.number, d.epoch, d.position FROM destination d JOIN name p ON p.id = d.partition
        JOIN name t ON t.id = d.topic",
    );
    loop {
        let taken = positions(
            deployment,
            "SELECT r.text, o.text, t.text, m.number, m.epoch, m.position FROM mark m JOIN name r ON r.id = m.partition
            JOIN name o ON o.id = m.origin JOIN name t ON t.id = m.topic",
        );
        let open = sent.iter().find(|((_, stream, topic, number), position)| {
            let taken = |reader: &str| taken.get(&(reader.to_owned(), stream.clone(), topic.clone(), *number));
            readers(topic).into_iter().any(|reader| taken(reader).is_none_or(|taken| taken < position))
        });
        let Some(open) = open else { return };
        assert!(Instant::now() < until, "not everybody has taken {open:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The contexts that read a topic.
fn readers(topic: &str) -> Vec<&'static str> {
    let (owner, role) = topic.split_once('.').expect("a context and a role");
    let reads = |context: &seedwork::Context| match role {
        "events" => context.listens_to().any(|other| other == owner),
        _ => context.name() == owner,
    };
    crate::contexts().iter().filter(|context| reads(context)).map(seedwork::Context::name).collect()
}

/// A command that was asked.
struct Asked {
    method: &'static str,
    path: String,
    body: Json,
    headers: Vec<(&'static str, String)>,
    first: First,
}

/// A part of a deployment in which nothing has happened yet: an id `c-1` of its story is `story7.c-1` outside.
pub struct Scene<D> {
    deployment: Arc<D>,
    prefix: String,
    asked: Vec<Asked>,
}

impl<D: Deployment> Scene<D> {
    /// The next part of this deployment.
    pub fn new(deployment: &Arc<D>) -> Scene<D> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("story{}.", COUNT.fetch_add(1, Ordering::Relaxed));
        Scene { deployment: deployment.clone(), prefix, asked: Vec::new() }
    }

    /// A text as it is outside: in an id like `p-1~c-1` each part that is a letter and a number is this story's own.
    fn outside(&self, text: &str) -> String {
        let own = |part: &str| match part.split_once('-') {
            Some((letter, number)) => letter.len() == 1 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
            None => false,
        };
        let parts = text.split('~').map(|part| if own(part) { format!("{}{part}", self.prefix) } else { part.to_owned() });
        parts.collect::<Vec<_>>().join("~")
    }

    fn all_outside(&self, json: Json) -> Json {
        match json {
            Json::String(text) => self.outside(&text).into(),
            Json::Array(items) => items.into_iter().map(|item| self.all_outside(item)).collect(),
            Json::Object(fields) => fields.into_iter().map(|(name, value)| (name, self.all_outside(value))).collect(),
            other => other,
        }
    }

    fn inside(&self, text: &str) -> String {
        text.replace(&self.prefix, "")
    }

    fn store(&self, context: &str) -> OwnRows<'_, D> {
        let found = self.deployment.stores().into_iter().find(|(contexts, _)| contexts.contains(&context));
        OwnRows { scene: self, store: found.unwrap_or_else(|| panic!("there is no store of {context}")).1 }
    }

    /// Asks over HTTP until somebody answers, as a client does.
    fn send(&self, asked: &Asked, wait: u32) -> Answer {
        let until = Instant::now() + BOUND;
        loop {
            let told = self.deployment.send(asked.method, &asked.path, &asked.headers, wait, &asked.body);
            if !matches!(told.status, 0 | 500..) {
                return told;
            }
            assert!(Instant::now() < until, "{} {} is answered {told:?}", asked.method, asked.path);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn first_of(&self, asked: &Asked) -> First {
        let Answer { status, json } = self.send(asked, 0);
        let text = |name: &str| json[name].as_str().map(|text| self.inside(text));
        let class = match status {
            200 | 201 => return First::Done { saga: None, told: json },
            202 if json["status"] == "waiting" => return First::Waiting,
            202 => return First::Done { saga: text("saga").map(Into::into), told: json },
            404 => Class::Unknown,
            412 => Class::Precondition,
            422 => Class::Unprocessable,
            _ => Class::Conflict,
        };
        let code = text("code").unwrap_or_else(|| panic!("{} {}: {status} {json}", asked.method, asked.path));
        let field = text("field").map(Into::into);
        let message = text("detail").unwrap_or_default();
        First::Refused(Refusal { code: code.into(), class, field, message, details: json["details"].clone() })
    }
}

/// A command as a request to `/v1`: method, path and body.
fn request(kind: &str, command: &Json) -> (&'static str, String, Json) {
    let text = |name: &str| command[name].as_str().unwrap_or_else(|| panic!("{kind} has no {name}"));
    let halves = |name: &str| text(name).rsplit_once('~').unwrap_or_else(|| panic!("{name} of {kind} has one part"));
    let reason = || json!({"reason": command["reason"]});
    let campaign = |verb: &str, body: Json| ("POST", format!("/v1/campaigns/{}/{verb}", text("campaign")), body);
    match kind {
        "campaign.register.v1" => {
            let asked: wire::RegisterCampaign = serde_json::from_value(command.clone()).expect("it was written from one");
            let amount = asked.budget.to_decimal_string();
            let body = json!({
                "id": asked.campaign, "name": asked.name, "kind": asked.kind, "brand": asked.brand,
                "budget": {"amount": amount, "currency": asked.budget.currency.as_str()},
                "participants": command["participants"],
            });
            ("POST", "/v1/campaigns".to_owned(), body)
        }
        "campaign.pause.v1" => campaign("pause", json!({})),
        "campaign.resume.v1" => campaign("resume", json!({})),
        "campaign.finish.v1" => campaign("finish", json!({})),
        "campaign.cancel.v1" => campaign("cancel", reason()),
        "campaign.set-limit.v1" => {
            let asked: wire::SetLimit = serde_json::from_value(command.clone()).expect("it was written from one");
            let (brand, currency) = halves("account");
            ("PUT", format!("/v1/brands/{brand}/accounts/{currency}"), json!({"limit": asked.limit.to_decimal_string()}))
        }
        "partner.register-enrolment.v1" => {
            let (partner, campaign) = halves("enrolment");
            let mut body = json!({"partner": partner, "campaign": campaign});
            ["kind", "name", "profile"].into_iter().for_each(|name| body[name] = command[name].clone());
            ("POST", "/v1/enrolments".to_owned(), body)
        }
        "partner.cancel-enrolment.v1" => ("POST", format!("/v1/enrolments/{}/cancel", text("enrolment")), reason()),
        "partner.ban.v1" => ("POST", format!("/v1/partners/{}/ban", text("partner")), reason()),
        "partner.unban.v1" => ("POST", format!("/v1/partners/{}/unban", text("partner")), json!({})),
        "tracking.block.v1" => {
            let (what, target) = halves("block");
            ("POST", "/v1/blocks".to_owned(), json!({target: what}))
        }
        "tracking.unblock.v1" => ("DELETE", format!("/v1/blocks/{}", text("block")), Json::Null),
        "tracking.record-event.v1" => {
            let body = json!({"id": text("event"), "enrolment": text("enrolment"), "kind": text("kind"), "at": text("at")});
            ("POST", "/v1/events".to_owned(), body)
        }
        other => panic!("no story asks {other} over HTTP yet: say here how"),
    }
}

impl<D: Deployment> Alpes for Scene<D> {
    type Ticket = usize;

    fn ask_if<C: Command>(&mut self, expected: Option<Expected>, command: &C) -> usize {
        let command = serde_json::to_value(command).expect("a command is written as JSON");
        let (method, path, body) = request(C::KIND, &self.all_outside(command));
        let mut headers = vec![("idempotency-key", format!("{}{}", self.prefix, self.asked.len()))];
        headers.extend(expected.map(|expected| match expected {
            Expected::Any => ("if-match", "*".to_owned()),
            Expected::Versions(versions) => {
                ("if-match", versions.iter().map(|version| format!("\"{version}\"")).collect::<Vec<_>>().join(", "))
            }
        }));
        let mut asked = Asked { method, path, body, headers, first: First::Waiting };
        asked.first = self.first_of(&asked);
        self.asked.push(asked);
        self.asked.len() - 1
    }

    fn first(&self, ticket: usize) -> Option<First> {
        Some(self.asked[ticket].first.clone())
    }

    /// The same request again is the same command: it is told how its saga has ended.
    fn outcome(&self, ticket: usize) -> Option<Outcome> {
        let asked = &self.asked[ticket];
        let First::Done { saga: Some(saga), .. } = &asked.first else { return None };
        let told = self.send(asked, 60);
        let found = view::saga(&self.store("campaign"), saga).expect("a saga that can be read");
        let (record, _) = found.expect("it is there").value;
        let completed = told.json["status"] == "completed";
        assert!(completed || told.json["status"] == "undone", "{told:?}");
        let (code, reason) = (told.json["reason"]["code"].as_str(), record.run.reason);
        assert_eq!(code, reason.as_ref().map(|reason| &*reason.refusal.code), "what is answered is what is stored");
        let step = told.json["step"].as_str().map(|step| step.to_owned().into());
        Some(Outcome { saga: saga.clone(), completed, reason, step, exceptions: record.run.exceptions })
    }

    /// A request has its first answer when it has been asked.
    fn moment(&mut self) {}

    fn rest(&mut self) {
        let until = Instant::now() + BOUND;
        // What an event sets in motion is heard with the next round; nothing here sets in motion more than that.
        let mut quiet = 0;
        while quiet < 3 {
            let waiting: Vec<usize> =
                (0..self.asked.len()).filter(|ticket| self.asked[*ticket].first == First::Waiting).collect();
            for ticket in waiting {
                self.asked[ticket].first = self.first_of(&self.asked[ticket]);
            }
            heard(&*self.deployment, until);
            let asked =
                self.asked.iter().filter(|asked| asked.first == First::Waiting).map(|asked| &asked.path).collect::<Vec<_>>();
            let open = self.sagas().into_iter().filter(|(_, record)| !record.run.stage.ended()).collect::<Vec<_>>();
            let waits = self.each_store("SELECT key, reason FROM waiting WHERE dead = 0", &[]);
            let waits = waits.into_iter().flat_map(|(_, rows)| rows).collect::<Vec<_>>();
            if asked.is_empty() && open.is_empty() && waits.is_empty() {
                quiet += 1;
                continue;
            }
            quiet = 0;
            assert!(Instant::now() < until, "it does not come to rest: {asked:?}\n{open:#?}\n{waits:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn state<A: Aggregate>(&self, context: &str, id: &str) -> Option<A> {
        let state = view::state::<A>(&self.store(context), context, id).expect("a state that can be read");
        state.map(|state| state.value)
    }

    fn states<A: Aggregate>(&self, context: &str) -> Vec<A> {
        let sql = format!("SELECT version, format, body, id FROM {} ORDER BY id", view::table::<A>(context));
        let rows = self.store(context).select(&sql, &[]).expect("a query that a store understands");
        rows.iter().map(|row| view::stored::<A>(row).expect("a state that can be read").value).collect()
    }

    fn sagas(&self) -> Vec<(String, SagaRecord)> {
        let rows = self.each_store("SELECT id, body FROM saga ORDER BY id", &[]).into_iter().flat_map(|(_, rows)| rows);
        rows.map(|row| {
            let [id, body] = [0, 1].map(|place| row[place].text().expect("a text"));
            (id.to_owned(), serde_json::from_str(body).expect("a saga that can be read"))
        })
        .collect()
    }

    fn saga_log(&self, saga: &str) -> Vec<Entry> {
        let found = view::saga(&self.store("campaign"), saga).expect("a saga that can be read");
        found.map(|found| found.value.1.into_iter().map(|line| line.entry).collect()).unwrap_or_default()
    }

    fn each_store(&self, sql: &str, parameters: &[Value]) -> Vec<(&'static str, Vec<Vec<Value>>)> {
        let stores = self.deployment.stores().into_iter();
        let select = |store| OwnRows { scene: self, store }.select(sql, parameters).expect("a query that a store understands");
        stores.map(|(contexts, store)| (contexts.first().copied().unwrap_or(""), select(store))).collect()
    }
}

/// A store as a story sees it: those rows that name something of the story's own, under the names that it has there.
struct OwnRows<'a, D> {
    scene: &'a Scene<D>,
    store: &'a dyn Read,
}

impl<D: Deployment> Read for OwnRows<'_, D> {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let outside = |value: &Value| value.text().map_or_else(|| value.clone(), |text| self.scene.outside(text).into());
        let parameters: Vec<Value> = parameters.iter().map(outside).collect();
        let inside = |value: Value| value.text().map(|text| self.scene.inside(text).into()).unwrap_or(value);
        // A row that was asked for by its id need not repeat it.
        let own = |row: &Vec<Value>| {
            !parameters.is_empty() || row.iter().any(|value| value.text().is_some_and(|text| text.contains(&self.scene.prefix)))
        };
        let rows = self.store.select(sql, &parameters)?;
        Ok(rows.into_iter().filter(own).map(|row| row.into_iter().map(inside).collect()).collect())
    }
}
