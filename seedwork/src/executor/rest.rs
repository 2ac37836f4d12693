//! A store that comes to rest: what is under way goes on until nothing is left that could.

use super::{Executor, Mark, Stop};
use crate::store::{Route, StoreError, StoreResult};

impl Executor {
    /// Runs batches until nothing is left that goes on by itself now: no message that was not taken, no commit under way. What is due
    /// later, dead letters and what waits behind them stay in the waiting table, sagas that wait stay as they are. For an executor over
    /// a broker in process that holds every partition of its store and that nobody else asks for anything.
    ///
    /// # Errors
    /// When the store cannot be read or written, or messages are left that nobody here takes; the text says which and what to do.
    pub fn run_out(&mut self) -> StoreResult<()> {
        let broken = |stop: Stop| {
            let Stop::Crash(why) = stop;
            StoreError(format!("the store could not be read or written ({why})"))
        };
        while self.turn().map_err(broken)? || !self.idle() {
            if self.paused_until.is_some() {
                return Err(StoreError(
                    "the store cannot be written at the moment: make room on its disk, or look after it".to_owned(),
                ));
            }
        }
        self.write_postponed().map_err(broken)?;
        let paused = self.held.iter().flat_map(|held| held.paused.iter().map(move |to| (&held.partition, to))).next();
        if let Some((reader, to)) = paused {
            return Err(StoreError(format!(
                "an operator has paused what {reader} reads of {}: resume it, so that what is there is taken",
                to.topic
            )));
        }
        match self.untaken() {
            None => Ok(()),
            Some(route) => Err(StoreError(format!(
                "messages of {} to {} were not taken: look at `alpes subscriptions list` and `alpes doctor`",
                route.from, route.to.topic
            ))),
        }
    }

    /// A route on which a reader here has not taken the last row that was sent.
    fn untaken(&self) -> Option<Route> {
        self.held.iter().find_map(|reader| {
            self.hears(reader.context, reader.partition.number).into_iter().find_map(|to| {
                self.held.iter().find_map(|from| {
                    let sent = from.destinations.get(&to)?.place;
                    let route = Route { from: from.partition.clone(), to: to.clone() };
                    let taken = reader.marks.get(&route).map(|Mark { place, .. }| *place);
                    (taken < Some(sent)).then_some(route)
                })
            })
        })
    }
}
