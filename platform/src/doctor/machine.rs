//! The machine below: room on the disk, how long it takes to flush, open files, the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use seedwork::clock::{Clock, SystemClock};

use super::{Finding, bytes};
use crate::bench::machine::fdatasync;

/// The least room that is left to work with, in bytes; and from where on it is enough.
const ROOM: (u64, u64) = (256 << 20, 2 << 30);
/// Each commit waits for a flush; a disk that is slower than this is felt by everybody.
const SLOW: Duration = Duration::from_millis(20);
/// No disk and no battery behind one is faster than this: what answers sooner has not flushed.
const UNBELIEVABLE: Duration = Duration::from_micros(5);
/// Files that may be open: fewer are soon too few for live connections.
const FILES: u64 = 4096;
/// Microseconds since 1970 before which no clock that is set can stand: 2026 began.
const SET: i64 = 1_767_225_600_000_000;

pub(super) fn look(data: &Path, process: Option<u32>) -> Vec<Finding> {
    let mut findings = vec![clock(SystemClock::default().now())];
    let Some(there) = existing(data) else {
        let what = format!("neither {} nor anything above it can be read", data.display());
        findings.push(Finding::wrong("disk", what, "name another directory with --data"));
        return findings;
    };
    findings.push(match rustix::fs::statvfs(&there) {
        Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)),
        Err(error) => Finding::wrong("disk", format!("its room is not known ({error})"), "look after the disk"),
    });
    findings.push(match fdatasync(&there) {
        Ok(median) => flush(median),
        Err(trouble) => Finding::wrong("flush", trouble.to_string(), "set its rights, or look after the disk"),
    });
    findings.extend(files(process));
    findings
}

/// The directory, or the nearest one above it that is there.
fn existing(data: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(data).ok()?;
    whole.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

fn clock(now: i64) -> Finding {
    if now < SET {
        return Finding::wrong("clock", "it stands before 2026", "set it (timedatectl set-ntp true)");
    }
    Finding::good("clock", "it is set")
}

fn room(free: u64, whole: u64) -> Finding {
    let what = format!("{} of {} are free", bytes(free), bytes(whole));
    let to_do = "make room, or move the data directory to a larger disk; a full disk turns every command away";
    match free {
        _ if free < ROOM.0 => Finding::wrong("disk", what, to_do),
        _ if free < ROOM.1 => Finding::advice("disk", what, to_do),
        _ => Finding::good("disk", what),
    }
}

fn flush(median: Duration) -> Finding {
    let what = format!("4 KiB and fdatasync take {:.3} ms (median)", median.as_secs_f64() * 1000.0);
    if median > SLOW {
        return Finding::advice("flush", what, "every commit waits for this: a disk on this machine, best an SSD, is faster");
    }
    if median < UNBELIEVABLE {
        let to_do =
            "no disk is so fast, so this is memory or a cache that lies: a power cut would lose data. Name a disk with --data";
        return Finding::advice("flush", what, to_do);
    }
    Finding::good("flush", what)
}

/// How many files may be open, and are: of the server, or of what would be started from here.
fn files(process: Option<u32>) -> Option<Finding> {
    let (limit, open) = match process {
        None => (getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), None),
        Some(process) => {
            let limit = limit(&fs::read_to_string(format!("/proc/{process}/limits")).ok()?)?;
            (limit, fs::read_dir(format!("/proc/{process}/fd")).ok().map(|all| all.count() as u64))
        }
    };
    Some(open_files(limit, open))
}

/// The soft limit in `/proc/PID/limits`.
fn limit(text: &str) -> Option<u64> {
    let soft = text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

fn open_files(limit: u64, open: Option<u64>) -> Finding {
    let to_do = "raise it (`ulimit -n 65536` before the start, or LimitNOFILE=65536 in its service file)";
    let is = open.map_or_else(String::new, |open| format!(", {open} are"));
    let what =
        format!("{} files may be open{is}", if limit == u64::MAX { "any number of".to_owned() } else { limit.to_string() });
    if open.is_some_and(|open| open > limit / 10 * 8) {
        return Finding::wrong("files", what, format!("connections will be refused; {to_do}"));
    }
    if limit < FILES {
        return Finding::advice("files", what, format!("each connection and each subscriber takes one; {to_do}"));
    }
    Finding::good("files", what)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_machine_in_trouble_is_told_from_one_that_is_well() {
        assert_eq!(room(1 << 20, 1 << 40).level, Level::Wrong);
        assert_eq!(room(1 << 30, 1 << 40).level, Level::Advice);
        assert_eq!(room(1 << 35, 1 << 40).level, Level::Good);
        assert_eq!(flush(Duration::from_millis(1)).level, Level::Good);
        assert_eq!(flush(Duration::from_millis(50)).level, Level::Advice);
        assert_eq!(flush(Duration::from_nanos(900)).level, Level::Advice);
        assert_eq!(open_files(65_536, Some(100)).level, Level::Good);
        assert_eq!(open_files(1024, Some(100)).level, Level::Advice);
        assert_eq!(open_files(65_536, Some(60_000)).level, Level::Wrong);
        assert_eq!(clock(0).level, Level::Wrong);
        assert_eq!(clock(SET).level, Level::Good);
    }

    #[test]
    fn a_limit_is_read_as_the_kernel_writes_it() {
        let text = "Limit    Soft Limit  Hard Limit  Units\nMax processes  1  2  processes\nMax open files            1024                 524288               files\n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit("Max open files  unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(limit(""), None);
    }
}
