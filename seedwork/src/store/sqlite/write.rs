//! What a batch writes.

use super::*;

impl Session {
    pub(super) fn write(&mut self, writes: &Writes) -> rusqlite::Result<Vec<Partition>> {
        let mut fenced = Vec::new();
        for head in &writes.heads {
            let id = self.partition_id(&head.partition)?;
            let changed = self
                .db
                .prepare_cached("UPDATE head SET epoch = ?2, position = ?3, relayed = ?4 WHERE partition = ?1 AND fence = ?5")?
                .execute(params![id, number(head.epoch), number(head.position), number(head.relayed), number(head.fence)])?;
            if changed == 0 {
                fenced.push(head.partition.clone());
            }
        }
        if !fenced.is_empty() {
            return Ok(fenced);
        }
        for rows in writes.states.chunk_by(|one, next| one.table == next.table) {
            self.write_states(rows, writes.carried)?;
        }
        self.write_sagas(&writes.sagas, writes.carried)?;
        self.write_log(&writes.log)?;
        for (partition, destination, place) in &writes.destinations {
            let (partition, topic) = (self.partition_id(partition)?, self.name(&destination.topic)?);
            self.db
                .prepare_cached(
                    "INSERT INTO destination (partition, topic, number, epoch, position) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (partition, topic, number) DO UPDATE SET epoch = ?4, position = ?5",
                )?
                .execute(params![partition, topic, destination.partition, number(place.epoch), number(place.position)])?;
        }
        for (reader, route, place) in &writes.marks {
            let (reader, origin) = (self.partition_id(reader)?, self.partition_id(&route.from)?);
            let topic = self.name(&route.to.topic)?;
            self.db
                .prepare_cached(
                    "INSERT INTO mark (partition, origin, topic, number, epoch, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (partition, origin, topic, number) DO UPDATE SET epoch = ?5, position = ?6",
                )?
                .execute(params![reader, origin, topic, route.to.partition, number(place.epoch), number(place.position)])?;
        }
        if !writes.commands.is_empty() {
            let mut insert = self.db.prepare_cached(
                "INSERT INTO command (id, expires, body) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET expires = ?2, body = ?3",
            )?;
            for write in &writes.commands {
                insert.execute(params![write.id, write.expires, Text(&write.body)])?;
            }
        }
        for write in &writes.waiting {
            self.write_waiting(write)?;
        }
        for (partition, upto) in &writes.drops {
            self.drop_rows(partition, *upto)?;
        }
        for write in &writes.pauses {
            let (reader, topic) = (self.partition_id(&write.reader)?, self.name(&write.to.topic)?);
            match &write.pause {
                Some((at, actor, reason)) => self
                    .db
                    .prepare_cached(
                        "INSERT INTO pause (partition, topic, number, at, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![reader, topic, write.to.partition, at, &**actor, reason])?,
                None => self
                    .db
                    .prepare_cached("DELETE FROM pause WHERE partition = ?1 AND topic = ?2 AND number = ?3")?
                    .execute(params![reader, topic, write.to.partition])?,
            };
        }
        for write in &writes.operations {
            let partition = self.partition_id(&write.partition)?;
            self.db
                .prepare_cached(
                    "INSERT INTO operation (partition, at, actor, decision, about, reason, told)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    partition,
                    write.at,
                    &*write.actor,
                    &*write.decision,
                    write.about,
                    write.reason,
                    write.told.to_string()
                ])?;
        }
        Ok(fenced)
    }

    /// Eight rows a statement while there are so many: what a statement costs beside its rows is a third of it.
    fn write_log(&mut self, rows: &[LogRow]) -> rusqlite::Result<()> {
        const EIGHT: usize = 8;
        const COLUMNS: usize = 9;
        let (eights, rest) = rows.as_chunks::<EIGHT>();
        for rows in eights {
            self.insert_log(rows, COLUMNS, super::ddl::LOG_EIGHT)?;
        }
        rest.iter().try_for_each(|row| self.insert_log(std::slice::from_ref(row), COLUMNS, super::ddl::LOG_ONE))
    }

    fn insert_log(&mut self, rows: &[LogRow], columns: usize, sql: &str) -> rusqlite::Result<()> {
        let mut keys = [(0, 0); 8];
        for (row, key) in rows.iter().zip(&mut keys) {
            let partition = self.partition_id(&row.route.from)?;
            let stream = self.stream(partition, row.place.epoch)?;
            *key = ((stream << POSITION_BITS) | number(row.place.position), self.name(&row.route.to.topic)?);
        }
        let mut insert = self.db.prepare_cached(sql)?;
        for ((row, (id, topic)), place) in rows.iter().zip(keys).zip(0..) {
            let first = place * columns;
            let before = row.predecessor.map(|place| (number(place.epoch), number(place.position)));
            insert.raw_bind_parameter(first + 1, id)?;
            insert.raw_bind_parameter(first + 2, topic)?;
            insert.raw_bind_parameter(first + 3, row.route.to.partition)?;
            insert.raw_bind_parameter(first + 4, before.map(|before| before.0))?;
            insert.raw_bind_parameter(first + 5, before.map(|before| before.1))?;
            insert.raw_bind_parameter(first + 6, Text(&row.raw))?;
            for (time, at) in row.times.iter().zip(7..) {
                insert.raw_bind_parameter(first + at, time)?;
            }
        }
        insert.raw_execute().map(drop)
    }

    pub(super) fn forget_commands(&mut self, now: i64) -> rusqlite::Result<usize> {
        // Oldest first, a few at a time: they lie at the table's beginning.
        let sql = "DELETE FROM command WHERE rowid IN (SELECT rowid FROM command ORDER BY rowid LIMIT 500) AND expires < ?1";
        self.db.prepare_cached(sql)?.execute([now])
    }

    /// The rows of one table. Each statement is looked up once for all the rows that it writes: that costs as much as a small row does.
    fn write_states(&mut self, rows: &[StateWrite], carried: bool) -> rusqlite::Result<()> {
        let statements = rows.first().and_then(|row| self.states.get_mut(row.table)).ok_or(rusqlite::Error::InvalidQuery)?;
        let mut by_columns = BTreeMap::<Option<Vec<usize>>, Vec<&StateWrite>>::new();
        for write in rows {
            if write.row.len() != statements.columns.len() {
                return Err(rusqlite::Error::InvalidParameterCount(write.row.len(), statements.columns.len()));
            }
            by_columns.entry((write.version > 1 && !carried).then(|| changed(write))).or_default().push(write);
        }
        for (columns, rows) in by_columns {
            let (sql, columns) = match columns {
                None => (statements.insert.as_str(), (0..statements.columns.len()).collect()),
                Some(columns) => (statements.update(&columns), columns),
            };
            let mut statement = self.db.prepare_cached(sql)?;
            for write in rows {
                statement.raw_bind_parameter(1, &*write.id)?;
                statement.raw_bind_parameter(2, number(write.version))?;
                statement.raw_bind_parameter(3, write.format)?;
                statement.raw_bind_parameter(4, Text(&write.body))?;
                for column in &columns {
                    statement.raw_bind_parameter(column + tables::VIEW, write.row.get(*column))?;
                }
                if statement.raw_execute()? == 0 {
                    return Err(conflict(&write.id));
                }
            }
        }
        Ok(())
    }

    fn write_sagas(&mut self, writes: &[SagaWrite], carried: bool) -> rusqlite::Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let partitions = writes.iter().map(|write| self.partition_id(&write.partition)).collect::<rusqlite::Result<Vec<_>>>()?;
        let db = &self.db;
        let mut insert =
            db.prepare_cached("INSERT INTO saga (id, version, stage, body, partition) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut start = db.prepare_cached("INSERT INTO start (number, body) VALUES (?1, ?2)")?;
        // Setting the stage writes the index of the open ones anew.
        let mut update = db.prepare_cached(
            "UPDATE saga SET version = ?2, stage = ?3, body = ?4 WHERE id = ?1 AND version = ?2 - 1 AND partition = ?5",
        )?;
        let mut move_on =
            db.prepare_cached("UPDATE saga SET version = ?2, body = ?3 WHERE id = ?1 AND version = ?2 - 1 AND partition = ?4")?;
        for (write, partition) in writes.iter().zip(partitions) {
            let row = params![write.id, number(write.version), &*write.stage, Text(&write.body), partition];
            if write.same_stage {
                if move_on.execute(params![write.id, number(write.version), Text(&write.body), partition])? == 0 {
                    return Err(conflict(&write.id));
                }
            } else if write.version == 1 || carried {
                insert.execute(row)?;
                if let Some(state) = &write.start {
                    // Numbered as its saga: sagas that start together stand together, and move together later.
                    start.execute(params![db.last_insert_rowid(), Text(state)])?;
                }
            } else if update.execute(row)? == 0 {
                return Err(conflict(&write.id));
            }
            for (line, entries) in &write.log {
                let sql = "INSERT INTO saga_log (saga, line, entries) VALUES (?1, ?2, ?3)";
                db.prepare_cached(sql)?.execute(params![write.id, number(*line), Text(entries)])?;
            }
        }
        Ok(())
    }

    fn write_waiting(&mut self, write: &WaitingWrite) -> rusqlite::Result<()> {
        match write {
            WaitingWrite::Put(partition, waiting) => {
                let (partition, topic) = (self.partition_id(partition)?, self.name(&waiting.topic)?);
                let (head, about) = (&waiting.head, waiting.about.as_ref());
                self.db
                    .prepare_cached(
                        "INSERT INTO waiting (partition, number, lane, attempts, due, dead, not_yet, topic, reason, raw, since,
                             kind, key, source, saga, revision)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
                    )?
                    .execute(params![
                        partition,
                        number(head.number),
                        head.lane,
                        head.attempts,
                        head.due,
                        head.dead,
                        head.not_yet,
                        topic,
                        waiting.reason,
                        &*waiting.raw,
                        waiting.since,
                        about.map(|about| &*about.kind),
                        about.map(|about| &*about.key),
                        about.map(|about| &*about.source),
                        about.and_then(|about| about.saga.as_deref()),
                        number(waiting.revision)
                    ])?;
            }
            WaitingWrite::Change(partition, head, reason) => {
                let partition = self.partition_id(partition)?;
                self.db
                    .prepare_cached(
                        "UPDATE waiting SET attempts = ?3, due = ?4, dead = ?5, not_yet = ?6, reason = ?7, revision = revision + 1
                         WHERE partition = ?1 AND number = ?2",
                    )?
                    .execute(params![partition, number(head.number), head.attempts, head.due, head.dead, head.not_yet, reason])?;
            }
            WaitingWrite::Edit(partition, which, raw) => {
                let partition = self.partition_id(partition)?;
                self.db
                    .prepare_cached(
                        "UPDATE waiting SET original = coalesce(original, raw), raw = ?3, revision = revision + 1
                         WHERE partition = ?1 AND number = ?2",
                    )?
                    .execute(params![partition, number(*which), &**raw])?;
            }
            WaitingWrite::Remove(partition, which) => {
                let partition = self.partition_id(partition)?;
                self.db
                    .prepare_cached("DELETE FROM waiting WHERE partition = ?1 AND number = ?2")?
                    .execute(params![partition, number(*which)])?;
            }
        }
        Ok(())
    }
}

/// The places of the columns that are not what they were.
fn changed(write: &StateWrite) -> Vec<usize> {
    let before = |column: usize| write.before.as_ref().and_then(|before| before.get(column));
    write.row.iter().enumerate().filter(|(column, value)| before(*column) != Some(*value)).map(|(column, _)| column).collect()
}

fn conflict(id: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error { code: ErrorCode::ConstraintViolation, extended_code: 19 };
    rusqlite::Error::SqliteFailure(code, Some(format!("{id:?} was changed by somebody else")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::parts::{head, home, saga, state};

    /// A store with one view of two columns, and the fence of its partition.
    fn store() -> (Sqlite, u64) {
        let columns = &[("floor", "BIGINT"), ("colour", "BIGINT")];
        let indexes = &[("by_floor", "floor, id"), ("by_colour", "colour, id")];
        let table = StateTable { name: "lot_car".to_owned(), columns, indexes, row: Arc::new(|_, _| Ok(Vec::new())) };
        let mut store = Sqlite::memory().unwrap();
        store.open(&Schema { states: vec![table], epoch: 1, contexts: Vec::new() }).unwrap();
        let fence = store.take(&home(), None).unwrap().unwrap().fence;
        (store, fence)
    }

    fn car(version: u64, row: [i64; 2], before: Option<[i64; 2]>) -> Writes {
        let row_of = |row: [i64; 2]| row.map(Value::from).to_vec();
        let mut writes = state("car-1", version);
        writes.states[0].row = row_of(row);
        writes.states[0].before = before.map(row_of);
        writes
    }

    #[test]
    fn a_column_that_is_what_it_was_is_not_written_again() {
        let (mut store, fence) = store();
        let mut written = |writes: Writes| {
            store.commit(&Writes { heads: vec![head(&home(), fence, 1)], ..writes }).unwrap();
            let writer = store.writer();
            let sound: String = writer.db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(sound, "ok");
            let found = |sql: &str| writer.db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let row: (i64, i64) = found("SELECT floor, colour FROM lot_car");
            assert_eq!(row, found("SELECT floor, colour FROM lot_car INDEXED BY lot_car_by_floor WHERE floor > 0"));
            assert_eq!(row, found("SELECT floor, colour FROM lot_car INDEXED BY lot_car_by_colour WHERE colour > 0"));
            row
        };
        assert_eq!(written(car(1, [1, 10], None)), (1, 10));
        assert_eq!(written(car(2, [2, 10], Some([1, 10]))), (2, 10));
        // Unknown: all of it is written.
        assert_eq!(written(car(3, [3, 30], None)), (3, 30));
        // Told, wrongly, that the colour is as it was, it leaves it alone.
        assert_eq!(written(car(4, [4, 40], Some([3, 40]))), (4, 30));
    }

    #[test]
    fn a_saga_that_stays_in_its_stage_moves_on_under_its_version() {
        let (mut store, fence) = store();
        let mut written = |version: u64, stage: &'static str, same_stage: bool| {
            let mut writes = saga("car-1~s", version, stage);
            writes.sagas[0].same_stage = same_stage;
            let outcome = store.commit(&Writes { heads: vec![head(&home(), fence, 1)], ..writes });
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let row: (i64, String) = store.writer().db.query_row("SELECT version, stage FROM saga", [], row).unwrap();
            (outcome.is_ok(), row.0, row.1)
        };
        assert_eq!(written(1, "running", false), (true, 1, "running".to_owned()));
        assert_eq!(written(2, "running", true), (true, 2, "running".to_owned()));
        assert_eq!(written(4, "running", true), (false, 2, "running".to_owned()), "a version is missing");
        assert_eq!(written(3, "undoing", false), (true, 3, "undoing".to_owned()));
    }
}
