//! A move that is killed (-9) while it copies, again and again: at the end everything is there, and nothing twice.

#![expect(clippy::disallowed_methods, reason = "what stands between a move and a server has threads of its own")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use seedwork::clock::Chance;
use seedwork::store::postgres::Readers;
use seedwork::view::{Read as _, Value};
use serde_json::json;

use crate::moved::{Embedded, under_way};
use crate::support::{Stack, campaign, free_port};

/// Where what is sent to PostgreSQL ends: while the rows of a context are written, which is the first, the second or the third.
#[derive(Clone, Copy)]
enum End {
    /// After so many bytes of them.
    After(usize, usize),
    /// When the server has carried out their COMMIT: its answer does not come back.
    Committed(usize),
}

/// What stands between a move and PostgreSQL.
#[derive(Default)]
struct State {
    end: Option<(End, mpsc::Sender<()>)>,
    /// Contexts whose rows were begun to be written; of the last of them, what was sent, and whether its COMMIT was.
    begun: usize,
    sent: usize,
    commits: bool,
    /// Bytes of each context that was committed.
    sizes: Vec<usize>,
    open: Vec<TcpStream>,
}

type Gate = Arc<Mutex<State>>;

/// Lets through whatever comes, as long as nothing ends it.
fn gate(port: u16, to: u16) -> Gate {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let gate = Gate::default();
    let state = gate.clone();
    std::thread::spawn(move || {
        for one in listener.incoming() {
            let (Ok(client), Ok(server)) = (one, TcpStream::connect(("127.0.0.1", to))) else { continue };
            for (from, into, asks) in [(&client, &server, true), (&server, &client, false)] {
                let (Ok(from), Ok(into), Ok(kept)) = (from.try_clone(), into.try_clone(), from.try_clone()) else { continue };
                state.lock().expect("no thread panics").open.push(kept);
                let state = state.clone();
                std::thread::spawn(move || carry(from, into, &state, asks));
            }
        }
    });
    gate
}

/// Carries one way. Without the answer to a byte that was held back nothing more comes: the move waits until it is killed.
fn carry(mut from: TcpStream, mut into: TcpStream, gate: &Gate, asks: bool) {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let bytes = &buffer[..read];
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let mut state = gate.lock().expect("no thread panics");
        if asks && has(b"LOCK TABLE head") {
            (state.begun, state.sent, state.commits) = (state.begun + 1, 0, false);
        }
        if asks && state.begun > 0 && !state.commits && has(b"COMMIT\0") {
            state.commits = true;
            let size = state.sent;
            state.sizes.push(size);
        }
        let (begun, sent, commits) = (state.begun, state.sent, state.commits);
        let mut pass = read;
        match &state.end {
            Some((End::After(context, bytes), ended)) if asks && begun == *context => {
                pass = pass.min(bytes.saturating_sub(sent));
                if sent + pass >= *bytes {
                    let _told = ended.send(());
                }
            }
            Some((End::Committed(context), ended)) if !asks && begun == *context && commits && read > 0 => {
                let _told = ended.send(());
                pass = 0;
            }
            _ => {}
        }
        if asks {
            state.sent += pass;
        }
        drop(state);
        if read == 0 || into.write_all(&buffer[..pass]).is_err() {
            break;
        }
    }
    let _closed = into.shutdown(Shutdown::Both);
}

/// Starts a move and kills it where it ends.
fn kill(moving: &impl Fn() -> Command, gate: &Gate, end: End) {
    for _ in 0..5 {
        let (sender, ended) = mpsc::channel();
        open(gate, Some((end, sender)));
        let mut child = moving().stdout(Stdio::null()).spawn().expect("the binary starts");
        let hit = loop {
            if ended.recv_timeout(std::time::Duration::from_millis(20)).is_ok() {
                break true;
            }
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                assert!(!status.success(), "it was over before it was killed");
                break false;
            }
        };
        let _gone = child.kill();
        child.wait().expect("it ends");
        open(gate, None);
        if hit {
            return;
        }
        // A busy broker has not answered in time: it has said so, and is asked again.
    }
    panic!("it does not come so far: see what it says");
}

/// From now on it ends there, and nothing is left of what was before: the server notices.
fn open(gate: &Gate, end: Option<(End, mpsc::Sender<()>)>) {
    let mut state = gate.lock().expect("no thread panics");
    state.open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    *state = State { end, ..State::default() };
}

/// Runs a move to its end, again when a busy broker has not answered in time.
fn ends(moving: impl Fn() -> Command) -> Output {
    let mut ended = moving().output().expect("it can be run");
    for _ in 0..5 {
        if ended.status.success() || !String::from_utf8_lossy(&ended.stderr).contains("no answer in time") {
            break;
        }
        ended = moving().output().expect("it can be run");
    }
    ended
}

/// All that stands in a context's database, table by table. Numbers that stand for names are another store's own.
fn rows(stack: &Stack, context: &str) -> BTreeMap<String, Vec<String>> {
    let reads = Readers::new(&stack.database(context)).expect("the URL can be read");
    let texts = |sql: &str| -> Vec<String> {
        let rows = reads.select(sql, &[]).unwrap_or_else(|why| panic!("{sql}: {why}"));
        rows.iter().map(|row| row.first().and_then(Value::text).unwrap_or_default().to_owned()).collect()
    };
    let states = texts(
        "SELECT table_name::text FROM information_schema.columns WHERE column_name = 'format'         AND table_schema = 'public' AND table_name NOT IN ('replica', 'lease') ORDER BY 1",
    );
    assert!(!states.is_empty(), "{context} keeps something");
    let place = |table: &str, columns: &str| {
        format!(
            "SELECT row(partition.text, topic.text, {columns})::text FROM {table} AS t JOIN name AS partition ON partition.id = t.partition \
             JOIN name AS topic ON topic.id = t.topic ORDER BY 1"
        )
    };
    let mut all: BTreeMap<String, String> = ["start", "saga_log", "command"]
        .into_iter()
        .chain(states.iter().map(String::as_str))
        .map(|table| (table.to_owned(), format!("SELECT t::text FROM {table} AS t ORDER BY 1")))
        .collect();
    let of = |table: &str, columns: &str| {
        format!("SELECT row(n.text, {columns})::text FROM {table} AS t JOIN name AS n ON n.id = t.partition ORDER BY 1")
    };
    all.extend([
        ("saga".to_owned(), of("saga", "t.id, t.version, t.stage, t.body")),
        ("head".to_owned(), of("head", "t.epoch, t.position, t.relayed")),
        ("operation".to_owned(), of("operation", "t.at, t.actor, t.decision, t.about, t.reason, t.told")),
        ("waiting".to_owned(), place("waiting", "t.number, t.lane, t.attempts, t.due, t.dead, t.not_yet, t.reason, t.raw, t.since, \
            t.kind, t.key, t.source, t.saga, t.revision, t.original")),
        ("destination".to_owned(), place("destination", "t.number, t.epoch, t.position")),
        ("mark".to_owned(), place("mark", "(SELECT text FROM name WHERE id = t.origin), t.number, t.epoch, t.position")),
        (
            "log".to_owned(),
            "SELECT row(n.text, s.epoch, t.id & ((1::bigint << 40) - 1), topic.text, t.number, t.before_epoch, t.before_position, t.raw, \
             t.received, t.started, t.written)::text FROM log AS t JOIN stream AS s ON s.id = t.id >> 40 JOIN name AS n ON n.id = s.partition \
             JOIN name AS topic ON topic.id = t.topic ORDER BY 1"
                .to_owned(),
        ),
    ]);
    all.into_iter().map(|(table, sql)| (table, texts(&sql))).collect()
}

/// How many rows a context's database has, and whether the move that brought them is remembered; none while there are no tables.
fn arrived(stack: &Stack, context: &str) -> (i64, i64) {
    let reads = Readers::new(&stack.database(context)).expect("the URL can be read");
    let one = |sql: &str| reads.select(sql, &[]).expect("the database answers")[0][0].integer().unwrap_or_default();
    if one("SELECT count(*) FROM pg_class WHERE relname IN ('log', 'meta')") < 2 {
        return (0, 0);
    }
    let tables = ["head", "destination", "mark", "log", "saga", "start", "saga_log", "command", "waiting", "operation"];
    let rows = tables.iter().map(|table| one(&format!("SELECT count(*) FROM {table}"))).sum();
    (rows, one("SELECT count(*) FROM meta WHERE key = 'moved'"))
}

/// A stopped server with some of everything: done, stuck, waiting for a while yet; and enough to be killed in the middle.
fn source() -> Embedded {
    let mut server = under_way();
    server.change("UPDATE waiting SET due = due + 3600000000 WHERE dead = 0", 1);
    server.start();
    server.post("/v1/subscriptions/partner:0:partner.commands/resume", 0, &json!({}));
    for number in 0..100 {
        server.post("/v1/campaigns", 30, &campaign(&format!("c-{number}"), &format!("b-{}", number % 5), 3));
    }
    server.stop();
    server
}

#[test]
fn a_move_that_is_killed_while_it_copies_is_run_again_and_carries_everything_once() {
    let port = free_port();
    let (Some(stack), Some(other)) = (Stack::find(), Stack::find()) else { return };
    let gate = gate(port, stack.server_ports()[0]);
    let [stack, other] = [stack, other].map(|stack| stack.between(Some(port), None));
    let server = source();
    let seed = Chance::from_system().expect("there is chance").bits();
    let mut chance = Chance::seeded(seed);

    // A copy of the directory, moved elsewhere in one go: how much is sent, and what has to be there at the end.
    let copy = server.data.join("copy");
    std::fs::create_dir(&copy).expect("a directory for the copy");
    for file in std::fs::read_dir(&server.data).expect("it can be listed").flatten().map(|entry| entry.path()) {
        let name = file.file_name().expect("a name").to_owned();
        if name.to_str().is_some_and(|name| name.starts_with("alpes.db")) {
            std::fs::copy(&file, copy.join(name)).expect("it can be copied");
        }
    }
    let moving = |stack: &Stack, from: &Path| {
        stack.alpes(&["move", "--from", from.to_str().expect("UTF-8"), "--to", &stack.database("{context}")])
    };
    let at_once = ends(|| moving(&other, &copy));
    assert!(at_once.status.success(), "{at_once:?}");
    let sizes = gate.lock().expect("no thread panics").sizes.clone();
    assert_eq!(sizes.len(), 3, "a COMMIT for each context: {sizes:?}");

    let moving = || moving(&stack, &server.data);
    let whole = |contexts: &[&str]| {
        for context in bff::CONTEXTS {
            let (rows, moved) = arrived(&stack, context);
            let whole = contexts.contains(&context);
            assert_eq!((rows > 0, moved), (whole, i64::from(whole)), "all or nothing: {context}, seed {seed}");
        }
    };
    for (place, times) in [(0, 5), (1, 3), (2, 2)] {
        let (before, _) = bff::CONTEXTS.split_at(place);
        // One kill in each part of what is sent, the last of them shortly before the end.
        let share = sizes[place] / times;
        for part in 0..times {
            let bytes = part * share + usize::try_from(chance.below(share as u64)).expect("it is small");
            kill(&moving, &gate, End::After(place + 1, bytes));
            whole(before);
        }
        // What is committed and was not heard of is there, and is not brought a second time.
        kill(&moving, &gate, End::Committed(place + 1));
        whole(&bff::CONTEXTS[..=place]);
    }
    let ended = ends(moving);
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && told.matches("was there already").count() == 3, "{ended:?}, seed {seed}");

    for context in bff::CONTEXTS {
        let (broken_off, at_once) = (rows(&stack, context), rows(&other, context));
        assert_eq!(broken_off.keys().collect::<Vec<_>>(), at_once.keys().collect::<Vec<_>>(), "{context}");
        for (table, rows) in &at_once {
            assert_eq!(&broken_off[table], rows, "{context}, {table}, seed {seed}");
        }
    }
    let campaign = rows(&other, "campaign");
    assert!(campaign["waiting"].len() >= 2 && campaign["saga"].len() > 100, "there was something to carry");
}
