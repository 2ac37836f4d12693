//! A batch as statements: one of a kind, each for all of its rows.

use super::values::{Text, storable};
use super::*;

/// What a batch writes.
pub(super) struct Batch<'a> {
    pub writes: &'a Writes,
    pub names: &'a Names,
    pub states: &'a [StateTable],
    /// The name of this owner's sessions.
    pub holder: &'a str,
}

/// Moves the heads, and fails when one of them has another fence. It waits for whoever is moving them: whichever is second sees what the
/// first has done.
const HEADS: &str = "WITH moved AS (UPDATE head h SET epoch = m.epoch, position = m.position, relayed = m.relayed, holder = $6
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS m(partition, fence, epoch, position, relayed)
        WHERE h.partition = m.partition AND h.fence = m.fence RETURNING h.partition)
    SELECT alpes_fail($7, 'another owner has taken partitions', string_agg(lost.partition::text, ','))
        FROM (SELECT unnest($1::bigint[]) AS partition EXCEPT SELECT partition FROM moved) lost";

const LOG: &str = "INSERT INTO log (id, topic, number, before_epoch, before_position, raw, received, started, written)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[],
        $9::bigint[])";

const DESTINATIONS: &str = "INSERT INTO destination (partition, topic, number, epoch, position)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (partition, topic, number) DO UPDATE SET epoch = excluded.epoch, position = excluded.position";

const MARKS: &str = "INSERT INTO mark (partition, origin, topic, number, epoch, position)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    ON CONFLICT (partition, origin, topic, number) DO UPDATE SET epoch = excluded.epoch, position = excluded.position";

const COMMANDS: &str = "INSERT INTO command (id, expires, body) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])
    ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, body = excluded.body";

const SAGAS_NEW: &str = "INSERT INTO saga (id, version, stage, body, partition)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])";

const SAGAS_MOVED: &str = "WITH moved AS (UPDATE saga s SET version = n.version, stage = n.stage, body = n.body
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) AS n(id, version, stage, body, partition)
        WHERE s.id = n.id AND s.version = n.version - 1 AND s.partition = n.partition RETURNING s.id)
    SELECT alpes_fail($6, 'sagas were changed by somebody else', string_agg(lost.id, ','))
        FROM (SELECT unnest($1::text[]) AS id EXCEPT SELECT id FROM moved) lost";

const STARTS: &str = "INSERT INTO start (saga, body) SELECT * FROM unnest($1::text[], $2::text[])";

const SAGA_LOG: &str = "INSERT INTO saga_log (saga, line, entries) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";

const WAITING_PUT: &str = "INSERT INTO waiting (partition, number, lane, attempts, due, dead, not_yet, topic, reason, raw, since, kind, key,
        source, saga, revision)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::text[], $10::bytea[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[])";

const WAITING_CHANGE: &str =
    "UPDATE waiting SET attempts = $3, due = $4, dead = $5, not_yet = $6, reason = $7, revision = revision + 1
    WHERE partition = $1 AND number = $2";

const WAITING_EDIT: &str = "UPDATE waiting SET original = coalesce(original, raw), raw = $3, revision = revision + 1
    WHERE partition = $1 AND number = $2";

const WAITING_REMOVE: &str = "DELETE FROM waiting w USING unnest($1::bigint[], $2::bigint[]) AS gone(partition, number)
    WHERE w.partition = gone.partition AND w.number = gone.number";

const PAUSE: &str = "INSERT INTO pause (partition, topic, number, at, actor, reason) VALUES ($1, $2, $3, $4, $5, $6)";

const RESUME: &str = "DELETE FROM pause WHERE partition = $1 AND topic = $2 AND number = $3";

const OPERATIONS: &str = "INSERT INTO operation (partition, at, actor, decision, about, reason, told)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])";

/// One array of a statement: a value of each row.
fn each<'a, R, V>(rows: &'a [R], value: impl Fn(&'a R) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

impl<'a> Batch<'a> {
    /// All that the batch writes, the heads first.
    pub fn statements(&self) -> Result<Vec<Bound<'a>>, CommitError> {
        let mut all = Vec::new();
        let Writes {
            heads,
            destinations,
            marks,
            states: _,
            sagas,
            log,
            commands,
            waiting,
            pauses,
            drops,
            operations,
            carried: _,
        } = self.writes;
        if !heads.is_empty() {
            all.push(self.heads(heads));
        }
        self.states(&mut all)?;
        self.sagas(sagas, &mut all);
        if !log.is_empty() {
            all.push(self.log(log));
        }
        if !destinations.is_empty() {
            let bound = Bound::new(DESTINATIONS)
                .with(each(destinations, |(partition, ..)| self.names.partition(partition)))
                .with(each(destinations, |(_, to, _)| self.names.name(&to.topic)))
                .with(each(destinations, |(_, to, _)| i64::from(to.partition)))
                .with(each(destinations, |(.., place)| number(place.epoch)))
                .with(each(destinations, |(.., place)| number(place.position)));
            all.push(bound);
        }
        if !marks.is_empty() {
            let bound = Bound::new(MARKS)
                .with(each(marks, |(reader, ..)| self.names.partition(reader)))
                .with(each(marks, |(_, route, _)| self.names.partition(&route.from)))
                .with(each(marks, |(_, route, _)| self.names.name(&route.to.topic)))
                .with(each(marks, |(_, route, _)| i64::from(route.to.partition)))
                .with(each(marks, |(.., place)| number(place.epoch)))
                .with(each(marks, |(.., place)| number(place.position)));
            all.push(bound);
        }
        if !commands.is_empty() {
            let bound = Bound::new(COMMANDS)
                .with(each(commands, |command| &*command.id))
                .with(each(commands, |command| command.expires))
                .with(each(commands, |command| Text(&command.body)));
            all.push(bound);
        }
        self.waiting(waiting, &mut all);
        for (partition, upto) in drops {
            all.push(self.drop_rows(partition, *upto));
        }
        for write in pauses {
            let key = |sql: &'static str| {
                Bound::new(sql)
                    .with(self.names.partition(&write.reader))
                    .with(self.names.name(&write.to.topic))
                    .with(i64::from(write.to.partition))
            };
            all.push(match &write.pause {
                Some((at, actor, reason)) => key(PAUSE).with(*at).with(storable(actor)).with(storable(reason)),
                None => key(RESUME),
            });
        }
        if !operations.is_empty() {
            let bound = Bound::new(OPERATIONS)
                .with(each(operations, |one| self.names.partition(&one.partition)))
                .with(each(operations, |one| one.at))
                .with(each(operations, |one| storable(&one.actor)))
                .with(each(operations, |one| &*one.decision))
                .with(each(operations, |one| storable(&one.about)))
                .with(each(operations, |one| one.reason.as_deref().map(storable)))
                .with(each(operations, |one| one.told.to_string()));
            all.push(bound);
        }
        Ok(all)
    }

    fn heads(&self, heads: &'a [HeadWrite]) -> Bound<'a> {
        Bound::new(HEADS)
            .with(each(heads, |head| self.names.partition(&head.partition)))
            .with(each(heads, |head| number(head.fence)))
            .with(each(heads, |head| number(head.epoch)))
            .with(each(heads, |head| number(head.position)))
            .with(each(heads, |head| number(head.relayed)))
            .with(self.holder)
            .with(trouble::FENCED)
    }

    fn log(&self, rows: &'a [LogRow]) -> Bound<'a> {
        let key = |row: &LogRow| {
            let stream = self.names.stream(self.names.partition(&row.route.from), row.place.epoch);
            log_number(stream, row.place.position)
        };
        let before = |row: &LogRow| row.predecessor.map(|place| (number(place.epoch), number(place.position)));
        Bound::new(LOG)
            .with(each(rows, key))
            .with(each(rows, |row| self.names.name(&row.route.to.topic)))
            .with(each(rows, |row| i64::from(row.route.to.partition)))
            .with(each(rows, |row| before(row).map(|before| before.0)))
            .with(each(rows, |row| before(row).map(|before| before.1)))
            .with(each(rows, |row| Text(&row.raw)))
            .with(each(rows, |row| row.times[0]))
            .with(each(rows, |row| row.times[1]))
            .with(each(rows, |row| row.times[2]))
    }

    /// Two statements a table: what is new, and what changes.
    fn states(&self, all: &mut Vec<Bound<'a>>) -> Result<(), CommitError> {
        let mut by_table: BTreeMap<(usize, bool), Vec<&'a StateWrite>> = BTreeMap::new();
        for write in &self.writes.states {
            by_table.entry((write.table, write.version == 1 || self.writes.carried)).or_default().push(write);
        }
        for ((table, new), rows) in by_table {
            let refused = |why: &str| CommitError::Refused(format!("state table {table}: {why}"));
            let of = self.states.get(table).ok_or_else(|| refused("there is none"))?;
            if rows.iter().any(|row| row.row.len() != of.columns.len()) {
                return Err(refused("a row of its view has another number of columns"));
            }
            let sql = if new { insert(of) } else { update(of) };
            let bound = Bound::new(sql)
                .with(each(&rows, |row| &*row.id).into_iter().collect::<Vec<&'a str>>())
                .with(rows.iter().map(|row| number(row.version)).collect::<Vec<_>>())
                .with(rows.iter().map(|row| i64::from(row.format)).collect::<Vec<_>>())
                .with(rows.iter().map(|row| Text(&row.body)).collect::<Vec<_>>());
            let bound = if new { bound } else { bound.with(trouble::CHANGED) };
            all.push(tables::view_columns(bound, of, rows.iter().map(|row| row.row.as_slice())));
        }
        Ok(())
    }

    fn sagas(&self, sagas: &'a [SagaWrite], all: &mut Vec<Bound<'a>>) {
        let (new, moved): (Vec<&SagaWrite>, Vec<&SagaWrite>) =
            sagas.iter().partition(|saga| saga.version == 1 || self.writes.carried);
        let rows = |sql: &'static str, sagas: &[&'a SagaWrite]| {
            Bound::new(sql)
                .with(sagas.iter().map(|saga| &*saga.id).collect::<Vec<&'a str>>())
                .with(sagas.iter().map(|saga| number(saga.version)).collect::<Vec<_>>())
                .with(sagas.iter().map(|saga| &*saga.stage).collect::<Vec<&'a str>>())
                .with(sagas.iter().map(|saga| Text(&saga.body)).collect::<Vec<_>>())
                .with(sagas.iter().map(|saga| self.names.partition(&saga.partition)).collect::<Vec<_>>())
        };
        if !new.is_empty() {
            all.push(rows(SAGAS_NEW, &new));
        }
        if !moved.is_empty() {
            all.push(rows(SAGAS_MOVED, &moved).with(trouble::CHANGED));
        }
        let starts: Vec<_> = sagas.iter().filter_map(|saga| Some((&*saga.id, Text(saga.start.as_deref()?)))).collect();
        if !starts.is_empty() {
            let (ids, bodies): (Vec<_>, Vec<_>) = starts.into_iter().unzip();
            all.push(Bound::new(STARTS).with(ids).with(bodies));
        }
        let lines: Vec<_> = sagas.iter().flat_map(|saga| saga.log.iter().map(|log| (&*saga.id, log))).collect();
        if !lines.is_empty() {
            let bound = Bound::new(SAGA_LOG)
                .with(lines.iter().map(|(id, _)| *id).collect::<Vec<&'a str>>())
                .with(lines.iter().map(|(_, (line, _))| number(*line)).collect::<Vec<_>>())
                .with(lines.iter().map(|(_, (_, entries))| Text(entries)).collect::<Vec<_>>());
            all.push(bound);
        }
    }

    /// In their order, for one may change what another has put there; neighbours of a kind together.
    fn waiting(&self, waiting: &'a [WaitingWrite], all: &mut Vec<Bound<'a>>) {
        let kind = |write: &WaitingWrite| match write {
            WaitingWrite::Put(..) => 0,
            WaitingWrite::Remove(..) => 1,
            WaitingWrite::Change(..) | WaitingWrite::Edit(..) => 2,
        };
        for run in waiting.chunk_by(|one, next| kind(one) == kind(next)) {
            match run.first() {
                Some(WaitingWrite::Put(..)) => all.push(self.put(run)),
                Some(WaitingWrite::Remove(..)) => all.push(self.remove(run)),
                _ => all.extend(run.iter().filter_map(|write| self.change(write))),
            }
        }
    }

    fn put(&self, run: &'a [WaitingWrite]) -> Bound<'a> {
        let puts: Vec<(&Partition, &Waiting)> = run
            .iter()
            .filter_map(|write| if let WaitingWrite::Put(partition, waiting) = write { Some((partition, waiting)) } else { None })
            .collect();
        let about = |get: fn(&'a About) -> Option<&'a str>| -> Vec<Option<Cow<'a, str>>> {
            puts.iter().map(|(_, waiting)| waiting.about.as_ref().and_then(get).map(storable)).collect()
        };
        Bound::new(WAITING_PUT)
            .with(puts.iter().map(|(partition, _)| self.names.partition(partition)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| number(waiting.head.number)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| storable(&waiting.head.lane)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| i64::from(waiting.head.attempts)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| waiting.head.due).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| i64::from(waiting.head.dead)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| waiting.head.not_yet).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| self.names.name(&waiting.topic)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| storable(&waiting.reason)).collect::<Vec<_>>())
            .with(puts.iter().map(|(_, waiting)| &*waiting.raw).collect::<Vec<&'a [u8]>>())
            .with(puts.iter().map(|(_, waiting)| waiting.since).collect::<Vec<_>>())
            .with(about(|about| Some(&about.kind)))
            .with(about(|about| Some(&about.key)))
            .with(about(|about| Some(&about.source)))
            .with(about(|about| about.saga.as_deref()))
            .with(puts.iter().map(|(_, waiting)| number(waiting.revision)).collect::<Vec<_>>())
    }

    fn remove(&self, run: &[WaitingWrite]) -> Bound<'a> {
        let gone = run.iter().filter_map(|write| match write {
            WaitingWrite::Remove(partition, which) => Some((self.names.partition(partition), number(*which))),
            WaitingWrite::Put(..) | WaitingWrite::Change(..) | WaitingWrite::Edit(..) => None,
        });
        let (partitions, numbers): (Vec<i64>, Vec<i64>) = gone.unzip();
        Bound::new(WAITING_REMOVE).with(partitions).with(numbers)
    }

    fn change(&self, write: &'a WaitingWrite) -> Option<Bound<'a>> {
        match write {
            WaitingWrite::Change(partition, head, reason) => Some(
                Bound::new(WAITING_CHANGE)
                    .with(self.names.partition(partition))
                    .with(number(head.number))
                    .with(i64::from(head.attempts))
                    .with(head.due)
                    .with(i64::from(head.dead))
                    .with(head.not_yet)
                    .with(storable(reason)),
            ),
            WaitingWrite::Edit(partition, which, raw) => {
                Some(Bound::new(WAITING_EDIT).with(self.names.partition(partition)).with(number(*which)).with(&**raw))
            }
            WaitingWrite::Put(..) | WaitingWrite::Remove(..) => None,
        }
    }

    /// Drops the rows of a partition's streams up to a place: all of the older epochs.
    fn drop_rows(&self, partition: &Partition, upto: Place) -> Bound<'a> {
        let sql = format!(
            "DELETE FROM log l USING stream s WHERE s.partition = $1 AND s.epoch <= $2 AND l.id > s.id << {POSITION_BITS}
                AND l.id < (s.id + 1) << {POSITION_BITS} AND (s.epoch < $2 OR l.id <= (s.id << {POSITION_BITS}) + $3)"
        );
        Bound::new(sql).with(self.names.partition(partition)).with(number(upto.epoch)).with(number(upto.position))
    }
}

fn insert(table: &StateTable) -> String {
    let (arrays, names) = tables::view_arrays(table, 5);
    format!(
        "INSERT INTO {} (id, version, format, body{names}) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]{arrays})",
        table.name
    )
}

fn update(table: &StateTable) -> String {
    let (arrays, names) = tables::view_arrays(table, 6);
    let sets: String = table.columns.iter().map(|(column, _)| format!(", {column} = n.{column}")).collect();
    let name = &table.name;
    format!(
        "WITH moved AS (UPDATE {name} s SET version = n.version, format = n.format, body = n.body{sets}
             FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]{arrays}) AS n(id, version, format, body{names})
             WHERE s.id = n.id AND s.version = n.version - 1 RETURNING s.id)
         SELECT alpes_fail($5, 'rows of {name} were changed by somebody else', string_agg(lost.id, ','))
             FROM (SELECT unnest($1::text[]) AS id EXCEPT SELECT id FROM moved) lost"
    )
}
