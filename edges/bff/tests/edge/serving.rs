//! Over a socket: bytes in, bytes out, and a stop that loses nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bff::{Listening, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Edge, campaign};
use crate::stream::{committed, large};

struct Server {
    edge: Edge,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Server {
    async fn start() -> Server {
        Server::at_most(8192).await
    }

    async fn at_most(connections: usize) -> Server {
        let edge = Edge::start();
        let listening = Listening::on(([127, 0, 0, 1], 0).into()).await.unwrap().at_most(connections);
        let address = listening.address;
        let (stop, stopped) = oneshot::channel();
        let until = async move { stopped.await.unwrap_or_default() };
        let ended = tokio::spawn(serve(listening, edge.router.clone(), until));
        Server { edge, address, stop, ended }
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _sent = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _read = socket.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

fn request(head: &str, body: &str) -> Vec<u8> {
    format!("{head} HTTP/1.1\r\nhost: alpes\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

fn body(answer: &str) -> Value {
    answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
}

#[tokio::test]
async fn seed_003_works_with_raw_bytes_and_percent_encoded() {
    let server = Server::start().await;
    let printed = include_str!("../../../../walks/data/seed-003.json");
    let head = "POST /campaña-comando HTTP/1.1\r\nhost: alpes\r\nconnection: close\r\ncontent-type: aplication/json\r\n";
    let answer = server.exchange(format!("{head}content-length: {}\r\n\r\n{printed}", printed.len()).as_bytes()).await;
    assert_eq!((status(&answer), &body(&answer)["id"]), ("202", &json!("c-12345")), "{answer}");
    for path in ["/campaña-query/c-12345", "/campa%C3%B1a-query/c-12345", "/campa%c3%b1a-query/c-12345", "/campana-query/c-12345"]
    {
        let answer = server.exchange(&request(&format!("GET {path}"), "")).await;
        assert_eq!((status(&answer), &body(&answer)["id"]), ("200", &json!("c-12345")), "{answer}");
    }
}

#[tokio::test]
async fn who_sends_ten_megabytes_can_read_why_not() {
    let server = Server::start().await;
    let large = "x".repeat(10 << 20);
    let answer = server.exchange(&request("POST /v1/campaigns", &large)).await;
    assert_eq!((status(&answer), &body(&answer)["code"]), ("413", &json!("body-too-large")), "{answer}");
    let head = "POST /v1/campaigns HTTP/1.1\r\nhost: alpes\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let answer = server.exchange(chunked.as_bytes()).await;
    assert_eq!((status(&answer), &body(&answer)["code"]), ("413", &json!("body-too-large")), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_400_and_harms_nobody() {
    let server = Server::start().await;
    assert_eq!(status(&server.exchange(b"\x16\x03\x01 hello\r\n\r\n").await), "400");
    let answer = server.exchange(&request("GET /healthz", "")).await;
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let server = Server::start().await;
    let people: Vec<String> = (0..500).map(|at| format!("p-{at}")).collect();
    let campaign = campaign("c-1", &people.iter().map(String::as_str).collect::<Vec<_>>()).to_string();
    let head = "POST /v1/campaigns HTTP/1.1\r\nhost: alpes\r\nprefer: wait=30\r\n";
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(format!("{head}content-length: {}\r\n\r\n{campaign}", campaign.len()).as_bytes()).await.unwrap();
    // The request has arrived when its saga is there.
    while server.edge.get("/v1/sagas?key=c-1").await.json["items"] == json!([]) {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert_eq!((status(&answer), &body(&answer)["status"]), ("201", &json!("completed")), "{answer}");
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "an idle connection is closed");
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn floods_of_headers_and_endless_paths_are_problems_that_say_how_much_is_read() {
    let server = Server::start().await;
    let refused = async |request: Vec<u8>| {
        let answer = server.exchange(&request).await;
        let body = body(&answer);
        assert!(answer.len() < 1_000, "what was wrong is not sent back: {answer:.300}");
        assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        (status(&answer).to_owned(), body["code"].as_str().unwrap_or_default().to_owned())
    };
    let endless = |bytes: usize| request(&format!("GET /v1/stream?type={}", "x".repeat(bytes)), "");
    assert_eq!(refused(endless(bff::TARGET_MAX)).await, ("414".into(), "target-too-long".into()));
    let flood = |value: &str, times: usize| {
        let many: String = (0..times).map(|number| format!("x-{number}: {value}\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: alpes\r\nconnection: close\r\n{many}\r\n").into_bytes()
    };
    assert_eq!(refused(flood(&"x".repeat(bff::HEADERS_MAX), 1)).await, ("431".into(), "headers-too-large".into()));
    assert_eq!(refused(flood("y", bff::HEADERS_COUNT_MAX)).await, ("431".into(), "headers-too-large".into()));
    // Just below, they are taken for what they are.
    let longest = server.exchange(&endless(bff::TARGET_MAX - 100)).await;
    assert_eq!((status(&longest), &body(&longest)["field"]), ("400", &json!("type")), "{longest:.300}");
    assert!(longest.len() < 5_000, "what was wrong is not sent back whole");
    assert_eq!(status(&server.exchange(&flood("y", bff::HEADERS_COUNT_MAX - 2)).await), "200");
}

#[tokio::test]
async fn a_head_that_is_not_even_read_to_its_end_has_a_status_all_the_same() {
    let server = Server::start().await;
    let long = "x".repeat(100_000);
    assert_eq!(status(&server.exchange(&request(&format!("GET /v1/stream?type={long}"), "")).await), "414");
    let flood = format!("GET / HTTP/1.1\r\nhost: alpes\r\nx-flood: {long}{long}\r\n\r\n");
    assert_eq!(status(&server.exchange(flood.as_bytes()).await), "431");
    let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(status(&server.exchange(format!("GET / HTTP/1.1\r\nhost: alpes\r\n{many}\r\n").as_bytes()).await), "431");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_whatever_it_sends_and_its_place_is_free_again_when_another_goes() {
    let server = Server::at_most(2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: alpes\r\n\r\n").await.unwrap();
        assert_ne!(socket.read(&mut [0; 1024]).await.unwrap(), 0, "it is served, and stays open");
        held.push(socket);
    }
    for body_sent in ["", &"x".repeat(300_000)] {
        let answer = server.exchange(&request("POST /v1/campaigns", body_sent)).await;
        assert_eq!((status(&answer), &body(&answer)["code"]), ("503", &json!("busy")), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    held.pop();
    while status(&server.exchange(&request("GET /healthz", "")).await) != "200" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_its_head_bit_by_bit_is_cut() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: al").await.unwrap();
    // Time is the runtime's own and jumps: what would take half a minute is there at once.
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(120), socket.read_to_end(&mut rest)).await.expect("it is cut");
    drop(read);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_what_it_is_sent_is_cut() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /v1/stream HTTP/1.1\r\nhost: alpes\r\n\r\n").await.unwrap();
    while server.edge.stream.subscribers() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut tap = server.edge.stream.tap();
    for position in 1..=150 {
        tap.committed(&committed(vec![large(position)]));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..10 * bff::STALLED_MAX.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if server.edge.stream.subscribers() == 0 {
            return;
        }
    }
    panic!("it holds its place, and what it was to be sent");
}
