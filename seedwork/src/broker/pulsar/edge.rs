//! The door of an edge: it sends commands to the owners of their keys, and hears their answers. It owns no partition and has no store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::outlet::{ENTRY, ENTRY_BYTES, Outlet};
use super::reader::Shared;
use super::rows::{self, HASH, LARGEST};
use super::settings::{Settings, Trouble};
use super::{checked, ear, runtime};
use crate::clock::Chance;
use crate::executor::Answered;
use crate::message::{Packet, Role};
use crate::store::Destination;

/// Commands that may wait for one destination.
const WAITING: usize = 1_024;

/// Why a command is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// Too many wait already: it was not taken.
    Busy,
    /// It is larger than the broker takes.
    TooLarge,
    /// The broker gave no receipt. It may have it all the same: whoever asks again under the same id loses nothing.
    Unknown(String),
}

struct Command {
    message: pulsar::producer::Message,
    done: oneshot::Sender<Result<(), NotSent>>,
}

/// See the module's text.
pub struct Edge {
    settings: Arc<Settings>,
    destinations: Mutex<BTreeMap<Destination, mpsc::Sender<Command>>>,
    seed: u64,
    runtime: Option<Runtime>,
}

impl Edge {
    /// Checks as [`Pulsar::check`](super::Pulsar::check) does, and listens: `hear` is called for every answer, on a thread of the
    /// adapter's own, and must not block. [`Settings::name`] is what commands name in their envelope's `answer_to`.
    ///
    /// # Errors
    /// With one line that says what is wrong and what to do.
    pub fn connect(settings: Settings, hear: impl Fn(Answered) + Send + Sync + 'static) -> Result<Edge, Trouble> {
        let settings = Arc::new(settings);
        let Some(topic) = settings.answers(&settings.name) else {
            return Err(Trouble::stays(format!(
                "{:?} cannot be a replica's name: letters, digits, '.', '_' and '-' can",
                settings.name
            )));
        };
        let seed = Chance::from_system().map_err(|error| Trouble::stays(format!("there is no chance: {error}")))?.bits();
        let runtime = runtime()?;
        if let Err(trouble) = checked(&runtime, &settings) {
            runtime.shutdown_background();
            return Err(trouble);
        }
        let shared = Arc::new(Shared::new(settings.clone()));
        runtime.spawn(ear::listen(shared, topic, "edge".to_owned(), 0, move |payload| match serde_json::from_slice(payload) {
            Ok(answered) => hear(answered),
            Err(error) => tracing::debug!(%error, "an answer that cannot be read"),
        }));
        Ok(Edge { settings, destinations: Mutex::default(), seed, runtime: Some(runtime) })
    }

    /// What a command's envelope must name in `answer_to` for its answer to be heard here.
    pub fn answer_to(&self) -> &str {
        &self.settings.name
    }

    /// Sends a command to the owner of its key in `context`; `hash` is of its body as it was sent. Returns when the broker has it on its
    /// disk. Whoever no longer waits before it went out takes it back. Runs on any runtime.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub async fn send(&self, context: &str, command: &Packet, hash: &str) -> Result<(), NotSent> {
        if command.raw().len() > LARGEST {
            return Err(NotSent::TooLarge);
        }
        let mut message = rows::message(command.raw(), Some(&command.envelope));
        message.properties.insert(HASH.to_owned(), hash.to_owned());
        let topic = format!("{context}.{}", Role::Command.topic()).into();
        let partition = crate::log::partition_of(&command.envelope.key, self.settings.partitions);
        let (done, receipt) = oneshot::channel();
        self.sender(Destination { topic, partition }).try_send(Command { message, done }).map_err(|_| NotSent::Busy)?;
        receipt.await.unwrap_or_else(|_| Err(NotSent::Unknown("the edge is closing".to_owned())))
    }

    fn sender(&self, to: Destination) -> mpsc::Sender<Command> {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = destinations.get(&to) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let context = to.topic.split_once('.').map(|(context, _)| context.to_owned());
        let seed = self.seed.wrapping_add(destinations.len() as u64);
        let outlet = Outlet::new(self.settings.clone(), self.settings.destination(&to), seed)
            .with_schema(self.settings.schema(&to.topic))
            .with_reader(context);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(carry(outlet, receiver));
        }
        destinations.insert(to, sender.clone());
        sender
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn carry(mut outlet: Outlet, mut commands: mpsc::Receiver<Command>) {
    // What would have made the last entry too large.
    let mut next = None;
    loop {
        outlet.ready().await;
        let first = match next.take() {
            Some(first) => first,
            None => match commands.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut bytes = first.message.payload.len();
        let mut entry = vec![first];
        while next.is_none() && entry.len() < ENTRY {
            let Ok(command) = commands.try_recv() else { break };
            bytes += command.message.payload.len();
            if bytes > ENTRY_BYTES { next = Some(command) } else { entry.push(command) }
        }
        entry.retain(|command| !command.done.is_closed());
        if entry.is_empty() {
            continue;
        }
        let (messages, waiting): (Vec<_>, Vec<_>) = entry.into_iter().map(|command| (command.message, command.done)).unzip();
        let sent = outlet.send(messages).await.map_err(NotSent::Unknown);
        for done in waiting {
            drop(done.send(sent.clone()));
        }
    }
}
