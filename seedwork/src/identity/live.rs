//! A saga as an owner has it in memory.

use std::sync::Arc;

use serde::Serialize;

use super::SagaRecord;
use crate::context::Shared;
use crate::saga::engine::{Entry, Shape};

/// Bytes of log lines beyond which a saga's record hands them to a row of their own: what moves often stays small.
const LOG_TAIL: usize = 2048;

/// A saga in memory.
#[derive(Clone)]
pub(crate) struct Live {
    pub version: u64,
    pub record: Arc<SagaRecord>,
    pub state: Shared,
    pub shape: Arc<Shape>,
    /// The state's JSON while it has not been written yet.
    pub start: Option<Arc<[u8]>>,
    /// The log's latest lines: JSON, joined by commas.
    pub tail: Vec<u8>,
    /// The stage that was written last.
    pub stage: Option<&'static str>,
}

impl Live {
    /// Adds lines to the log. Gives those before them, as a JSON array, when together they are too many for the record.
    ///
    /// # Errors
    /// When a line cannot be written as JSON.
    pub fn log(&mut self, at: i64, entries: &[Entry]) -> serde_json::Result<Option<Vec<u8>>> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: i64,
            #[serde(flatten)]
            entry: &'a Entry,
        }
        let before = self.tail.len();
        for entry in entries {
            if !self.tail.is_empty() {
                self.tail.push(b',');
            }
            serde_json::to_writer(&mut self.tail, &Line { at, entry })?;
        }
        if before == 0 || before == self.tail.len() || self.tail.len() <= LOG_TAIL {
            return Ok(None);
        }
        let rest = self.tail.split_off(before + 1);
        self.tail.truncate(before);
        let older = std::mem::replace(&mut self.tail, rest);
        Ok(Some([b"[", older.as_slice(), b"]"].concat()))
    }

    /// The record as it is stored, its log with it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = Vec::with_capacity(self.tail.len() + 768);
        serde_json::to_writer(&mut body, &*self.record)?;
        body.pop();
        body.extend_from_slice(b",\"log\":[");
        body.extend_from_slice(&self.tail);
        body.extend_from_slice(b"]}");
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LogLine;

    #[test]
    fn lines_that_a_record_no_longer_holds_are_handed_on_and_none_is_lost() {
        let shape = Arc::new(Shape { rows: Vec::new() });
        let (run, _) = crate::saga::engine::start(&shape);
        let record = SagaRecord {
            name: "ferry.crossing".into(),
            version: 1,
            context: "ferry".into(),
            correlation: "c".into(),
            trace: None,
            actor: "local".into(),
            answer_to: None,
            command: "c".into(),
            started: 0,
            updated: 0,
            lines: 0,
            stuck: false,
            run,
            log: Vec::new(),
        };
        let record = Arc::new(record);
        let mut live = Live { version: 0, record, state: Arc::new(()), shape, start: None, tail: Vec::new(), stage: None };
        let entry = |row| Entry { row, index: None, what: "sent".into(), detail: Some("x".repeat(300)), by: None, actor: None };
        let (mut rows, mut told) = (Vec::new(), Vec::new());
        for at in 0..20 {
            let entries: Vec<Entry> = (0..at % 4).map(|row| entry(u16::try_from(row).unwrap())).collect();
            told.extend(entries.iter().map(|entry| LogLine { at, entry: entry.clone() }));
            rows.extend(live.log(at, &entries).unwrap());
            let stored: SagaRecord = serde_json::from_slice(&live.body().unwrap()).unwrap();
            let older = rows.iter().flat_map(|row| serde_json::from_slice::<Vec<LogLine>>(row).unwrap());
            assert_eq!(older.chain(stored.log).collect::<Vec<_>>(), told);
        }
        assert!(rows.len() > 2 && live.tail.len() < 2 * LOG_TAIL, "{} rows, {} bytes", rows.len(), live.tail.len());
    }
}
