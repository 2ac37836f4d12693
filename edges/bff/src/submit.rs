//! A command on its way: put into its envelope, handed to the owner of its key, and its answer waited for.

use std::sync::Arc;
use std::time::Duration;

use seedwork::Refusal;
use seedwork::executor::{Ask, First, Listener, Outcome};
use seedwork::message::{Command, Envelope, Packet};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Edge;
use crate::asked::Asked;
use crate::body::busy;
use crate::ids::hash;
use crate::problem::{Fields, Problem};

/// How long the first answer is waited for.
pub const FIRST_MAX: Duration = Duration::from_secs(2);

/// What a command is, for its id: without an idempotency key the creation of a thing that has an id is known by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It makes the thing with its key, once. Sent again it is the same command.
    Creation,
    /// It may be asked again and again, and means something each time.
    Other,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Settled {
    /// It is done; the outcome is there when it was waited for and came in time.
    Done { saga: Option<Arc<str>>, told: Value, outcome: Option<Box<Outcome>> },
    /// It is durable, and waits for its turn.
    Waiting { command: Arc<str> },
}

/// A command that the owner of its key has answered.
pub(crate) struct Answered {
    /// Its id.
    pub command: Arc<str>,
    pub first: First,
    outcome: Option<Outcome>,
    /// Whether its id is an idempotency key.
    keyed: bool,
}

/// Sends a command and waits as long as whoever asked wants.
pub(crate) async fn submit<M: Command>(
    edge: &Edge,
    asked: Asked,
    kind: Kind,
    body: &[u8],
    message: &M,
    fields: Fields,
) -> Result<Settled, Problem> {
    answered(edge, asked, kind, body, message).await?.settled(fields)
}

impl Answered {
    /// What became of it, with every "no" as a problem.
    pub fn settled(self, fields: Fields) -> Result<Settled, Problem> {
        let Answered { command, first, outcome, keyed } = self;
        match first {
            First::Done { saga, told } => Ok(Settled::Done { saga, told, outcome: outcome.map(Box::new) }),
            First::Waiting => Ok(Settled::Waiting { command }),
            First::Refused(refusal) => Err(Problem::refused(&refusal, fields)),
            First::Mismatch => Err(mismatch(keyed, &command)),
            First::Invalid(why) => Err(Problem::malformed("command-invalid", why)),
            First::Unavailable(why) => Err(Problem::unavailable("unavailable", why)),
        }
    }
}

/// Sends a command and waits as long as whoever asked wants; the owner's own answer.
pub(crate) async fn answered<M: Command>(
    edge: &Edge,
    asked: Asked,
    kind: Kind,
    body: &[u8],
    message: &M,
) -> Result<Answered, Problem> {
    let Asked { key, actor, trace, wait, expected } = asked;
    let keyed = key.is_some();
    let id: Arc<str> = match (key, kind) {
        (Some(key), _) => key,
        (None, Kind::Creation) => format!("{}:{}", M::KIND, message.key()).into(),
        (None, Kind::Other) => edge.ids.fresh().into(),
    };
    let actor = actor.map_or_else(|| edge.words.actor.clone(), Arc::from);
    let envelope = Envelope {
        trace,
        answer_to: Some(edge.words.answer_to.clone()),
        expected: expected.clone(),
        ..Envelope::asked(id.clone(), edge.words.source.clone(), actor, edge.ids.now())
    };
    let packet = Packet::of(message, envelope).map_err(|error| {
        tracing::error!(%error, kind = M::KIND, "a command cannot be written as JSON");
        Problem::internal()
    })?;
    let (first_sender, mut first) = oneshot::channel();
    let (outcome_sender, outcome) = wait.map(|_| oneshot::channel()).unzip();
    let listener = Box::new(Ear { first: Some(first_sender), outcome: outcome_sender });
    edge.door.ask(Ask { packet, hash: hash(body, expected.as_ref()), listener }).map_err(|_| busy())?;
    let mut ended = None;
    let mut left = FIRST_MAX;
    if let (Some(outcome), Some(wait)) = (outcome, wait) {
        // The sender goes with the first answer when nothing more will come, and that ends the wait as well.
        ended = timeout(wait, outcome).await.ok().and_then(Result::ok);
        left = left.saturating_sub(wait);
    }
    let answer = match first.try_recv() {
        Ok(answer) => Ok(answer),
        Err(oneshot::error::TryRecvError::Closed) => Err(Silence::Gone),
        Err(oneshot::error::TryRecvError::Empty) => match timeout(left, first).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Silence::Gone),
            Err(_) => Err(Silence::Late),
        },
    };
    match answer {
        Ok(first) => Ok(Answered { command: id, first, outcome: ended, keyed }),
        // It stands in the broker's topic: whoever owns its key will find it there.
        Err(Silence::Late) if edge.door.durable(&id) => Ok(Answered { command: id, first: First::Waiting, outcome: None, keyed }),
        Err(silence) => Err(silence.problem(&id)),
    }
}

fn mismatch(keyed: bool, id: &str) -> Problem {
    let (field, why) = if keyed {
        ("Idempotency-Key", format!("the idempotency key {id:?} was used for another request"))
    } else {
        ("id", "this id was used for another request".to_owned())
    };
    Problem::refused(&Refusal::conflict("idempotency-mismatch", why), |field| field.into()).at(field)
}

/// Why there is no first answer.
enum Silence {
    Gone,
    Late,
}

impl Silence {
    fn problem(self, command: &str) -> Problem {
        let (code, why) = match self {
            Silence::Gone => ("stopping", "the server stops; whether this was done is not known: ask again, with the same id"),
            Silence::Late => {
                ("no-answer", "there is no answer yet; whether this is done is not known: ask again, with the same id")
            }
        };
        Problem::unavailable(code, why).with(serde_json::json!({"command": command}))
    }
}

/// Hears what becomes of one command, on the owner's thread.
struct Ear {
    first: Option<oneshot::Sender<First>>,
    outcome: Option<oneshot::Sender<Outcome>>,
}

impl Listener for Ear {
    fn first(&mut self, first: &First) {
        if !matches!(first, First::Done { saga: Some(_), .. }) {
            // Nothing more will come. The first answer must be there before the other channel closes, which wakes whoever waits.
            let ended = self.outcome.take();
            self.tell(first);
            drop(ended);
        } else {
            self.tell(first);
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        if let Some(sender) = self.outcome.take() {
            // Whoever asked may have gone.
            let _heard = sender.send(outcome.clone());
        }
    }

    fn gone(&self) -> bool {
        self.first.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn waits(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| !outcome.is_closed())
    }
}

impl Ear {
    fn tell(&mut self, first: &First) {
        if let Some(sender) = self.first.take() {
            // Whoever asked may have gone.
            let _heard = sender.send(first.clone());
        }
    }
}
