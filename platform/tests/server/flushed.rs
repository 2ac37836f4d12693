//! kill -9 proves no fsync: the machine's memory survives it. A watch on the system calls does.

use std::process::Command;

use super::support::{Client, Folder, Server, campaign, say, serving, signal};
use super::trace::{calls, flushed_before_answer};

/// A server under strace. strace does not take the server with it when it is killed, so that is done here.
struct Traced(Server, u32);

impl Drop for Traced {
    fn drop(&mut self) {
        // Gone already when the test has passed.
        let _gone = Command::new("kill").args(["-KILL", &self.1.to_string()]).output();
    }
}

#[test]
fn the_disk_has_it_before_the_client_is_told() {
    if let Err(error) = Command::new("strace").arg("-V").output() {
        say(&format!("SKIPPED: strace cannot be run ({error}), so it is not proven that a 2xx comes after its fdatasync"));
        return;
    }
    let folder = Folder::new();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "120", "-o"]).arg(&trace);
    command.args(["-e", "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg"]);
    command.arg(env!("CARGO_BIN_EXE_alpes"));
    serving(&mut command, &folder.data());
    let server = Server::listening(command, &folder);
    let lock = std::fs::read_to_string(folder.data().join("lock")).expect("the lock file");
    let process = lock.trim().rsplit_once(' ').and_then(|(_, process)| process.parse().ok()).expect("it names the process");
    let mut traced = Traced(server, process);

    let mut client = Client::open(traced.0.address).expect("it listens");
    let bodies = [campaign("c-1", "b-1", &["p-1"]), campaign("c-2", "b-1", &["p-2"])];
    // The same path twice: a query tells the two apart.
    let requests = [
        ("POST", "/v1/campaigns?first", "Prefer: wait=10\r\n", bodies[0].as_str()),
        ("POST", "/v1/campaigns?second", "", bodies[1].as_str()),
        ("POST", "/v1/campaigns/c-1/pause", "", ""),
        ("PUT", "/v1/brands/b-1/accounts/USD", "", r#"{"limit":"20.00"}"#),
        ("POST", "/v1/blocks", "", r#"{"partner":"p-9"}"#),
        ("POST", "/v1/partners/p-1/ban", "", "{}"),
    ];
    for (method, path, headers, body) in requests {
        let answer = client.ask(method, path, headers, body).expect("an answer");
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    }
    signal("TERM", process);
    assert_eq!(traced.0.ended().status.code(), Some(0));

    let calls = calls(&std::fs::read_to_string(&trace).expect("the trace"));
    for (method, path, ..) in requests {
        if let Err(why) = flushed_before_answer(&calls, &format!("{method} {path} HTTP/1.1")) {
            panic!("{why}; the trace stands in {}", trace.display());
        }
    }
}
