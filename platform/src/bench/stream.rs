//! Subscribers of the live stream: how soon after its commit an event is on each one's socket, and what the server holds for them.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::client::{Connection, find};
use super::load::{FIRST, Load};
use crate::trouble::Trouble;

/// The longest line of the stream that is looked at, in bytes: longer ones are not of this load.
const LINE_MAX: usize = 64 << 10;
/// Bytes that a subscriber reads at a time, who does not look at them.
const BURST: usize = 256 << 10;
/// Bytes of what came last that are told when the server ends it.
const TOLD: usize = 256;
const TIME: &[u8] = b"\"time\":";

/// Lets so many subscribers listen while `rate` sagas a second run for so many seconds. How long after it was written each event was
/// there, in sorted microseconds: the time stands in the event, and is that of its batch before the commit, so the fsync is included.
///
/// # Errors
/// When a connection breaks, or an answer is not as expected.
pub fn listen(server: SocketAddr, load: &Load, subscribers: u16, rate: u16, seconds: u64) -> Result<Vec<u32>, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(format!("cannot start the generator ({error})")))?;
    let latencies = Rc::new(RefCell::new(Vec::new()));
    LocalSet::new()
        .block_on(&runtime, async {
            let mut readers = Vec::new();
            for _ in 0..subscribers {
                readers.push(tokio::task::spawn_local(read(subscribe(server).await?, latencies.clone())));
            }
            ask(server, load.clone(), rate, seconds).await?;
            // What was said last is on its way.
            tokio::time::sleep(Duration::from_millis(500)).await;
            match readers.into_iter().find(|reader| reader.is_finished()) {
                Some(ended) => Err(ended.await.unwrap_or_else(|error| error.to_string())),
                None => Ok(()),
            }
        })
        .map_err(Trouble::new)?;
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    Ok(latencies)
}

/// One client that asks at this rate, and a little less when the server needs longer.
async fn ask(server: SocketAddr, mut load: Load, rate: u16, seconds: u64) -> Result<(), String> {
    let mut connection = Connection::open(server).await?;
    for request in load.before.clone() {
        connection.ask(&request).await?;
    }
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::from(rate));
    for number in 0..u64::from(rate) * seconds {
        pace.tick().await;
        let (request, expected) = load.numbered(FIRST + number);
        let request = request.to_vec();
        expected.check(&connection.ask(&request).await?)?;
    }
    Ok(())
}

/// Subscribes to every event from now on.
///
/// # Errors
/// When nobody listens there.
pub async fn subscribe(server: SocketAddr) -> Result<TcpStream, String> {
    let mut socket = TcpStream::connect(server).await.map_err(|error| format!("cannot connect: {error}"))?;
    let request = b"GET /v1/stream HTTP/1.0\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await.map_err(|error| format!("cannot send: {error}"))?;
    Ok(socket)
}

/// Where those put what they read who do not look at it: one for all of them, so that what ten read stays in the processor's cache.
#[derive(Clone)]
pub struct Unread(Rc<RefCell<Vec<u8>>>);

impl Unread {
    /// Room for what one reads at a time.
    pub fn new() -> Unread {
        Unread(Rc::new(RefCell::new(vec![0; BURST])))
    }
}

/// Reads until the server ends it, which it should not; why it did. What comes is not looked at, so that ten who listen to all that a
/// server does take little of the machine that is measured.
pub async fn follow(socket: TcpStream, unread: Unread) -> String {
    let mut last = Vec::new();
    loop {
        let ready = socket.readable().await;
        let mut buffer = unread.0.borrow_mut();
        match ready.and_then(|()| socket.try_read(&mut buffer)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => match more(read, || last.clone()) {
                // What is said at the end is short.
                Ok(read) => buffer[read.saturating_sub(TOLD)..read].clone_into(&mut last),
                Err(told) => return told,
            },
        }
    }
}

/// How many bytes came; or why none does any more, with what was said last.
fn more(read: std::io::Result<usize>, told: impl FnOnce() -> Vec<u8>) -> Result<usize, String> {
    match read {
        Ok(0) => Err(format!("a subscriber was cut: {}", String::from_utf8_lossy(&told()))),
        Ok(read) => Ok(read),
        Err(error) => Err(format!("a subscriber's connection broke: {error}")),
    }
}

/// Reads likewise, and tells how late each event was.
async fn read(mut socket: TcpStream, latencies: Rc<RefCell<Vec<u32>>>) -> String {
    let clock = SystemClock::default();
    let hear = |time| latencies.borrow_mut().push(u32::try_from(clock.now() - time).unwrap_or(0));
    let mut buffer = Vec::with_capacity(LINE_MAX);
    let mut told = Vec::new();
    loop {
        if let Err(told) = more(socket.read_buf(&mut buffer).await, || std::mem::take(&mut told)) {
            return told;
        }
        let mut from = 0;
        while let Some(end) = buffer.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let line = &buffer[from..from + end];
            from += end + 1;
            if let Some(at) = find(line, TIME).filter(|_| line.starts_with(b"data: ")) {
                let digits = line[at + TIME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
                let time = digits.fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
                hear(time);
            } else if !line.is_empty() {
                told = line.to_vec();
            }
        }
        buffer.drain(..from);
    }
}
