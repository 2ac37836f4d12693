//! What the log keeps.

use super::*;

/// Rows of a stream from which the size of all of them is estimated.
const SAMPLE: i64 = 200;

impl Session {
    /// The numbers and epochs of a partition's streams, the oldest first.
    fn streams_of(&mut self, from: &Partition) -> rusqlite::Result<Vec<(i64, i64)>> {
        let Some(partition) = self.known_partition(from)? else { return Ok(Vec::new()) };
        let mut statement = self.db.prepare_cached("SELECT id, epoch FROM stream WHERE partition = ?1 ORDER BY epoch")?;
        statement.query_map([partition], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    pub(super) fn oldest_rows(&mut self, from: &Partition, limit: usize) -> rusqlite::Result<Vec<(Place, i64, u64)>> {
        let mut found = Vec::new();
        for (stream, epoch) in self.streams_of(from)? {
            let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let base = log_number(stream, 0);
            let mut statement = self.db.prepare_cached(
                "SELECT id, written, octet_length(raw) FROM log WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
            )?;
            let rows = statement.query_map(params![base, log_number(stream + 1, 0), left], |row| {
                Ok((place(epoch, row.get::<_, i64>(0)? - base), row.get(1)?, unsigned(row.get(2)?)))
            })?;
            found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn bytes_of_log(&mut self, from: &Partition) -> rusqlite::Result<u64> {
        let mut bytes = 0;
        for (stream, _) in self.streams_of(from)? {
            // Positions have no holes, so the first and the last say how many rows there are.
            let mut statement = self.db.prepare_cached(
                "SELECT max(id) - (SELECT min(id) FROM log WHERE id > ?1 AND id < ?2) + 1, CAST(avg(size) AS INTEGER) FROM
                 (SELECT id, octet_length(raw) AS size FROM log WHERE id > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3)",
            )?;
            let key = params![log_number(stream, 0), log_number(stream + 1, 0), SAMPLE];
            let (rows, average): (Option<i64>, Option<i64>) = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
            bytes += unsigned(rows.unwrap_or(0)).saturating_mul(unsigned(average.unwrap_or(0)));
        }
        Ok(bytes)
    }

    pub(super) fn marks_of_readers(&mut self, from: &Partition) -> rusqlite::Result<Vec<(Partition, Route, Place)>> {
        let Some(origin) = self.known_partition(from)? else { return Ok(Vec::new()) };
        let mut statement = self.db.prepare_cached(
            "SELECT r.text, t.text, m.number, m.epoch, m.position FROM mark m JOIN name r ON r.id = m.partition
             JOIN name t ON t.id = m.topic WHERE m.origin = ?1",
        )?;
        let rows = statement.query_map([origin], |row| {
            let (reader, topic): (String, Arc<str>) = (row.get(0)?, row.get(1)?);
            let to = Destination { topic, partition: row.get(2)? };
            Ok((load::partition_of(&reader), Route { from: from.clone(), to }, place(row.get(3)?, row.get(4)?)))
        })?;
        rows.collect()
    }

    /// Drops the rows of a partition up to a place.
    pub(super) fn drop_rows(&mut self, from: &Partition, upto: Place) -> rusqlite::Result<()> {
        for (stream, epoch) in self.streams_of(from)? {
            let last = match unsigned(epoch).cmp(&upto.epoch) {
                std::cmp::Ordering::Less => log_number(stream + 1, 0) - 1,
                std::cmp::Ordering::Equal => log_number(stream, upto.position),
                std::cmp::Ordering::Greater => break,
            };
            self.db
                .prepare_cached("DELETE FROM log WHERE id > ?1 AND id <= ?2")?
                .execute(params![log_number(stream, 0), last])?;
        }
        Ok(())
    }
}
