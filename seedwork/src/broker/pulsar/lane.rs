//! What waits to be sent to one destination, and the task that sends it, an entry at a time.
//!
//! The log is the buffer: a lane holds a bounded part of it. What it cannot hold it lets go, and asks for when there is room again. A
//! receipt says that *every* row of a route up to a place is safe, so after a failure nothing of a route is taken but what follows the
//! last safe row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hub::Hub;
use super::outlet::{ENTRY, ENTRY_BYTES, Outlet};
use super::rows;
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route};

/// Rows and bytes that may wait in one lane.
const ROWS: usize = 20_000;
const BYTES: usize = 16 * 1024 * 1024;
/// A row that does not follow is answered by asking for what is between. After so many in a row it is taken as it is: nobody has what is
/// between.
const REFUSED: usize = 50_000;

/// How far a route is.
#[derive(Default)]
struct Chain {
    /// Every row up to here has its receipt.
    safe: Place0,
    /// The last row taken.
    last: Place0,
    /// Rows were let go: they are asked for when there is room.
    wants: bool,
    /// Rows in a row that did not follow.
    refused: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<LogRow>,
    bytes: usize,
    chains: BTreeMap<Partition, Chain>,
}

/// See the module's text.
pub(super) struct Lane {
    to: Destination,
    rows: usize,
    bytes: usize,
    state: Mutex<State>,
    arrived: Notify,
}

impl Lane {
    pub fn new(to: Destination) -> Lane {
        Lane { to, rows: ROWS, bytes: BYTES, state: Mutex::default(), arrived: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, from: &Partition) -> Route {
        Route { from: from.clone(), to: self.to.clone() }
    }

    /// Takes a row if it follows what was taken, and there is room.
    pub fn put(&self, row: &LogRow, hub: &Hub) {
        let mut state = self.state();
        let full = state.queue.len() >= self.rows || state.bytes >= self.bytes;
        let chain = state.chains.entry(row.route.from.clone()).or_insert_with(|| {
            // Whoever sends the first has the receipts of all before it.
            Chain { safe: row.predecessor, last: row.predecessor, ..Chain::default() }
        });
        let follows = row.predecessor <= chain.last;
        if full || (!follows && chain.wants) {
            chain.wants = true;
            return;
        }
        if !follows && chain.refused < REFUSED {
            chain.refused += 1;
            let after = chain.last;
            drop(state);
            return hub.turn(row.route.clone(), after);
        }
        chain.refused = 0;
        chain.last = chain.last.max(Some(row.place));
        state.bytes += row.raw.len();
        state.queue.push_back(row.clone());
        drop(state);
        self.arrived.notify_one();
    }

    /// A partition was taken: how far another owner came with it is not known here.
    pub fn forget(&self, from: &Partition) {
        self.state().chains.remove(from);
    }

    /// The rows of the next entry; waits until there are some.
    async fn next(&self, hub: &Hub) -> Vec<LogRow> {
        loop {
            let rows = self.take(hub);
            if !rows.is_empty() {
                return rows;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self, hub: &Hub) -> Vec<LogRow> {
        let mut state = self.state();
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(row) = state.queue.front().filter(|_| rows.len() < ENTRY) {
            if !rows.is_empty() && bytes + row.raw.len() > ENTRY_BYTES {
                break;
            }
            bytes += row.raw.len();
            rows.extend(state.queue.pop_front());
        }
        state.bytes -= bytes;
        if state.queue.len() <= self.rows / 2 && state.bytes <= self.bytes / 2 {
            for (from, chain) in state.chains.iter_mut().filter(|(_, chain)| chain.wants) {
                chain.wants = false;
                hub.turn(self.route(from), chain.last);
            }
        }
        rows
    }

    /// These rows have their receipt.
    fn safe(&self, rows: &[LogRow], hub: &Hub) {
        let mut upto: BTreeMap<&Partition, Place> = BTreeMap::new();
        for row in rows {
            let known = upto.entry(&row.route.from).or_insert(row.place);
            *known = row.place.max(*known);
        }
        let mut state = self.state();
        for (from, place) in upto {
            if let Some(chain) = state.chains.get_mut(from) {
                chain.safe = chain.safe.max(Some(place));
            }
            hub.receipt(self.route(from), place);
        }
    }

    /// These rows have no receipt, so nothing behind them may have one: all go, and are asked for again.
    fn failed(&self, rows: &[LogRow], hub: &Hub) {
        let mut state = self.state();
        let gone = std::mem::take(&mut state.queue);
        state.bytes = 0;
        let mut routes: BTreeSet<Route> = rows.iter().chain(&gone).map(|row| row.route.clone()).collect();
        for (from, chain) in &mut state.chains {
            if chain.wants {
                routes.insert(self.route(from));
            }
            (chain.last, chain.wants, chain.refused) = (chain.safe, false, 0);
        }
        hub.failed(routes);
    }
}

/// Sends a lane's rows for ever.
pub(super) async fn run(lane: Arc<Lane>, hub: Arc<Hub>, mut outlet: Outlet) {
    loop {
        // First the way, then the rows: what waits for a broker that is away waits in the queue, where its bound is.
        outlet.ready().await;
        let rows = lane.next(&hub).await;
        match outlet.send(rows.iter().map(rows::outgoing).collect()).await {
            Ok(()) => lane.safe(&rows, &hub),
            Err(why) => {
                tracing::warn!(topic = %lane.to.topic, partition = lane.to.partition, rows = rows.len(), %why, "a send failed");
                lane.failed(&rows, &hub);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Heard;

    fn place(position: u64) -> Place {
        Place { epoch: 1, position }
    }

    fn row(position: u64) -> LogRow {
        let from = Partition { context: "lot".into(), number: 0 };
        LogRow {
            route: Route { from, to: Destination { topic: "lot.events".into(), partition: 0 } },
            place: place(position),
            predecessor: (position > 1).then(|| place(position - 1)),
            raw: Arc::from(&b"{}"[..]),
            packet: None,
            times: [0; 3],
        }
    }

    fn rig(rows: usize) -> (Lane, Hub) {
        (Lane { rows, ..Lane::new(row(1).route.to) }, Hub::new(Box::new(|| ())))
    }

    fn put(lane: &Lane, hub: &Hub, positions: impl IntoIterator<Item = u64>) {
        positions.into_iter().for_each(|position| lane.put(&row(position), hub));
    }

    fn positions(rows: &[LogRow]) -> Vec<u64> {
        rows.iter().map(|row| row.place.position).collect()
    }

    fn heard(hub: &Hub) -> Vec<Heard> {
        let mut heard = Vec::new();
        hub.notices(&mut heard);
        heard
    }

    #[test]
    fn a_receipt_is_never_given_for_a_row_behind_one_that_failed() {
        let (lane, hub) = rig(100);
        put(&lane, &hub, 5..=9);
        let rows = lane.take(&hub);
        put(&lane, &hub, [10]);
        lane.failed(&rows, &hub);
        assert!(matches!(heard(&hub).as_slice(), [Heard::Failed(_)]));
        // Committed before the owner has heard of the failure.
        put(&lane, &hub, [11]);
        assert!(lane.take(&hub).is_empty(), "11 must not go before 5");
        assert!(matches!(heard(&hub).as_slice(), [Heard::Turn(_, Some(after))] if *after == place(4)));
        put(&lane, &hub, 5..=11);
        let rows = lane.take(&hub);
        assert_eq!(positions(&rows), [5, 6, 7, 8, 9, 10, 11]);
        lane.safe(&rows, &hub);
        assert!(matches!(heard(&hub).as_slice(), [Heard::Receipt(_, upto)] if *upto == place(11)));
    }

    #[test]
    fn what_does_not_fit_is_let_go_and_asked_for_when_there_is_room() {
        let (lane, hub) = rig(10);
        put(&lane, &hub, 1..=25);
        assert!(heard(&hub).is_empty(), "not while it is full");
        assert_eq!(positions(&lane.take(&hub)), (1..=10).collect::<Vec<_>>());
        assert!(matches!(heard(&hub).as_slice(), [Heard::Turn(_, Some(after))] if *after == place(10)));
        put(&lane, &hub, 11..=25);
        assert_eq!(positions(&lane.take(&hub)), (11..=20).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_is_bounded_in_bytes_but_one_message_always_fits() {
        let (lane, hub) = rig(100);
        for position in 1..=4 {
            let raw = vec![b'x'; if position == 3 { 2 * ENTRY_BYTES } else { ENTRY_BYTES / 2 }];
            lane.put(&LogRow { raw: raw.into(), ..row(position) }, &hub);
        }
        let entries: Vec<usize> = std::iter::from_fn(|| Some(lane.take(&hub).len()).filter(|rows| *rows > 0)).collect();
        assert_eq!(entries, [2, 1, 1]);
    }

    #[test]
    fn whoever_takes_a_partition_again_goes_on_where_another_owner_came_to() {
        let (lane, hub) = rig(100);
        put(&lane, &hub, 1..=3);
        lane.forget(&row(1).route.from);
        put(&lane, &hub, 21..=22);
        assert_eq!(positions(&lane.take(&hub)), [1, 2, 3, 21, 22]);
        assert!(heard(&hub).is_empty());
    }

    #[test]
    fn what_nobody_has_any_more_holds_up_nothing_for_ever() {
        let (lane, hub) = rig(100);
        put(&lane, &hub, [1]);
        (0..=REFUSED).for_each(|_| lane.put(&row(9), &hub));
        assert_eq!(positions(&lane.take(&hub)), [1, 9]);
    }
}
