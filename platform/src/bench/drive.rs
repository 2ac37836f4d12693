//! The generator: clients on one thread, each of which asks, waits for the answer, checks it and asks again.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use super::client::Connection;
use super::counts::{Counters, Counts};
use super::load::{Expected, FIRST, Load};
use super::machine::{Gauge, Reading};
use super::pace::Pace;
use super::stream::Unread;
use crate::serve::Signals;
use crate::trouble::Trouble;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Connections of a load that runs beside the one that is measured.
const BESIDE: u16 = 16;

/// What was measured of one row.
#[derive(Debug)]
pub struct Measured {
    /// How long.
    pub took: Duration,
    /// How long each answer took that came in this time, of each of the load's turns, in order of length, in microseconds. Of requests at a
    /// rate: those that were due in this time, from then on.
    pub latencies: Vec<Vec<u32>>,
    /// The machine's counters at its beginning and its end.
    pub readings: (Reading, Reading),
    /// The system's own, shortly before its beginning and shortly after its end, and how many answers there were in between.
    pub counts: (Counts, Counts, u64),
}

impl Measured {
    /// The latencies of all turns, in order of length.
    pub fn all(&self) -> Vec<u32> {
        let mut all = self.latencies.concat();
        all.sort_unstable();
        all
    }
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

/// What is put on a target, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What is asked.
    pub load: &'a Load,
    /// Clients that ask at once.
    pub clients: u16,
    /// The first number.
    pub first: u64,
    /// When it ends.
    pub until: Until,
    /// So many requests a second, each due at its time and asked by the first client that is free; none: each client asks again as soon as
    /// it is answered.
    pub rate: Option<u32>,
    /// Subscribers of the live stream; with some, `/metrics` is read too.
    pub subscribers: u16,
    /// What else is asked meanwhile, of which nothing is measured: so many a second, from this number on.
    pub beside: Option<(&'a Load, u32, u64)>,
}

impl<'a> Plan<'a> {
    /// Nothing but this load, as fast as its clients can.
    pub fn of(load: &'a Load, clients: u16, first: u64, until: Until) -> Plan<'a> {
        Plan { load, clients, first, until, rate: None, subscribers: 0, beside: None }
    }
}

/// What the clients of one load share.
struct Shared {
    clock: Arc<SystemClock>,
    next: Cell<u64>,
    end: Cell<u64>,
    /// Its requests' times, when they are asked at a rate.
    pace: Option<Pace>,
    /// From when until when it is measured.
    from: Cell<Duration>,
    to: Cell<Duration>,
    /// Right answers, measured or not.
    answered: Cell<u64>,
    /// By the load's turns.
    latencies: RefCell<Vec<Vec<u32>>>,
    faults: Rc<Faults>,
}

/// What all clients share.
#[derive(Default)]
struct Faults {
    /// Answers that were not as expected, and the first of them.
    wrong: Cell<u64>,
    first: RefCell<Option<String>>,
    /// Something is wrong.
    news: Notify,
}

/// Puts a load on a target and measures it. The next free number is returned beside what was measured.
///
/// # Errors
/// When an answer is not as expected, a connection breaks, or the person at the keyboard has had enough.
pub fn drive(target: &Target, plan: &Plan<'_>) -> Result<(Measured, u64), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(format!("cannot start the generator: {error}")))?;
    LocalSet::new().block_on(&runtime, measured(target, plan))
}

async fn measured(target: &Target, plan: &Plan<'_>) -> Result<(Measured, u64), Trouble> {
    let (clock, faults) = (Arc::new(SystemClock::default()), Rc::<Faults>::default());
    let shared = |load: &Load, first: u64, count: Option<u64>, rate: Option<u32>| {
        Rc::new(Shared {
            clock: clock.clone(),
            next: Cell::new(first),
            end: Cell::new(count.map_or(u64::MAX, |count| first.saturating_add(count))),
            pace: rate.map(|rate| Pace::start(&clock, rate)),
            from: Cell::new(if count.is_some() { Duration::ZERO } else { Duration::MAX }),
            to: Cell::new(Duration::MAX),
            answered: Cell::new(0),
            latencies: RefCell::new(vec![Vec::new(); load.turns.len()]),
            faults: faults.clone(),
        })
    };
    let count = match plan.until {
        Until::Time(_) => None,
        Until::Count(count) => Some(count),
    };
    let (load, clients) = (plan.load, plan.clients);
    let connections = connect(target, load, clients).await?;
    let mut background = JoinSet::new();
    let beside = match plan.beside {
        None => None,
        Some((load, rate, first)) => {
            let connections = connect(target, load, BESIDE).await?;
            let beside = shared(load, first, None, Some(rate));
            begin(&mut background, connections, load, &beside);
            Some(beside)
        }
    };
    let shared = shared(load, plan.first, count, plan.rate);
    let readings = measure(target, plan, connections, &shared).await;
    if let Some(beside) = &beside {
        beside.finish();
        joined(&mut background, beside).await;
    }
    let readings = readings?;
    if let Some(told) = faults.first.take() {
        let more = match faults.wrong.get() {
            0 | 1 => String::new(),
            wrong => format!(" ({wrong} in all)"),
        };
        return Err(Trouble::new(format!("{}, {clients} clients: an answer was not as expected{more}: {told}", load.name)));
    }
    let (Moment { at: from, reading: before, counts: counted, answered: first_of }, ended) = readings;
    let Moment { at: to, reading: after, counts, answered } = ended;
    let mut latencies = shared.latencies.take();
    latencies.iter_mut().for_each(|turn| turn.sort_unstable());
    if latencies.iter().any(Vec::is_empty) && count.is_none_or(|count| count >= latencies.len() as u64) {
        return Err(Trouble::new(format!("{}, {clients} clients: nothing was answered in {:?}", load.name, to - from)));
    }
    let counts = (counted, counts, answered - first_of);
    Ok((Measured { took: to - from, latencies, readings: (before, after), counts }, shared.next.get()))
}

/// Connections for the clients of a load, which is prepared over the first of them.
async fn connect(target: &Target, load: &Load, clients: u16) -> Result<Vec<Connection>, Trouble> {
    let mut connections = Vec::with_capacity(clients.into());
    for _ in 0..clients {
        connections.push(Connection::open(target.address).await.map_err(Trouble::new)?);
    }
    if let Some(connection) = connections.first_mut() {
        prepare(connection, load).await?;
    }
    Ok(connections)
}

/// Lets a client ask over each connection.
fn begin(tasks: &mut JoinSet<()>, connections: Vec<Connection>, load: &Load, shared: &Rc<Shared>) {
    for connection in connections {
        tasks.spawn_local(client(connection, load.clone(), shared.clone()));
    }
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
    plan: &Plan<'_>,
    connections: Vec<Connection>,
    shared: &Rc<Shared>,
) -> Result<(Moment, Moment), Trouble> {
    let mut signals = Signals::listen()?;
    let mut watching = watch(target.address, plan.subscribers).await?;
    let mut counted = count(target, shared).await?;
    let now = || (shared.clock.monotonic(), target.gauge.read());
    let mut started = now();
    let mut tasks = JoinSet::new();
    begin(&mut tasks, connections, plan.load, shared);
    let stopped = async {
        match plan.until {
            Until::Time(measured) => {
                tokio::time::sleep(WARM_UP).await;
                counted = count(target, shared).await?;
                started = now();
                shared.from.set(started.0);
                tokio::time::sleep(measured).await;
                let ended = now();
                shared.to.set(ended.0);
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
        () = shared.faults.news.notified() => now(),
        Some(ended) = watching.join_next() => return Err(Trouble::new(ended.unwrap_or_else(|error| error.to_string()))),
        () = signals.next() => return Err(Trouble::new("interrupted: nothing was measured to its end")),
    };
    let started = Moment { at: started.0, reading: started.1, counts: counted.0, answered: counted.1 };
    // The clients go on meanwhile, as they did at the beginning.
    let (counts, answered) = count(target, shared).await?;
    let ended = Moment { at, reading, counts, answered };
    // Whoever has asked is answered, so that the server is quiet before its next row.
    shared.finish();
    joined(&mut tasks, shared).await;
    Ok((started, ended))
}

/// So many subscribers, and if there are some, one who reads `/metrics` every second. Each tells why it has ended, which none should.
async fn watch(server: SocketAddr, subscribers: u16) -> Result<JoinSet<String>, Trouble> {
    let mut watching = JoinSet::new();
    let unread = Unread::new();
    for _ in 0..subscribers {
        let listening = super::stream::subscribe(server).await.map_err(Trouble::new)?;
        watching.spawn_local(super::stream::follow(listening, unread.clone()));
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
        self.faults.wrong.set(self.faults.wrong.get() + 1);
        self.faults.first.borrow_mut().get_or_insert(told);
        self.end.set(0);
        self.finish();
        self.faults.news.notify_one();
    }

    /// Nothing more is asked; but what was due is.
    fn finish(&self) {
        match &self.pace {
            Some(pace) => pace.end(),
            None => self.end.set(0),
        }
    }

    /// When the next request is due, and its number; none: there is nothing more to ask.
    async fn take(&self) -> Option<(Option<Duration>, u64)> {
        let due = match &self.pace {
            Some(pace) => Some(pace.next().await?),
            None => None,
        };
        let number = self.next.get();
        if number >= self.end.get() {
            return None;
        }
        self.next.set(number + 1);
        Some((due, number))
    }
}

async fn client(mut connection: Connection, mut load: Load, shared: Rc<Shared>) {
    while let Some((due, number)) = shared.take().await {
        let turn = load.turn(number);
        let (request, expected) = load.numbered(number);
        let from = due.unwrap_or_else(|| shared.clock.monotonic());
        let told = match connection.ask(request).await {
            Ok(answer) => expected.check(&answer),
            Err(told) => Err(told),
        };
        let now = shared.clock.monotonic();
        let took = now.saturating_sub(from);
        if let Err(told) = told {
            return shared.complain(format!("number {} after {} ms: {told}", number - FIRST, took.as_millis()));
        }
        shared.answered.set(shared.answered.get() + 1);
        let at = due.unwrap_or(now);
        if shared.from.get() <= at
            && at < shared.to.get()
            && let Some(latencies) = shared.latencies.borrow_mut().get_mut(turn)
        {
            latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
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
        drive(&Target { address, gauge, counters }, &Plan::of(&Load::campaigns("t", 1), 1, FIRST, Until::Count(3)))
    }

    #[test]
    fn so_many_are_asked_and_each_answer_is_measured() {
        let (address, thread) = server(vec![DONE; 4]);
        let (measured, next) = three(address).unwrap();
        assert_eq!((measured.latencies[0].len(), next), (3, FIRST + 3));
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
