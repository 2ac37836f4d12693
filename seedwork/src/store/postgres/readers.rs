//! Queries: by the owner's own connection, and by connections that only read.

use super::*;
use crate::view::{Read, Value};

fn select(link: &mut Link, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
    let mut asked = Bound::new(sql);
    for parameter in parameters {
        asked = asked.with(parameter);
    }
    let rows = link.again(async |session| session.query(&asked).await).map_err(|trouble| trouble.to_string())?;
    rows.iter().map(values::cells).collect()
}

impl Read for Postgres {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        select(&mut self.reader.lock().unwrap_or_else(PoisonError::into_inner), sql, parameters)
    }
}

/// Connections that keep for the next query when they have nothing to do.
const IDLE: usize = 8;

/// Connections that only read, beside those that write: each sees the last commit. Made as they are needed, kept, bounded; no query
/// takes longer than some seconds. To be used by threads that may wait.
pub struct Readers {
    address: Address,
    idle: Mutex<Vec<Link>>,
}

impl Readers {
    /// Readers of the database that a URL names, which a [`Postgres`] has opened before. Connects with the first query.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(url: &str) -> StoreResult<Readers> {
        Ok(Readers { address: Address::parse(url)?, idle: Mutex::new(Vec::new()) })
    }
}

impl Read for Readers {
    fn select(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut link = match kept {
            Some(link) => link,
            None => Link::new(&self.address, Role::Reader, "alpes queries").map_err(|error| error.0)?,
        };
        let rows = select(&mut link, sql, parameters);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(link);
        }
        rows
    }
}
