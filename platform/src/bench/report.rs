//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::counts::Counts;
use super::drive::Measured;

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was asked.
    pub load: String,
    /// Clients that asked at once.
    pub clients: u16,
    /// Subscribers of the live stream that listened; with some, it was watched in the other ways too.
    pub subscribers: u16,
    /// Answers in the time that was measured.
    pub answers: usize,
    /// Answers per second.
    pub per_second: f64,
    /// Half of the answers took no longer: milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// CPU of the server per answer: milliseconds of all its threads.
    pub cpu_ms: Option<f64>,
    /// Flushes of the disk per answer; whatever else flushes it is counted too.
    pub flushes: Option<f64>,
    /// Bytes that the server sent to the disk, per answer.
    pub bytes_written: Option<f64>,
    /// Commits of all processes per answer.
    pub commits: Option<f64>,
    /// Messages that the broker between them took, per answer.
    pub messages: Option<f64>,
    /// Entries that they came in, per answer.
    pub entries: Option<f64>,
    /// CPU of the generator per answer: milliseconds.
    pub generator_cpu_ms: Option<f64>,
    /// Percent of the machine's cores that neither server nor generator took, but others did. Beyond 8 the row is disturbed.
    pub others_percent: Option<f64>,
}

impl Row {
    /// The row of what was measured.
    pub fn of(load: &str, clients: u16, cores: usize, measured: &Measured) -> Row {
        let (before, after) = measured.readings;
        let seconds = measured.took.as_secs_f64();
        let latencies = measured.all();
        let answers = latencies.len();
        let each = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) as f64 / answers as f64);
        let spent = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) as f64);
        let (first, last, within) = measured.counts;
        let counted = |counter: fn(&Counts) -> Option<u64>| {
            let more = counter(&last)?.saturating_sub(counter(&first)?);
            (within > 0).then(|| more as f64 / within as f64)
        };
        let others = || {
            let ours = spent(before.server_cpu, after.server_cpu)? + spent(before.own_cpu, after.own_cpu)?;
            let others = (spent(before.all_cpu, after.all_cpu)? - ours).max(0.0);
            Some(others / (seconds * 1000.0 * cores as f64) * 100.0)
        };
        Row {
            load: load.to_owned(),
            clients,
            subscribers: 0,
            answers,
            per_second: answers as f64 / seconds,
            p50_ms: percentile(&latencies, 50),
            p99_ms: percentile(&latencies, 99),
            max_ms: percentile(&latencies, 100),
            cpu_ms: each(before.server_cpu, after.server_cpu),
            flushes: each(before.flushes, after.flushes),
            bytes_written: each(before.written, after.written),
            commits: counted(|counts| counts.commits),
            messages: counted(|counts| counts.messages),
            entries: counted(|counts| counts.entries),
            generator_cpu_ms: each(before.own_cpu, after.own_cpu),
            others_percent: others(),
        }
    }
}

/// The smallest latency that so many of 100 do not exceed, in milliseconds; of sorted microseconds.
pub fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

/// The head of a table; `what` is what one answer is.
pub fn head(what: &str) -> String {
    let per = format!("{what}/s");
    format!(
        "{:<14} {:>7} {:>11} {per:>9} {:>8} {:>8} {:>7} {:>8} {:>9} {:>8} {:>9} {:>8} {:>7}",
        "load",
        "clients",
        "subscribers",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "flushes",
        "kB disk",
        "commits",
        "messages",
        "entries",
        "others"
    )
}

/// A row as a line of a table.
pub fn line(row: &Row) -> String {
    let known = |value: Option<f64>, decimals: usize| value.map_or("n/a".to_owned(), |value| format!("{value:.decimals$}"));
    let mut line = format!(
        "{:<14} {:>7} {:>11} {:>9.0} {:>8.2} {:>8.2} {:>7} {:>8} {:>9} {:>8} {:>9} {:>8}",
        row.load,
        row.clients,
        row.subscribers,
        row.per_second,
        row.p50_ms,
        row.p99_ms,
        known(row.cpu_ms, 3),
        known(row.flushes, 2),
        known(row.bytes_written.map(|bytes| bytes / 1000.0), 1),
        known(row.commits, 3),
        known(row.messages, 2),
        known(row.entries, 3),
    );
    match row.others_percent {
        Some(percent) if percent > 8.0 => {
            let _infallible = write!(line, " {percent:>6.0}%  disturbed by other programs");
        }
        Some(percent) => {
            let _infallible = write!(line, " {percent:>6.0}%");
        }
        None => line.push_str("     n/a"),
    }
    line
}

/// A duration in milliseconds with three decimals.
pub fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Reading;

    fn measured() -> Measured {
        let before = Reading { server_cpu: Some(100), own_cpu: Some(0), all_cpu: Some(0), written: Some(0), flushes: None };
        let after =
            Reading { server_cpu: Some(300), own_cpu: Some(100), all_cpu: Some(500), written: Some(1_000_000), flushes: None };
        let first = Counts { commits: Some(100), messages: None, entries: Some(0) };
        let last = Counts { commits: Some(350), messages: None, entries: Some(2000) };
        let (latencies, counts) =
            (vec![(1..=400).map(|ms| ms * 1000).collect(), (401..=1000).map(|ms| ms * 1000).collect()], (first, last, 1250));
        Measured { took: Duration::from_secs(2), latencies, readings: (before, after), counts }
    }

    #[test]
    fn a_row_is_what_was_measured_per_answer() {
        let row = Row::of("one", 8, 2, &measured());
        assert_eq!((row.answers, row.per_second), (1000, 500.0));
        assert_eq!((row.p50_ms, row.p99_ms, row.max_ms), (500.0, 990.0, 1000.0));
        assert_eq!((row.cpu_ms, row.bytes_written, row.flushes), (Some(0.2), Some(1000.0), None));
        assert_eq!((row.commits, row.messages, row.entries), (Some(0.2), None, Some(1.6)), "per answer between the two readings");
        assert_eq!(row.others_percent, Some(5.0), "500 ms busy, 300 of them ours, of 4 s that two cores had");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so_and_a_disturbed_row_too() {
        let mut row = Row::of("one", 8, 2, &measured());
        assert_eq!(line(&row).matches("n/a").count(), 2, "flushes and messages");
        assert!(!line(&row).contains("disturbed"));
        row.others_percent = Some(40.0);
        assert!(line(&row).contains("disturbed"));
        assert_eq!(
            head("sagas").find("sagas/s").map(|at| at + 7),
            line(&row).find("500 ").map(|at| at + 3),
            "columns stand in line"
        );
    }

    #[test]
    fn few_answers_have_percentiles_too() {
        assert_eq!((percentile(&[7000], 50), percentile(&[7000], 99)), (7.0, 7.0));
        assert_eq!(percentile(&[1000, 2000], 50), 1.0);
    }
}
