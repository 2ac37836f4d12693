//! The generator: clients on one thread, each of which asks, waits for the answer, checks it and asks again.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use super::client::Connection;
use super::counts::{Counters, Counts};
use super::load::{Expected, FIRST, Load};
use super::machine::{Gauge, Reading};
use crate::serve::Signals;
use crate::trouble::Trouble;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was measured of one row.
#[derive(Debug)]
pub struct Measured {
    /// How long.
    pub took: Duration,
    /// How long each answer took that came in this time, in order of length, in microseconds.
    pub latencies: Vec<u32>,
    /// The machine's counters at its beginning and its end.
    pub readings: (Reading, Reading),
    /// The system's own, shortly before its beginning and shortly after its end, and how many answers there were in between.
    pub counts: (Counts, Counts, u64),
}

/// What is driven, and who counts what it costs.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the machine counts.
    pub gauge: Gauge,
    /// What the system counts.
    pub counters: Counters,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So long after it has warmed up.
    Time(Duration),
    /// When so many were asked and answered; measured from the first.
    Count(u64),
}

/// What the clients share.
struct Shared {
    clock: SystemClock,
    next: Cell<u64>,
    end: Cell<u64>,
    measuring: Cell<bool>,
    /// Right answers, measured or not.
    answered: Cell<u64>,
    latencies: RefCell<Vec<u32>>,
    /// Answers that were not as expected, and the first of them.
    wrong: Cell<u64>,
    first: RefCell<Option<String>>,
    /// Something is wrong, or a client has nothing more to ask.
    news: Notify,
}

/// Puts a load on a target and measures it, while so many subscribers listen to its live stream. `first` is the first number; the next free one is returned beside what was measured.
///
/// # Errors
/// When an answer is not as expected, a connection breaks, or the person at the keyboard has had enough.
pub fn drive(
    target: &Target,
    load: &Load,
    clients: u16,
    first: u64,
    until: Until,
    subscribers: u16,
) -> Result<(Measured, u64), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(format!("cannot start the generator: {error}")))?;
    let shared = Rc::new(Shared {
        clock: SystemClock::default(),
        next: Cell::new(first),
        end: Cell::new(match until {
            Until::Time(_) => u64::MAX,
            Until::Count(count) => first.saturating_add(count),
        }),
        measuring: Cell::new(false),
        answered: Cell::new(0),
        latencies: RefCell::new(Vec::new()),
        wrong: Cell::new(0),
        first: RefCell::new(None),
        news: Notify::new(),
    });
    let readings = LocalSet::new().block_on(&runtime, measure(target, load, (clients, subscribers), until, &shared))?;
    if let Some(told) = shared.first.take() {
        let more = match shared.wrong.get() {
            0 | 1 => String::new(),
            wrong => format!(" ({wrong} in all)"),
        };
        return Err(Trouble::new(format!("{}, {clients} clients: an answer was not as expected{more}: {told}", load.name)));
    }
    let (Moment { at: from, reading: before, counts: counted, answered: first_of }, ended) = readings;
    let Moment { at: to, reading: after, counts, answered } = ended;
    let mut latencies = shared.latencies.take();
    latencies.sort_unstable();
    if latencies.is_empty() {
        return Err(Trouble::new(format!("{}, {clients} clients: nothing was answered in {:?}", load.name, to - from)));
    }
    let counts = (counted, counts, answered - first_of);
    Ok((Measured { took: to - from, latencies, readings: (before, after), counts }, shared.next.get()))
}

/// What all counters say.
struct Moment {
    at: Duration,
    reading: Reading,
    counts: Counts,
    /// How many answers there had been when `counts` was there.
    answered: u64,
}

/// The system's counters, read beside the clients: it takes a while. How many answers there are then.
async fn count(target: &Target, shared: &Shared) -> Result<(Counts, u64), Trouble> {
    let counters = target.counters.clone();
    let read = tokio::task::spawn_blocking(move || counters.read()).await;
    let counts = read.map_err(|error| Trouble::new(format!("the counters cannot be read: {error}")))??;
    Ok((counts, shared.answered.get()))
}

async fn measure(
    target: &Target,
    load: &Load,
    (clients, subscribers): (u16, u16),
    until: Until,
    shared: &Rc<Shared>,
) -> Result<(Moment, Moment), Trouble> {
    let mut connections = Vec::with_capacity(clients.into());
    for _ in 0..clients {
        connections.push(Connection::open(target.address).await.map_err(Trouble::new)?);
    }
    if let Some(connection) = connections.first_mut() {
        prepare(connection, load).await?;
    }
    let mut signals = Signals::listen()?;
    let mut watching = watch(target.address, subscribers).await?;
    let mut counted = count(target, shared).await?;
    let now = || (shared.clock.monotonic(), target.gauge.read());
    let mut started = now();
    shared.measuring.set(matches!(until, Until::Count(_)));
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(client(connection, load.clone(), shared.clone()));
    }
    let stopped = async {
        match until {
            Until::Time(measured) => {
                tokio::time::sleep(WARM_UP).await;
                counted = count(target, shared).await?;
                started = now();
                shared.measuring.set(true);
                tokio::time::sleep(measured).await;
                let ended = now();
                shared.measuring.set(false);
                Ok(ended)
            }
            Until::Count(_) => {
                joined(&mut tasks, shared).await;
                Ok(now())
            }
        }
    };
    let (at, reading) = tokio::select! {
        ended = stopped => ended?,
        () = shared.news.notified() => now(),
        Some(ended) = watching.join_next() => return Err(Trouble::new(ended.unwrap_or_else(|error| error.to_string()))),
        () = signals.next() => return Err(Trouble::new("interrupted: nothing was measured to its end")),
    };
    let started = Moment { at: started.0, reading: started.1, counts: counted.0, answered: counted.1 };
    // The clients go on meanwhile, as they did at the beginning.
    let (counts, answered) = count(target, shared).await?;
    let ended = Moment { at, reading, counts, answered };
    // Whoever has asked is answered, so that the server is quiet before its next row.
    shared.end.set(0);
    joined(&mut tasks, shared).await;
    Ok((started, ended))
}

/// So many subscribers, and if there are some, one who reads `/metrics` every second. Each tells why it has ended, which none should.
async fn watch(server: SocketAddr, subscribers: u16) -> Result<JoinSet<String>, Trouble> {
    let mut watching = JoinSet::new();
    for _ in 0..subscribers {
        let listening = super::stream::subscribe(server).await.map_err(Trouble::new)?;
        watching.spawn_local(super::stream::follow(listening, |_| {}));
    }
    if subscribers > 0 {
        let mut connection = Connection::open(server).await.map_err(Trouble::new)?;
        watching.spawn_local(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1));
            loop {
                pace.tick().await;
                match connection.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => return format!("/metrics was answered {}", answer.status),
                    Err(told) => return format!("/metrics: {told}"),
                }
            }
        });
    }
    Ok(watching)
}

async fn joined(clients: &mut JoinSet<()>, shared: &Shared) {
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            shared.complain(format!("a client of the generator broke: {error}"));
        }
    }
}

/// Asks what the load needs to have been asked before.
async fn prepare(connection: &mut Connection, load: &Load) -> Result<(), Trouble> {
    for request in &load.before {
        let answered = match connection.ask(request).await {
            Ok(answer) => Expected::Done.check(&answer),
            Err(told) => Err(told),
        };
        answered.map_err(|told| Trouble::new(format!("{}: cannot be prepared: {told}", load.name)))?;
    }
    Ok(())
}

impl Shared {
    fn complain(&self, told: String) {
        self.wrong.set(self.wrong.get() + 1);
        self.first.borrow_mut().get_or_insert(told);
        self.end.set(0);
        self.news.notify_one();
    }
}

async fn client(mut connection: Connection, mut load: Load, shared: Rc<Shared>) {
    loop {
        let number = shared.next.get();
        if number >= shared.end.get() {
            return;
        }
        shared.next.set(number + 1);
        let (request, expected) = load.numbered(number);
        let from = shared.clock.monotonic();
        let told = match connection.ask(request).await {
            Ok(answer) => expected.check(&answer),
            Err(told) => Err(told),
        };
        let took = shared.clock.monotonic().saturating_sub(from);
        match told {
            Ok(()) if shared.measuring.get() => {
                shared.answered.set(shared.answered.get() + 1);
                shared.latencies.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            }
            Ok(()) => shared.answered.set(shared.answered.get() + 1),
            Err(told) => {
                return shared.complain(format!("number {} after {} ms: {told}", number - FIRST, took.as_millis()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A server of one connection that gives these answers, and counts the requests.
    #[expect(clippy::disallowed_methods, reason = "the other side of the connection")]
    fn server(answers: Vec<&'static str>) -> (SocketAddr, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = 0;
            for answer in answers {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).unwrap() == 0 {
                    break;
                }
                asked += 1;
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (address, thread)
    }

    const DONE: &str = "HTTP/1.1 201 Created\r\nContent-Length: 22\r\n\r\n{\"status\":\"completed\"}";

    fn three(address: SocketAddr) -> Result<(Measured, u64), Trouble> {
        let (gauge, counters) = (Gauge::new(None, &std::env::temp_dir()), Counters::none());
        drive(&Target { address, gauge, counters }, &Load::campaigns("t", 1), 1, FIRST, Until::Count(3), 0)
    }

    #[test]
    fn so_many_are_asked_and_each_answer_is_measured() {
        let (address, thread) = server(vec![DONE; 4]);
        let (measured, next) = three(address).unwrap();
        assert_eq!((measured.latencies.len(), next), (3, FIRST + 3));
        assert_eq!(thread.join().unwrap(), 3);
    }

    #[test]
    fn an_answer_that_is_not_expected_stops_the_measurement_and_is_told() {
        let (address, thread) = server(vec![DONE, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nfull"]);
        let told = three(address).unwrap_err().to_string();
        assert!(told.contains("number 1") && told.contains("503") && told.contains("full"), "{told}");
        assert_eq!(thread.join().unwrap(), 2);
    }

    #[test]
    fn a_connection_that_breaks_is_told() {
        let (address, thread) = server(vec![DONE]);
        let told = three(address).unwrap_err().to_string();
        assert!(told.contains("number 1"), "{told}");
        thread.join().unwrap();
    }
}
