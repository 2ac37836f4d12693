//! `alpes demo`: brands, campaigns and partners to look at, one saga of each outcome, made through the public API and nothing else.
//!
//! Every id is fixed and every command says the same each time, so a second run finds what the first has made.

use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ureq::http::Method;

use crate::bench::server::Server;
use crate::client::{Ask, Client, part, understood};
use crate::lock::{self, Holder};
use crate::print::{self, Cell, Look, Table};
use crate::serve::Signals;
use crate::trouble::{Exit, Trouble};

mod stories;

use stories::{STORIES, Step, Story};

/// How long a story may take, whatever the server's load.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the demo is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    #[command(flatten)]
    ask: Ask,
}

/// What became of a story.
#[derive(Debug, Serialize)]
struct Told {
    campaign: &'static str,
    brand: &'static str,
    /// What it shows.
    shows: &'static str,
    /// completed or undone; what the saga is when it has not ended yet.
    outcome: String,
    saga: String,
    /// What the campaign is now.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether it was there before.
    known: bool,
}

#[derive(Deserialize)]
struct Campaign {
    status: String,
}

#[derive(Deserialize)]
struct Saga {
    id: String,
    name: String,
    status: String,
    reason: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    step: Option<String>,
    message: String,
}

/// Makes what there is to see; where no server runs, in one of its own that it keeps until it is told to stop.
///
/// # Errors
/// When the server cannot be reached, or does not do what the demo asks.
pub fn run(asked: &Demo) -> Result<(), Trouble> {
    let settings = asked.ask.settings()?;
    let nobody = settings.url.0.is_none() && matches!(lock::holder(&settings.data)?, Holder::Nobody { .. });
    if !nobody {
        return tell(&Client::of(&settings)?, asked.ask.json, None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::new(format!("cannot wait for signals ({error})")))?;
    // From here on a signal waits until the server is there to be stopped.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let server = Server::start(&std::env::temp_dir().join(format!("alpes-demo-{}", std::process::id())), false, None, false)?;
    print::note(&format!("no server runs on {}: this demo has started one of its own", settings.data.display()));
    let client = Client::at(format!("http://{}", server.address), &settings);
    tell(&client, asked.ask.json, Some(&client))?;
    print::note("Ctrl-C stops this server and deletes what it holds");
    runtime.block_on(signals.next());
    drop(server);
    Ok(())
}

fn tell(client: &Client, json: bool, own: Option<&Client>) -> Result<(), Trouble> {
    let told = STORIES.iter().map(|story| of(client, story)).collect::<Result<Vec<_>, _>>()?;
    if json {
        return print::json(&told);
    }
    let mut table = Table::new(&["CAMPAIGN", "SAGA", "CAMPAIGN IS", "SHOWS", "WHY"]);
    for told in &told {
        let look = match &*told.outcome {
            "completed" => Look::Good,
            "undone" => Look::Warn,
            _ => Look::Busy,
        };
        table.row([
            Cell::strong(told.campaign),
            Cell::of(&told.outcome, look),
            Cell::plain(&told.status),
            Cell::plain(told.shows),
            Cell::plain(told.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table.print();
    let known = told.iter().filter(|told| told.known).count();
    if known > 0 {
        print::line(&format!("\n{known} of {} were there already.", told.len()));
    }
    let (base, url) = (client.base(), own.map_or_else(String::new, |own| format!(" --url {}", own.base())));
    print::line(&format!(
        "\nLook next:\n  alpes sagas list{url}\n  alpes sagas show demo-bloqueada{url}\n  alpes doctor{url}\n  \
         curl {base}/v1/campaigns/demo-cosecha\n  curl '{base}/v1/events?campaign=demo-cosecha'\n  curl {base}/v1/brands/demo-cafe-sierra/accounts/COP"
    ));
    Ok(())
}

/// Tells one story, unless it has been told before, and says what became of it.
fn of(client: &Client, story: &'static Story) -> Result<Told, Trouble> {
    let address = format!("/v1/campaigns/{}", part(story.id));
    let known = match client.get(&address) {
        Ok(_) => true,
        Err(trouble) if trouble.status() == Exit::NotFound => false,
        Err(trouble) => return Err(trouble),
    };
    if !known {
        for step in story.before {
            step.take(client, story)?;
        }
        // The one that is to be cancelled on its way is not waited for.
        let prefer: &[(&str, &str)] = if story.interrupt { &[] } else { &[("prefer", "wait=5")] };
        client.ask(Method::POST, "/v1/campaigns", prefer, Some(&story.campaign().to_string()))?;
        for step in story.after {
            step.take(client, story)?;
        }
    }
    let saga = ended(client, story.id)?;
    let campaign: Campaign = client.read(&address)?;
    let at = |reason: Reason| match reason.step {
        Some(step) => format!("{step}: {}", reason.message),
        None => reason.message,
    };
    let (outcome, reason) = (saga.status, saga.reason.map(at));
    Ok(Told {
        campaign: story.id,
        brand: story.brand,
        shows: story.shows,
        outcome,
        saga: saga.id,
        status: campaign.status,
        reason,
        known,
    })
}

/// The saga that registered a campaign, once it and all that followed from it have ended or wait for an operator.
fn ended(client: &Client, campaign: &str) -> Result<Saga, Trouble> {
    let clock = SystemClock::default();
    loop {
        let (items, _) = client.list("/v1/sagas", &[("key", campaign.to_owned())], 200)?;
        let sagas = items.iter().map(|item| understood::<Saga>(item.get())).collect::<Result<Vec<_>, _>>()?;
        match sagas.iter().find(|saga| !saga.rests()) {
            Some(saga) if rested(client, &saga.id, &clock)? => {}
            _ => {
                let registration = sagas.into_iter().find(|saga| saga.name == "campaign.registration");
                return registration
                    .ok_or_else(|| Trouble::new(format!("the server knows {campaign} and no saga that registered it")));
            }
        }
    }
}

/// Lets the server answer when a saga has ended or waits for an operator; no longer than what is left of the patience.
fn rested(client: &Client, saga: &str, clock: &SystemClock) -> Result<bool, Trouble> {
    let path = format!("/v1/sagas/{}", part(saga));
    let mut tag = None::<String>;
    loop {
        let left = PATIENCE.saturating_sub(clock.monotonic());
        // It waits in whole seconds.
        if left < Duration::from_secs(1) {
            return Ok(false);
        }
        if let Some((body, version)) = client.changed(&path, tag.as_deref(), left)? {
            if understood::<Saga>(&body)?.rests() {
                return Ok(true);
            }
            tag = Some(version);
        }
    }
}

impl Saga {
    /// Whether nothing more happens by itself.
    fn rests(&self) -> bool {
        matches!(&*self.status, "completed" | "undone" | "stuck")
    }
}

impl Step {
    fn take(&self, client: &Client, story: &Story) -> Result<(), Trouble> {
        let (method, path, body) = match self {
            Step::Ban(partner) => (Method::POST, format!("/v1/partners/{partner}/ban"), None),
            Step::Block(partner) => (Method::POST, "/v1/blocks".to_owned(), Some(json!({"partner": partner}).to_string())),
            Step::Limit(limit) => {
                let path = format!("/v1/brands/{}/accounts/{}", story.brand, story.currency);
                (Method::PUT, path, Some(json!({"limit": limit}).to_string()))
            }
            Step::Event(partner, own, kind, value) => {
                let enrolment = format!("{partner}~{}", story.id);
                let value = value.map(|amount| json!({"amount": amount, "currency": story.currency}));
                let id = format!("{enrolment}~{own}");
                let body = json!({"id": id, "enrolment": enrolment, "kind": kind, "value": value});
                (Method::POST, "/v1/events".to_owned(), Some(body.to_string()))
            }
            Step::Do(verb) => (Method::POST, format!("/v1/campaigns/{}/{verb}", story.id), None),
            Step::Cancel(reason) => {
                let body = json!({"reason": reason}).to_string();
                (Method::POST, format!("/v1/campaigns/{}/cancel", story.id), Some(body))
            }
        };
        client.ask(method, &path, &[("prefer", "wait=5")], body.as_deref()).map(|_| ())
    }
}
