//! A PostgreSQL of a test's own, which it may kill.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Stopped, and its files removed, when it is dropped.
pub struct Server {
    /// The URL of its first database.
    pub url: String,
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    settings: Vec<String>,
}

/// The folder with the newest server's programs.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| folder.join("pg_ctl").exists() && folder.join("initdb").exists());
    let mut debian: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin")).collect();
    debian.sort();
    debian.into_iter().rev().find(|folder| folder.join("pg_ctl").exists()).or(on_path)
}

impl Server {
    /// None, said loudly, when the server's programs are not on this machine.
    pub fn start(test: &str, settings: &[&str]) -> Option<Server> {
        let Some(bin) = programs() else {
            let required = std::env::var("ALPES_TEST_REQUIRED").is_ok_and(|value| value == "1");
            assert!(!required, "{test}: no initdb and pg_ctl on this machine");
            eprintln!("SKIPPED: {test}: no initdb and pg_ctl on this machine");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("alpes-postgres-{}-{}", std::process::id(), settings.len()));
        // Left by a process of the same number, if it is there.
        let _none = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Server { url, folder, bin, port, settings };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&server.folder));
        }
        run(server.program("initdb").args(["-D", &server.data(), "-A", "trust", "-U", "postgres", "--no-sync"]));
        server.start_again();
        Some(server)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// A program of the server's; root may not run it, so the user `postgres` does.
    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    }

    /// Starts it, and returns when it answers.
    pub fn start_again(&mut self) {
        let options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= {}", self.port, self.settings.join(" "));
        // The processes of a server that was killed may not have noticed yet.
        for _ in 0..50 {
            let log = self.folder.join("log").display().to_string();
            let started = self
                .program("pg_ctl")
                .args(["-D", &self.data(), "-w", "-l", &log, "-o", &options, "start"])
                .stdout(Stdio::null())
                .status();
            if started.unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not start: {}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// Kills it with a signal that it cannot catch: the postmaster, then what it leaves.
    pub fn kill(&mut self) {
        let pid = std::fs::read_to_string(Path::new(&self.data()).join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().trim().to_owned();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        run(Command::new("kill").arg("-9").arg(&pid).args(children.split_whitespace()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.program("pg_ctl").args(["-D", &self.data(), "-m", "immediate", "stop"]).stdout(Stdio::null()).status();
        if stopped.is_ok_and(|status| status.success()) {
            let _left = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
