//! All rows of a context from another store, in one transaction.

use super::super::carry::{self, Carried, Parts, Received, Target};
use super::*;

impl Target for Sqlite {
    fn receive(&mut self, moving: i64, parts: &mut Parts<'_>) -> StoreResult<Received> {
        let mut writer = self.writer();
        let failed = || broken("the rows cannot be written");
        writer.db.execute_batch("BEGIN IMMEDIATE").map_err(failed())?;
        let received = writer.receive(moving, parts);
        let ended = writer.db.execute_batch(if received.is_ok() { "COMMIT" } else { "ROLLBACK" });
        writer.forget_names();
        let received = received?;
        ended.map_err(failed())?;
        Ok(received)
    }
}

impl Session {
    fn receive(&mut self, moving: i64, parts: &mut Parts<'_>) -> StoreResult<Received> {
        let failed = || broken("the rows cannot be written");
        let key = "SELECT value FROM meta WHERE key = ?1";
        let moved = self.db.query_row(key, [carry::MOVED], |row| row.get(0)).optional().map_err(failed())?;
        if !carry::may_receive(moving, moved, self.full().map_err(failed())?.as_deref())? {
            return Ok(Received::Before);
        }
        let mut carried = Carried::default();
        while let Some(mut part) = parts()? {
            carried.count(&part);
            for head in std::mem::take(&mut part.heads) {
                let id = self.partition_id(&head.partition).map_err(failed())?;
                let sql = "INSERT INTO head (partition, fence, epoch, position, relayed) VALUES (?1, 0, ?2, ?3, ?4)";
                let row = params![id, number(head.epoch), number(head.position), number(head.relayed)];
                self.db.execute(sql, row).map_err(failed())?;
            }
            self.write(&part).map_err(failed())?;
        }
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
        self.db.execute(sql, params![carry::MOVED, moving]).map_err(failed())?;
        Ok(Received::Now(carried))
    }

    /// A table in which there is something.
    fn full(&self) -> rusqlite::Result<Option<String>> {
        let states = self.states.iter().map(|table| table.name.as_str());
        for table in carry::TABLES.into_iter().chain(states) {
            let some = self.db.query_row(&format!("SELECT 1 FROM {table} LIMIT 1"), [], |_| Ok(())).optional()?;
            if some.is_some() {
                return Ok(Some(table.to_owned()));
            }
        }
        Ok(None)
    }
}
