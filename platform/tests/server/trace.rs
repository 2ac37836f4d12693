//! Reads what `strace -f` wrote.

use std::collections::BTreeMap;

/// A system call. `began` and `ended` are lines of the trace: what ended on an earlier line than another began was before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub text: String,
    pub began: usize,
    pub ended: usize,
    pub returned: i64,
}

/// The calls of a trace that have ended, in the order in which they began.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut open: BTreeMap<&str, (String, String, usize)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((process, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(resumed) = text.strip_prefix("<... ") {
            let (Some((_, rest)), Some((name, text, began))) = (resumed.split_once(" resumed>"), open.remove(process)) else {
                continue;
            };
            calls.extend(ended(name, format!("{text}{rest}"), began, line));
        } else if let Some((name, arguments)) = text.split_once('(') {
            match arguments.strip_suffix(" <unfinished ...>") {
                Some(arguments) => {
                    open.insert(process, (name.to_owned(), arguments.to_owned(), line));
                }
                None => calls.extend(ended(name.to_owned(), arguments.to_owned(), line, line)),
            }
        }
    }
    calls.sort_by_key(|call| call.began);
    calls
}

fn ended(name: String, text: String, began: usize, ended: usize) -> Option<Call> {
    let returned = text.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()?;
    Some(Call { name, text, began, ended, returned })
}

/// Whether between the moment when a request was read and the moment when its 2xx was written the store's log was written and then
/// flushed to the disk.
///
/// # Errors
/// What is not so.
pub fn flushed_before_answer(calls: &[Call], request: &str) -> Result<(), String> {
    let is = |call: &Call, names: &[&str]| names.contains(&call.name.as_str());
    let read = calls
        .iter()
        .find(|call| is(call, &["read", "readv", "recvfrom", "recvmsg"]) && call.returned > 0 && call.text.contains(request))
        .ok_or_else(|| format!("{request} was never read"))?;
    let answer = calls
        .iter()
        .find(|call| {
            is(call, &["write", "writev", "sendto", "sendmsg"]) && call.began > read.ended && call.text.contains("\"HTTP/1.1 ")
        })
        .ok_or_else(|| format!("{request} was never answered"))?;
    if !answer.text.contains("\"HTTP/1.1 2") {
        return Err(format!("{request} was answered with no 2xx: {}", answer.text));
    }
    let log = |call: &&Call| call.text.contains(".db-wal>");
    let wrote = calls
        .iter()
        .filter(log)
        .find(|call| is(call, &["pwrite64", "write"]) && call.began > read.ended && call.returned > 0)
        .ok_or_else(|| format!("nothing was written to the store's log after {request}"))?;
    calls
        .iter()
        .filter(log)
        .find(|call| {
            is(call, &["fdatasync", "fsync"]) && call.began > wrote.ended && call.ended < answer.began && call.returned == 0
        })
        .map(|_| ())
        .ok_or_else(|| format!("{request} was answered (line {}) before the store's log was flushed", answer.began))
}

const READ: &str = r#"11 recvfrom(9<socket:[1]>, "POST /v1/x HTTP/1.1\r\n"..., 8192, 0, NULL, NULL) = 300"#;
const WROTE: &str = r#"12 pwrite64(7</data/alpes.db-wal>, "\0\0"..., 4096, 32) = 4096"#;
const FLUSH: &str = "12 fdatasync(7</data/alpes.db-wal> <unfinished ...>";
const FLUSHED: &str = "12 <... fdatasync resumed>)      = 0";
const ANSWER: &str = r#"11 sendto(9<socket:[1]>, "HTTP/1.1 201 Created\r\n"..., 200, MSG_NOSIGNAL, NULL, 0) = 200"#;

#[test]
fn a_trace_is_read() {
    let trace = [FLUSH, READ, FLUSHED, "13 +++ exited with 0 +++"].join("\n");
    let calls = calls(&trace);
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].name.as_str(), calls[0].began, calls[0].ended, calls[0].returned), ("fdatasync", 0, 2, 0));
    assert_eq!((calls[1].name.as_str(), calls[1].began, calls[1].ended, calls[1].returned), ("recvfrom", 1, 1, 300));
}

#[test]
fn an_answer_without_a_flush_before_it_is_found() {
    let proven = |lines: &[&str]| flushed_before_answer(&calls(&lines.join("\n")), "POST /v1/x");
    assert_eq!(proven(&[READ, WROTE, FLUSH, FLUSHED, ANSWER]), Ok(()));
    let failed = FLUSHED.replace("= 0", "= -1 EIO (Input/output error)");
    let elsewhere = [FLUSH.replace("alpes.db-wal", "lock"), FLUSHED.to_owned()];
    for (wrong, lines) in [
        ("not flushed at all", vec![READ, WROTE, ANSWER]),
        ("answered while it is being flushed", vec![READ, WROTE, FLUSH, ANSWER, FLUSHED]),
        ("flushed before it was read", vec![WROTE, FLUSH, FLUSHED, READ, ANSWER]),
        ("flushed before it was written", vec![READ, FLUSH, FLUSHED, WROTE, ANSWER]),
        ("the flush has failed", vec![READ, WROTE, FLUSH, &failed, ANSWER]),
        ("another file was flushed", vec![READ, WROTE, &elsewhere[0], &elsewhere[1], ANSWER]),
        ("never answered", vec![READ, WROTE, FLUSH, FLUSHED]),
    ] {
        assert!(proven(&lines).is_err(), "{wrong}");
    }
}
