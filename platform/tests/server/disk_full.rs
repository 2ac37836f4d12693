//! A disk without room: a small one that is filled and freed again, and a file that may not grow.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::load::{Load, prepare, verify};
use super::support::{Client, Folder, Server, campaign, say, serving, until};

/// A file system in memory, of its own and small, seen by nobody else. It is there as long as this value.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// Mounts it there; nothing when this machine does not let its users do that.
    fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).expect("a directory");
        let script = format!("mount -t tmpfs -o size=64m alpes '{}' && echo mounted && read stay", at.display());
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut disk = SmallDisk { holder: holder.ok()? };
        let mut line = String::new();
        BufReader::new(disk.holder.stdout.as_mut()?).read_line(&mut line).ok()?;
        (line.trim() == "mounted").then_some(disk)
    }

    /// A command that is run where the disk can be seen.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--user", "--mount", "--preserve-credentials", program]);
        command
    }

    fn shell(&self, script: &str) -> std::process::Output {
        self.inside("sh").args(["-c", script]).output().expect("a shell")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The shell that holds it ends with its input.
        if let Some(mut input) = self.holder.stdin.take() {
            let _ended_already = input.write_all(b"\n");
        }
        self.holder.wait().expect("it ends");
    }
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_when_there_is_room_again_it_goes_on() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(&folder.data()) else {
        say("SKIPPED: this machine lets its users mount no file system of their own, so no disk was filled");
        return;
    };
    let alpes = || {
        let mut command = disk.inside(env!("CARGO_BIN_EXE_alpes"));
        serving(&mut command, &folder.data());
        command
    };
    let server = Server::listening(alpes(), &folder);
    prepare(server.address);
    let load = Load::start(server.address, 8, "full");
    load.reach(50);
    let filler = format!("'{}/filler'", folder.data().display());
    let filled = disk.shell(&format!("cat /dev/zero > {filler}"));
    assert!(!filled.status.success(), "a disk of 64 MB took /dev/zero");
    load.unavailable();
    let mut asked = load.finish();
    assert!(server.error().contains("make room on the disk"), "it says what to do: {}", server.error());

    assert!(disk.shell(&format!("rm {filler}")).status.success());
    let mut client = Client::open(server.address).expect("it listens");
    until("there is room and it goes on", || {
        let answer = client.ask("POST", "/v1/campaigns", "Prefer: wait=10\r\n", &campaign("c-room", "b-room", &["p-room"]));
        let answer = answer.expect("an answer");
        assert!([200, 201, 202, 503].contains(&answer.status), "{answer:?}");
        (answer.status == 201).then_some(())
    });
    let load = Load::start(server.address, 8, "room");
    load.reach(50);
    server.kill();
    asked.extend(load.finish());
    verify(Server::listening(alpes(), &folder).address, &asked);
}

#[test]
fn a_file_that_may_not_grow_loses_nothing() {
    let folder = Folder::new();
    let mut command = Command::new("sh");
    // Half a megabyte, in blocks of 512 bytes or, in some shells, one megabyte. The signal would end the process before it can speak.
    command.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_alpes")]);
    serving(&mut command, &folder.data());
    let mut server = Server::listening(command, &folder);
    prepare(server.address);
    let load = Load::start(server.address, 8, "limit");
    let ended = server.ended();
    let asked = load.finish();
    assert!(asked.iter().any(|asked| asked.acknowledged), "it took nothing at all");
    ended.is_clear(&["Nothing that was acknowledged is lost", "disk"]);
    verify(Server::start(&folder).address, &asked);
}
