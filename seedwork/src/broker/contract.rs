//! What every broker must do: the suite that each adapter runs, against the real server too.
//!
//! A broker delivers at least once; what the suite's readers take goes through [`inbox::seen`](crate::inbox::seen) and a mark, as in an owner.
//!
//! ```
//! use seedwork::broker::{Broker, Embedded, contract};
//! use seedwork::store::Partition;
//!
//! struct InProcess;
//! impl contract::Subject for InProcess {
//!     fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
//!         Box::new(Embedded::new(origins.to_vec()))
//!     }
//!     fn again(&mut self, origins: &[Partition]) -> Box<dyn Broker> {
//!         Box::new(Embedded::new(origins.to_vec()))
//!     }
//! }
//! contract::check(&mut InProcess);
//! ```

use super::*;

mod parts;

use parts::*;

/// A broker under test.
pub trait Subject {
    /// A broker that has carried nothing yet, for the streams of these partitions.
    fn fresh(&mut self, origins: &[Partition]) -> Box<dyn Broker>;

    /// The same broker, after the process that used it has died: the door of the next one.
    fn again(&mut self, origins: &[Partition]) -> Box<dyn Broker>;

    /// Nothing was heard, so many times in a row: a broker that is elsewhere waits a moment, and says false when nothing more will
    /// come.
    fn wait(&mut self, times: u32) -> bool {
        let _ = times;
        false
    }
}

/// Runs the whole suite.
///
/// # Panics
/// At the first thing that the adapter does otherwise.
pub fn check(subject: &mut dyn Subject) {
    each_route_is_heard_in_order_and_every_row_has_its_receipt(subject);
    what_was_sent_before_anybody_listened_is_heard(subject);
    routes_do_not_wait_for_each_other(subject);
    two_subscriptions_of_one_destination_each_hear_everything(subject);
    what_was_not_acknowledged_comes_again(subject);
    whoever_unsubscribed_hears_nothing(subject);
    a_lost_row_is_seen_as_a_gap_and_healed_by_turning_back(subject);
    a_route_that_lost_its_first_row_turns_back_to_its_beginning(subject);
    turning_back_takes_nothing_from_another_reader(subject);
    a_restart_in_the_middle_loses_nothing(subject);
    a_slow_consumer_loses_nothing(subject);
}

fn each_route_is_heard_in_order_and_every_row_has_its_receipt(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let reader = rig.subscribe("shop", &cars(0));
    for _ in 0..40 {
        rig.send(&lot(0), &cars(0), 2);
        rig.send(&lot(1), &cars(0), 1);
    }
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 80);
    rig.assert_all(reader, &lot(1), 40);
    for from in [lot(0), lot(1)] {
        let route = Route { from, to: cars(0) };
        assert!(rig.has_receipts(&route), "every row of {route:?} has its receipt");
    }
}

fn what_was_sent_before_anybody_listened_is_heard(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    rig.send(&lot(0), &cars(0), 5);
    rig.pump(subject);
    let reader = rig.subscribe("shop", &cars(0));
    rig.send(&lot(0), &cars(0), 5);
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 10);
}

fn routes_do_not_wait_for_each_other(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let (whole, holed) = (rig.subscribe("shop", &cars(1)), rig.subscribe("shop", &cars(0)));
    rig.send(&lot(0), &cars(0), 1);
    rig.lose(&lot(0), &cars(0));
    rig.send(&lot(0), &cars(0), 3);
    rig.send(&lot(0), &cars(1), 4);
    rig.send(&lot(1), &cars(0), 4);
    rig.pump(subject);
    rig.assert_all(whole, &lot(0), 4);
    rig.assert_all(holed, &lot(1), 4);
    rig.assert_hole(holed, &lot(0), 1, 5);
    rig.assert_all(whole, &lot(1), 0);
}

fn two_subscriptions_of_one_destination_each_hear_everything(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let one = rig.subscribe("shop", &cars(0));
    rig.send(&lot(0), &cars(0), 10);
    let two = rig.subscribe("garage", &cars(0));
    rig.send(&lot(0), &cars(0), 10);
    rig.pump(subject);
    rig.assert_all(one, &lot(0), 20);
    rig.assert_all(two, &lot(0), 20);
}

fn what_was_not_acknowledged_comes_again(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let reader = rig.subscribe("shop", &cars(0));
    rig.send(&lot(0), &cars(0), 6);
    rig.take_only(reader, 3);
    rig.pump(subject);
    assert_eq!(rig.taken(reader, &lot(0)).len(), 3, "the reader dropped the others");
    rig.take_only(reader, usize::MAX);
    rig.resubscribe(reader);
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 6);
}

fn whoever_unsubscribed_hears_nothing(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let (gone, stays) = (rig.subscribe("shop", &cars(0)), rig.subscribe("garage", &cars(0)));
    rig.send(&lot(0), &cars(0), 2);
    rig.pump(subject);
    rig.assert_all(gone, &lot(0), 2);
    let heard = rig.heard(gone);
    rig.send(&lot(0), &cars(0), 2);
    rig.unsubscribe(gone);
    rig.send(&lot(0), &cars(0), 2);
    rig.pump(subject);
    assert_eq!(rig.heard(gone), heard, "nothing after it unsubscribed, not even what was on its way");
    rig.assert_all(stays, &lot(0), 6);
    rig.resubscribe(gone);
    rig.pump(subject);
    rig.assert_all(gone, &lot(0), 6);
}

fn a_lost_row_is_seen_as_a_gap_and_healed_by_turning_back(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let reader = rig.subscribe("shop", &cars(0));
    rig.send(&lot(0), &cars(0), 4);
    rig.lose(&lot(0), &cars(0));
    rig.send(&lot(0), &cars(0), 4);
    rig.pump(subject);
    rig.assert_hole(reader, &lot(0), 4, 9);
    rig.turn_back(reader, &lot(0));
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 9);
    rig.send(&lot(0), &cars(0), 3);
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 12);
}

fn a_route_that_lost_its_first_row_turns_back_to_its_beginning(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let reader = rig.subscribe("shop", &cars(0));
    rig.lose(&lot(0), &cars(0));
    rig.send(&lot(0), &cars(0), 3);
    rig.pump(subject);
    rig.assert_hole(reader, &lot(0), 0, 4);
    rig.turn_back(reader, &lot(0));
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 4);
}

fn turning_back_takes_nothing_from_another_reader(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let ahead = rig.subscribe("shop", &cars(0));
    rig.send(&lot(0), &cars(0), 8);
    rig.pump(subject);
    let behind = rig.subscribe("garage", &cars(0));
    rig.send(&lot(0), &cars(0), 2);
    rig.turn_back(ahead, &lot(0));
    rig.pump(subject);
    rig.assert_all(ahead, &lot(0), 10);
    rig.assert_all(behind, &lot(0), 10);
    assert_eq!(rig.gaps(behind), 0, "the other's turning back leaves no hole for it");
    // Nor what is already on its way to it.
    for heard in 1..6 {
        let mut rig = Rig::fresh(subject);
        let readers = [rig.subscribe("shop", &cars(0)), rig.subscribe("garage", &cars(0))];
        rig.send(&lot(0), &cars(0), 4);
        rig.hear(heard);
        rig.turn_back(readers[0], &lot(0));
        rig.pump(subject);
        for reader in readers {
            rig.assert_all(reader, &lot(0), 4);
            assert_eq!(rig.gaps(reader), 0, "after {heard} messages");
        }
    }
}

fn a_restart_in_the_middle_loses_nothing(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let (reader, idle) = (rig.subscribe("shop", &cars(0)), rig.subscribe("garage", &cars(0)));
    rig.send(&lot(0), &cars(0), 10);
    rig.take_only(reader, 4);
    rig.take_only(idle, 0);
    rig.pump(subject);
    rig.send(&lot(0), &cars(0), 10);
    // Committed, and the process died before it was sent.
    rig.lose(&lot(0), &cars(0));
    rig.restart(subject);
    rig.take_only(reader, usize::MAX);
    rig.take_only(idle, usize::MAX);
    rig.send(&lot(0), &cars(0), 5);
    rig.pump(subject);
    for reader in [reader, idle] {
        rig.assert_all(reader, &lot(0), 26);
    }
}

fn a_slow_consumer_loses_nothing(subject: &mut dyn Subject) {
    let mut rig = Rig::fresh(subject);
    let reader = rig.subscribe("shop", &cars(0));
    for _ in 0..30 {
        rig.send(&lot(0), &cars(0), 100);
        rig.send(&lot(1), &cars(0), 10);
        rig.hear(7);
    }
    rig.pump(subject);
    rig.assert_all(reader, &lot(0), 3000);
    rig.assert_all(reader, &lot(1), 300);
}
