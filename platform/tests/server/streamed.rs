//! The live stream of a real process: resumed over every way in which server and client can go.
#![expect(clippy::disallowed_methods, reason = "the subscriber is a thread, and connects again until there is a server")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seedwork::clock::Chance;

use super::load::{Load, prepare, verify};
use super::support::{BOUND, Folder, Server, ask, until};

/// The server's lines from this place on; without chunks, as the version asked for has none.
fn subscribe(address: SocketAddr, last: &str) -> std::io::Result<impl Iterator<Item = String> + use<>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.write_all(format!("GET /v1/stream HTTP/1.0\r\nHost: test\r\nLast-Event-ID: {last}\r\n\r\n").as_bytes())?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let status = lines.next().unwrap_or_default();
    assert!(status.is_empty() || status.contains(" 200 ") || status.contains(" 503 "), "{status}");
    Ok(lines)
}

/// Reads on from the id of the last event that was heard. The id of an event counts when the event is whole, as in a browser.
fn hear(lines: impl Iterator<Item = String>, last: &mut String, rows: &mut Vec<String>, until: impl Fn(&str) -> bool) {
    let (mut id, mut row, mut quiet) = (None, None, 0);
    for line in lines {
        if until(&line) {
            return;
        }
        if let Some(text) = line.strip_prefix("id: ") {
            id = Some(text.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: serde_json::Value = serde_json::from_str(data).expect("a whole line is JSON");
            row = data["id"].as_str().map(str::to_owned);
        } else if line.is_empty() {
            last.clone_from(&id.take().unwrap_or_else(|| last.clone()));
            rows.extend(row.take());
        } else if line == ":" {
            quiet += 1;
            assert!(quiet < 4, "what is waited for does not come");
        }
    }
}

#[test]
fn a_subscriber_hears_everything_once_over_kills_stops_and_cuts_of_its_own() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    prepare(server.address);
    let address = Arc::new(Mutex::new(server.address));
    let over = Arc::new(AtomicBool::new(false));
    let subscriber = std::thread::spawn({
        let (address, over) = (address.clone(), over.clone());
        move || {
            let mut chance = Chance::seeded(1);
            let (mut last, mut rows) = ("0".to_owned(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let address = *address.lock().expect("nobody broke it");
                // Some of its connections it cuts itself, in the middle of anything.
                let lines = 1 + usize::try_from(chance.below(2000)).expect("it is small");
                match subscribe(address, &last) {
                    Ok(server) => hear(server.take(lines), &mut last, &mut rows, |_| over.load(Ordering::Relaxed)),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            (last, rows)
        }
    });
    let mut asked = Vec::new();
    for round in 0..6 {
        let load = Load::start(server.address, 4, &format!("s{round}"));
        load.reach(60);
        match round % 2 {
            0 => server.kill(),
            _ => assert_eq!(server.stop().status.code(), Some(0)),
        }
        asked.extend(load.finish());
        server = Server::start(&folder);
        *address.lock().expect("nobody broke it") = server.address;
    }
    verify(server.address, &asked);
    over.store(true, Ordering::Relaxed);
    // Whatever it waits for comes: one more event.
    assert!(ask(server.address, "POST", "/v1/blocks", r#"{"partner":"p-last"}"#).status < 300);
    let (mut last, mut heard) = subscriber.join().expect("the subscriber is well");
    let live = |line: &str| line == ":live";
    hear(subscribe(server.address, &last).expect("it listens"), &mut last, &mut heard, live);
    let (mut last, mut all) = ("0".to_owned(), Vec::new());
    hear(subscribe(server.address, "0").expect("it listens"), &mut last, &mut all, live);
    let set = |rows: &[String]| rows.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&heard), set(&all), "everything is heard");
    assert_eq!(heard.len(), set(&heard).len(), "and nothing twice");
    assert!(all.len() > 300, "{} events are not much of a proof", all.len());
}

#[test]
fn a_stop_does_not_wait_for_subscribers() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut lines = subscribe(server.address, "0").expect("it listens");
    until("it is greeted", || lines.next().filter(|line| line.starts_with("retry: ")));
    let ended = server.stop();
    assert_eq!((ended.status.code(), ended.error.as_str()), (Some(0), ""), "a request that it had to wait for would be told of");
    assert!(lines.all(|line| !line.starts_with("event: ")), "nobody has lost anything");
}
