//! A saga is a table: each row names its command, its compensation, and by its verb its phase.
//!
//! Before the pivot every row says how it is undone, or that there is nothing to undo; the pivot is the point of no return; after it
//! rows are only tried again. The three are the compensatable, pivot and retriable transactions of Garcia-Molina & Salem (1987) and
//! Richardson's *Microservices Patterns*, ch. 4. The types say so: a step without an undo, a step after the pivot, an undo that goes
//! to another context than its step do not compile.
//!
//! The table is data. The [engine] that moves a saga along it is a pure function, and the executor carries out what it says.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Outgoing;
use crate::message::{Command, Owner};

mod answer;
pub mod engine;

use engine::{Phase, RowShape, Shape};

/// What a saga knows: written once, when it starts. Ids of what it will make are minted there; answers carry no data.
pub trait SagaState: Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SagaState for T {}

/// How long a row may take when it does not say: longer than all attempts of a message that faults.
pub const WITHIN: Duration = Duration::from_secs(15 * 60);

/// Rows may still be undone.
#[derive(Debug)]
pub enum Open {}
/// Past the pivot: rows are only tried again.
#[derive(Debug)]
pub enum Committed {}

type Count<S> = Box<dyn Fn(&S) -> usize + Send + Sync>;
type Make<S> = Box<dyn Fn(&S, usize) -> Option<serde_json::Result<Outgoing>> + Send + Sync>;

struct Row<S> {
    phase: Phase,
    count: Count<S>,
    step: Option<(&'static str, Make<S>)>,
    undo: Option<(&'static str, Make<S>)>,
    context: &'static str,
    within: Duration,
}

/// The table while it is being written; see the module's text for the verbs.
pub struct Saga<S, Phase = Open> {
    name: &'static str,
    version: u32,
    rows: Vec<Row<S>>,
    phase: PhantomData<fn() -> Phase>,
}

/// A step whose undo has not been named yet.
#[must_use = "say how the step is undone: .undo(…) or .nothing_to_undo()"]
pub struct Step<S, C> {
    saga: Saga<S, Open>,
    row: Row<S>,
    command: PhantomData<fn() -> C>,
}

/// A fan-out's step whose undo has not been named yet.
#[must_use = "say how the step is undone: .undo(…) or .nothing_to_undo()"]
pub struct StepEach<S, T, C> {
    step: Step<S, C>,
    list: Arc<List<S, T>>,
}

/// A fan-out whose step has not been named yet: one child per item, all at once, joined.
#[must_use = "name the step that each item takes"]
pub struct Each<S, T, Phase> {
    saga: Saga<S, Phase>,
    list: Arc<List<S, T>>,
}

type List<S, T> = dyn for<'a> Fn(&'a S) -> &'a [T] + Send + Sync;

fn single<S, C: Command>(make: impl Fn(&S) -> C + Send + Sync + 'static) -> Make<S> {
    Box::new(move |state, _| Some(Outgoing::of(&make(state))))
}

fn of_each<S: 'static, T: 'static, C: Command>(
    list: Arc<List<S, T>>,
    make: impl Fn(&S, &T) -> C + Send + Sync + 'static,
) -> Make<S> {
    Box::new(move |state, index| list(state).get(index).map(|item| Outgoing::of(&make(state, item))))
}

fn row<S, C: Command>(phase: Phase, count: Count<S>, make: Make<S>) -> Row<S> {
    Row { phase, count, step: Some((C::KIND, make)), undo: None, context: C::Owner::NAME, within: WITHIN }
}

impl<S: SagaState> Saga<S, Open> {
    /// An empty table. Row 1 is the unit of work that starts the saga.
    pub fn new(name: &'static str) -> Self {
        let start = Row { phase: Phase::Start, count: Box::new(|_| 1), step: None, undo: None, context: "", within: WITHIN };
        Saga { name, version: 1, rows: vec![start], phase: PhantomData }
    }

    /// The table's version (default 1): raised with every change to rows or state, the old table kept beside the new one.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// How row 1, the unit of work that started the saga, is undone.
    pub fn undo_start<C: Command>(mut self, undo: impl Fn(&S) -> C + Send + Sync + 'static) -> Self {
        if let Some(start) = self.rows.first_mut() {
            start.undo = Some((C::KIND, single(undo)));
            start.context = C::Owner::NAME;
        }
        self
    }

    /// One command, compensated by what follows.
    pub fn step<C: Command>(self, step: impl Fn(&S) -> C + Send + Sync + 'static) -> Step<S, C> {
        let row = row::<S, C>(Phase::Step, Box::new(|_| 1), single(step));
        Step { saga: self, row, command: PhantomData }
    }

    /// The point of no return: refused, everything before it is undone; done, nothing is.
    pub fn pivot<C: Command>(mut self, pivot: impl Fn(&S) -> C + Send + Sync + 'static) -> Saga<S, Committed> {
        self.rows.push(row::<S, C>(Phase::Pivot, Box::new(|_| 1), single(pivot)));
        self.committed()
    }

    /// A command that is only tried again; being the first of its kind it commits the saga.
    pub fn then<C: Command>(self, then: impl Fn(&S) -> C + Send + Sync + 'static) -> Saga<S, Committed> {
        self.committed().then(then)
    }

    fn committed(self) -> Saga<S, Committed> {
        Saga { name: self.name, version: self.version, rows: self.rows, phase: PhantomData }
    }
}

impl<S: SagaState, P> Saga<S, P> {
    /// The next row is taken once for each item, all at once, and joined.
    pub fn each<T: 'static>(self, list: impl for<'a> Fn(&'a S) -> &'a [T] + Send + Sync + 'static) -> Each<S, T, P> {
        Each { saga: self, list: Arc::new(list) }
    }

    /// The deadline of the row just written (default [`WITHIN`]), from when its commands are sent.
    pub fn within(mut self, deadline: Duration) -> Self {
        if let Some(last) = self.rows.last_mut() {
            last.within = deadline;
        }
        self
    }
}

impl<S: SagaState> Saga<S, Committed> {
    /// A command that is only tried again, with backoff, until it is done.
    pub fn then<C: Command>(mut self, then: impl Fn(&S) -> C + Send + Sync + 'static) -> Self {
        self.rows.push(row::<S, C>(Phase::Then, Box::new(|_| 1), single(then)));
        self
    }
}

impl<S: SagaState, T: 'static> Each<S, T, Open> {
    /// One command per item, compensated by what follows.
    pub fn step<C: Command>(self, step: impl Fn(&S, &T) -> C + Send + Sync + 'static) -> StepEach<S, T, C> {
        let count = self.list.clone();
        let row = row::<S, C>(Phase::Step, Box::new(move |state| count(state).len()), of_each(self.list.clone(), step));
        StepEach { step: Step { saga: self.saga, row, command: PhantomData }, list: self.list }
    }

    /// One command per item, only tried again.
    pub fn then<C: Command>(self, then: impl Fn(&S, &T) -> C + Send + Sync + 'static) -> Saga<S, Committed> {
        Each { saga: self.saga.committed(), list: self.list }.then(then)
    }
}

impl<S: SagaState, T: 'static> Each<S, T, Committed> {
    /// One command per item, only tried again.
    pub fn then<C: Command>(mut self, then: impl Fn(&S, &T) -> C + Send + Sync + 'static) -> Saga<S, Committed> {
        let count = self.list.clone();
        let make = of_each(self.list, then);
        self.saga.rows.push(row::<S, C>(Phase::Then, Box::new(move |state| count(state).len()), make));
        self.saga
    }
}

impl<S: SagaState, C: Command> Step<S, C> {
    /// Says in so many words that the step leaves nothing behind.
    pub fn nothing_to_undo(mut self) -> Saga<S, Open> {
        self.saga.rows.push(self.row);
        self.saga
    }

    /// The compensation: a command to the same context, under the same key.
    pub fn undo<U: Command<Owner = C::Owner>>(mut self, undo: impl Fn(&S) -> U + Send + Sync + 'static) -> Saga<S, Open> {
        self.row.undo = Some((U::KIND, single(undo)));
        self.nothing_to_undo()
    }
}

impl<S: SagaState, T: 'static, C: Command> StepEach<S, T, C> {
    /// Says in so many words that the steps leave nothing behind.
    pub fn nothing_to_undo(self) -> Saga<S, Open> {
        self.step.nothing_to_undo()
    }

    /// The compensation of one child: a command to the same context, under the same key.
    pub fn undo<U: Command<Owner = C::Owner>>(mut self, undo: impl Fn(&S, &T) -> U + Send + Sync + 'static) -> Saga<S, Open> {
        self.step.row.undo = Some((U::KIND, of_each(self.list, undo)));
        self.step.nothing_to_undo()
    }
}

/// One row, for people and programs: what it asks of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// 1 is the unit of work that started the saga.
    pub row: u16,
    /// Start, step, pivot or then.
    pub phase: Phase,
    /// The context asked.
    pub context: &'static str,
    /// The command's `type`; none for row 1.
    pub command: Option<&'static str>,
    /// The compensation's `type`, if there is one.
    pub undo: Option<&'static str>,
    /// Its deadline, in seconds.
    pub within_seconds: u64,
}

/// A saga's table with its state's type forgotten, as the executor holds it.
pub struct Definition {
    /// The saga's name: `parking.stay`.
    pub name: &'static str,
    /// The table's version.
    pub version: u32,
    /// The rows, in order.
    pub plan: Vec<PlanRow>,
    pub(crate) read: fn(&[u8]) -> serde_json::Result<Arc<dyn Any + Send + Sync>>,
    #[expect(clippy::type_complexity, reason = "a closure's type, used once")]
    pub(crate) shape: Box<dyn Fn(&(dyn Any + Send + Sync)) -> Shape + Send + Sync>,
    #[expect(clippy::type_complexity, reason = "a closure's type, used once")]
    pub(crate) make: Box<
        dyn Fn(&(dyn Any + Send + Sync), u16, usize, crate::message::Direction) -> Option<serde_json::Result<Outgoing>>
            + Send
            + Sync,
    >,
}

impl<S: SagaState, P> From<Saga<S, P>> for Definition {
    fn from(saga: Saga<S, P>) -> Definition {
        use crate::message::Direction;
        let plan = saga
            .rows
            .iter()
            .zip(1..)
            .map(|(row, number)| PlanRow {
                row: number,
                phase: row.phase,
                context: row.context,
                command: row.step.as_ref().map(|(kind, _)| *kind),
                undo: row.undo.as_ref().map(|(kind, _)| *kind),
                within_seconds: row.within.as_secs(),
            })
            .collect();
        let rows = Arc::new(saga.rows);
        let of_shape = rows.clone();
        Definition {
            name: saga.name,
            version: saga.version,
            plan,
            read: |bytes| Ok(Arc::new(serde_json::from_slice::<S>(bytes)?)),
            shape: Box::new(move |state| {
                let rows = of_shape.iter().map(|row| RowShape {
                    phase: row.phase,
                    children: state.downcast_ref::<S>().map_or(0, |state| (row.count)(state)).try_into().unwrap_or(u32::MAX),
                    undo: row.undo.is_some(),
                    within: row.within,
                });
                Shape { rows: rows.collect() }
            }),
            make: Box::new(move |state, row, index, direction| {
                let row = rows.get(usize::from(row).checked_sub(1)?)?;
                let (_, make) = match direction {
                    Direction::Do => row.step.as_ref(),
                    Direction::Undo => row.undo.as_ref(),
                }?;
                make(state.downcast_ref::<S>()?, index)
            }),
        }
    }
}

/// What a saga's asker hears in the commit that settles a command: done (also when nothing changed), refused, or a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is so now.
    Done,
    /// The business said no; nothing changed.
    Refused(crate::command::Refusal),
    /// It broke its handler too often and waits for an operator.
    Dead,
}

/// The one message on a context's topic of replies: the envelope's `saga` says what it answers.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
#[serde(into = "answer::Written", try_from = "answer::Written")]
pub struct Answer {
    /// What became of the command. Beside what an operator did, `Dead` says that it waits there still.
    pub outcome: Outcome,
    /// What an operator did with its dead letter, when that is why it is answered. Whoever does not know of it goes by the outcome.
    pub operator: Option<Operator>,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        Answer { outcome, operator: None }
    }
}

/// What an operator did with a command that had become a dead letter, as the saga that sent it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Operator {
    /// `edited`, `replayed` or `discarded`.
    pub did: std::borrow::Cow<'static, str>,
    /// Who.
    pub actor: std::sync::Arc<str>,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The `type` of an [`Answer`].
pub const ANSWER_KIND: &str = "saga.answered.v1";
/// The record of an [`Answer`].
pub const ANSWER_RECORD: &str = "SagaAnswered";

/// What `abort` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// It is being undone.
    Undoing,
    /// The pivot's command has been sent: it will end as it ends.
    TooLate,
    /// It has ended.
    Ended,
}
