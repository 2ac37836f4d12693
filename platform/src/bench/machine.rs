//! What the machine tells of a process and its disk, read from `/proc` and `/sys` (Linux; elsewhere nothing is known).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use seedwork::clock::{Clock, SystemClock};

use crate::trouble::Trouble;

/// Clock ticks per second in which `/proc` counts CPU: 100 in every Linux that a program can see.
const TICKS: u64 = 100;

/// The machine's counters at one moment. What cannot be read is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// CPU milliseconds of the server, all its threads.
    pub server_cpu: Option<u64>,
    /// CPU milliseconds of this process, the generator.
    pub own_cpu: Option<u64>,
    /// CPU milliseconds of everything on the machine, what the hypervisor took included.
    pub all_cpu: Option<u64>,
    /// Bytes that the server sent to the disk.
    pub written: Option<u64>,
    /// Flushes that the disk has completed.
    pub flushes: Option<u64>,
}

/// Reads the counters that belong to one server.
#[derive(Clone, Debug)]
pub struct Gauge {
    server: Option<u32>,
    disk: Option<String>,
}

impl Gauge {
    /// For a server (its process, if it is ours) and the disk below a folder.
    pub fn new(server: Option<u32>, folder: &Path) -> Gauge {
        Gauge { server, disk: if server.is_some() { disk_of(folder) } else { None } }
    }

    /// The counters now.
    pub fn read(&self) -> Reading {
        let server = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.server?)).ok();
        Reading {
            server_cpu: server("stat").and_then(|text| process_cpu(&text)),
            own_cpu: fs::read_to_string("/proc/self/stat").ok().and_then(|text| process_cpu(&text)),
            all_cpu: fs::read_to_string("/proc/stat").ok().and_then(|text| machine_cpu(&text)),
            written: server("io").and_then(|text| named(&text, "write_bytes:")),
            flushes: self.disk.as_deref().and_then(|disk| flushes(&fs::read_to_string("/proc/diskstats").ok()?, disk)),
        }
    }

    /// Resident memory of the server now and at its most, in kilobytes.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.server?)).ok()?;
        Some((named(&text, "VmRSS:")?, named(&text, "VmHWM:")?))
    }
}

/// CPU milliseconds in `/proc/PID/stat`: fields 14 and 15. The second field, the name, may hold blanks and parentheses.
fn process_cpu(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * 1000 / TICKS)
}

/// CPU milliseconds that the machine was busy or withheld: the first line of `/proc/stat` without idle and iowait, and without what
/// guests took (it is counted in user).
fn machine_cpu(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|text| text.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|place| fields.get(*place)).sum();
    Some(busy * 1000 / TICKS)
}

/// The number behind a name at a line's beginning.
fn named(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Flushes of a disk (`253:0`) in `/proc/diskstats`: the sixteenth number behind its name.
fn flushes(diskstats: &str, disk: &str) -> Option<u64> {
    diskstats.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (major, minor) = (fields.next()?, fields.next()?);
        if disk.split_once(':') != Some((major, minor)) {
            return None;
        }
        fields.nth(16)?.parse().ok()
    })
}

/// The disk (`major:minor`) that holds a folder. Flushes are counted per disk, so a partition is followed to its disk.
#[cfg(target_os = "linux")]
fn disk_of(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(folder).ok()?.dev();
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    let link = Path::new("/sys/dev/block").join(format!("{major}:{minor}")).canonicalize().ok()?;
    let disk = if link.join("partition").exists() { link.parent()?.to_owned() } else { link };
    Some(fs::read_to_string(disk.join("dev")).ok()?.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn disk_of(_folder: &Path) -> Option<String> {
    None
}

/// How long the disk below a folder takes to make 4 KiB durable: the median of 200 appends, each followed by fdatasync.
///
/// # Errors
/// When nothing can be written there.
pub fn fdatasync(folder: &Path) -> Result<Duration, Trouble> {
    let path = folder.join(format!("alpes-bench-{}.probe", std::process::id()));
    let clock = SystemClock::default();
    let measured = File::create(&path).and_then(|mut file| {
        let block = [0x5a; 4096];
        let mut times = Vec::with_capacity(200);
        for _ in 0..200 {
            let from = clock.monotonic();
            file.write_all(&block)?;
            file.sync_data()?;
            times.push(clock.monotonic() - from);
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    });
    let removed = fs::remove_file(&path);
    measured.and_then(|median| removed.map(|()| median)).map_err(|error| {
        Trouble::new(format!("cannot measure the disk below {} ({error}): name a directory with --data", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_tells_is_read() {
        let stat = "42 (al) pes) S 1 42 42 0 -1 4194560 1 0 0 0 731 269 0 0 20 0 4 0 1 2 3";
        assert_eq!(process_cpu(stat), Some(10_000));
        assert_eq!(machine_cpu("cpu  100 1 20 9999 88 3 4 5 0 0\ncpu0 1"), Some(1330));
        assert_eq!(named("rchar: 5\nwrite_bytes: 4096\n", "write_bytes:"), Some(4096));
        assert_eq!(named("VmHWM:\t  1234 kB\n", "VmHWM:"), Some(1234));
        assert_eq!(named("VmHWM:\t  1234 kB\n", "VmRSS:"), None);
        let disks = " 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0\n 253 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 777 17\n";
        assert_eq!(flushes(disks, "253:0"), Some(777));
        assert_eq!(flushes(disks, "253:1"), None);
        assert_eq!(flushes("253 0 vda 1 2 3 4 5 6 7 8 9 10 11", "253:0"), None, "an old kernel does not count them");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_counters_that_rise() {
        let gauge = Gauge::new(Some(std::process::id()), &std::env::temp_dir());
        let before = gauge.read();
        let clock = SystemClock::default();
        let rises = |counter: fn(&Reading) -> Option<u64>| {
            while counter(&gauge.read()) <= counter(&before) {
                assert!(clock.monotonic() < Duration::from_secs(30), "a counter stands still: {before:?}");
            }
        };
        rises(|reading| reading.server_cpu);
        rises(|reading| reading.own_cpu);
        rises(|reading| reading.all_cpu);
        assert!(gauge.memory().is_some_and(|(now, most)| now > 0 && most >= now));
    }

    #[test]
    fn a_disk_that_is_not_there_is_told() {
        let nowhere = std::env::temp_dir().join("alpes-is-not-here");
        assert!(fdatasync(&nowhere).unwrap_err().to_string().contains("--data"));
        assert!(fdatasync(&std::env::temp_dir()).unwrap() > Duration::ZERO);
    }
}
