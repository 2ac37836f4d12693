//! An older copy of a store is restored while its readers are ahead: nothing is taken before a new epoch begins, and nothing is lost
//! after it.
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ferry::harbour_v1::FillPurse;
use ferry::{Known, contexts, crossing, view};
use seedwork::executor::{Decided, Decision, Undecided};
use seedwork::store::Partition;
use seedwork::testing::{Faults, World};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A file of this test's own, removed in the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Copy {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.db", std::process::id()));
        let copy = Copy(path);
        copy.remove();
        copy
    }

    fn remove(&self) {
        for end in ["", "-wal", "-shm"] {
            // It may not be there.
            let _gone = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.remove();
    }
}

fn book(world: &mut World, crossings: std::ops::Range<u32>) {
    for n in crossings {
        world.ask(&crossing(&format!("x-{n}"), "p-1", &["ann"]));
    }
}

fn behind(world: &World) -> BTreeSet<Partition> {
    world.readings().into_iter().filter(|reading| reading.behind.is_some()).map(|reading| reading.reader).collect()
}

fn new_epoch(partition: &Partition, epoch: u64) -> Decision {
    Decision::NewEpoch { partition: partition.clone(), epoch, reason: "yesterday's backup was restored".to_owned() }
}

#[test]
fn an_older_copy_takes_no_input_until_a_new_epoch_begins_and_then_nothing_is_dropped() {
    for (seed, faults) in [(1, Faults::default()), (2, Faults::all()), (3, Faults::all())] {
        let copy = Copy::new(&format!("older-{seed}"));
        let mut world = World::distributed(contexts, 2, seed);
        world.ask(&FillPurse { purse: "p-1".to_owned(), amount: 1000 });
        book(&mut world, 0..4);
        assert!(world.settle(HOUR));
        world.dump("harbour", &copy.0);
        assert!(behind(&world).is_empty());
        world.restart_all();
        assert!(behind(&world).is_empty(), "a store that is whole is not behind");
        book(&mut world, 4..12);
        assert!(world.settle(HOUR));
        world.restore("harbour", &copy.0);
        let partitions = behind(&world);
        assert_eq!(partitions.len(), 2, "both have published since");
        assert!(partitions.iter().all(|partition| &*partition.context == "harbour"));
        // Nothing runs there, whatever comes and however much time goes by.
        book(&mut world, 12..20);
        world.run(HOUR);
        assert_eq!(world.sagas().len(), 4, "those of the copy");
        let mut epoch = 0;
        for partition in &partitions {
            let discard = Decision::Discard {
                partition: partition.clone(),
                letters: Vec::new(),
                reason: "nothing to do with it".to_owned(),
            };
            let Err(Undecided::Unavailable(why)) = world.operate(&discard) else { panic!("nothing else can be decided") };
            let (_, command) =
                why.split_once(&format!("alpes streams new-epoch {partition}/")).unwrap_or_else(|| panic!("{why}"));
            epoch = command.split_once(' ').unwrap().0.parse().unwrap();
        }
        world.set_faults(faults);
        for partition in &partitions {
            let begun = (0..100).find_map(|_| {
                let begun = world.operate(&new_epoch(partition, epoch));
                world.run(Duration::from_secs(1));
                // Whether it has begun is not known when the store was lost in its commit.
                match begun {
                    Err(Undecided::Refused(refusal)) if refusal.code == "epoch-ended" => Some(Decided::Epoch(0)),
                    begun => begun.ok(),
                }
            });
            assert!(matches!(begun, Some(Decided::Epoch(_))), "{begun:?}");
        }
        world.run(MINUTE);
        world.set_faults(Faults::default());
        let again = world.operate(&new_epoch(partitions.first().unwrap(), epoch));
        assert!(matches!(again, Err(Undecided::Refused(refusal)) if refusal.code == "epoch-ended"), "an epoch ends once");
        assert!(world.settle(HOUR), "{}", world.describe());
        world.run(HOUR);
        assert!(behind(&world).is_empty());
        for n in 12..20 {
            let id = format!("x-{n}");
            assert_eq!(world.state::<Known>("ferry", &id).map(|known| known.times), Some(1), "{id}: {}", view(&world));
            assert!(view(&world).contains(&format!("{id} confirmed")), "{}", view(&world));
        }
        assert!(world.readings().iter().all(|reading| reading.gaps.is_empty()));
        world.restart_all();
        assert!(behind(&world).is_empty(), "the next start finds all in order");
    }
}
