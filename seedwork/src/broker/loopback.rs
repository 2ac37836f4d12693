//! What an owner says to itself does not go out: rows of its commands and replies whose reader is held by the same executor are handed to
//! it when their commit has ended, and the broker behind this one carries the rest.
//!
//! Both ends of such a route lie in one store, so its log is the topic, as in the embedded stack, whose broker carries these rows here
//! too: what does not fit into memory is read back from the log, and the reader's committed mark is the receipt. Events go out always, for
//! anybody may read them. A route that loses one of its ends in this process is sent over the broker from its first row without a receipt;
//! what arrives both ways is dropped as a duplicate.

use std::collections::BTreeSet;

use super::{Broker, Embedded, Heard, OWN, Subscription, Taken};
use crate::executor::Answered;
use crate::message::Role;
use crate::store::{Destination, LogRow, Partition, Place, Place0, Route, Store, StoreResult};

/// See the module's text.
pub struct Loopback {
    inside: Embedded,
    outside: Box<dyn Broker>,
    /// Whose rows have been handed on inside.
    origins: BTreeSet<Partition>,
    /// What is read inside.
    readers: BTreeSet<Subscription>,
    /// Routes of which rows were handed on inside: the broker has not seen those.
    unseen: BTreeSet<Route>,
    /// Routes that have lost their reader here and are sent from the relay's position as soon as that has been told: until then nothing
    /// of them goes out, for a receipt says that every row before it is safe too.
    lost: BTreeSet<Route>,
}

/// Where a row goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Inside,
    Outside,
    /// Nowhere: its route is about to be sent again, and it with the others.
    NotYet,
}

/// Whether a destination has one reader alone, the context's own.
fn is_own(context: &str, to: &Destination) -> bool {
    Role::of_topic(&to.topic) != Role::Event && to.topic.rsplit_once('.').is_some_and(|(of, _)| of == context)
}

impl Loopback {
    /// In front of the broker that carries what goes out.
    pub fn new(outside: Box<dyn Broker>) -> Loopback {
        Loopback {
            inside: Embedded::new(Vec::new()),
            outside,
            origins: BTreeSet::new(),
            readers: BTreeSet::new(),
            unseen: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    fn way(&self, route: &Route) -> Way {
        match self.is_inside(route) {
            true => Way::Inside,
            false if self.lost.contains(route) => Way::NotYet,
            false => Way::Outside,
        }
    }

    fn is_inside(&self, route: &Route) -> bool {
        let reader = Partition { context: route.from.context.clone(), number: route.to.partition };
        is_own(&route.from.context, &route.to)
            && self.origins.contains(&route.from)
            && self.readers.contains(&Subscription { reader, to: route.to.clone() })
    }
}

impl Broker for Loopback {
    fn took(&mut self, partition: &Partition, fence: u64) {
        if self.origins.insert(partition.clone()) {
            self.inside.add_origin(partition);
        }
        self.outside.took(partition, fence);
    }

    fn joined(&mut self, route: &Route, mark: Place0) {
        if self.is_inside(route) {
            self.inside.turn_back(route, mark);
        }
        self.outside.joined(route, mark);
    }

    fn subscribe(&mut self, subscription: &Subscription, marks: &[(Route, Place)], store: &mut dyn Store) -> StoreResult<()> {
        if is_own(&subscription.reader.context, &subscription.to) {
            self.inside.subscribe(subscription, marks, store)?;
            self.readers.insert(subscription.clone());
            self.lost.retain(|route| route.to != subscription.to);
        }
        self.outside.subscribe(subscription, marks, store)
    }

    fn unsubscribe(&mut self, subscription: &Subscription) {
        if self.readers.remove(subscription) {
            self.inside.unsubscribe(subscription);
            self.lost.extend(self.unseen.iter().filter(|route| route.to == subscription.to).cloned());
        }
        self.outside.unsubscribe(subscription);
    }

    fn send(&mut self, rows: &[LogRow]) -> Taken {
        let mut left = rows;
        while let Some(first) = left.first() {
            let way = self.way(&first.route);
            let end = left.iter().position(|row| self.way(&row.route) != way).unwrap_or(left.len());
            let (run, rest) = left.split_at(end);
            match way {
                Way::Inside => {
                    for row in run {
                        if !self.unseen.contains(&row.route) {
                            self.unseen.insert(row.route.clone());
                        }
                    }
                    self.inside.send(run);
                }
                Way::Outside => {
                    for row in run {
                        if self.unseen.remove(&row.route) {
                            self.outside.begin(&row.route);
                        }
                    }
                    self.outside.send(run);
                }
                Way::NotYet => {}
            }
            left = rest;
        }
        Taken::Later
    }

    fn begin(&mut self, route: &Route) {
        self.outside.begin(route);
    }

    fn takes(&mut self, subscription: &Subscription, row: &LogRow) -> bool {
        self.is_inside(&row.route) && self.inside.takes(subscription, row)
    }

    fn hear(&mut self, limit: usize, store: &mut dyn Store, into: &mut Vec<Heard>) -> StoreResult<()> {
        into.extend(std::mem::take(&mut self.lost).into_iter().map(Heard::Failed));
        let first = into.len();
        self.inside.hear(limit, store, into)?;
        for heard in into.iter_mut().skip(first) {
            if let Heard::Message(_, number, _) = heard {
                *number = OWN;
            }
        }
        self.outside.hear(limit, store, into)
    }

    fn acknowledge(&mut self, subscription: &Subscription, upto: u64) {
        if upto != OWN {
            self.outside.acknowledge(subscription, upto);
        }
    }

    fn turn_back(&mut self, route: &Route, mark: Place0) {
        match self.is_inside(route) {
            true => self.inside.turn_back(route, mark),
            false => self.outside.turn_back(route, mark),
        }
    }

    fn last_sent(&mut self, partition: &Partition) -> StoreResult<Place0> {
        self.outside.last_sent(partition)
    }

    fn answer(&mut self, to: &str, answer: &Answered) {
        self.outside.answer(to, answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::store::{HeadWrite, Schema, Sqlite, Writes};

    const EPOCH: u64 = 7;

    /// What a broker elsewhere was told.
    #[derive(Clone, Default)]
    struct Outside(Arc<Mutex<Vec<String>>>);

    impl Outside {
        fn say(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn told(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Broker for Outside {
        fn subscribe(&mut self, _: &Subscription, _: &[(Route, Place)], _: &mut dyn Store) -> StoreResult<()> {
            Ok(())
        }

        fn unsubscribe(&mut self, _: &Subscription) {}

        fn send(&mut self, rows: &[LogRow]) -> Taken {
            rows.iter().for_each(|row| self.say(format!("{} {}", row.route.to.topic, row.place.position)));
            Taken::Later
        }

        fn begin(&mut self, route: &Route) {
            self.say(format!("begin {}", route.to.topic));
        }

        fn hear(&mut self, _: usize, _: &mut dyn Store, _: &mut Vec<Heard>) -> StoreResult<()> {
            Ok(())
        }

        fn acknowledge(&mut self, _: &Subscription, upto: u64) {
            self.say(format!("acknowledged {upto}"));
        }

        fn turn_back(&mut self, route: &Route, _: Place0) {
            self.say(format!("turn back {}", route.to.topic));
        }
    }

    fn shop(number: u16) -> Partition {
        Partition { context: "shop".into(), number }
    }

    fn to(topic: &str, partition: u16) -> Destination {
        Destination { topic: topic.into(), partition }
    }

    fn reads(topic: &str, partition: u16) -> Subscription {
        Subscription { reader: shop(partition), to: to(topic, partition) }
    }

    struct Rig {
        outside: Outside,
        broker: Loopback,
        store: Sqlite,
        fence: u64,
        position: u64,
    }

    impl Rig {
        /// Partition 0 is held; and 1, if so.
        fn new(both: bool) -> Rig {
            let outside = Outside::default();
            let mut store = Sqlite::memory().unwrap();
            store.open(&Schema { epoch: EPOCH, ..Schema::default() }).unwrap();
            let fence = store.take(&shop(0), None).unwrap().unwrap().fence;
            let broker = Loopback::new(Box::new(outside.clone()));
            let mut rig = Rig { outside, broker, store, fence, position: 0 };
            (0..=u16::from(both)).for_each(|number| rig.take(number, &[]));
            rig
        }

        fn take(&mut self, number: u16, marks: &[(Route, Place)]) {
            self.broker.took(&shop(number), 1);
            for topic in ["shop.commands", "shop.replies", "shop.events", "bank.events"] {
                self.broker.subscribe(&reads(topic, number), marks, &mut self.store).unwrap();
            }
        }

        /// Partition 0 says something, and it is committed and sent.
        fn say(&mut self, to: &Destination) -> LogRow {
            self.position += 1;
            let route = Route { from: shop(0), to: to.clone() };
            let row = LogRow {
                predecessor: self.store.last_sent(&route).unwrap(),
                place: Place { epoch: EPOCH, position: self.position },
                raw: Arc::from(&b"{}"[..]),
                packet: None,
                times: [0; 3],
                route,
            };
            let writes = Writes {
                heads: vec![HeadWrite {
                    partition: shop(0),
                    fence: self.fence,
                    epoch: EPOCH,
                    position: self.position,
                    relayed: 0,
                }],
                destinations: vec![(shop(0), to.clone(), row.place)],
                log: vec![row.clone()],
                ..Writes::default()
            };
            self.store.commit(&writes).unwrap();
            self.broker.send(std::slice::from_ref(&row));
            row
        }

        fn heard(&mut self) -> Vec<String> {
            let mut heard = Vec::new();
            self.broker.hear(100, &mut self.store, &mut heard).unwrap();
            let told = |heard: &Heard| match heard {
                Heard::Message(subscription, number, row) => {
                    format!("{} {} as {number}", subscription.to.topic, row.place.position)
                }
                Heard::Failed(route) => format!("failed {}", route.to.topic),
                other => format!("{other:?}"),
            };
            heard.iter().map(told).collect()
        }
    }

    #[test]
    fn what_an_owner_says_to_itself_stays_inside_and_everything_else_goes_out() {
        let mut rig = Rig::new(true);
        for topic in ["shop.commands", "shop.replies", "shop.events", "bank.commands"] {
            rig.say(&to(topic, 1));
        }
        assert_eq!(rig.outside.told(), ["shop.events 3", "bank.commands 4"]);
        assert_eq!(rig.heard(), ["shop.commands 1 as 0", "shop.replies 2 as 0"]);
        rig.broker.acknowledge(&reads("shop.commands", 1), 0);
        assert!(rig.outside.told().is_empty(), "the broker's own count does not move by what it has not brought");
    }

    #[test]
    fn what_is_taken_as_it_is_said_stays_inside_and_its_route_begins_anew_outside() {
        let mut rig = Rig::new(true);
        let (route, place) = (Route { from: shop(0), to: to("shop.replies", 1) }, Place { epoch: EPOCH, position: 1 });
        let row = LogRow { route, place, predecessor: None, raw: Arc::from(&b"{}"[..]), packet: None, times: [0; 3] };
        assert!(rig.broker.takes(&reads("shop.replies", 1), &row));
        assert_eq!(rig.say(&to("shop.replies", 1)).place, row.place);
        assert!(rig.heard().is_empty());
        assert!(rig.outside.told().is_empty());
        rig.broker.unsubscribe(&reads("shop.replies", 1));
        assert_eq!(rig.heard(), ["failed shop.replies"], "what the reader's mark does not say is sent from the log");
        rig.say(&to("shop.replies", 1));
        assert_eq!(rig.outside.told(), ["begin shop.replies", "shop.replies 2"]);
        assert!(!rig.broker.takes(&reads("shop.replies", 1), &row), "its reader is elsewhere now");
    }

    #[test]
    fn a_reader_that_is_held_elsewhere_is_sent_to() {
        let mut rig = Rig::new(false);
        rig.say(&to("shop.commands", 1));
        assert_eq!(rig.outside.told(), ["shop.commands 1"]);
        assert!(rig.heard().is_empty());
    }

    #[test]
    fn when_its_reader_goes_a_route_is_sent_again_and_begins_anew_outside() {
        let mut rig = Rig::new(true);
        let first = rig.say(&to("shop.commands", 1));
        rig.broker.unsubscribe(&reads("shop.commands", 1));
        let second = rig.say(&to("shop.commands", 1));
        assert!(rig.outside.told().is_empty(), "a receipt of the second would say that the first is safe");
        assert_eq!(rig.heard(), ["failed shop.commands"], "what was not taken yet is not taken here any more");
        rig.broker.send(&[first, second]);
        rig.say(&to("shop.commands", 1));
        assert_eq!(rig.outside.told(), ["begin shop.commands", "shop.commands 1", "shop.commands 2", "shop.commands 3"]);
    }

    #[test]
    fn a_reader_that_comes_back_goes_on_behind_its_mark_from_the_log() {
        let mut rig = Rig::new(false);
        let first = rig.say(&to("shop.commands", 1));
        rig.say(&to("shop.commands", 1));
        rig.outside.told();
        rig.take(1, &[(first.route.clone(), first.place)]);
        assert_eq!(rig.heard(), ["shop.commands 2 as 0"]);
        rig.say(&to("shop.commands", 1));
        assert_eq!(rig.heard(), ["shop.commands 3 as 0"]);
        assert!(rig.outside.told().is_empty());
    }

    #[test]
    fn a_sender_that_comes_back_is_read_from_where_each_reader_is() {
        let mut rig = Rig::new(false);
        let first = rig.say(&to("shop.commands", 1));
        rig.say(&to("shop.commands", 1));
        let mut again = Rig { broker: Loopback::new(Box::new(rig.outside.clone())), ..rig };
        again.take(1, &[]);
        assert!(again.heard().is_empty(), "whose rows they are is not held here");
        again.broker.took(&shop(0), 2);
        again.broker.joined(&first.route, Some(first.place));
        assert_eq!(again.heard(), ["shop.commands 2 as 0"]);
    }

    #[test]
    fn a_gap_inside_is_healed_from_the_log() {
        let mut rig = Rig::new(true);
        let first = rig.say(&to("shop.commands", 1));
        rig.say(&to("shop.commands", 1));
        assert_eq!(rig.heard().len(), 2);
        rig.broker.turn_back(&first.route, Some(first.place));
        assert_eq!(rig.heard(), ["shop.commands 2 as 0"]);
        assert!(rig.outside.told().is_empty());
    }
}
