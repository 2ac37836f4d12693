//! Commits that are on their way while their owner goes on.

use super::parts::*;
use super::*;

pub(super) fn check(make: Maker<'_>) {
    a_batch_that_was_started_is_written_when_it_has_finished(make);
    a_batch_behind_another_is_written_after_it_or_not_at_all(make);
}

fn a_batch_that_was_started_is_written_when_it_has_finished(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    // Started, and something else read meanwhile: what is read is all of it or nothing.
    store.start(Arc::new(whole(fence)));
    assert_eq!(store.begin(), Ok(()));
    let wanted = [(Table::State(0), "car-1".into()), (Table::Saga, "car-1~a".into())];
    let seen: Vec<bool> = store.fetch(&wanted).expect("the store is there").iter().map(Option::is_some).collect();
    assert_eq!(seen[0], seen[1], "half a batch is seen");
    assert_eq!(store.finish(), Ok(()));
    assert_eq!(store.begin(), Ok(()));
    assert_whole_but_fence(&mut *store);
    // The next commit comes after it.
    commit(&mut *store, Writes { heads: vec![head(&home(), fence, 4)], ..log_of(4, &shop(1)) });
    assert_whole_but_fence_and_log(&mut *store, 4);
    // Refused or fenced, it has written nothing, and the one after it is whole again.
    store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 5)], ..state("car-1", 7) }));
    assert!(matches!(store.finish(), Err(CommitError::Refused(_))));
    store.start(Arc::new(Writes { heads: vec![head(&home(), fence + 7, 5)], ..state("car-2", 1) }));
    assert_eq!(store.finish(), Err(CommitError::Fenced(vec![home()])));
    assert_eq!(peek(&mut *store, Table::State(0), "car-2"), None);
    assert_whole_but_fence_and_log(&mut *store, 4);
    // An owner that takes its partition while one is under way finds it written.
    store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 5)], ..log_of(5, &shop(1)) }));
    assert_eq!(take(&mut *store, &home()).head, Some(at(5)));
}

fn a_batch_behind_another_is_written_after_it_or_not_at_all(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    commit(&mut *store, whole(fence));
    store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 5)], ..state("car-3", 1) }));
    store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 6)], ..state("car-3", 2) }));
    assert_eq!((store.finish(), store.finish()), (Ok(()), Ok(())));
    assert_eq!(peek(&mut *store, Table::State(0), "car-3").map(|row| row.version), Some(2));
    for settled_between in [false, true] {
        store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 7)], ..state("car-1", 7) }));
        if settled_between {
            assert_eq!(store.begin(), Ok(()));
            let _forgotten = store.forget_commands(0).expect("the store is there");
        }
        store.start(Arc::new(Writes { heads: vec![head(&home(), fence, 8)], ..state("car-4", 1) }));
        assert!(matches!(store.finish(), Err(CommitError::Refused(_))));
        assert!(store.finish().is_err(), "it came behind one that failed");
        assert_eq!(peek(&mut *store, Table::State(0), "car-4"), None);
    }
}
