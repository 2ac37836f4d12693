//! The numbers that stand for names of partitions and topics in the store's tables, and for streams.

use std::collections::btree_map::Entry;

use tokio_postgres::Error;

use super::*;

/// The numbers that a connection has seen. They are made before the commit that needs them, by themselves: a number that nothing came to
/// use does no harm.
#[derive(Default)]
pub(super) struct Names {
    names: BTreeMap<Arc<str>, i64>,
    partitions: BTreeMap<Partition, i64>,
    streams: BTreeMap<(i64, u64), i64>,
    /// The session in which they were seen.
    pub generation: u64,
}

impl Names {
    /// Nothing seen yet.
    pub fn of_session(generation: u64) -> Names {
        Names { generation, ..Names::default() }
    }

    pub fn name(&self, text: &Arc<str>) -> i64 {
        self.names.get(text).copied().unwrap_or_default()
    }

    pub fn partition(&self, partition: &Partition) -> i64 {
        self.partitions.get(partition).copied().unwrap_or_default()
    }

    pub fn stream(&self, partition: i64, epoch: u64) -> i64 {
        self.streams.get(&(partition, epoch)).copied().unwrap_or_default()
    }

    /// The partition with this number, if it was seen.
    pub fn partition_of(&self, id: i64) -> Option<&Partition> {
        self.partitions.iter().find(|(_, number)| **number == id).map(|(partition, _)| partition)
    }

    /// Sees to the numbers of all that a batch names.
    pub async fn see(&mut self, session: &mut Session, named: &Named<'_>) -> Result<(), Error> {
        let mut unknown: Vec<Arc<str>> =
            named.topics.iter().filter(|text| !self.names.contains_key(**text)).map(|text| (**text).clone()).collect();
        let partitions: Vec<&Partition> =
            named.partitions.iter().filter(|one| !self.partitions.contains_key(**one)).copied().collect();
        let texts: Vec<Arc<str>> = partitions.iter().map(|partition| partition.to_string().into()).collect();
        unknown.extend(texts.iter().cloned());
        if !unknown.is_empty() {
            self.number(session, &unknown).await?;
        }
        for (partition, text) in partitions.into_iter().zip(&texts) {
            self.partitions.insert(partition.clone(), self.name(text));
        }
        for (partition, epoch) in &named.streams {
            let key = (self.partition(partition), *epoch);
            if let Entry::Vacant(unseen) = self.streams.entry(key) {
                unseen.insert(stream(session, key).await?);
            }
        }
        Ok(())
    }

    async fn number(&mut self, session: &mut Session, texts: &[Arc<str>]) -> Result<(), Error> {
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let select = Bound::new("SELECT id, text FROM name WHERE text = ANY($1)").with(&texts);
        for attempt in 0..2 {
            let rows = session.query(&select).await?;
            for row in &rows {
                self.names.insert(row.try_get::<_, &str>(1)?.into(), row.try_get(0)?);
            }
            if attempt == 0 && rows.len() < texts.len() {
                let insert = "INSERT INTO name (text) SELECT DISTINCT t FROM unnest($1::text[]) AS u(t)
                    WHERE t NOT IN (SELECT text FROM name WHERE text = ANY($1)) ON CONFLICT DO NOTHING";
                session.query(&Bound::new(insert).with(&texts)).await?;
            }
        }
        Ok(())
    }
}

async fn stream(session: &mut Session, (partition, epoch): (i64, u64)) -> Result<i64, Error> {
    let select = "SELECT id FROM stream WHERE partition = $1 AND epoch = $2";
    let insert = "INSERT INTO stream (partition, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
    let of = |sql| Bound::new(sql).with(partition).with(number(epoch));
    // The third finds what somebody else has inserted since the first.
    for sql in [select, insert, select] {
        if let Some(row) = session.query(&of(sql)).await?.first() {
            return row.try_get(0);
        }
    }
    Ok(0)
}

/// What a batch names.
#[derive(Default)]
pub(super) struct Named<'a> {
    pub topics: BTreeSet<&'a Arc<str>>,
    pub partitions: BTreeSet<&'a Partition>,
    pub streams: BTreeSet<(&'a Partition, u64)>,
}

impl<'a> Named<'a> {
    pub fn by(writes: &'a Writes) -> Named<'a> {
        let mut named = Named::default();
        named.partitions.extend(writes.heads.iter().map(|head| &head.partition));
        for (partition, to, _) in &writes.destinations {
            named.partitions.insert(partition);
            named.topics.insert(&to.topic);
        }
        for (reader, route, _) in &writes.marks {
            named.partitions.extend([reader, &route.from]);
            named.topics.insert(&route.to.topic);
        }
        named.partitions.extend(writes.sagas.iter().map(|saga| &saga.partition));
        for row in &writes.log {
            named.partitions.insert(&row.route.from);
            named.topics.insert(&row.route.to.topic);
            named.streams.insert((&row.route.from, row.place.epoch));
        }
        for write in &writes.waiting {
            let (WaitingWrite::Put(partition, _)
            | WaitingWrite::Change(partition, ..)
            | WaitingWrite::Edit(partition, ..)
            | WaitingWrite::Remove(partition, _)) = write;
            named.partitions.insert(partition);
            if let WaitingWrite::Put(_, waiting) = write {
                named.topics.insert(&waiting.topic);
            }
        }
        for pause in &writes.pauses {
            named.partitions.insert(&pause.reader);
            named.topics.insert(&pause.to.topic);
        }
        named.partitions.extend(writes.operations.iter().map(|operation| &operation.partition));
        named.partitions.extend(writes.drops.iter().map(|(partition, _)| partition));
        named
    }
}
