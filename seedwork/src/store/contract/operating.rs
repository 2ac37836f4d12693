//! Sagas, and what operators and settings change in a store.

use super::parts::*;
use super::*;

pub(super) fn check(make: Maker<'_>) {
    a_saga_is_running_until_it_has_ended(make);
    an_edit_changes_the_bytes_alone(make);
    a_pause_holds_until_it_is_taken_back(make);
    the_log_is_dropped_from_its_beginning_and_nothing_else_is(make);
}

fn the_log_is_dropped_from_its_beginning_and_nothing_else_is(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let rows = (1..=6).map(|position| log_row(position, (position > 1).then(|| position - 1), &shop(0))).collect();
    commit(&mut *store, Writes { heads: vec![head(&home(), fence, 6)], log: rows, ..Writes::default() });
    let oldest = store.oldest(&home(), 4).expect("the log can be read");
    assert_eq!(oldest.iter().map(|(place, ..)| *place).collect::<Vec<_>>(), [at(1), at(2), at(3), at(4)]);
    let bytes: u64 = store.oldest(&home(), 9).expect("the log can be read").iter().map(|(.., bytes)| bytes).sum();
    let about = store.log_bytes(&home()).expect("the log can be read");
    assert!(about.abs_diff(bytes) <= 6, "{about} is about {bytes}");
    assert_eq!(store.log_bytes(&other()), Ok(0));
    commit(&mut *store, Writes { heads: vec![head(&home(), fence, 6)], drops: vec![(home(), at(4))], ..Writes::default() });
    let left = log_after(&mut *store, None, None, 100);
    assert_eq!(left.iter().map(|row| row.place).collect::<Vec<_>>(), [at(5), at(6)]);
    assert_eq!(take(&mut *store, &home()).head, Some(at(6)), "the head stays where it is");
}

fn a_pause_holds_until_it_is_taken_back(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let write = |fence, pause| Writes { heads: vec![head(&home(), fence, 0)], pauses: vec![pause], ..Writes::default() };
    commit(&mut *store, write(fence, paused()));
    let taken = take(&mut *store, &home());
    assert_eq!(taken.paused, [shop(0)], "the next owner finds it");
    assert!(take(&mut *store, &other()).paused.is_empty());
    commit(&mut *store, write(taken.fence, PauseWrite { pause: None, ..paused() }));
    assert!(take(&mut *store, &home()).paused.is_empty());
}

fn an_edit_changes_the_bytes_alone(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let write = |waiting| Writes { heads: vec![head(&home(), fence, 0)], waiting, ..Writes::default() };
    let came = waiting(2, None);
    commit(&mut *store, write(vec![WaitingWrite::Put(home(), came.clone())]));
    let edit = |bytes: &[u8]| WaitingWrite::Edit(home(), 2, Arc::from(bytes));
    commit(&mut *store, write(vec![edit(b"first"), edit(b"second")]));
    let edited = store.waiting(&home(), 2).expect("the store is there").expect("it waits");
    assert_eq!(edited, Waiting { raw: Arc::from(&b"second"[..]), revision: 3, ..came });
}

fn a_saga_is_running_until_it_has_ended(make: Maker<'_>) {
    let mut store = new(make);
    let fence = take(&mut *store, &home()).fence;
    let go = |store: &mut dyn Subject, writes: Writes| commit(store, Writes { heads: vec![head(&home(), fence, 0)], ..writes });
    for id in ["car-1~a", "car-2~b", "car-3~c", "car-4~d", "car-5~e", "car-6~f"] {
        go(&mut *store, saga(id, 1, "running"));
    }
    go(&mut *store, saga("car-5~e", 2, "stuck"));
    go(&mut *store, saga("car-6~f", 2, "undone-with-exceptions"));
    go(&mut *store, saga("car-1~a", 2, "undoing"));
    go(&mut *store, saga("car-2~b", 2, "completed"));
    go(&mut *store, saga("car-3~c", 2, "undone"));
    assert_eq!(peek(&mut *store, Table::Saga, "car-1~a").map(|row| (row.version, row.body)), Some((2, body("car-1~a", 2))));
    assert_eq!(
        peek(&mut *store, Table::Start, "car-1~a").map(|row| row.body),
        Some(body("car-1~a", 0)),
        "written once, at the start"
    );
    let sql = "SELECT line, entries FROM saga_log WHERE saga = $1 ORDER BY line";
    let lines = store.select(sql, &["car-1~a".into()]).expect("the log of a saga can be read");
    assert_eq!(
        lines,
        [1, 2].map(|version| vec![version.into(), text(&body("car-1~a", 100 + u64::try_from(version).unwrap_or(0)))])
    );
    let running: Vec<String> = take(&mut *store, &home()).running.iter().map(ToString::to_string).collect();
    assert_eq!(running, ["car-1~a", "car-4~d", "car-5~e"]);
    assert!(take(&mut *store, &other()).running.is_empty());
}
