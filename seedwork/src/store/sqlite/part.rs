//! All that a context has, read in parts: for a move to another store.

use rusqlite::Row;

use super::super::carry::{Bookmark, PART_BYTES, PART_ROWS, Source};
use super::*;

/// The sections of a context's rows, in the order in which they are read: how it stands with its streams, then the rest.
const SECTIONS: [Read; 6] = [
    Session::heads_part,
    Session::states_part,
    Session::sagas_part,
    Session::commands_part,
    Session::waiting_part,
    Session::log_part,
];

type Read = fn(&mut Session, &mut Part, &Bookmark) -> StoreResult<Option<Bookmark>>;

/// A part that is being read.
struct Part {
    context: String,
    writes: Writes,
    rows: usize,
    bytes: usize,
}

impl Part {
    /// Counts a row; false when the part is full with it.
    fn room(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows < PART_ROWS && self.bytes < PART_BYTES
    }
}

impl Source for Sqlite {
    fn part(&mut self, context: &str, after: &Bookmark) -> StoreResult<(Writes, Option<Bookmark>)> {
        let mut part = Part { context: context.to_owned(), writes: Writes::default(), rows: 0, bytes: 0 };
        let mut at = after.clone();
        let mut writer = self.writer();
        while let Some(section) = SECTIONS.get(at.section) {
            // A full part is handed on; what has been read to its end is followed by the next.
            if let Some(next) = section(&mut writer, &mut part, &at)? {
                return Ok((part.writes, Some(next)));
            }
            at = Bookmark { section: at.section + 1, ..Bookmark::default() };
        }
        Ok((part.writes, None))
    }
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(column)?.as_bytes()?.to_vec())
}

impl Session {
    /// The partitions of a context that the store knows, with their numbers.
    fn partitions_of(&mut self, context: &str) -> StoreResult<Vec<(i64, Partition)>> {
        let names = || {
            let mut statement = self.db.prepare_cached("SELECT id, text FROM name ORDER BY id")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(i64, String)>>>()
        };
        let names = names().map_err(broken("cannot read the names"))?;
        let partition = |text: &str| {
            let (of, number) = text.rsplit_once('/')?;
            (of == context).then(|| Some(Partition { context: of.into(), number: number.parse().ok()? }))?
        };
        Ok(names.iter().filter_map(|(id, text)| Some((*id, partition(text)?))).collect())
    }

    fn heads_part(&mut self, part: &mut Part, _: &Bookmark) -> StoreResult<Option<Bookmark>> {
        for (id, partition) in self.partitions_of(&part.context)? {
            let mut read = || {
                let head = "SELECT epoch, position FROM head WHERE partition = ?1";
                let head: Option<(i64, i64)> = self.db.query_row(head, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                Ok((head, self.destinations(id)?, self.marks(id)?))
            };
            let (head, destinations, marks) = read().map_err(broken("cannot read how it stands with a partition"))?;
            let Some((epoch, position)) = head else { continue };
            let (epoch, position) = (unsigned(epoch), unsigned(position));
            // All of it was taken, so all of it had been handed on.
            part.writes.heads.push(HeadWrite { partition: partition.clone(), fence: 0, epoch, position, relayed: position });
            part.writes.destinations.extend(destinations.into_iter().map(|(to, place)| (partition.clone(), to, place)));
            part.writes.marks.extend(marks.into_iter().map(|(route, place)| (partition.clone(), route, place)));
            self.operations_part(id, &partition, part).map_err(broken("cannot read what operators decided"))?;
        }
        Ok(None)
    }

    /// What operators have decided is not much: they are people.
    fn operations_part(&mut self, id: i64, partition: &Partition, part: &mut Part) -> rusqlite::Result<()> {
        let sql = "SELECT at, actor, decision, about, reason, told FROM operation WHERE partition = ?1 ORDER BY number";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let told: String = row.get(5)?;
            part.writes.operations.push(OperationWrite {
                partition: partition.clone(),
                at: row.get(0)?,
                actor: row.get(1)?,
                decision: row.get::<_, String>(2)?.into(),
                about: row.get(3)?,
                reason: row.get(4)?,
                told: serde_json::from_str(&told).unwrap_or(serde_json::Value::String(told)),
            });
        }
        Ok(())
    }

    fn states_part(&mut self, part: &mut Part, after: &Bookmark) -> StoreResult<Option<Bookmark>> {
        let mut at = after.clone();
        while let Some(statements) = self.states.get(at.table) {
            let sql = statements.page.clone();
            let mut read = || {
                let mut statement = self.db.prepare_cached(&sql)?;
                let mut rows = statement.query([&at.text])?;
                while let Some(row) = rows.next()? {
                    let (id, body): (String, Vec<u8>) = (row.get(0)?, bytes(row, 3)?);
                    let room = part.room(body.len());
                    at.text.clone_from(&id);
                    let (version, format) = (unsigned(row.get(1)?), row.get(2)?);
                    let id = id.into_boxed_str();
                    part.writes.states.push(StateWrite {
                        table: at.table,
                        id,
                        version,
                        format,
                        body,
                        row: Vec::new(),
                        before: None,
                    });
                    if !room {
                        return Ok(Some(at.clone()));
                    }
                }
                Ok(None)
            };
            if let Some(end) = read().map_err(broken("cannot read the states"))? {
                return Ok(Some(end));
            }
            at = Bookmark { table: at.table + 1, text: String::new(), ..at };
        }
        Ok(None)
    }

    fn sagas_part(&mut self, part: &mut Part, after: &Bookmark) -> StoreResult<Option<Bookmark>> {
        let partitions: BTreeMap<i64, Partition> = self.partitions_of(&part.context)?.into_iter().collect();
        let mut read = || {
            let sql = "SELECT s.number, s.id, s.partition, s.version, s.stage, s.body, t.body FROM saga s
                LEFT JOIN start t ON t.number = s.number WHERE s.number > ?1 ORDER BY s.number";
            let mut statement = self.db.prepare_cached(sql)?;
            let mut lines = self.db.prepare_cached("SELECT line, entries FROM saga_log WHERE saga = ?1 ORDER BY line")?;
            let mut rows = statement.query([after.number])?;
            while let Some(row) = rows.next()? {
                let Some(partition) = partitions.get(&row.get(2)?) else { continue };
                let id: Arc<str> = row.get(1)?;
                let log = lines.query_map([&*id], |row| Ok((unsigned(row.get(0)?), bytes(row, 1)?)))?;
                let log = log.collect::<rusqlite::Result<Vec<_>>>()?;
                let start = row.get_ref(6)?.as_bytes_or_null()?.map(<[u8]>::to_vec);
                let body = bytes(row, 5)?;
                let size =
                    body.len() + start.as_ref().map_or(0, Vec::len) + log.iter().map(|(_, entries)| entries.len()).sum::<usize>();
                let (version, stage) = (unsigned(row.get(3)?), row.get::<_, String>(4)?.into());
                let partition = partition.clone();
                part.writes.sagas.push(SagaWrite { id, partition, version, stage, same_stage: false, body, start, log });
                if !part.room(size) {
                    return Ok(Some(Bookmark { number: row.get(0)?, ..after.clone() }));
                }
            }
            Ok(None)
        };
        read().map_err(broken("cannot read the sagas"))
    }

    fn commands_part(&mut self, part: &mut Part, after: &Bookmark) -> StoreResult<Option<Bookmark>> {
        let mut read = || {
            let sql = "SELECT rowid, id, expires, body FROM command WHERE rowid > ?1 ORDER BY rowid";
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([after.number])?;
            while let Some(row) = rows.next()? {
                let body = bytes(row, 3)?;
                let room = part.room(body.len());
                let id = row.get::<_, String>(1)?.into();
                part.writes.commands.push(CommandWrite { id, expires: row.get(2)?, body });
                if !room {
                    return Ok(Some(Bookmark { number: row.get(0)?, ..after.clone() }));
                }
            }
            Ok(None)
        };
        read().map_err(broken("cannot read the commands"))
    }

    fn waiting_part(&mut self, part: &mut Part, after: &Bookmark) -> StoreResult<Option<Bookmark>> {
        let partitions = self.partitions_of(&part.context)?;
        let mut at = after.clone();
        while let Some((id, partition)) = partitions.get(at.table) {
            let sql = "SELECT number, original FROM waiting WHERE partition = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
            let page = || {
                let mut statement = self.db.prepare_cached(sql)?;
                let limit = i64::try_from(PART_ROWS).unwrap_or(i64::MAX);
                let rows = statement.query_map(params![id, at.number, limit], |row| {
                    Ok((row.get(0)?, row.get_ref(1)?.as_bytes_or_null()?.map(Arc::<[u8]>::from)))
                })?;
                rows.collect::<rusqlite::Result<Vec<(i64, Option<Arc<[u8]>>)>>>()
            };
            let page = page().map_err(broken("cannot read the waiting messages"))?;
            if page.is_empty() {
                at = Bookmark { table: at.table + 1, number: 0, ..at };
                continue;
            }
            for (which, original) in page {
                at.number = which;
                let found = self.waiting(partition, unsigned(which)).map_err(broken("cannot read a waiting message"))?;
                let Some(mut waiting) = found else { continue };
                let room = part.room(waiting.raw.len() + original.as_ref().map_or(0, |original| original.len()));
                let edited = original.map(|original| {
                    waiting.revision = waiting.revision.saturating_sub(1);
                    WaitingWrite::Edit(partition.clone(), unsigned(which), std::mem::replace(&mut waiting.raw, original))
                });
                part.writes.waiting.push(WaitingWrite::Put(partition.clone(), waiting));
                part.writes.waiting.extend(edited);
                if !room {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    fn log_part(&mut self, part: &mut Part, after: &Bookmark) -> StoreResult<Option<Bookmark>> {
        let partitions = self.partitions_of(&part.context)?;
        let mut at = after.clone();
        while let Some((_, partition)) = partitions.get(at.table) {
            let place = at.text.parse().ok().map(|epoch| Place { epoch, position: unsigned(at.number) });
            let rows = self.log_rows(partition, place, None, PART_ROWS / 4).map_err(broken("cannot read the log"))?;
            let Some(last) = rows.last().map(|row| row.place) else {
                at = Bookmark { table: at.table + 1, number: 0, text: String::new(), ..at };
                continue;
            };
            (at.text, at.number) = (last.epoch.to_string(), number(last.position));
            let mut room = true;
            for row in rows {
                room = part.room(row.raw.len());
                part.writes.log.push(row);
            }
            if !room {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}
