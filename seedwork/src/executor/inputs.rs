//! What a batch takes: everything at hand, bounded.

use std::time::Duration;

use super::{Arrival, BATCH, Executor, First, Input, Stop, Undecided, What, crash};
use crate::broker::Heard;
use crate::message::{Packet, Role};

impl Executor {
    /// How many more commands it would take now: two batches' worth at most wait inside it.
    pub(super) fn room(&self) -> usize {
        (2 * BATCH).saturating_sub(self.asks.len() + self.operations.len())
    }

    /// The inputs at hand, bounded.
    pub(super) fn inputs(&mut self, now: Duration) -> Result<Vec<Input>, Stop> {
        let limit = if self.cautious > 0 { 1 } else { BATCH };
        let received = self.clock.now();
        let mut inputs = Vec::new();
        // One a batch, and first: what it decides on is as the store holds it.
        if let Some((operation, answer)) = self.operations.pop_front() {
            let seed = self.chance.bits();
            let about = operation.partition(self.settings.partitions);
            match self.held.iter().position(|held| held.partition == about) {
                Some(partition) => match self.says_behind(partition).filter(|_| !operation.begins_epoch()) {
                    Some(why) => answer(Err(Undecided::Unavailable(why))),
                    None => inputs
                        .push(Input { arrival: Arrival { partition, received, seed }, what: What::Operation(operation, answer) }),
                },
                None => answer(Err(Undecided::Elsewhere(about))),
            }
        }
        for alarm in self.alarms.take(now, limit.saturating_sub(inputs.len())) {
            let seed = self.chance.bits();
            if let Some(partition) = self.held.iter().position(|held| held.partition == alarm.partition) {
                inputs.push(Input { arrival: Arrival { partition, received, seed }, what: What::Alarm(alarm) });
            }
        }
        for partition in 0..self.held.len() {
            let left = limit.saturating_sub(inputs.len());
            for number in self.held[partition].lanes.due(received, left) {
                let seed = self.chance.bits();
                inputs.push(Input { arrival: Arrival { partition, received, seed }, what: What::Waiting(number) });
            }
        }
        // Messages go before new commands: what has begun is finished before more begins.
        let mut heard = std::mem::take(&mut self.heard);
        if heard.len() < limit {
            let mut more = Vec::new();
            self.broker.hear(BATCH, &mut *self.store, &mut more).map_err(crash)?;
            heard.extend(more);
        }
        while inputs.len() < limit {
            let Some(one) = heard.pop_front() else { break };
            match one {
                Heard::Message(subscription, number, row) => {
                    if let Some(partition) = self.held.iter().position(|held| held.partition == subscription.reader) {
                        let seed = self.chance.bits();
                        let what = What::Message { subscription, number, row, admitted: false };
                        inputs.push(Input { arrival: Arrival { partition, received, seed }, what });
                    }
                }
                Heard::Foreign(subscription, number, foreign) => {
                    if let Some(partition) = self.held.iter().position(|held| held.partition == subscription.reader) {
                        let seed = self.chance.bits();
                        let what = What::Foreign { subscription, number, foreign };
                        inputs.push(Input { arrival: Arrival { partition, received, seed }, what });
                    }
                }
                Heard::Receipt(route, upto) => {
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        held.relay.receipt(&route, upto);
                    }
                }
                Heard::Failed(route) => {
                    // A failed send is told row by row; the route is sent again once for all that have been heard of.
                    heard.retain(|other| !matches!(other, Heard::Failed(of) if *of == route));
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        let after = held.relay.relayed();
                        held.relay.again(&route, after, &mut *self.broker, &mut *self.store).map_err(crash)?;
                    }
                }
                Heard::Turn(route, mark) => {
                    if let Some(held) = self.held.iter_mut().find(|held| held.partition == route.from) {
                        held.relay.again(&route, mark, &mut *self.broker, &mut *self.store).map_err(crash)?;
                    }
                }
            }
        }
        self.heard = heard;
        while inputs.len() < limit {
            let Some((ask, received, seed)) = self.asks.pop_front() else { break };
            if ask.listener.gone() {
                self.counters.abandoned += 1;
                continue;
            }
            match self.addressee(&ask.packet) {
                Some(partition) if self.commands_paused(partition) => {
                    let mut ask = ask;
                    let why = "an operator has paused the reading of these commands; try again later".to_owned();
                    ask.listener.first(&First::Unavailable(why));
                }
                Some(partition) => match self.says_behind(partition) {
                    Some(why) => {
                        let mut ask = ask;
                        ask.listener.first(&First::Unavailable(why));
                    }
                    None => inputs.push(Input { arrival: Arrival { partition, received, seed }, what: What::Ask(ask) }),
                },
                None => {
                    let mut ask = ask;
                    let kind = &ask.packet.envelope.kind;
                    let known = self.registry.contexts.iter().any(|context| context.handlers.contains_key(&**kind));
                    let first = if known {
                        First::Unavailable(format!("the owner of {:?} is elsewhere; try again", ask.packet.envelope.key))
                    } else {
                        First::Invalid(format!("nobody here takes {kind}"))
                    };
                    ask.listener.first(&first);
                }
            }
        }
        Ok(inputs)
    }

    /// The held partition that a command from outside is for.
    fn addressee(&self, packet: &Packet) -> Option<usize> {
        let number = crate::log::partition_of(&packet.envelope.key, self.settings.partitions);
        self.held.iter().position(|held| {
            let context = self.registry.contexts.get(held.context);
            held.partition.number == number
                && context
                    .and_then(|context| context.handlers.get(&*packet.envelope.kind))
                    .is_some_and(|handler| handler.role == Role::Command)
        })
    }
}
