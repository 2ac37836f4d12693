//! What an owner reads.

use super::*;

impl Session {
    pub(super) fn destinations(&mut self, partition: i64) -> rusqlite::Result<Vec<(Destination, Place)>> {
        let mut statement =
            self.db.prepare("SELECT topic, number, epoch, position FROM destination WHERE partition = ?1 ORDER BY 1, 2")?;
        let rows = statement
            .query_map([partition], |row| Ok((row.get(0)?, row.get(1)?, place(row.get(2)?, row.get(3)?))))?
            .collect::<rusqlite::Result<Vec<(i64, u16, Place)>>>()?;
        drop(statement);
        rows.into_iter()
            .map(|(topic, partition, place)| Ok((Destination { topic: self.text(topic)?, partition }, place)))
            .collect()
    }

    pub(super) fn marks(&mut self, partition: i64) -> rusqlite::Result<Vec<(Route, Place)>> {
        let mut statement =
            self.db.prepare("SELECT origin, topic, number, epoch, position FROM mark WHERE partition = ?1 ORDER BY 1, 2, 3")?;
        let rows = statement
            .query_map([partition], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, place(row.get(3)?, row.get(4)?))))?
            .collect::<rusqlite::Result<Vec<(i64, i64, u16, Place)>>>()?;
        drop(statement);
        let mut marks = Vec::with_capacity(rows.len());
        for (origin, topic, partition, place) in rows {
            let to = Destination { topic: self.text(topic)?, partition };
            marks.push((Route { from: partition_of(&self.text(origin)?), to }, place));
        }
        Ok(marks)
    }

    pub(super) fn taken(&mut self, partition: &Partition, held: Option<u64>) -> rusqlite::Result<Option<Taken>> {
        let id = self.partition_id(partition)?;
        let raised = self.db.execute(
            "INSERT INTO head (partition, fence, epoch, position, relayed) VALUES (?1, 1, ?2, 0, 0)
             ON CONFLICT (partition) DO UPDATE SET fence = fence + 1 WHERE ?3 IS NULL OR fence = ?3",
            params![id, number(self.epoch), held.map(number)],
        )?;
        if raised == 0 {
            return Ok(None);
        }
        let (fence, epoch, position, relayed): (i64, i64, i64, i64) =
            self.db.query_row("SELECT fence, epoch, position, relayed FROM head WHERE partition = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let some = |position| (position > 0).then(|| place(epoch, position));
        let mut statement = self
            .db
            .prepare("SELECT number, lane, attempts, due, dead, not_yet FROM waiting WHERE partition = ?1 ORDER BY number")?;
        let waiting = statement.query_map([id], waiting_head)?.collect::<rusqlite::Result<_>>()?;
        drop(statement);
        let mut statement =
            self.db.prepare("SELECT id FROM saga WHERE stage IN ('running', 'undoing', 'stuck') AND stage NOT IN ('completed', 'undone') AND partition = ?1 ORDER BY id")?;
        let running = statement.query_map([id], |row| row.get::<_, Arc<str>>(0))?.collect::<rusqlite::Result<_>>()?;
        drop(statement);
        let mut statement = self.db.prepare("SELECT topic, number FROM pause WHERE partition = ?1 ORDER BY 1, 2")?;
        let paused =
            statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(i64, u16)>>>()?;
        drop(statement);
        let paused = paused
            .into_iter()
            .map(|(topic, partition)| Ok(Destination { topic: self.text(topic)?, partition }))
            .collect::<rusqlite::Result<_>>()?;
        let (destinations, marks) = (self.destinations(id)?, self.marks(id)?);
        Ok(Some(Taken {
            fence: unsigned(fence),
            head: some(position),
            epoch: unsigned(epoch),
            relayed: some(relayed),
            destinations,
            marks,
            waiting,
            running,
            paused,
        }))
    }

    pub(super) fn log_rows(
        &mut self,
        from: &Partition,
        after: Place0,
        to: Option<&Destination>,
        limit: usize,
    ) -> rusqlite::Result<Vec<LogRow>> {
        let Some(partition) = self.known_partition(from)? else { return Ok(Vec::new()) };
        let topic = match to.map(|to| self.known(&to.topic)).transpose()? {
            // Nothing has ever been sent there.
            Some(None) => return Ok(Vec::new()),
            topic => topic.flatten(),
        };
        let after_epoch = after.map_or(0, |after| number(after.epoch));
        let streams = self
            .db
            .prepare_cached("SELECT id, epoch FROM stream WHERE partition = ?1 AND epoch >= ?2 ORDER BY epoch")?
            .query_map(params![partition, after_epoch], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
        let mut rows = Vec::new();
        for (stream, epoch) in streams {
            let first = match after {
                Some(after) if number(after.epoch) == epoch => number(after.position),
                _ => 0,
            };
            let mut statement = self.db.prepare_cached(
                "SELECT id, topic, number, before_epoch, before_position, raw, received, started, written FROM log
                 WHERE id > ?1 AND id < ?2 AND (?3 IS NULL OR (topic = ?3 AND number = ?4)) ORDER BY id LIMIT ?5",
            )?;
            let left = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
            let found = statement
                .query_map(
                    params![
                        (stream << POSITION_BITS) | first,
                        (stream + 1) << POSITION_BITS,
                        topic,
                        to.map(|to| to.partition),
                        left
                    ],
                    |row| {
                        let id: i64 = row.get(0)?;
                        let before: Option<i64> = row.get(3)?;
                        let before_position: Option<i64> = row.get(4)?;
                        Ok((
                            row.get::<_, i64>(1)?,
                            row.get::<_, u16>(2)?,
                            id & ((1 << POSITION_BITS) - 1),
                            before.zip(before_position),
                            Arc::<[u8]>::from(row.get_ref(5)?.as_bytes()?),
                            [row.get(6)?, row.get(7)?, row.get(8)?],
                        ))
                    },
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            drop(statement);
            for (topic, partition, position, before, raw, times) in found {
                rows.push(LogRow {
                    route: Route { from: from.clone(), to: Destination { topic: self.text(topic)?, partition } },
                    place: place(epoch, position),
                    predecessor: before.map(|(epoch, position)| place(epoch, position)),
                    raw,
                    packet: None,
                    times,
                });
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    pub(super) fn row(&mut self, table: Table, id: &str) -> rusqlite::Result<Option<Loaded>> {
        let sql = match table {
            Table::State(table) => match self.states.get(table) {
                Some(statements) => statements.select.as_str(),
                None => return Err(rusqlite::Error::InvalidQuery),
            },
            Table::Saga => "SELECT version, 1, body FROM saga WHERE id = ?1",
            Table::Start => "SELECT 1, 1, body FROM start WHERE number = (SELECT number FROM saga WHERE id = ?1)",
            Table::Command => "SELECT 1, 1, body FROM command WHERE id = ?1",
        };
        self.db
            .prepare_cached(sql)?
            .query_row([id], |row| {
                Ok(Loaded { version: unsigned(row.get(0)?), format: row.get(1)?, body: row.get_ref(2)?.as_bytes()?.to_vec() })
            })
            .optional()
    }

    pub(super) fn last_sent(&mut self, route: &Route) -> rusqlite::Result<Place0> {
        let known = self.known_partition(&route.from)?.zip(self.known(&route.to.topic)?);
        let Some((partition, topic)) = known else { return Ok(None) };
        self.db
            .query_row(
                "SELECT epoch, position FROM destination WHERE partition = ?1 AND topic = ?2 AND number = ?3",
                params![partition, topic, route.to.partition],
                |row| Ok(place(row.get(0)?, row.get(1)?)),
            )
            .optional()
    }

    pub(super) fn waiting(&mut self, partition: &Partition, which: u64) -> rusqlite::Result<Option<Waiting>> {
        let Some(id) = self.known_partition(partition)? else { return Ok(None) };
        let found = self
            .db
            .prepare_cached(
                "SELECT number, lane, attempts, due, dead, not_yet, topic, reason, raw, since, kind, key, source, saga, revision
                 FROM waiting WHERE partition = ?1 AND number = ?2",
            )?
            .query_row(params![id, number(which)], |row| {
                let raw = Arc::<[u8]>::from(row.get_ref(8)?.as_bytes()?);
                let about = match (row.get(10)?, row.get(11)?, row.get(12)?) {
                    (Some(kind), Some(key), Some(source)) => Some(About { kind, key, source, saga: row.get(13)? }),
                    _ => None,
                };
                let waiting = Waiting {
                    head: waiting_head(row)?,
                    topic: "".into(),
                    about,
                    reason: row.get(7)?,
                    raw,
                    since: row.get(9)?,
                    revision: unsigned(row.get(14)?),
                };
                Ok((row.get::<_, i64>(6)?, waiting))
            })
            .optional()?;
        let Some((topic, waiting)) = found else { return Ok(None) };
        Ok(Some(Waiting { topic: self.text(topic)?, ..waiting }))
    }
}

pub(super) fn partition_of(text: &str) -> Partition {
    let (context, number) = text.rsplit_once('/').unwrap_or((text, "0"));
    Partition { context: context.into(), number: number.parse().unwrap_or(0) }
}
