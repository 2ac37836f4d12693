//! The laws that every saga obeys, checked on a user's own contexts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Instead, Ticket, World, lock};
use crate::command::{Error, Refusal};
use crate::executor::{Decision, Letter};
use crate::message::{Direction, Envelope};
use crate::saga::engine::Phase;
use crate::store::Partition;

/// A saga's test: the contexts, how one is started, and how the world looks to its users.
pub struct Case {
    /// The contexts, new each time.
    pub contexts: fn() -> Vec<crate::Context>,
    /// The saga's name.
    pub saga: &'static str,
    /// Prepares what the saga needs, and starts one.
    pub start: fn(&mut World) -> Ticket,
    /// What counts: everything that the saga changes and its undo must put back, as text. History (a cancelled record that is kept)
    /// is left out.
    pub view: fn(&World) -> String,
}

/// A command of a saga, as handlers saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    row: u16,
    index: u32,
    direction: Direction,
}

fn of(envelope: &Envelope) -> Option<Seen> {
    let saga = envelope.saga.as_ref()?;
    Some(Seen { row: saga.row, index: saga.index, direction: saga.direction })
}

fn world(case: &Case) -> World {
    World::distributed(case.contexts, 2, 7)
}

/// A long enough time for any row: all attempts, all deadlines.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// Asserts for a saga: it completes; each row refused, faulted, dead and timed out at every index ends as the table says; every
/// action and undo may run twice; undos come row by row in reverse; what was undone looks as if it had never been started.
///
/// # Panics
/// When a law is broken; the text says which, at which row and index.
pub fn assert_saga_laws(case: &Case) {
    let (rows, before, after) = well(case);
    twice(case, &before, &after, &rows);
    for (row, phase, children) in &rows {
        for index in 0..*children {
            let at = Seen { row: *row, index, direction: Direction::Do };
            refused(case, at, *phase, &before, &after);
            faulted(case, at, &after);
            dead(case, at, *phase, &before, &after);
            late(case, at, *phase, &before, &after);
        }
    }
}

type Rows = Vec<(u16, Phase, u32)>;

/// Runs one well; gives the rows that have commands, and the view before and after.
fn well(case: &Case) -> (Rows, String, String) {
    let mut world = world(case);
    let seen = watch(&mut world, |_, _| Instead::Handle);
    let ticket = (case.start)(&mut world);
    assert!(world.settle(LONG), "{}: a run without faults does not end", case.saga);
    let outcome = world.outcome(ticket).unwrap_or_else(|| panic!("{}: nobody heard how it ended", case.saga));
    assert!(outcome.completed, "{}: a run without faults was undone: {:?}", case.saga, outcome.reason);
    let after = (case.view)(&world);
    let contexts = (case.contexts)();
    let definition = contexts.iter().flat_map(|context| context.plans()).find(|plan| plan.name == case.saga);
    let definition = definition.unwrap_or_else(|| panic!("no context has a saga {:?}", case.saga));
    let seen = lock(&seen).clone();
    let rows = definition
        .plan
        .iter()
        .filter(|row| row.command.is_some())
        .map(|row| {
            let children = seen.iter().filter(|seen| seen.row == row.row).map(|seen| seen.index + 1).max().unwrap_or(0);
            (row.row, row.phase, children)
        })
        .collect::<Rows>();
    // A saga that is committed from its start on is never undone, so there is no world before it to come back to.
    let before = if rows.iter().any(|(_, phase, _)| *phase != Phase::Then) { nothing(case) } else { String::new() };
    (rows, before, after)
}

/// The view of a world in which the saga was started and undone at once, by its first command's refusal; and of none at all they
/// must be the same, so it is the view of a world where it was aborted.
fn nothing(case: &Case) -> String {
    let mut world = world(case);
    watch(&mut world, |seen, _| match seen.direction {
        Direction::Do => Instead::Answer(no()),
        Direction::Undo => Instead::Handle,
    });
    (case.start)(&mut world);
    assert!(world.settle(LONG), "{}: refused at its first row it does not end", case.saga);
    (case.view)(&world)
}

fn no() -> Error {
    Error::Refused(Refusal::conflict("law", "refused by a law's test"))
}

/// Lets every command of the saga through `front`, and notes which handlers ran in which order.
fn watch(world: &mut World, front: impl Fn(Seen, &Envelope) -> Instead + Send + Sync + 'static) -> Arc<Mutex<Vec<Seen>>> {
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = seen.clone();
    world.intercept(move |envelope| {
        let Some(one) = of(envelope) else { return Instead::Handle };
        let instead = front(one, envelope);
        if !matches!(instead, Instead::Answer(_)) {
            lock(&noted).push(one);
        }
        instead
    });
    seen
}

/// The rows' undo order is exact: row by row in reverse, each row's undos all done before a lower row's first.
fn assert_undo_order(case: &Case, at: Seen, seen: &[Seen]) {
    let undone: Vec<u16> = seen.iter().filter(|seen| seen.direction == Direction::Undo).map(|seen| seen.row).collect();
    let mut sorted = undone.clone();
    sorted.sort_by(|one, other| other.cmp(one));
    assert_eq!(undone, sorted, "{}: the undo order after {at:?}", case.saga);
    for done in seen.iter().filter(|done| done.direction == Direction::Do && done.row < at.row) {
        let undo = Seen { direction: Direction::Undo, ..*done };
        let contexts = (case.contexts)();
        let plan = contexts.iter().flat_map(|context| context.plans()).find(|plan| plan.name == case.saga);
        let has_undo = plan.is_some_and(|plan| plan.plan.iter().any(|row| row.row == done.row && row.undo.is_some()));
        assert_eq!(seen.contains(&undo), has_undo, "{}: {done:?} after {at:?}", case.saga);
    }
}

fn ended(case: &Case, world: &World, ticket: Ticket, at: Seen, what: &str) -> bool {
    let outcome = world.outcome(ticket).unwrap_or_else(|| panic!("{}: {what} at {at:?}: it did not end", case.saga));
    outcome.completed
}

fn refused(case: &Case, at: Seen, phase: Phase, before: &str, after: &str) {
    let mut world = world(case);
    let times = Arc::new(AtomicU32::new(0));
    let counted = times.clone();
    let seen = watch(&mut world, move |seen, _| {
        // After the pivot a refusal is tried again, so it stops after a few times.
        let limit = if phase == Phase::Then { 3 } else { u32::MAX };
        if seen == at && counted.fetch_add(1, Ordering::Relaxed) < limit { Instead::Answer(no()) } else { Instead::Handle }
    });
    let ticket = (case.start)(&mut world);
    assert!(world.settle(LONG), "{}: refused at {at:?} it does not end", case.saga);
    let completed = ended(case, &world, ticket, at, "refused");
    assert_eq!(completed, phase == Phase::Then, "{}: refused at {at:?}", case.saga);
    let expected = if completed { after } else { before };
    assert_eq!((case.view)(&world), expected, "{}: the world after {at:?} was refused", case.saga);
    if !completed {
        assert_undo_order(case, at, &lock(&seen));
    }
}

fn faulted(case: &Case, at: Seen, after: &str) {
    let mut world = world(case);
    let times = Arc::new(AtomicU32::new(0));
    watch(&mut world, move |seen, _| {
        if seen == at && times.fetch_add(1, Ordering::Relaxed) < 3 {
            Instead::Answer(Error::fault("broken thrice"))
        } else {
            Instead::Handle
        }
    });
    let ticket = (case.start)(&mut world);
    assert!(world.settle(LONG), "{}: faulted thrice at {at:?} it does not end", case.saga);
    assert!(ended(case, &world, ticket, at, "faulted thrice"), "{}: a fault that passes undoes nothing ({at:?})", case.saga);
    assert_eq!((case.view)(&world), after, "{}: the world after {at:?} faulted thrice", case.saga);
}

fn dead(case: &Case, at: Seen, phase: Phase, before: &str, after: &str) {
    for replay in [false, true] {
        let mut world = world(case);
        let broken = Arc::new(AtomicU32::new(1));
        let still = broken.clone();
        watch(&mut world, move |seen, _| {
            if seen == at && still.load(Ordering::Relaxed) == 1 {
                Instead::Answer(Error::fault("broken"))
            } else {
                Instead::Handle
            }
        });
        let ticket = (case.start)(&mut world);
        assert!(!world.settle(Duration::from_secs(3600)), "{}: {at:?} a dead letter, and it ended by itself", case.saga);
        let letters: Vec<(Partition, Letter)> = world
            .waiting()
            .into_iter()
            .filter(|(_, waiting)| waiting.head.dead)
            .map(|(partition, waiting)| (partition, Letter::from(&waiting.head)))
            .collect();
        let [(partition, letter)] = letters.as_slice() else { panic!("{}: {at:?}: dead letters {letters:?}", case.saga) };
        broken.store(0, Ordering::Relaxed);
        let (partition, letters) = (partition.clone(), vec![*letter]);
        let decision = if replay {
            Decision::Replay { partition, letters, reason: None }
        } else {
            Decision::Discard { partition, letters, reason: "a law's test".to_owned() }
        };
        world.operate(&decision).unwrap_or_else(|why| panic!("{}: {at:?}: {why:?}", case.saga));
        assert!(world.settle(LONG), "{}: decided on {at:?} it does not end", case.saga);
        let completed = ended(case, &world, ticket, at, "decided on");
        // A discarded command is refused, and after the pivot sent again.
        assert_eq!(completed, replay || phase == Phase::Then, "{}: {at:?} decided on (replay: {replay})", case.saga);
        assert_eq!((case.view)(&world), if completed { after } else { before }, "{}: the world after {at:?}", case.saga);
    }
}

/// The command is under way until the row's deadline has passed, and is then carried out after all.
fn late(case: &Case, at: Seen, phase: Phase, before: &str, after: &str) {
    let mut world = world(case);
    let seen = watch(&mut world, |_, _| Instead::Handle);
    world.hold(move |envelope| of(envelope) == Some(at));
    let ticket = (case.start)(&mut world);
    world.settle(Duration::from_secs(3600));
    assert!(world.outcome(ticket).is_none(), "{}: it ended without {at:?}", case.saga);
    world.release();
    assert!(world.settle(LONG), "{}: late at {at:?} it does not end", case.saga);
    let completed = ended(case, &world, ticket, at, "late");
    assert_eq!(completed, phase != Phase::Step, "{}: late at {at:?}", case.saga);
    assert_eq!((case.view)(&world), if completed { after } else { before }, "{}: the world after {at:?} was late", case.saga);
    if !completed {
        assert_undo_order(case, at, &lock(&seen));
    }
}

/// Every action twice, and, turned round at the last row before the pivot, every undo twice.
fn twice(case: &Case, before: &str, after: &str, rows: &Rows) {
    let mut world_of_actions = world(case);
    watch(&mut world_of_actions, |_, _| Instead::Twice);
    let ticket = (case.start)(&mut world_of_actions);
    assert!(world_of_actions.settle(LONG), "{}: every action twice, and it does not end", case.saga);
    let at = Seen { row: 0, index: 0, direction: Direction::Do };
    assert!(ended(case, &world_of_actions, ticket, at, "every action twice"));
    assert_eq!((case.view)(&world_of_actions), after, "{}: the world after every action ran twice", case.saga);
    let Some((last, ..)) = rows.iter().rev().find(|(_, phase, _)| *phase != Phase::Then).copied() else { return };
    let mut world = world(case);
    watch(
        &mut world,
        move |seen, _| {
            if seen.row == last && seen.direction == Direction::Do { Instead::Answer(no()) } else { Instead::Twice }
        },
    );
    let ticket = (case.start)(&mut world);
    assert!(world.settle(LONG), "{}: every undo twice, and it does not end", case.saga);
    assert!(!ended(case, &world, ticket, at, "every undo twice"));
    assert_eq!((case.view)(&world), before, "{}: the world after every undo ran twice", case.saga);
}
