//! All rows of a context from another store, in one transaction.

use tokio_postgres::Error;

use super::super::carry::{self, Carried, Parts, Received, Target};
use super::*;

const HEADS: &str = "INSERT INTO head (partition, fence, epoch, position, relayed)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])";

impl Target for Postgres {
    fn receive(&mut self, moving: i64, parts: &mut Parts<'_>) -> StoreResult<Received> {
        let mut link = Link::new(&self.address, Role::Mover, "alpes moves")?;
        let states = &self.states;
        // What ends early ends with the link, and the server undoes what was begun.
        let received = link.once(async |session| receive(session, states, moving, parts).await);
        received.map_err(broken("the rows cannot be written"))?
    }
}

/// Either the server's no, or one of our own.
async fn receive(
    session: &mut Session,
    states: &[StateTable],
    moving: i64,
    parts: &mut Parts<'_>,
) -> Result<StoreResult<Received>, Error> {
    // Whoever takes a partition inserts its head, and waits until this is over.
    session.run("BEGIN; LOCK TABLE head IN EXCLUSIVE MODE").await?;
    let moved = session.query(&Bound::new("SELECT value FROM meta WHERE key = $1").with(carry::MOVED)).await?;
    let moved = moved.first().map(|row| row.try_get(0)).transpose()?;
    let full = full(session, states).await?;
    match carry::may_receive(moving, moved, full.as_deref()) {
        Ok(true) => {}
        Ok(false) => return Ok(Ok(Received::Before)),
        Err(error) => return Ok(Err(error)),
    }
    let (mut names, mut carried) = (Names::default(), Carried::default());
    loop {
        let part = match parts() {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        };
        carried.count(&part);
        names.see(session, &Named::by(&part)).await?;
        let heads = heads(&part, &names);
        let rest = Writes { heads: Vec::new(), ..part };
        let batch = write::Batch { writes: &rest, names: &names, states, holder: "" };
        let statements = match batch.statements() {
            Ok(statements) => statements,
            Err(error) => return Ok(Err(StoreError(error.to_string()))),
        };
        for statement in heads.iter().chain(&statements) {
            session.query(statement).await?;
        }
    }
    let remember = Bound::new("INSERT INTO meta (key, value) VALUES ($1, $2)").with(carry::MOVED).with(moving);
    session.query(&remember).await?;
    session.run("COMMIT").await?;
    // The plans of queries rest on how many rows there are, and until now there were none.
    session.run("ANALYZE").await?;
    Ok(Ok(Received::Now(carried)))
}

fn heads(part: &Writes, names: &Names) -> Option<Bound<'static>> {
    let column = |value: fn(&HeadWrite) -> u64| part.heads.iter().map(|head| number(value(head))).collect::<Vec<_>>();
    let bound = Bound::new(HEADS)
        .with(part.heads.iter().map(|head| names.partition(&head.partition)).collect::<Vec<_>>())
        .with(column(|_| 0))
        .with(column(|head| head.epoch))
        .with(column(|head| head.position))
        .with(column(|head| head.relayed));
    (!part.heads.is_empty()).then_some(bound)
}

/// A table in which there is something.
async fn full(session: &mut Session, states: &[StateTable]) -> Result<Option<String>, Error> {
    for table in carry::TABLES.into_iter().chain(states.iter().map(|table| table.name.as_str())) {
        if !session.query(&Bound::new(format!("SELECT 1 FROM {table} LIMIT 1"))).await?.is_empty() {
            return Ok(Some(table.to_owned()));
        }
    }
    Ok(None)
}
