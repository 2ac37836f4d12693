//! A server to do things to, and a client that asks it.
#![expect(clippy::disallowed_methods, reason = "tests of real processes wait in real time, with bounds")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing in these tests takes longer than this on a machine that works.
pub const BOUND: Duration = Duration::from_secs(60);

/// Says it even when the test passes: the test harness hides what `eprintln!` says.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("the standard error is open");
}

/// Asks again and again until there is an answer; with a bound.
#[track_caller]
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let from = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(from.elapsed() < BOUND, "after {BOUND:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of a test, on the disk that holds the build; deleted when the test has passed.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("alpes-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a directory for the test");
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The data directory of its server.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The store in it.
    pub fn store(&self) -> PathBuf {
        self.data().join("alpes.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("what the test left behind stands in {}", self.0.display()));
        } else {
            fs::remove_dir_all(&self.0).expect("the directory of the test can be deleted");
        }
    }
}

/// The command that serves this data directory on a free port.
pub fn alpes(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    serving(&mut command, data);
    command
}

/// Adds what makes the binary serve this data directory on a free port.
pub fn serving(command: &mut Command, data: &Path) {
    command.args(["serve", "--port", "0", "--data"]).arg(data);
    bare(command);
}

/// Takes away whatever this environment says to the binary.
pub fn bare(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let others = ["RUST_BACKTRACE", "NO_COLOR", "VISUAL", "EDITOR"];
        if name.to_str().is_some_and(|name| name.starts_with("ALPES_") || others.contains(&name)) {
            command.env_remove(name);
        }
    }
}

/// What a command printed, and the status it ended with.
#[derive(Debug)]
pub struct Said {
    pub status: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Said {
    /// The JSON that it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// That it ended with this status, and said why in one line that holds all these words.
    #[track_caller]
    pub fn fails(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:?}");
        let said: Vec<&str> = self.error.lines().filter(|line| line.starts_with("alpes: ")).collect();
        assert_eq!(said.len(), 1, "one line that says it: {self:?}");
        for word in words {
            assert!(said[0].contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

/// Runs the binary with these arguments in a directory, to its end; `more` may set what else it needs.
#[track_caller]
pub fn run(within: &Path, arguments: &[&str], more: impl FnOnce(&mut Command)) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alpes"));
    command.args(arguments).current_dir(within).stdin(Stdio::null());
    bare(&mut command);
    more(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    Said { status: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// What a process said and how it ended.
pub struct Ended {
    pub status: ExitStatus,
    pub error: String,
}

impl Ended {
    /// That it ended with status 1 and one clear line, which holds all these words.
    #[track_caller]
    pub fn is_clear(&self, words: &[&str]) {
        let error = self.error.trim_end();
        assert_eq!(self.status.code(), Some(1), "{error}");
        let said: Vec<&str> = error.lines().filter(|line| line.starts_with("alpes: ")).collect();
        assert_eq!(said.len(), 1, "one line that says it: {error}");
        for word in words {
            assert!(said[0].contains(word), "{word:?} is missing: {error}");
        }
        for word in ["panicked", "backtrace", "unwrap"] {
            assert!(!error.contains(word), "{error}");
        }
    }
}

/// Runs a command that is to end by itself.
pub fn ended(command: Command, folder: &Folder) -> Ended {
    let mut server = Server::spawn(command, folder);
    server.ended()
}

/// A running server. Killed at the end, if it still runs.
pub struct Server {
    child: Child,
    says: BufReader<ChildStdout>,
    error: PathBuf,
    pub address: SocketAddr,
}

impl Server {
    /// Starts one on the folder's data directory, and waits until it listens.
    pub fn start(folder: &Folder) -> Server {
        Server::listening(alpes(&folder.data()), folder)
    }

    /// Starts this command, and waits until the server in it listens.
    #[track_caller]
    pub fn listening(command: Command, folder: &Folder) -> Server {
        let mut server = Server::spawn(command, folder);
        match server.hear() {
            Some(address) => server.address = address,
            None => {
                let ended = server.ended();
                panic!("the server has not started ({}): {}", ended.status, ended.error);
            }
        }
        server
    }

    fn spawn(mut command: Command, folder: &Folder) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let error = folder.path().join(format!("stderr-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&error).expect("a file for the server's standard error");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let says = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Server { child, says, error, address: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    fn hear(&mut self) -> Option<SocketAddr> {
        let mut line = String::new();
        while self.says.read_line(&mut line).expect("the server's standard output can be read") > 0 {
            let address = line.split_once("http://").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
            if address.is_some() {
                return address;
            }
            line.clear();
        }
        None
    }

    /// The process that was started.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on its standard error so far.
    pub fn error(&self) -> String {
        fs::read_to_string(&self.error).expect("the server's standard error can be read")
    }

    /// kill -9, and wait until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        let status = until("the server ends", || self.child.try_wait().expect("it can be waited for"));
        Ended { status, error: self.error() }
    }

    /// Tells it to stop, as a service manager does, and waits.
    #[track_caller]
    pub fn stop(mut self) -> Ended {
        signal("TERM", self.process());
        self.ended()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().expect("it can be killed");
            self.child.wait().expect("it ends");
        }
    }
}

/// Sends a signal.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().expect("kill can be run");
    assert!(sent.success(), "kill -{name} {process}: {sent}");
}

/// What a server said to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// A connection that asks one request after the other.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn open(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BOUND))?;
        Ok(Client { stream, buffer: Vec::new() })
    }

    /// Sends a request and waits for the whole answer. An error when the connection breaks before it is there.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Answer> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        self.stream.write_all(format!("{head}{body}").as_bytes())?;
        self.buffer.clear();
        loop {
            if let Some(answer) = answer(&self.buffer)? {
                return Ok(answer);
            }
            let mut part = [0; 16 * 1024];
            match self.stream.read(&mut part)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(&part[..read]),
            }
        }
    }
}

/// An answer, once it is whole.
fn answer(bytes: &[u8]) -> std::io::Result<Option<Answer>> {
    let wrong = |what: &str| std::io::Error::other(format!("{what}: {}", String::from_utf8_lossy(bytes)));
    let Some(blank) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..blank]).map_err(|_| wrong("a head that is no text"))?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| wrong("no status"))?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, length)| length.trim().parse::<usize>().map_err(|_| wrong("a length that is no number")))?;
    let body = &bytes[blank + 4..];
    if body.len() < length {
        return Ok(None);
    }
    let body =
        if body.is_empty() { Value::Null } else { serde_json::from_slice(body).map_err(|_| wrong("a body that is no JSON"))? };
    Ok(Some(Answer { status, body }))
}

/// Asks one request on a connection of its own; the server is there and answers.
#[track_caller]
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let asked = Client::open(address).and_then(|mut client| client.ask(method, path, "Connection: close\r\n", body));
    asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// A campaign of so many participants, as JSON.
pub fn campaign(id: &str, brand: &str, participants: &[&str]) -> String {
    let people: Vec<String> = participants
        .iter()
        .map(|id| format!(r#"{{"id":"{id}","kind":"influencer","name":"Alice Doe","profile":"Moda, 200k"}}"#))
        .collect();
    format!(
        r#"{{"id":"{id}","name":"Moda","brand":"{brand}","budget":{{"amount":"15.00","currency":"USD"}},"participants":[{}]}}"#,
        people.join(",")
    )
}
