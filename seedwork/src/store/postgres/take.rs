//! How an owner becomes one: the session of the one before is ended, the fence is raised, and only then it reads.

use tokio_postgres::{Error, Row};

use super::load::{count, get, partition_of, place_in, small, waiting_head};
use super::*;

/// Ends the sessions with a name, but for this one, and counts those that were not gone within some seconds. First it is settled which:
/// the server evaluates conditions side by side in an order of its own.
const END: &str = "WITH ended AS MATERIALIZED (SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid())
    SELECT count(*) FROM ended WHERE NOT pg_terminate_backend(pid, 5000)";

const RAISE: &str = "INSERT INTO head (partition, fence, epoch, position, relayed, holder) VALUES ($1, 1, $2, 0, 0, $4)
    ON CONFLICT (partition) DO UPDATE SET fence = head.fence + 1, holder = $4
        WHERE $3::bigint IS NULL OR head.fence = $3 OR (head.fence = $3 + 1 AND head.holder = $5)
    RETURNING fence, epoch, position, relayed";

const READ: [&str; 5] = [
    "SELECT number, lane, attempts, due, dead, not_yet FROM waiting WHERE partition = $1 ORDER BY number",
    "SELECT id FROM saga WHERE stage IN ('running', 'undoing', 'stuck') AND stage NOT IN ('completed', 'undone') AND partition = $1
        ORDER BY id",
    "SELECT t.text, p.number FROM pause p JOIN name t ON t.id = p.topic WHERE p.partition = $1 ORDER BY p.topic, p.number",
    "SELECT t.text, d.number, d.epoch, d.position FROM destination d JOIN name t ON t.id = d.topic WHERE d.partition = $1
        ORDER BY d.topic, d.number",
    "SELECT o.text, t.text, m.number, m.epoch, m.position FROM mark m JOIN name o ON o.id = m.origin JOIN name t ON t.id = m.topic
        WHERE m.partition = $1 ORDER BY m.origin, m.topic, m.number",
];

/// Who takes a partition, and what it knows of it.
pub(super) struct Taking<'a> {
    pub partition: &'a Partition,
    /// The fence under which it held the partition.
    pub held: Option<u64>,
    /// It has raised this fence before, and did not hear whether that was done.
    pub unheard: bool,
    /// The name of its sessions.
    pub holder: &'a str,
    /// The epoch in which a new partition begins.
    pub epoch: u64,
}

/// See [`Store::take`].
pub(super) async fn take(session: &mut Session, names: &mut Names, taking: &Taking<'_>) -> Result<Option<Taken>, Error> {
    let named = Named { partitions: BTreeSet::from([taking.partition]), ..Named::default() };
    names.see(session, &named).await?;
    let id = names.partition(taking.partition);
    let head = session.query(&Bound::new("SELECT fence, holder FROM head WHERE partition = $1").with(id)).await?;
    if let Some(head) = head.first() {
        let (fence, holder): (u64, Option<&str>) = (count(head, 0)?, get(head, 1)?);
        if let Some(holder) = holder
            && taking.held.is_none_or(|held| held == fence)
        {
            end(session, holder).await?;
        }
    }
    let raise = Bound::new(RAISE)
        .with(id)
        .with(number(taking.epoch))
        .with(taking.held.map(number))
        .with(taking.holder)
        .with(taking.unheard.then_some(taking.holder));
    let raised = session.query(&raise).await?;
    let Some(head) = raised.first() else { return Ok(None) };
    let (fence, Place { epoch, position }, relayed) = (count(head, 0)?, place_in(head, 1)?, count(head, 3)?);
    let some = |position| (position > 0).then_some(Place { epoch, position });
    let asked = READ.map(|sql| Bound::new(sql).with(id));
    let answers = session.queries(&asked).await?;
    let [waiting, running, paused, destinations, marks] = answers.as_slice() else { return Ok(None) };
    Ok(Some(Taken {
        fence,
        head: some(position),
        epoch,
        relayed: some(relayed),
        destinations: each(destinations, |row| Ok((destination(row, 0)?, place_in(row, 2)?)))?,
        marks: each(marks, |row| Ok((Route { from: partition_of(get(row, 0)?), to: destination(row, 1)? }, place_in(row, 3)?)))?,
        waiting: each(waiting, waiting_head)?,
        running: each(running, |row| Ok(get::<&str>(row, 0)?.into()))?,
        paused: each(paused, |row| destination(row, 0))?,
    }))
}

/// Ends the sessions of an owner: what it has sent is done or undone when this returns. The fence holds without it, but a session that
/// hangs in the middle of a commit would keep the head locked.
async fn end(session: &mut Session, holder: &str) -> Result<(), Error> {
    match session.query(&Bound::new(END).with(holder)).await {
        Ok(rows) => {
            if rows.first().is_some_and(|row| count(row, 0).is_ok_and(|left| left > 0)) {
                tracing::warn!(holder, "a session of the owner before does not end");
            }
            Ok(())
        }
        Err(error) if error.code().is_some_and(|code| code.code() == "42501") => {
            tracing::warn!(holder, "may not end the session of the owner before: run all replicas as one user of the database");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn each<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    rows.iter().map(read).collect()
}

fn destination(row: &Row, topic: usize) -> Result<Destination, Error> {
    Ok(Destination { topic: get::<&str>(row, topic)?.into(), partition: small(row, topic + 1)? })
}
