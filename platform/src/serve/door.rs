//! The door of an edge over a broker: a command goes into its context's topic, and whoever owns its key answers to this process by name.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bff::Door;
use seedwork::broker::pulsar::NotSent;
use seedwork::clock::{Clock, SystemClock};
use seedwork::executor::owner::{Busy, CAPACITY};
use seedwork::executor::{Answered, Ask, First, Listener};
use seedwork::message::Packet;

/// How long somebody may wait for the outcome of a saga: longer than any request.
const OUTCOME_MAX: Duration = Duration::from_secs(600);
/// How often those are forgotten who no longer wait …
const SWEEP: Duration = Duration::from_secs(5);
/// … and how often when there is no room for more: while a service is away, nobody else makes some.
const SWEEP_FULL: Duration = Duration::from_millis(100);

type Sending = Pin<Box<dyn Future<Output = Result<(), NotSent>> + Send>>;

/// Sends a command and its hash to a context; done when it is durable.
pub(super) type Sender = Box<dyn Fn(String, Packet, Box<str>) -> Sending + Send + Sync>;

/// See the module's text.
pub(super) struct Remote {
    asked: Arc<Asked>,
    send: Sender,
    runtime: tokio::runtime::Handle,
    answer_to: Arc<str>,
}

/// The commands that were asked here, and who waits for each.
#[derive(Default)]
pub(super) struct Asked {
    commands: Mutex<Commands>,
    clock: SystemClock,
}

#[derive(Default)]
struct Commands {
    by_id: BTreeMap<Arc<str>, Vec<Waiting>>,
    swept: Option<Duration>,
}

impl Commands {
    /// Forgets those who no longer wait, now and then.
    fn sweep(&mut self, now: Duration) {
        let apart = if self.by_id.len() < CAPACITY { SWEEP } else { SWEEP_FULL };
        if self.swept.is_some_and(|swept| now.saturating_sub(swept) < apart) {
            return;
        }
        self.swept = Some(now);
        self.by_id.retain(|_, waiting| {
            waiting.retain(|one| {
                let waits = one.listener.waits() || !(one.answered || one.listener.gone());
                waits && now.saturating_sub(one.since) < OUTCOME_MAX
            });
            !waiting.is_empty()
        });
    }
}

struct Waiting {
    listener: Box<dyn Listener>,
    /// The broker's receipt is there.
    durable: bool,
    answered: bool,
    since: Duration,
}

impl Asked {
    fn commands(&self) -> MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: Arc<str>, listener: Box<dyn Listener>) {
        let since = self.clock.monotonic();
        self.commands().by_id.entry(id).or_default().push(Waiting { listener, durable: false, answered: false, since });
    }

    /// An answer has come; those who wait for it hear it.
    pub(super) fn hear(&self, answered: Answered) {
        let Answered { command, first, outcome } = answered;
        let mut commands = self.commands();
        let Some(waiting) = commands.by_id.get_mut(&command) else { return };
        waiting.retain_mut(|one| {
            if let Some(first) = &first
                && !one.answered
            {
                one.answered = true;
                one.listener.first(first);
            }
            let Some(outcome) = &outcome else { return one.listener.waits() };
            if !one.answered {
                // Answers are not kept on their way: the first has been lost, and this one says as much.
                one.listener.first(&First::Done { saga: Some(outcome.saga.clone()), told: serde_json::Value::Null });
            }
            one.listener.outcome(outcome);
            false
        });
        if waiting.is_empty() {
            commands.by_id.remove(&command);
        }
    }

    /// The broker has this command, or would not take it.
    fn sent(&self, id: &Arc<str>, sent: Result<(), NotSent>) {
        let first = match sent {
            Ok(()) => {
                if let Some(waiting) = self.commands().by_id.get_mut(id) {
                    waiting.iter_mut().for_each(|one| one.durable = true);
                }
                return;
            }
            Err(NotSent::Busy) => First::Unavailable("too many commands wait for the broker; try again in a second".to_owned()),
            Err(NotSent::TooLarge) => First::Invalid("the command is larger than the broker takes".to_owned()),
            Err(NotSent::Unknown(why)) => First::Unavailable(format!(
                "the broker gave no receipt ({why}); whether it has the command is not known: ask again, with the same id"
            )),
        };
        self.hear(Answered { command: id.clone(), first: Some(first), outcome: None });
    }
}

impl Remote {
    /// A door that sends in this way, and whose answers come to `asked`; commands name `answer_to` as the place for them.
    pub(super) fn new(asked: Arc<Asked>, send: Sender, runtime: tokio::runtime::Handle, answer_to: Arc<str>) -> Remote {
        Remote { asked, send, runtime, answer_to }
    }
}

impl Door for Remote {
    fn has_room(&self) -> bool {
        let now = self.asked.clock.monotonic();
        let mut commands = self.asked.commands();
        commands.sweep(now);
        commands.by_id.len() < CAPACITY
    }

    fn ask(&self, ask: Ask) -> Result<(), Busy> {
        if !self.has_room() {
            return Err(Busy);
        }
        let Ask { packet, hash, listener } = ask;
        let id = packet.envelope.id.clone();
        // A command's kind begins with the name of the context that takes it.
        let context = packet.envelope.kind.split('.').next().unwrap_or_default().to_owned();
        self.asked.add(id.clone(), listener);
        let (asked, sending) = (self.asked.clone(), (self.send)(context, packet, hash));
        self.runtime.spawn(async move { asked.sent(&id, sending.await) });
        Ok(())
    }

    fn durable(&self, command: &str) -> bool {
        self.asked.commands().by_id.get(command).is_some_and(|waiting| waiting.iter().any(|one| one.durable))
    }

    fn answer_to(&self) -> Arc<str> {
        self.answer_to.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use seedwork::executor::Outcome;
    use seedwork::message::Envelope;

    use super::*;

    #[derive(Clone, Default)]
    struct Ear {
        firsts: Arc<Mutex<Vec<First>>>,
        outcomes: Arc<Mutex<Vec<Outcome>>>,
        waits: Arc<AtomicBool>,
        gone: Arc<AtomicBool>,
    }

    impl Listener for Ear {
        fn first(&mut self, first: &First) {
            self.firsts.lock().unwrap().push(first.clone());
        }
        fn outcome(&mut self, outcome: &Outcome) {
            self.outcomes.lock().unwrap().push(outcome.clone());
        }
        fn waits(&self) -> bool {
            self.waits.load(Ordering::Relaxed)
        }
        fn gone(&self) -> bool {
            self.gone.load(Ordering::Relaxed)
        }
    }

    fn ask(id: &str, ear: &Ear) -> Ask {
        let command = wire::PauseCampaign { campaign: "c-1".parse().unwrap() };
        let envelope = Envelope { answer_to: Some("test".into()), ..Envelope::asked(id, "test", "local", 0) };
        let packet = Packet::of(&command, envelope).unwrap();
        Ask { packet, hash: "h".into(), listener: Box::new(ear.clone()) }
    }

    fn done(id: &str, saga: Option<&str>) -> Answered {
        let first = First::Done { saga: saga.map(Into::into), told: serde_json::Value::Null };
        Answered { command: id.into(), first: Some(first), outcome: None }
    }

    fn ended(id: &str) -> Answered {
        let outcome = Outcome { saga: "s".into(), completed: true, reason: None, step: None, exceptions: Vec::new() };
        Answered { command: id.into(), first: None, outcome: Some(outcome) }
    }

    /// A door of which the broker takes what `takes` says.
    async fn door(takes: Result<(), NotSent>) -> (Remote, Arc<Asked>) {
        let asked = Arc::<Asked>::default();
        let send: Sender = Box::new(move |context, _, _| {
            assert_eq!(context, "campaign");
            let takes = takes.clone();
            Box::pin(async move { takes })
        });
        (Remote::new(asked.clone(), send, tokio::runtime::Handle::current(), "test".into()), asked)
    }

    #[tokio::test]
    async fn everyone_who_asked_hears_each_answer_once_and_nobody_is_kept() {
        let (door, asked) = door(Ok(())).await;
        let (waits, not) = (Ear::default(), Ear::default());
        waits.waits.store(true, Ordering::Relaxed);
        door.ask(ask("a", &waits)).unwrap();
        door.ask(ask("a", &not)).unwrap();
        for _ in 0..2 {
            asked.hear(done("a", Some("s")));
        }
        asked.hear(done("other", None));
        assert_eq!((waits.firsts.lock().unwrap().len(), not.firsts.lock().unwrap().len()), (1, 1));
        for _ in 0..2 {
            asked.hear(ended("a"));
        }
        assert_eq!((waits.outcomes.lock().unwrap().len(), not.outcomes.lock().unwrap().len()), (1, 0));
        assert!(asked.commands().by_id.is_empty());
    }

    #[tokio::test]
    async fn whoever_left_without_an_answer_takes_no_room_while_a_service_is_away() {
        let (door, asked) = door(Ok(())).await;
        let ear = Ear::default();
        for number in 0..CAPACITY {
            door.ask(ask(&format!("c-{number}"), &ear)).unwrap();
        }
        asked.commands().swept = None;
        assert!(!door.has_room() && door.ask(ask("more", &ear)).is_err(), "all of them still wait");
        ear.gone.store(true, Ordering::Relaxed);
        asked.commands().swept = None;
        assert!(door.has_room());
        assert!(asked.commands().by_id.is_empty());
    }

    #[tokio::test]
    async fn an_outcome_whose_first_answer_was_lost_stands_for_both() {
        let (door, asked) = door(Ok(())).await;
        let ear = Ear::default();
        ear.waits.store(true, Ordering::Relaxed);
        door.ask(ask("a", &ear)).unwrap();
        asked.hear(ended("a"));
        assert!(matches!(ear.firsts.lock().unwrap().as_slice(), [First::Done { saga: Some(_), .. }]));
        assert_eq!(ear.outcomes.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_command_is_durable_with_the_brokers_receipt_and_refused_without() {
        let (taken, _) = door(Ok(())).await;
        let ear = Ear::default();
        taken.ask(ask("a", &ear)).unwrap();
        tokio::task::yield_now().await;
        assert!(taken.durable("a") && !taken.durable("b"));

        for (not_sent, expected) in [(NotSent::Busy, "too many"), (NotSent::Unknown("gone".to_owned()), "with the same id")] {
            let (refused, asked) = door(Err(not_sent)).await;
            let ear = Ear::default();
            refused.ask(ask("a", &ear)).unwrap();
            tokio::task::yield_now().await;
            let firsts = ear.firsts.lock().unwrap();
            assert!(matches!(firsts.as_slice(), [First::Unavailable(why)] if why.contains(expected)), "{firsts:?}");
            assert!(!refused.durable("a") && asked.commands().by_id.is_empty());
        }
    }
}
