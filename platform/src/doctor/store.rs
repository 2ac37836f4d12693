//! The store: its file, what it holds, and what waits in it. Read from the file itself, so that it can be asked without a server.

use std::path::{Path, PathBuf};

use seedwork::SagaRecord;
use seedwork::clock::{Clock, SystemClock};
use seedwork::operator::streams::{self, Pause};
use seedwork::store::sqlite::Readers;
use seedwork::view::{Read, Value};

use super::{Finding, bytes};

/// A log before the store's file that is larger than this is not folded into it as it should be, in bytes.
const WAL: u64 = 512 << 20;
/// A store that is larger is looked through only on demand, in bytes.
const LARGE: u64 = 2 << 30;
/// A message that was sent so long ago and not taken, while the server runs, misses one before it: microseconds.
const GAP: i64 = 10_000_000;
/// A store younger than this tells nothing about its growth: microseconds.
const YOUNG: i64 = 3_600_000_000;
const DAY: i64 = 86_400_000_000;
/// A log row's key holds its position in so many of its last bits, its stream before them.
const POSITION_BITS: u32 = 40;

type Found = Result<Finding, String>;

pub(super) fn look(data: &Path, running: bool, thorough: bool, deploy: bool) -> Vec<Finding> {
    let path = data.join("alpes.db");
    let size = match std::fs::metadata(&path) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Finding::good("store", format!("{} is not there yet: the first start makes it", path.display()))];
        }
        Err(error) => {
            let what = format!("{} cannot be read ({error})", path.display());
            return vec![Finding::wrong("store", what, "set its rights, or look after the disk")];
        }
    };
    let wal = std::fs::metadata(data.join("alpes.db-wal")).map_or(0, |file| file.len());
    let store = Store { read: Readers::new(&path), folder: data.to_owned(), now: SystemClock::default().now(), size, running };
    let unreadable = |why: String| {
        let to_do = "stop the server, put a copy in its place and start again; keep the damaged file for whoever mends it";
        Finding::wrong("store", format!("{} cannot be read: {why}", path.display()), to_do)
    };
    let format = match store.format() {
        Ok(finding) => finding,
        Err(why) => return vec![unreadable(why)],
    };
    let known = format.level != super::Level::Wrong;
    let mut findings =
        vec![Finding::good("store", format!("{}, {}", path.display(), bytes(size))), format, self::wal(wal, running)];
    let mut checks: Vec<fn(&Store) -> Found> = Vec::new();
    if thorough || size <= LARGE {
        checks.push(Store::whole);
    } else {
        findings.push(Finding::good("damage", "not looked for in a store so large: --thorough does, and takes minutes"));
    }
    // What a newer build wrote may mean something else there.
    if known {
        checks.extend([Store::dead_letters, Store::sagas, Store::subscriptions, Store::pauses, Store::times, Store::growth]);
    }
    if known && deploy {
        checks.push(Store::versions);
    }
    findings.extend(checks.iter().map(|check| check(&store).unwrap_or_else(unreadable)));
    findings
}

fn wal(size: u64, running: bool) -> Finding {
    let what = format!("{} before the store's file", bytes(size));
    if size > WAL {
        let to_do = if running {
            "something reads the store for very long and holds it back: close other programs that have the file open"
        } else {
            "the next start folds it in and takes a while"
        };
        return Finding::wrong("wal", what, to_do);
    }
    Finding::good("wal", what)
}

struct Store {
    read: Readers,
    folder: PathBuf,
    now: i64,
    size: u64,
    running: bool,
}

fn number(row: &[Value], column: usize) -> Result<i64, String> {
    match row.get(column) {
        Some(Value::Integer(number)) => Ok(*number),
        other => Err(format!("a number is expected where {other:?} stands")),
    }
}

fn text(row: &[Value], column: usize) -> Result<&str, String> {
    row.get(column).and_then(Value::text).ok_or_else(|| "a text is missing".to_owned())
}

/// At most three, with how many more there are.
fn some(ids: &[String]) -> String {
    let shown = ids.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if ids.len() > 3 { format!("{shown} and {} more", ids.len() - 3) } else { shown }
}

impl Store {
    fn one(&self, sql: &str, parameters: &[Value]) -> Result<Option<i64>, String> {
        let rows = self.read.select(sql, parameters)?;
        match rows.first() {
            None => Ok(None),
            Some(row) if matches!(row.first(), Some(Value::Null)) => Ok(None),
            Some(row) => number(row, 0).map(Some),
        }
    }

    fn format(&self) -> Found {
        let present = self.one("SELECT value FROM meta WHERE key = 'format'", &[])?.ok_or("it has no format")?;
        let own = i64::from(seedwork::store::FORMAT);
        Ok(if present > own {
            let what = format!("the store has format {present}, this build knows {own}");
            Finding::wrong("format", what, "use the newer build: an older one could misread it")
        } else if present < own {
            let what = format!("the store has format {present}, this build writes {own}");
            Finding::advice(
                "format",
                what,
                "the next start copies the file beside it, then changes it; an older build cannot open it then",
            )
        } else {
            Finding::good("format", format!("{present}, as this build writes it"))
        })
    }

    fn whole(&self) -> Found {
        let rows = self.read.select("PRAGMA quick_check(3)", &[])?;
        let told = rows.iter().map(|row| text(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(if told == ["ok"] {
            Finding::good("damage", "none is found")
        } else {
            let to_do = "stop the server and put a copy in its place; keep the damaged file for whoever mends it";
            Finding::wrong("damage", format!("the store is damaged ({})", told.join("; ")), to_do)
        })
    }

    fn dead_letters(&self) -> Found {
        let rows = self.read.select("SELECT count(*), min(since) FROM waiting WHERE dead <> 0", &[])?;
        let row = rows.first().ok_or("no count")?;
        let count = number(row, 0)?;
        if count == 0 {
            return Ok(Finding::good("dead letters", "none"));
        }
        let what = format!("{count}, the oldest since {}", when(number(row, 1)?));
        Ok(Finding::wrong("dead letters", what, "`alpes dead-letters list` shows them; each waits to be replayed or discarded"))
    }

    /// The sagas that have not ended. The second condition is that of the index that holds them, so that it is used.
    fn sagas_under_way(&self) -> Result<Vec<(String, SagaRecord)>, String> {
        let sql =
            "SELECT id, body FROM saga WHERE stage IN ('running', 'undoing', 'stuck') AND stage NOT IN ('completed', 'undone')";
        let rows = self.read.select(sql, &[])?;
        let record = |row: &Vec<Value>| {
            let (id, body) = (text(row, 0)?, text(row, 1)?);
            let record = serde_json::from_str(body).map_err(|error| format!("saga {id} is not understood ({error})"))?;
            Ok((id.to_owned(), record))
        };
        rows.iter().map(record).collect()
    }

    fn sagas(&self) -> Found {
        let sagas = self.sagas_under_way()?;
        let ids = |wanted: fn(&SagaRecord) -> bool| {
            sagas.iter().filter(|(_, saga)| wanted(saga)).map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        let (stuck, late) = (ids(|saga| saga.stuck), ids(|saga| saga.run.late && !saga.stuck));
        let to_do = "`alpes sagas show ID` shows where; `alpes sagas retry` and `resolve` decide";
        Ok(if !stuck.is_empty() {
            let late = if late.is_empty() { String::new() } else { format!(", {} late ({})", late.len(), some(&late)) };
            Finding::wrong("sagas", format!("{} stuck ({}){late}", stuck.len(), some(&stuck)), to_do)
        } else if !late.is_empty() {
            Finding::wrong("sagas", format!("{} past their deadline ({})", late.len(), some(&late)), to_do)
        } else {
            Finding::good("sagas", format!("{} under way, none stuck or late", sagas.len()))
        })
    }

    /// What was sent on a route beyond the mark of whoever reads it.
    fn subscriptions(&self) -> Found {
        let sql = "SELECT m.partition, m.origin, m.topic, m.number, m.epoch, m.position, d.epoch, d.position \
                   FROM mark m JOIN destination d ON d.partition = m.origin AND d.topic = m.topic AND d.number = m.number \
                   WHERE (d.epoch > m.epoch OR (d.epoch = m.epoch AND d.position > m.position)) AND NOT EXISTS \
                   (SELECT 1 FROM pause p WHERE p.partition = m.partition AND p.topic = m.topic AND p.number = m.number)";
        let behind = self.read.select(sql, &[])?;
        let (mut count, mut oldest, mut routes) = (0, i64::MAX, Vec::new());
        for row in &behind {
            let (taken, sent) = ((number(row, 4)?, number(row, 5)?), (number(row, 6)?, number(row, 7)?));
            let sql = "SELECT count(*), min(l.written) FROM stream s JOIN log l ON l.id > s.id * $1 AND l.id < (s.id + 1) * $1 \
                       WHERE s.partition = $2 AND l.topic = $3 AND l.number = $4 AND s.epoch >= $5 AND s.epoch <= $6 \
                       AND (s.epoch > $5 OR l.id > s.id * $1 + $7)";
            let bits = Value::Integer(1 << POSITION_BITS);
            let named = [number(row, 1)?, number(row, 2)?, number(row, 3)?, taken.0, sent.0, taken.1].map(Value::Integer);
            let parameters: Vec<Value> = std::iter::once(bits).chain(named).collect();
            let waiting = self.read.select(sql, &parameters)?;
            let waiting = waiting.first().ok_or("no count")?;
            if number(waiting, 0)? > 0 {
                count += number(waiting, 0)?;
                oldest = oldest.min(number(waiting, 1)?);
                let names = self
                    .read
                    .select("SELECT text FROM name WHERE id IN ($1, $2) ORDER BY id = $2", &[row[0].clone(), row[2].clone()])?;
                routes.push(names.iter().map(|name| text(name, 0)).collect::<Result<Vec<_>, _>>()?.join(" on "));
            }
        }
        Ok(if count == 0 {
            Finding::good("subscriptions", "every message that was sent is taken")
        } else if !self.running {
            Finding::good("subscriptions", format!("{count} messages are to be taken: the next start does"))
        } else if self.now - oldest > GAP {
            let what = format!("{count} messages are not taken, the oldest since {} ({})", when(oldest), some(&routes));
            Finding::wrong(
                "subscriptions",
                what,
                "a message before them is missing; `alpes streams list` shows which, `resend` sends again",
            )
        } else {
            Finding::good("subscriptions", format!("{count} messages are on their way"))
        })
    }

    fn pauses(&self) -> Found {
        let pauses = streams::pauses(&self.read)?;
        let told: Vec<String> = pauses
            .iter()
            .map(|Pause { reader, to, at, actor, reason }| {
                format!("{}:{}:{} since {} by {actor}: {reason}", reader.context, reader.number, to.topic, when(*at))
            })
            .collect();
        Ok(if told.is_empty() {
            Finding::good("paused", "no subscription is")
        } else {
            let to_do = "nothing is lost; `alpes subscriptions resume` lets it go on";
            Finding::advice("paused", format!("{} ({})", told.len(), some(&told)), to_do)
        })
    }

    /// The time of the last log row of each stream that is there, and its key.
    fn last_rows(&self) -> Result<Vec<(i64, i64)>, String> {
        let streams = self.read.select("SELECT id FROM stream", &[])?;
        let mut last = Vec::new();
        for stream in &streams {
            let next = (number(stream, 0)? + 1) << POSITION_BITS;
            let sql = "SELECT id, written FROM log WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT 1";
            let rows = self.read.select(sql, &[next.into(), (next - (1 << POSITION_BITS)).into()])?;
            for row in &rows {
                last.push((number(row, 0)?, number(row, 1)?));
            }
        }
        Ok(last)
    }

    fn times(&self) -> Found {
        let newest = self.last_rows()?.into_iter().map(|(_, written)| written).max().unwrap_or(0);
        Ok(if newest > self.now + 60_000_000 {
            let what = format!("the store was written at {}, but the clock says {}", when(newest), when(self.now));
            Finding::wrong("history", what, "set the clock; times that were stored meanwhile stay wrong")
        } else {
            Finding::good("history", "no time in it lies ahead of the clock")
        })
    }

    /// Rows of the last day times what a row takes, against the room that is left.
    fn growth(&self) -> Found {
        let streams = self.last_rows()?;
        let (mut all, mut recent, mut first) = (0, 0, self.now);
        for (last, _) in streams {
            let from = (last >> POSITION_BITS) << POSITION_BITS;
            let sql = "SELECT id, written FROM log WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT 1";
            let at = |id: i64| -> Result<(i64, i64), String> {
                let rows = self.read.select(sql, &[id.into(), last.into()])?;
                let row = rows.first().ok_or("a log row is gone")?;
                Ok((number(row, 0)?, number(row, 1)?))
            };
            let (oldest, written) = at(from)?;
            first = first.min(written);
            all += last - oldest + 1;
            // The first row that is younger than a day, by halving.
            let (mut low, mut high) = (oldest, last + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let (found, written) = at(middle)?;
                if written >= self.now - DAY { high = middle } else { low = found + 1 }
            }
            recent += last - low + 1;
        }
        let age = self.now - first;
        if all == 0 || age < YOUNG {
            return Ok(Finding::good("growth", "the store is too young to tell"));
        }
        let row = self.size as f64 / all as f64;
        let a_day = recent as f64 * row * (DAY as f64 / age.min(DAY) as f64);
        let free = rustix::fs::statvfs(&self.folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let days = if a_day < 1.0 { f64::INFINITY } else { free as f64 / a_day };
        let what = format!("about {} a day", bytes(a_day as u64));
        let lasts = format!("{what}, so {} of free room last {days:.0} days", bytes(free));
        let to_do = "make room, or keep less of the log (log.keep)";
        Ok(match days {
            _ if days < 7.0 => Finding::wrong("growth", lasts, to_do),
            _ if days < 30.0 => Finding::advice("growth", lasts, to_do),
            _ => Finding::good("growth", what),
        })
    }

    fn versions(&self) -> Found {
        let known = bff::plans(&crate::contexts(campaign::Settings::default()));
        let lacks = |saga: &SagaRecord| {
            !known.iter().any(|plan| plan.context == &*saga.context && plan.name == &*saga.name && plan.version == saga.version)
        };
        let sagas = self.sagas_under_way()?;
        let foreign: Vec<String> = sagas.into_iter().filter(|(_, saga)| lacks(saga)).map(|(id, _)| id).collect();
        Ok(if foreign.is_empty() {
            Finding::good("deploy", "this build has the table of every saga under way")
        } else {
            let what = format!("{} sagas run on a version that this build lacks ({})", foreign.len(), some(&foreign));
            Finding::wrong("deploy", what, "let the present build finish them, or keep the old version in the new one")
        })
    }
}

/// A time of the store, as people read it.
fn when(microseconds: i64) -> String {
    crate::print::time(&wire::values::Timestamp::saturating_from_micros(microseconds).to_string())
}
