//! Ten times as much is asked as can be done: what was accepted is kept, the rest is told so before its body is read and is not there, memory
//! stays where it is, and a moment later nothing is to be seen of it. A program of its own, because cargo runs these one after the other: such a load would take
//! the machine from the tests beside it.
// What is flooded is one process with its own store, whatever else the binary can do.
#![cfg(not(feature = "distributed"))]
#![expect(clippy::disallowed_methods, reason = "a load of a real process, which takes real time and a thread")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[expect(dead_code, reason = "it is shared with the tests of the server, which need more of it")]
#[path = "../server/support.rs"]
mod support;

use support::{Client, Folder, Server, ask, campaign, say, until};

/// Clients that ask at the same time, each again as soon as it is answered: more than the owner's queue and its batches hold together.
const CLIENTS: usize = 6_000;
/// Every so many of them ask whether they should send their body at all (`Expect: 100-continue`).
const CAUTIOUS: usize = 8;
/// How many times as much is asked as is done.
const TIMES: usize = 10;
/// How much longer than [`lasting`] it may take until so much has been asked, where other programs take the machine.
const LONGER: Duration = Duration::from_secs(120);
/// By how much the server's memory may be larger in the last quarter of the time than in the first, once it has warmed up, in bytes.
const FLAT: u64 = 16 << 20;
/// Commands that may be done though whoever asked has gone: what is in hand when they go, two batches that run and two that wait. The queue
/// before those holds twice as many.
const UNHEARD: usize = 2_048;
/// The brand that pays.
const BRAND: &str = "b-over";

/// How long the load lasts: `ALPES_OVERLOAD_SECONDS`, else ten seconds.
fn lasting() -> Duration {
    let seconds = std::env::var("ALPES_OVERLOAD_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(10))
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
    /// 503 with Retry-After.
    turned_away: AtomicUsize,
    /// The ids of those that were `busy`: nothing of them was taken.
    busy: Mutex<Vec<String>>,
    /// The ids of those that were taken and had no answer in time: whether they are done nobody has said.
    late: Mutex<Vec<String>>,
    /// Of those who asked before they sent a body: who was turned away at once …
    unread: AtomicUsize,
    /// … and for whom there was room then, but no more when it had been sent.
    read: AtomicUsize,
}

impl Seen {
    fn asked(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed) + self.acknowledged()
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().expect("whole").len()
    }
}

/// Reads one answer: its status, and its head. Nothing when the connection ends, or has not answered in time.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>, patience: Duration) -> Option<(u16, String)> {
    buffer.clear();
    let reading = async {
        loop {
            if let Some(blank) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&buffer[..blank]).expect("a head is text").to_ascii_lowercase();
                if head.starts_with("http/1.1 100 ") {
                    return Some((100, head));
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
                let end = blank + 4 + length.parse::<usize>().expect("a number");
                while buffer.len() < end {
                    socket.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
                }
                return Some((head[9..12].parse().expect("a status"), head));
            }
            socket.read_buf(buffer).await.ok().filter(|read| *read > 0)?;
        }
    };
    timeout(patience, reading).await.ok().flatten()
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /v1/campaigns HTTP/1.1\r\nhost: alpes\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n"
    )
}

async fn client(address: SocketAddr, number: usize, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    for nth in 0.. {
        let id = format!("c-{number}-{nth}");
        let body = campaign(&id, BRAND, &[&format!("p-{id}")]);
        let cautious = number.is_multiple_of(CAUTIOUS);
        let asked = match cautious {
            true => head(body.len(), "expect: 100-continue\r\n"),
            false => format!("{}{body}", head(body.len(), "")),
        };
        socket.write_all(asked.as_bytes()).await.expect("it can be sent");
        let mut told = answer(&mut socket, &mut buffer, Duration::from_secs(30)).await;
        let sent = matches!(told, Some((100, _)));
        if sent {
            socket.write_all(body.as_bytes()).await.expect("it can be sent");
            told = answer(&mut socket, &mut buffer, Duration::from_secs(30)).await;
        }
        let Some((status, head)) = told else { panic!("{id} was not answered") };
        match status {
            200..=299 => seen.acknowledged.lock().expect("whole").push(id),
            503 => {
                assert!(head.contains("retry-after: "), "{head}");
                seen.turned_away.fetch_add(1, Ordering::Relaxed);
                let busy = String::from_utf8_lossy(&buffer).contains(r#""code":"busy""#);
                let whose = if busy { &seen.busy } else { &seen.late };
                whose.lock().expect("whole").push(id);
                match (cautious, sent) {
                    (true, true) if busy => drop(seen.read.fetch_add(1, Ordering::Relaxed)),
                    (true, false) => {
                        seen.unread.fetch_add(1, Ordering::Relaxed);
                        // Its body was not wanted, so this connection is of no more use.
                        socket = TcpStream::connect(address).await.expect("a connection");
                    }
                    (true, true) | (false, _) => {}
                }
            }
            _ => panic!("{id}: {head} {}", String::from_utf8_lossy(&buffer)),
        }
    }
}

/// Of so many requests whose bodies never come, how many were answered 503 all the same.
async fn without_bodies(address: SocketAddr, many: usize) -> usize {
    let mut asked = Vec::new();
    for _ in 0..many {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(head(1_000, "").as_bytes()).await.expect("it can be sent");
        asked.push(socket);
    }
    // Where there was room for a moment, the body is waited for, longer than this.
    let answers = asked
        .into_iter()
        .map(|mut socket| tokio::spawn(async move { answer(&mut socket, &mut Vec::new(), Duration::from_secs(5)).await }));
    let answers: Vec<_> = answers.collect();
    let mut turned_away = 0;
    for answered in answers {
        if let Some((status, head)) = answered.await.expect("it was read") {
            assert!(status == 503 && head.contains("retry-after: "), "{head}");
            turned_away += 1;
        }
    }
    turned_away
}

/// Bytes of the server's memory (Linux; elsewhere nothing is known).
fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kilobytes * 1024)
}

/// The campaigns of the brand, each with its status.
fn campaigns(client: &mut Client) -> BTreeMap<String, String> {
    let (mut all, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/v1/campaigns?brand={BRAND}&limit=200{cursor}");
        let page = client.ask("GET", &path, "", "").expect("an answer").body;
        for item in page["items"].as_array().expect("a page") {
            let text = |member: &str| item[member].as_str().expect("a text").to_owned();
            all.insert(text("id"), text("status"));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The middle one of these.
fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// What 6,000 clients ask until they are told to stop, and then drop as they are; tells how many requests without bodies were turned away.
fn crowd(address: SocketAddr, seen: &Arc<Seen>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(client(address, number, seen.clone()));
        }
        while seen.turned_away.load(Ordering::Relaxed) < CLIENTS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Now and then there is room for a moment, longer where other tests take the machine from these clients.
        let mut turned_away = 0;
        for _ in 0..10 {
            turned_away += without_bodies(address, 100).await;
            if turned_away > 0 {
                break;
            }
        }
        while !seen.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(ended) = clients.try_join_next() {
                ended.expect("no client saw anything else");
            }
        }
        turned_away
    })
}

#[test]
fn asked_for_ten_times_what_it_can_do_it_keeps_what_it_took_turns_the_rest_away_unread_and_stays_as_large() {
    let folder = Folder::new();
    let mut command = support::alpes(&folder.data());
    command.args(["--opening-limit", "1000000000"]);
    let server = Server::listening(command, &folder);
    let (address, process) = (server.address, server.process());
    let seen = Arc::new(Seen::default());
    let driver = std::thread::spawn({
        let seen = seen.clone();
        move || crowd(address, &seen)
    });
    // Warm it is when every client has been answered twice: then all connections stand and have their buffers.
    until("it is warm", || (seen.asked() > 2 * CLIENTS).then_some(()));
    let begun = Instant::now();
    let mut warm = Vec::new();
    while begun.elapsed() < lasting() || seen.asked() < TIMES * seen.acknowledged() {
        assert!(!driver.is_finished(), "a client has ended early");
        let (asked, acknowledged) = (seen.asked(), seen.acknowledged());
        assert!(
            begun.elapsed() < lasting() + LONGER,
            "{asked} were asked and {acknowledged} done: too slow to turn away, or too few taken"
        );
        std::thread::sleep(Duration::from_millis(200));
        warm.extend(memory(process));
    }
    let lasted = begun.elapsed();
    seen.stop.store(true, Ordering::Relaxed);
    let without_bodies = driver.join().expect("the clients have seen nothing else");
    let over = Instant::now();
    let answer = until("a request after the load gets through", || {
        let answer = ask(address, "POST", "/v1/campaigns", &campaign("c-after", BRAND, &["p-after"]));
        (answer.status != 503).then_some(answer)
    });
    let recovered = over.elapsed();
    assert_eq!(answer.status, 202, "{answer:?}");

    let acknowledged = std::mem::take(&mut *seen.acknowledged.lock().expect("whole"));
    let busy = std::mem::take(&mut *seen.busy.lock().expect("whole"));
    let late = std::mem::take(&mut *seen.late.lock().expect("whole"));
    let [turned_away, unread, read] = [&seen.turned_away, &seen.unread, &seen.read].map(|count| count.load(Ordering::Relaxed));
    // Everything that was acknowledged is there, and its saga ends well: it was drowned by nothing.
    until("every saga ends", || {
        let running = ask(address, "GET", "/v1/sagas?status=running&limit=1", "");
        running.body["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let mut client = Client::open(address).expect("a connection");
    let all = campaigns(&mut client);
    let late_and_done = late.iter().filter(|id| all.contains_key(*id)).count();
    let unheard = all.len().saturating_sub(acknowledged.len() + late_and_done + 1);
    let quarter = (warm.len() / 4).max(1).min(warm.len());
    let (first, last) = (median(&warm[..quarter]), median(&warm[warm.len() - quarter..]));
    say(&format!(
        "overload: in {lasted:.0?} {} acknowledged and {turned_away} turned away, {} times as much asked as done; of the cautious {unread} unread and \
         {read} read; {without_bodies} without a body; {} MB in the first quarter and {} MB in the last; through again after {recovered:?}, \
         {late_and_done} of {} late ones done, {unheard} done unheard",
        acknowledged.len(),
        (turned_away + acknowledged.len()) / acknowledged.len().max(1),
        first >> 20,
        last >> 20,
        late.len(),
    ));
    assert!(!acknowledged.is_empty(), "it goes on working under it");
    assert!(without_bodies > 0, "that there is no room is said though the body never comes");
    assert!(unread > read, "that there is no room is mostly said before the body is asked for");
    assert!(last < first + FLAT, "memory stays where it is");
    assert!(recovered < Duration::from_secs(10), "nothing is left of it");
    assert!(unheard < UNHEARD, "what nobody waits for any more is not begun");
    for id in &acknowledged {
        assert_eq!(all.get(id).map(String::as_str), Some("active"), "{id} was acknowledged");
    }
    for id in &busy {
        assert!(!all.contains_key(id), "{id} was turned away");
    }
    let account = client.ask("GET", &format!("/v1/brands/{BRAND}/accounts/USD"), "", "").expect("an answer").body;
    let reserved = format!("{}.00", 15 * all.values().filter(|status| *status == "active").count());
    assert_eq!(account["reserved"], reserved.as_str(), "its money is reserved once for each: {account}");
}
