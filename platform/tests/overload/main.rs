//! Far more is asked than can be done: what was accepted is kept, the rest is told so before its body is read, memory stays where it is,
//! and a moment later nothing is to be seen of it. A program of its own, because cargo runs these one after the other: such a load would take
//! the machine from the tests beside it.
#![expect(clippy::disallowed_methods, reason = "a load of a real process, which takes real time and a thread")]

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
/// By how much the server's memory may move once it has warmed up, in bytes.
const FLAT: u64 = 48 << 20;
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
}

/// Reads one answer: its status, and its head. Nothing when the connection ends, or has not answered in time.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>, patience: Duration) -> Option<(u16, String)> {
    buffer.clear();
    let reading = async {
        loop {
            if let Some(blank) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&buffer[..blank]).expect("a head is text").to_ascii_lowercase();
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

fn head(length: usize) -> String {
    format!("POST /v1/campaigns HTTP/1.1\r\nhost: alpes\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
}

async fn client(address: SocketAddr, number: usize, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    for nth in 0.. {
        let id = format!("c-{number}-{nth}");
        let body = campaign(&id, BRAND, &[&format!("p-{id}")]);
        socket.write_all(format!("{}{body}", head(body.len())).as_bytes()).await.expect("it can be sent");
        let Some((status, head)) = answer(&mut socket, &mut buffer, Duration::from_secs(30)).await else {
            panic!("{id} was not answered");
        };
        match status {
            200..=299 => seen.acknowledged.lock().expect("whole").push(id),
            503 => {
                assert!(head.contains("retry-after: "), "{head}");
                seen.turned_away.fetch_add(1, Ordering::Relaxed);
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
        socket.write_all(head(1_000).as_bytes()).await.expect("it can be sent");
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
fn asked_for_far_more_than_it_can_do_it_keeps_what_it_took_turns_the_rest_away_and_stays_as_large() {
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
    let answered = || seen.turned_away.load(Ordering::Relaxed) + seen.acknowledged.lock().expect("whole").len();
    until("it is warm", || (answered() > 2 * CLIENTS).then_some(()));
    let begun = Instant::now();
    let mut warm = Vec::new();
    while begun.elapsed() < lasting() {
        assert!(!driver.is_finished(), "a client has ended early");
        std::thread::sleep(Duration::from_millis(200));
        warm.extend(memory(process));
    }
    seen.stop.store(true, Ordering::Relaxed);
    let without_bodies = driver.join().expect("the clients have seen nothing else");
    let over = Instant::now();
    let first = until("a request after the load gets through", || {
        let answer = ask(address, "POST", "/v1/campaigns", &campaign("c-after", BRAND, &["p-after"]));
        (answer.status != 503).then_some(answer)
    });
    let recovered = over.elapsed();
    assert_eq!(first.status, 202, "{first:?}");

    let acknowledged = std::mem::take(&mut *seen.acknowledged.lock().expect("whole"));
    let turned_away = seen.turned_away.load(Ordering::Relaxed);
    let (least, most) = (warm.iter().min().copied().unwrap_or(0), warm.iter().max().copied().unwrap_or(0));
    say(&format!(
        "overload: in {} s {} acknowledged and {turned_away} turned away, {without_bodies} without a body; \
         {} to {} MB once it was warm; through again after {recovered:?}",
        lasting().as_secs(),
        acknowledged.len(),
        least >> 20,
        most >> 20,
    ));
    // Alone on its machine it is asked for more than ten times what it does; other tests may run beside it.
    assert!(turned_away > 2 * acknowledged.len(), "far more than it can do");
    assert!(!acknowledged.is_empty(), "it goes on working under it");
    assert!(without_bodies > 0, "that there is no room is said before the body comes");
    assert!(most - least < FLAT, "memory stays where it is");
    assert!(recovered < Duration::from_secs(10), "nothing is left of it");

    // Everything that was acknowledged is there, and its saga ends well: it was drowned by nothing.
    until("every saga ends", || {
        let running = ask(address, "GET", "/v1/sagas?status=running&limit=1", "");
        running.body["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let mut client = Client::open(address).expect("a connection");
    for id in &acknowledged {
        let found = client.ask("GET", &format!("/v1/campaigns/{id}"), "", "").expect("an answer");
        assert_eq!((found.status, found.body["status"].as_str()), (200, Some("active")), "{id}: {found:?}");
    }
}
