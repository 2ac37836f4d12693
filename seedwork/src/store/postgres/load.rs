//! What an owner reads.

use tokio_postgres::types::FromSql;
use tokio_postgres::{Error, Row};

use super::*;

/// Rows of a stream from which the size of all of them is estimated.
const SAMPLE: i64 = 200;

/// A column's value.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Error> {
    row.try_get(column)
}

/// A number that cannot be negative.
pub(super) fn count(row: &Row, column: usize) -> Result<u64, Error> {
    Ok(unsigned(get(row, column)?))
}

/// A number of a partition.
pub(super) fn small(row: &Row, column: usize) -> Result<u16, Error> {
    Ok(u16::try_from(get::<i64>(row, column)?).unwrap_or(u16::MAX))
}

pub(super) fn place_in(row: &Row, epoch: usize) -> Result<Place, Error> {
    Ok(Place { epoch: count(row, epoch)?, position: count(row, epoch + 1)? })
}

pub(super) fn waiting_head(row: &Row) -> Result<WaitingHead, Error> {
    Ok(WaitingHead {
        number: count(row, 0)?,
        lane: get::<&str>(row, 1)?.into(),
        attempts: small(row, 2)?,
        due: get(row, 3)?,
        dead: get::<i64>(row, 4)? != 0,
        not_yet: get(row, 5)?,
    })
}

/// How the rows of a table are asked for by their ids.
fn by_ids(table: Table, states: &[StateTable]) -> StoreResult<Cow<'static, str>> {
    Ok(match table {
        Table::State(table) => {
            let name = &states.get(table).ok_or_else(|| StoreError(format!("there is no state table {table}")))?.name;
            format!("SELECT id, version, format, body FROM {name} WHERE id = ANY($1)").into()
        }
        Table::Saga => "SELECT id, version, 1::bigint, body FROM saga WHERE id = ANY($1)".into(),
        Table::Start => "SELECT saga, 1::bigint, 1::bigint, body FROM start WHERE saga = ANY($1)".into(),
        Table::Command => "SELECT id, 1::bigint, 1::bigint, body FROM command WHERE id = ANY($1)".into(),
    })
}

/// Rows by their ids: one query a table, all in one round trip, of one snapshot.
pub(super) fn fetch(link: &mut Link, states: &[StateTable], wanted: &[(Table, Box<str>)]) -> StoreResult<Vec<Option<Loaded>>> {
    let mut ids: BTreeMap<Table, Vec<&str>> = BTreeMap::new();
    for (table, id) in wanted {
        ids.entry(*table).or_default().push(id);
    }
    let mut asked = Vec::with_capacity(ids.len());
    for (table, ids) in &ids {
        asked.push(Bound::new(by_ids(*table, states)?).with(ids));
    }
    let failed = |trouble: Trouble| StoreError(format!("cannot read: {trouble}"));
    let answers = link.again(async |session| session.snapshot(&asked).await).map_err(failed)?;
    let mut found: BTreeMap<(Table, &str), Loaded> = BTreeMap::new();
    for ((table, _), rows) in ids.iter().zip(&answers) {
        for row in rows {
            let loaded = |row: &Row| -> Result<Loaded, Error> {
                let format = u32::try_from(get::<i64>(row, 2)?).unwrap_or(u32::MAX);
                Ok(Loaded { version: count(row, 1)?, format, body: get::<&str>(row, 3)?.as_bytes().to_vec() })
            };
            let id = row.try_get::<_, &str>(0).map_err(|error| failed(error.into()))?;
            found.insert((*table, id), loaded(row).map_err(|error| failed(error.into()))?);
        }
    }
    Ok(wanted.iter().map(|(table, id)| found.get(&(*table, &**id)).cloned()).collect())
}

impl Session {
    /// The numbers and epochs of a partition's streams from an epoch on, the oldest first.
    async fn streams(&mut self, from: &Partition, epoch: u64) -> Result<Vec<(i64, u64)>, Error> {
        let sql = "SELECT s.id, s.epoch FROM stream s JOIN name p ON p.id = s.partition WHERE p.text = $1 AND s.epoch >= $2 ORDER BY s.epoch";
        let rows = self.query(&Bound::new(sql).with(from.to_string()).with(number(epoch))).await?;
        rows.iter().map(|row| Ok((get(row, 0)?, count(row, 1)?))).collect()
    }

    pub async fn log_after(
        &mut self,
        from: &Partition,
        after: Place0,
        to: Option<&Destination>,
        limit: usize,
    ) -> Result<Vec<LogRow>, Error> {
        let only = if to.is_some() { "AND t.text = $4 AND l.number = $5" } else { "" };
        let sql = format!(
            "SELECT l.id, t.text, l.number, l.before_epoch, l.before_position, l.raw, l.received, l.started, l.written
             FROM log l JOIN name t ON t.id = l.topic WHERE l.id > $1 AND l.id < $2 {only} ORDER BY l.id LIMIT $3"
        );
        let mut rows = Vec::new();
        for (stream, epoch) in self.streams(from, after.map_or(0, |after| after.epoch)).await? {
            let first = after.filter(|after| after.epoch == epoch).map_or(0, |after| after.position);
            let left = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
            let mut asked = Bound::new(sql.as_str()).with(log_number(stream, first)).with(log_number(stream + 1, 0)).with(left);
            if let Some(to) = to {
                asked = asked.with(&*to.topic).with(i64::from(to.partition));
            }
            for row in self.query(&asked).await? {
                let before: Option<(i64, i64)> = get::<Option<i64>>(&row, 3)?.zip(get(&row, 4)?);
                let topic: Arc<str> = get::<&str>(&row, 1)?.into();
                rows.push(LogRow {
                    route: Route { from: from.clone(), to: Destination { topic, partition: small(&row, 2)? } },
                    place: Place { epoch, position: unsigned(get::<i64>(&row, 0)? - log_number(stream, 0)) },
                    predecessor: before.map(|(epoch, position)| Place { epoch: unsigned(epoch), position: unsigned(position) }),
                    raw: get::<&str>(&row, 5)?.as_bytes().into(),
                    packet: None,
                    times: [get(&row, 6)?, get(&row, 7)?, get(&row, 8)?],
                });
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    pub async fn oldest(&mut self, from: &Partition, limit: usize) -> Result<Vec<(Place, i64, u64)>, Error> {
        let sql = "SELECT id, written, octet_length(raw)::bigint FROM log WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
        let mut found = Vec::new();
        for (stream, epoch) in self.streams(from, 0).await? {
            let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let asked = Bound::new(sql).with(log_number(stream, 0)).with(log_number(stream + 1, 0)).with(left);
            for row in self.query(&asked).await? {
                let position = unsigned(get::<i64>(&row, 0)? - log_number(stream, 0));
                found.push((Place { epoch, position }, get(&row, 1)?, count(&row, 2)?));
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub async fn log_bytes(&mut self, from: &Partition) -> Result<u64, Error> {
        // Positions have no holes, so the first and the last say how many rows there are.
        let sql = "SELECT max(id) - (SELECT min(id) FROM log WHERE id > $1 AND id < $2) + 1, avg(size)::bigint FROM
            (SELECT id, octet_length(raw) AS size FROM log WHERE id > $1 AND id < $2 ORDER BY id DESC LIMIT $3) AS youngest";
        let mut bytes = 0;
        for (stream, _) in self.streams(from, 0).await? {
            let asked = Bound::new(sql).with(log_number(stream, 0)).with(log_number(stream + 1, 0)).with(SAMPLE);
            for row in self.query(&asked).await? {
                let (rows, average): (Option<i64>, Option<i64>) = (get(&row, 0)?, get(&row, 1)?);
                bytes += unsigned(rows.unwrap_or(0)).saturating_mul(unsigned(average.unwrap_or(0)));
            }
        }
        Ok(bytes)
    }

    pub async fn marks_on(&mut self, from: &Partition) -> Result<Vec<(Partition, Route, Place)>, Error> {
        let sql = "SELECT r.text, t.text, m.number, m.epoch, m.position FROM mark m JOIN name o ON o.id = m.origin
            JOIN name r ON r.id = m.partition JOIN name t ON t.id = m.topic WHERE o.text = $1";
        let rows = self.query(&Bound::new(sql).with(from.to_string())).await?;
        let mark = |row: &Row| {
            let to = Destination { topic: get::<&str>(row, 1)?.into(), partition: small(row, 2)? };
            Ok((partition_of(get(row, 0)?), Route { from: from.clone(), to }, place_in(row, 3)?))
        };
        rows.iter().map(mark).collect()
    }

    pub async fn last_sent(&mut self, route: &Route) -> Result<Place0, Error> {
        let sql = "SELECT d.epoch, d.position FROM destination d JOIN name p ON p.id = d.partition JOIN name t ON t.id = d.topic
            WHERE p.text = $1 AND t.text = $2 AND d.number = $3";
        let asked = Bound::new(sql).with(route.from.to_string()).with(&*route.to.topic).with(i64::from(route.to.partition));
        self.query(&asked).await?.first().map(|row| place_in(row, 0)).transpose()
    }

    pub async fn waiting(&mut self, partition: &Partition, which: u64) -> Result<Option<Waiting>, Error> {
        let sql = "SELECT w.number, w.lane, w.attempts, w.due, w.dead, w.not_yet, t.text, w.reason, w.raw, w.since, w.kind, w.key, w.source,
                w.saga, w.revision
            FROM waiting w JOIN name p ON p.id = w.partition JOIN name t ON t.id = w.topic WHERE p.text = $1 AND w.number = $2";
        let rows = self.query(&Bound::new(sql).with(partition.to_string()).with(number(which))).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = |column| Ok::<_, Error>(get::<Option<&str>>(row, column)?.map(Arc::<str>::from));
        let about = match (text(10)?, text(11)?, text(12)?) {
            (Some(kind), Some(key), Some(source)) => Some(About { kind, key, source, saga: text(13)? }),
            _ => None,
        };
        Ok(Some(Waiting {
            head: waiting_head(row)?,
            topic: get::<&str>(row, 6)?.into(),
            about,
            reason: get(row, 7)?,
            raw: get::<&[u8]>(row, 8)?.into(),
            since: get(row, 9)?,
            revision: count(row, 14)?,
        }))
    }

    pub async fn forget_commands(&mut self, now: i64) -> Result<usize, Error> {
        // A few at a time. What a commit is at, its own or another owner's, is left for the next time: nobody waits here.
        let sql =
            "WITH gone AS (DELETE FROM command WHERE id = ANY(ARRAY(SELECT id FROM command WHERE expires < $1 ORDER BY expires
                LIMIT 500 FOR UPDATE SKIP LOCKED)) RETURNING 1)
            SELECT count(*) FROM gone";
        let rows = self.query(&Bound::new(sql).with(now)).await?;
        let gone = rows.first().map_or(Ok(0), |row| count(row, 0))?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

pub(super) fn partition_of(text: &str) -> Partition {
    let (context, number) = text.rsplit_once('/').unwrap_or((text, "0"));
    Partition { context: context.into(), number: number.parse().unwrap_or(0) }
}
