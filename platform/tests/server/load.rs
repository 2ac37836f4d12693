//! Clients that ask without pause until the server is gone, and remember what it acknowledged.
#![expect(clippy::disallowed_methods, reason = "each client is a thread")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::support::{Answer, Client, campaign, until};

/// The brand that pays for all of it.
const BRAND: &str = "b-load";
/// A participant whom tracking refuses.
const BLOCKED: &str = "p-blocked";

/// What is known of one campaign that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: String,
    /// Whether a 2xx came: then it must be there whatever happens.
    pub acknowledged: bool,
    /// How its saga ended, if an answer told.
    outcome: Option<String>,
    /// Whether a pause was acknowledged.
    paused: bool,
    /// Whether a pause was asked for, answered or not.
    pausing: bool,
}

/// What the clients have seen so far.
#[derive(Default)]
struct Counts {
    acknowledged: AtomicUsize,
    unavailable: AtomicUsize,
}

/// A load that runs.
pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    asked: Arc<Mutex<Vec<Asked>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients; `name` makes their ids their own.
    pub fn start(address: SocketAddr, clients: usize, name: &str) -> Load {
        let mut load = Load { stop: Arc::default(), counts: Arc::default(), asked: Arc::default(), clients: Vec::new() };
        for client in 0..clients {
            let (stop, counts, asked) = (load.stop.clone(), load.counts.clone(), load.asked.clone());
            let name = format!("{name}-{client}");
            load.clients.push(std::thread::spawn(move || {
                // A server that is gone already refuses the connection: then nothing was asked.
                let Ok(mut client) = Client::open(address) else { return };
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (asked_for, goes_on) = one(&mut client, &format!("c-{name}-{number}"), number, &counts);
                    asked.lock().expect("no client broke while it held this").push(asked_for);
                    if !goes_on {
                        return;
                    }
                }
            }));
        }
        load
    }

    /// Waits until the clients have seen so many acknowledgements.
    #[track_caller]
    pub fn reach(&self, acknowledged: usize) {
        self.see(&format!("{acknowledged} acknowledgements"), || {
            self.counts.acknowledged.load(Ordering::Relaxed) >= acknowledged
        });
    }

    /// Waits until a client was told 503.
    #[track_caller]
    pub fn unavailable(&self) {
        self.see("an answer 503", || self.counts.unavailable.load(Ordering::Relaxed) > 0);
    }

    #[track_caller]
    fn see(&self, what: &str, seen: impl Fn() -> bool) {
        until(what, || {
            assert!(
                !self.clients.iter().any(JoinHandle::is_finished),
                "a client has ended while the server runs; awaited: {what}"
            );
            seen().then_some(())
        });
    }

    /// Ends the clients, if the server's end has not done so, and tells what they asked for.
    pub fn finish(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            if let Err(panic) = client.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let asked = self.asked.lock().expect("the clients have ended");
        asked.clone()
    }
}

/// Blocks the participant that some of the campaigns name.
#[track_caller]
pub fn prepare(address: SocketAddr) {
    let body = format!(r#"{{"partner":"{BLOCKED}"}}"#);
    let answer = Client::open(address).and_then(|mut client| client.ask("POST", "/v1/blocks", "", &body)).expect("an answer");
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

/// Registers one campaign, of changing shape; false when the server no longer answers.
fn one(client: &mut Client, id: &str, number: usize, counts: &Counts) -> (Asked, bool) {
    let mut asked = Asked { id: id.to_owned(), acknowledged: false, outcome: None, paused: false, pausing: false };
    let people: Vec<String> = (0..[1, 3, 1, 2][number % 4]).map(|person| format!("p-{id}-{person}")).collect();
    let mut participants: Vec<&str> = people.iter().map(String::as_str).collect();
    if number % 5 == 4 {
        participants.push(BLOCKED);
    }
    let prefer = if number.is_multiple_of(3) { "" } else { "Prefer: wait=10\r\n" };
    let Ok(answer) = client.ask("POST", "/v1/campaigns", prefer, &campaign(id, BRAND, &participants)) else {
        return (asked, false);
    };
    if !taken(&answer) {
        counts.unavailable.fetch_add(1, Ordering::Relaxed);
        return (asked, true);
    }
    asked.acknowledged = true;
    counts.acknowledged.fetch_add(1, Ordering::Relaxed);
    asked.outcome = text(&answer.body, "status").filter(|status| ["completed", "undone"].contains(&status.as_str()));
    if asked.outcome.as_deref() == Some("completed") && number % 4 == 1 {
        asked.pausing = true;
        match client.ask("POST", &format!("/v1/campaigns/{id}/pause"), "", "") {
            Ok(answer) => asked.paused = taken(&answer),
            Err(_) => return (asked, false),
        }
    }
    (asked, true)
}

/// Whether this answer acknowledges; a server that is full or stopping says 503, and anything else is wrong.
fn taken(answer: &Answer) -> bool {
    assert!((200..300).contains(&answer.status) || answer.status == 503, "{answer:?}");
    answer.status != 503
}

fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name)?.as_str().map(str::to_owned)
}

/// Checks a server that was started again on the same data: [`verify_each`] of all that was ever asked there, and the brand has paid for
/// exactly the campaigns that stand.
#[track_caller]
pub fn verify(address: SocketAddr, asked: &[Asked]) {
    let standing = verify_each(address, asked);
    let mut client = Client::open(address).expect("the server listens");
    let account = client.ask("GET", &format!("/v1/brands/{BRAND}/accounts/USD"), "", "").expect("an answer");
    let reserved = text(&account.body, "reserved").unwrap_or_else(|| panic!("{account:?}"));
    assert_eq!(reserved, format!("{}.00", 15 * standing), "{standing} campaigns stand: {account:?}");
}

/// Checks that what was acknowledged is there, and that every saga ends, as it was told if it was told. How many campaigns stand.
#[track_caller]
pub fn verify_each(address: SocketAddr, asked: &[Asked]) -> usize {
    let mut client = Client::open(address).expect("the server listens");
    let mut get = |path: &str| client.ask("GET", path, "", "").unwrap_or_else(|error| panic!("GET {path}: {error}"));
    let mut standing = 0;
    for asked in asked {
        let id = &asked.id;
        let found = get(&format!("/v1/campaigns/{id}"));
        if found.status == 404 {
            assert!(!asked.acknowledged, "{id} was acknowledged and is lost");
            continue;
        }
        assert_eq!(found.status, 200, "{found:?}");
        let ended = until(&format!("the saga of {id} ends"), || {
            let sagas = get(&format!("/v1/sagas?key={id}"));
            assert_eq!(sagas.status, 200, "{sagas:?}");
            let saga = registration(&sagas.body).unwrap_or_else(|| panic!("{id} has no registration: {sagas:?}"));
            text(saga, "status").filter(|status| ["completed", "undone"].contains(&status.as_str()))
        });
        if let Some(told) = &asked.outcome {
            assert_eq!(*told, ended, "{id}: the client was told otherwise");
        }
        let status = text(&get(&format!("/v1/campaigns/{id}")).body, "status").expect("a campaign has a status");
        match (ended.as_str(), status.as_str()) {
            ("completed", "active") => {
                assert!(!asked.paused, "{id}: its pause was acknowledged and is lost");
                standing += 1;
            }
            ("completed", "paused") => {
                assert!(asked.pausing, "{id}: nobody paused it");
                standing += 1;
            }
            ("undone", "cancelled") => {}
            other => panic!("{id}: saga and campaign do not fit: {other:?}"),
        }
    }
    standing
}

/// The registration among the sagas of a campaign.
fn registration(sagas: &Value) -> Option<&Value> {
    let items = sagas.get("items").unwrap_or(sagas).as_array()?;
    items.iter().find(|saga| text(saga, "name").is_some_and(|name| name == "campaign.registration"))
}
