//! An owner over PostgreSQL, whose loads always miss first: sagas run to their end, and every query that operators ask is understood.
#![cfg(feature = "distributed")]
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]

mod ferry;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ferry::harbour_v1::FillPurse;
use ferry::{contexts, crossing};
use seedwork::broker::Embedded;
use seedwork::clock::{Chance, Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{Ask, Executor, First, Listener, Outcome, Settings};
use seedwork::log::history;
use seedwork::message::{Command, Envelope, Packet};
use seedwork::operator::{Sagas, State, decisions, letters, sagas, story, streams};
use seedwork::store::postgres::Readers;
use seedwork::store::{Destination, Partition, Postgres};
use seedwork::testing::databases::Databases;
use seedwork::view::{self, Read};

/// Hears what becomes of a command, and of the saga that it starts.
struct Ear(Sender<Result<First, Outcome>>);

impl Listener for Ear {
    fn first(&mut self, first: &First) {
        // The test may have ended.
        let _heard = self.0.send(Ok(first.clone()));
    }
    fn outcome(&mut self, outcome: &Outcome) {
        let _heard = self.0.send(Err(outcome.clone()));
    }
    fn waits(&self) -> bool {
        true
    }
}

fn ask<C: Command>(handle: &Handle, id: &str, command: &C) -> Receiver<Result<First, Outcome>> {
    let (sender, heard) = channel();
    let packet = Packet::of(command, Envelope::asked(id, "test", "tester", 1)).unwrap();
    handle.ask(Ask { packet, hash: "h".into(), listener: Box::new(Ear(sender)) }).unwrap();
    heard
}

fn completed(heard: &Receiver<Result<First, Outcome>>) -> bool {
    loop {
        match heard.recv_timeout(Duration::from_secs(60)).expect("a saga ends") {
            Ok(First::Done { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(outcome) => return outcome.completed,
        }
    }
}

fn part(context: &str) -> Partition {
    Partition { context: context.into(), number: 0 }
}

#[test]
fn sagas_run_to_their_end_and_are_shown_to_operators() {
    let Some(mut databases) = Databases::find() else { return };
    let url = databases.make();
    let origins = vec![part("harbour"), part("ferry")];
    let clock = SystemClock::default();
    let settings = Settings { partitions: 1, epoch: 1 };
    let (store, broker) = (Box::new(Postgres::connect(&url).unwrap()), Box::new(Embedded::new(origins.clone())));
    let mut executor =
        Executor::new(contexts(), settings, store, broker, Box::new(SystemClock::default()), Chance::seeded(1)).unwrap();
    origins.iter().for_each(|partition| executor.take(partition).unwrap());
    let (handle, thread) = Bell::default().start(executor, OnCrash::End).unwrap();

    let filled = ask(&handle, "fill", &FillPurse { purse: "purse".into(), amount: 1_000_000 });
    assert!(matches!(filled.recv_timeout(Duration::from_secs(60)), Ok(Ok(First::Done { .. }))));
    // One purse cannot pay: its crossing is undone.
    assert!(!completed(&ask(&handle, "poor", &crossing("poor", "empty", &["ann"]))));
    // As many at once as a load of 64 clients.
    let (count, at_once, begun) = (512, 64, clock.monotonic());
    let book = |number: usize| ask(&handle, &format!("book-{number}"), &crossing(&format!("c-{number}"), "purse", &["ann"]));
    let mut running: std::collections::VecDeque<_> = (0..at_once).map(book).collect();
    for number in at_once..count + at_once {
        assert!(completed(&running.pop_front().unwrap()));
        if number < count {
            running.push_back(book(number));
        }
    }
    let took = clock.monotonic() - begun;
    let measured = handle.measured();
    eprintln!("{count} sagas, {at_once} at once, in {took:?}: {measured:?}");
    handle.stop();
    thread.join().unwrap().unwrap();

    every_query_is_understood(&Readers::new(&url).unwrap(), &origins, count);
}

fn every_query_is_understood(read: &dyn Read, origins: &[Partition], count: usize) {
    let states =
        [None, Some(State::Running), Some(State::Undoing), Some(State::Stuck), Some(State::Late), Some(State::Completed)];
    let found = states.map(|state| {
        let filter = Sagas { state, context: Some("harbour".into()), ..Sagas::default() };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = sagas(read, &filter, after, 100).unwrap();
            all.extend(page.items);
            match page.next {
                Some(next) => after = next.first().copied(),
                None => return all,
            }
        }
    });
    assert_eq!((found[0].len(), found[1].len(), found[3].len(), found[5].len()), (count + 1, 0, 0, count));
    let of_one = Sagas { key: Some("poor".into()), newest_first: true, ..Sagas::default() };
    let (id, record) = sagas(read, &of_one, None, 10).unwrap().items.remove(0);
    let (_, log) = view::saga(read, &id).unwrap().unwrap().value;
    assert!(!story::story(read, &id, &record, &log).unwrap().messages.is_empty());

    let all = streams::streams(read).unwrap();
    assert_eq!(all.iter().map(|stream| &stream.partition).collect::<Vec<_>>(), [&origins[1], &origins[0]]);
    for stream in &all {
        let rows = streams::rows(read, stream, None, 0, 50).unwrap().items;
        assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    }
    let heard = Destination { topic: "harbour.commands".into(), partition: 0 };
    assert!(streams::lags(read, &[(origins[0].clone(), heard)]).unwrap().iter().all(|lag| lag.rows == 0));
    assert_eq!((streams::pauses(read), streams::backlogs(read).map(|all| all.len())), (Ok(vec![]), Ok(0)));
    for (dead, newest_first) in [(true, true), (false, false)] {
        let filter = letters::Letters { dead, newest_first, ..letters::Letters::default() };
        assert!(letters::letters(read, &filter, None, 10).unwrap().items.is_empty());
    }
    assert!(letters::letter_of(read, &origins[0], 1).unwrap().is_none());
    assert!(decisions(read, None, None, 10).unwrap().items.is_empty());
    let stored = history::streams(read).unwrap();
    assert_eq!(history::after(read, &stored[0], 0, "ferry.commands", 10).map(|rows| rows.is_empty()), Ok(true));
    assert_eq!(history::next_kept(read, &stored[0], 0), Ok(Some(1)));
}
