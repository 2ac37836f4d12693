//! Where the tasks put what the owner's thread will hear, and what wakes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pulsar::message::proto::MessageIdData;
use tokio::sync::Semaphore;

use crate::broker::{Foreign, Heard};
use crate::store::{LogRow, Place, Place0, Route};

/// Routes of which something is to be said: no more than anybody has, unless somebody makes them up.
const ROUTES: usize = 10_000;

/// A message on its way to the owner.
pub(super) struct Delivered {
    /// Which consumer brought it: what an older one of the same subscription brought is of no use any more.
    pub consumer: u64,
    pub what: What,
    /// The broker's id of it.
    pub id: MessageIdData,
    /// The last message of its entry: the broker's cursor moves by entries.
    pub last: bool,
    /// What it takes of its consumer's room, given back when the owner hears it.
    pub weight: u32,
    pub room: Arc<Semaphore>,
}

pub(super) enum What {
    Row(LogRow),
    Foreign(Foreign),
}

#[derive(Default)]
struct State {
    messages: VecDeque<Delivered>,
    receipts: BTreeMap<Route, Place>,
    failed: BTreeSet<Route>,
    turns: BTreeMap<Route, Place0>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.receipts.is_empty() && self.failed.is_empty() && self.turns.is_empty()
    }
}

/// See the module's text.
pub(super) struct Hub {
    state: Mutex<State>,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Hub {
    pub fn new(ring: Box<dyn Fn() + Send + Sync>) -> Hub {
        Hub { state: Mutex::default(), ring }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the owner if there was nothing to hear before: otherwise it is awake, or will be.
    fn say(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        let sleeps = state.is_empty();
        change(&mut state);
        let wake = sleeps && !state.is_empty();
        drop(state);
        if wake {
            (self.ring)();
        }
    }

    pub fn message(&self, delivered: Delivered) {
        self.say(|state| state.messages.push_back(delivered));
    }

    /// Every row of a route up to a place is safe.
    pub fn receipt(&self, route: Route, upto: Place) {
        self.say(|state| {
            let known = state.receipts.entry(route).or_insert(upto);
            *known = upto.max(*known);
        });
    }

    pub fn failed(&self, routes: BTreeSet<Route>) {
        self.say(|state| state.failed.extend(routes));
    }

    /// A route must be sent again from after a place; of several the earliest.
    pub fn turn(&self, route: Route, after: Place0) {
        self.say(|state| {
            if state.turns.len() < ROUTES || state.turns.contains_key(&route) {
                let known = state.turns.entry(route).or_insert(after);
                *known = after.min(*known);
            }
        });
    }

    /// Everything that is no message, into `into`: few, and the owner must not send more before it has heard them.
    pub fn notices(&self, into: &mut Vec<Heard>) {
        let mut state = self.state();
        into.extend(std::mem::take(&mut state.receipts).into_iter().map(|(route, upto)| Heard::Receipt(route, upto)));
        into.extend(std::mem::take(&mut state.failed).into_iter().map(Heard::Failed));
        into.extend(std::mem::take(&mut state.turns).into_iter().map(|(route, after)| Heard::Turn(route, after)));
    }

    /// The oldest messages, at most so many.
    pub fn messages(&self, limit: usize) -> Vec<Delivered> {
        let mut state = self.state();
        let some = state.messages.len().min(limit);
        state.messages.drain(..some).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Destination, Partition};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn route(number: usize) -> Route {
        let from = Partition { context: format!("lot{number}").into(), number: 0 };
        Route { from, to: Destination { topic: "lot.events".into(), partition: 0 } }
    }

    #[test]
    fn the_owner_is_woken_once_for_all_that_it_has_not_heard_and_hears_each_route_once() {
        let rings = Arc::new(AtomicUsize::new(0));
        let counted = rings.clone();
        let hub = Hub::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let place = |position| Place { epoch: 1, position };
        for position in [4, 9, 7] {
            hub.receipt(route(0), place(position));
            hub.turn(route(0), Some(place(position)));
        }
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        let mut heard = Vec::new();
        hub.notices(&mut heard);
        let [Heard::Receipt(_, upto), Heard::Turn(_, after)] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!((*upto, *after), (place(9), Some(place(4))), "the last receipt, the earliest turn");
        hub.failed([route(0)].into());
        assert_eq!(rings.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn made_up_routes_do_not_fill_the_memory() {
        let hub = Hub::new(Box::new(|| ()));
        (0..2 * ROUTES).for_each(|number| hub.turn(route(number), None));
        assert_eq!(hub.state().turns.len(), ROUTES);
    }
}
