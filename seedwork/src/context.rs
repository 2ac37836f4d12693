//! What a bounded context takes in and gives out, as a value: the table in its `lib.rs`.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::command::{Error, Result};
use crate::message::{Command, Event, Owner, Role};
use crate::saga::{Definition, SagaState};
use crate::store::{Schema, StateTable, state_table};
use crate::view::{Value, View};
use crate::work::UnitOfWork;

pub(crate) type Shared = Arc<dyn Any + Send + Sync>;
type Handle = Box<dyn Fn(&[u8], &mut UnitOfWork<'_>) -> std::result::Result<Result, serde_json::Error> + Send + Sync>;

/// How one kind of message is handled.
pub(crate) struct Handler {
    pub record: &'static str,
    pub role: Role,
    /// Whether it may name something that is not known yet, and then waits for it.
    pub early: bool,
    pub permission: Option<&'static str>,
    pub handle: Handle,
    /// Reads a body as its kind, and tells its key.
    pub key: fn(&[u8]) -> serde_json::Result<String>,
}

/// What a test puts in a handler's place.
pub(crate) enum Intercept {
    Pass,
    Twice,
    Answer(Error),
}

/// How one kind of aggregate is stored.
pub(crate) struct Kind {
    pub context: &'static str,
    pub name: &'static str,
    pub type_id: TypeId,
    pub version: u32,
    pub parse: fn(u32, &[u8]) -> std::result::Result<Shared, String>,
    pub write: fn(&(dyn Any + Send + Sync)) -> std::result::Result<Vec<u8>, String>,
    pub view: Option<ViewOf>,
}

/// The view row of an aggregate whose type is forgotten.
type MakeRow = Box<dyn Fn(&(dyn Any + Send + Sync)) -> Vec<Value> + Send + Sync>;

pub(crate) struct ViewOf {
    pub columns: &'static [(&'static str, &'static str)],
    pub indexes: &'static [(&'static str, &'static str)],
    pub row: MakeRow,
    /// The same row, of a state as it is stored.
    pub of_stored: crate::store::StoredRow,
}

/// Reads a stored state, through [`Aggregate::upcast`] when another version wrote it.
pub(crate) fn parse_state<A: Aggregate>(version: u32, body: &[u8]) -> std::result::Result<A, String> {
    if version == A::VERSION {
        return serde_json::from_slice(body).map_err(|error| format!("the stored {} cannot be read: {error}", A::KIND));
    }
    let old = serde_json::from_slice(body).map_err(|error| format!("the stored {} cannot be read: {error}", A::KIND))?;
    serde_json::from_value(A::upcast(version, old)?).map_err(|error| format!("the upcast {} cannot be read: {error}", A::KIND))
}

/// A bounded context: its handlers, aggregates, sagas and views.
///
/// ```
/// # use seedwork::{Context, UnitOfWork, Result};
/// # use serde::{Deserialize, Serialize};
/// # seedwork::messages! { context Parking = "parking", version 1; commands { Enter "enter" by car; } }
/// # #[derive(Serialize, Deserialize, apache_avro::AvroSchema)] pub struct Enter { pub car: String }
/// # #[derive(Clone, Serialize, Deserialize)] struct Car { id: String }
/// # impl seedwork::Aggregate for Car { const KIND: &'static str = "car"; fn id(&self) -> &str { &self.id } }
/// fn enter(ask: Enter, work: &mut UnitOfWork<'_>) -> Result {
///     let _known = work.find::<Car>(&ask.car)?;
///     Ok(())
/// }
/// let context = Context::of::<Parking>().aggregate::<Car>().command("parking.write", enter);
/// assert_eq!(context.name(), "parking");
/// ```
pub struct Context {
    pub(crate) name: &'static str,
    pub(crate) handlers: BTreeMap<&'static str, Handler>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) sagas: Vec<Definition>,
    /// The contexts whose events it reads.
    pub(crate) reads: Vec<&'static str>,
    pub(crate) saga_types: BTreeMap<TypeId, usize>,
}

impl Context {
    /// An empty context.
    pub fn of<O: Owner>() -> Context {
        Context {
            name: O::NAME,
            handlers: BTreeMap::new(),
            kinds: Vec::new(),
            sagas: Vec::new(),
            reads: Vec::new(),
            saga_types: BTreeMap::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The contexts whose events it reads.
    pub fn listens_to(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.reads.iter().copied()
    }

    /// Stores aggregates of this type.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self) -> Context {
        self.kinds.push(Kind {
            context: self.name,
            name: A::KIND,
            type_id: TypeId::of::<A>(),
            version: A::VERSION,
            parse: |version, body| Ok(Arc::new(parse_state::<A>(version, body)?)),
            write: |value| {
                let aggregate = value.downcast_ref::<A>().ok_or("a state of another type")?;
                serde_json::to_vec(aggregate).map_err(|error| format!("the {} cannot be written as JSON: {error}", A::KIND))
            },
            view: None,
        });
        self
    }

    /// Stores aggregates of this type, with a view row of each beside its state.
    #[must_use]
    pub fn view<A: Aggregate>(self, view: View<A>) -> Context {
        let mut context = self.aggregate::<A>();
        if let Some(kind) = context.kinds.last_mut() {
            let row = view.row;
            kind.view = Some(ViewOf {
                columns: view.columns,
                indexes: view.indexes,
                row: Box::new(move |value| value.downcast_ref::<A>().map(row).unwrap_or_default()),
                of_stored: Arc::new(move |version, body| Ok(row(&parse_state::<A>(version, body)?))),
            });
        }
        context
    }

    /// Handles a command; whoever asks needs the permission.
    #[must_use]
    pub fn command<C: Command>(
        self,
        permission: &'static str,
        handler: impl Fn(C, &mut UnitOfWork<'_>) -> Result + Send + Sync + 'static,
    ) -> Context {
        self.handle::<C>(Some(permission), false, handler)
    }

    /// Handles a command that can come before what it names is known: then it waits, up to the setting, and is refused as unknown.
    #[must_use]
    pub fn command_early<C: Command>(
        self,
        permission: &'static str,
        handler: impl Fn(C, &mut UnitOfWork<'_>) -> Result + Send + Sync + 'static,
    ) -> Context {
        self.handle::<C>(Some(permission), true, handler)
    }

    /// Reacts to an event, of this context or another. A refusal here is a fault: nobody asked.
    #[must_use]
    pub fn on<E: Event>(mut self, handler: impl Fn(E, &mut UnitOfWork<'_>) -> Result + Send + Sync + 'static) -> Context {
        if !self.reads.contains(&E::Owner::NAME) {
            self.reads.push(E::Owner::NAME);
        }
        self.handle::<E>(None, false, handler)
    }

    fn handle<M: crate::message::Message>(
        mut self,
        permission: Option<&'static str>,
        early: bool,
        handler: impl Fn(M, &mut UnitOfWork<'_>) -> Result + Send + Sync + 'static,
    ) -> Context {
        let handle: Handle = Box::new(move |body, work| Ok(handler(serde_json::from_slice(body)?, work)));
        let key: fn(&[u8]) -> serde_json::Result<String> = |body| Ok(serde_json::from_slice::<M>(body)?.key().to_owned());
        let known = self.handlers.insert(M::KIND, Handler { record: M::RECORD, role: M::ROLE, early, permission, handle, key });
        assert!(known.is_none(), "{} is registered twice in {}", M::KIND, self.name);
        self
    }

    /// Runs a saga. Of several versions of one state the one registered last is started.
    #[must_use]
    pub fn saga<S: SagaState, P>(mut self, saga: crate::saga::Saga<S, P>) -> Context {
        let mut definition = Definition::from(saga);
        // Row 1 is a unit of work of this context, also when it has no undo to say so.
        if let Some(start) = definition.plan.first_mut() {
            start.context = self.name;
        }
        self.saga_types.insert(TypeId::of::<S>(), self.sagas.len());
        self.sagas.push(definition);
        self
    }

    /// Puts something in front of every handler: it sees each message's envelope, and may answer in the handler's place.
    pub(crate) fn intercept(mut self, hook: &Arc<dyn Fn(&crate::message::Envelope) -> Intercept + Send + Sync>) -> Context {
        for handler in self.handlers.values_mut() {
            let hook = hook.clone();
            let inner = std::mem::replace(&mut handler.handle, Box::new(|_, _| Ok(Ok(()))));
            handler.handle = Box::new(move |body, work| match hook(work.cause) {
                Intercept::Pass => inner(body, work),
                Intercept::Twice => match inner(body, work)? {
                    Ok(()) => inner(body, work),
                    no => Ok(no),
                },
                Intercept::Answer(error) => Ok(Err(error)),
            });
        }
        self
    }

    /// The plans of its sagas.
    pub fn plans(&self) -> &[Definition] {
        &self.sagas
    }

    /// The tables that it needs in its store, the epoch of streams that begin there now being this (milliseconds since 1970).
    pub fn schema(&self, epoch: u64) -> Schema {
        let table = |kind: &Kind| {
            let name = state_table(kind.context, kind.name);
            match &kind.view {
                Some(view) => StateTable { name, columns: view.columns, indexes: view.indexes, row: view.of_stored.clone() },
                None => StateTable::plain(name),
            }
        };
        Schema { states: self.kinds.iter().map(table).collect(), epoch, contexts: vec![self.name] }
    }

    /// Every command that it takes, with the permission that it needs.
    pub fn permissions(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.handlers.iter().filter_map(|(kind, handler)| handler.permission.map(|permission| (*kind, permission)))
    }
}

/// The contexts of one executor, looked up by name, type and kind.
pub(crate) struct Registry {
    pub contexts: Vec<Context>,
    /// (context, kind) of each state table; a table's index is its place here.
    pub kinds: Vec<(usize, usize)>,
    by_type: BTreeMap<TypeId, usize>,
}

impl Registry {
    pub fn new(contexts: Vec<Context>) -> Registry {
        let mut kinds = Vec::new();
        let mut by_type = BTreeMap::new();
        for (context, of_context) in contexts.iter().enumerate() {
            for (kind, of_kind) in of_context.kinds.iter().enumerate() {
                by_type.insert(of_kind.type_id, kinds.len());
                kinds.push((context, kind));
            }
        }
        Registry { contexts, kinds, by_type }
    }

    pub fn kind(&self, table: usize) -> Option<&Kind> {
        let (context, kind) = *self.kinds.get(table)?;
        self.contexts.get(context)?.kinds.get(kind)
    }

    pub fn table_of<A: Aggregate>(&self, context: usize) -> Result<usize> {
        let table = self.by_type.get(&TypeId::of::<A>()).copied();
        table
            .filter(|table| self.kinds.get(*table).is_some_and(|(owner, _)| *owner == context))
            .ok_or_else(|| Error::fault(format!("{} is not an aggregate of this context: register it in lib.rs", A::KIND)))
    }

    pub fn context(&self, name: &str) -> Option<usize> {
        self.contexts.iter().position(|context| context.name == name)
    }

    pub fn saga(&self, context: usize, name: &str, version: u32) -> Option<&Definition> {
        self.contexts.get(context)?.sagas.iter().find(|saga| saga.name == name && saga.version == version)
    }

    pub fn record_of(&self, kind: &str) -> Option<&'static str> {
        if kind == crate::saga::ANSWER_KIND {
            return Some(crate::saga::ANSWER_RECORD);
        }
        self.contexts.iter().find_map(|context| context.handlers.get(kind)).map(|handler| handler.record)
    }
}
