//! The rows of the leases and of the replicas that want them.

use super::super::{Address, Bound, Link, Role};
use super::*;

/// A replica says that it lives.
const ALIVE: &str = "INSERT INTO replica (context, id, seen, format, address) VALUES ($1, $2, clock_timestamp(), $3, $4)
    ON CONFLICT (context, id) DO UPDATE SET seen = excluded.seen, format = excluded.format, address = excluded.address";

/// The address stands in the row of the replica, which each lease names: a lease that another takes never keeps an old one.
pub(super) const HOLDERS: &str =
    "SELECT lease.number, replica.address FROM lease JOIN replica ON replica.context = lease.context AND replica.id = lease.holder
    WHERE lease.context = $1 AND lease.until > clock_timestamp() ORDER BY lease.number";

/// Replicas that have said nothing for so many leases are forgotten.
const FORGOTTEN: &str =
    "DELETE FROM replica WHERE context = $1 AND seen < clock_timestamp() - 100 * $2::float8 * interval '1 microsecond'";

const PARTITIONS: &str = "INSERT INTO lease (context, number, format) SELECT $1, number, 0 FROM generate_series(0::bigint, $2::bigint - 1) AS n(number)
    ON CONFLICT DO NOTHING";

/// What is still this holder's is renewed, though it may have expired: nobody has taken it.
const RENEW: &str =
    "UPDATE lease SET until = clock_timestamp() + $3::float8 * interval '1 microsecond' WHERE context = $1 AND holder = $2
    RETURNING number";

/// Among how many the partitions are shared: those that could hold each of them, and this one.
const LIVE: &str = "SELECT count(*) FROM replica WHERE context = $1 AND (id = $2 OR (seen > clock_timestamp() - $3::float8 * interval '1 microsecond'
    AND format >= (SELECT coalesce(max(format), 0) FROM lease WHERE context = $1)))";

/// Free or expired leases, but for those that a newer build has held. Two that reach for one do not wait for each other.
const GRAB: &str =
    "UPDATE lease l SET holder = $2, until = clock_timestamp() + $3::float8 * interval '1 microsecond', format = $4::bigint
    FROM (SELECT number FROM lease WHERE context = $1 AND (holder IS NULL OR until < clock_timestamp()) AND format <= $4
        ORDER BY number LIMIT $5 FOR UPDATE SKIP LOCKED) free
    WHERE l.context = $1 AND l.number = free.number RETURNING l.number";

const NEWER: &str =
    "SELECT number, format FROM lease WHERE context = $1 AND (holder IS NULL OR until < clock_timestamp()) AND format > $2
    ORDER BY number";

/// In how many microseconds the first lease of another replica expires that is not renewed until then.
const EXPIRES: &str = "SELECT (extract(epoch FROM min(until) - clock_timestamp()) * 1000000)::bigint FROM lease
    WHERE context = $1 AND holder <> $2 AND until >= clock_timestamp()";

/// The head forgets its holder too: the next owner need not end a session that has gone on to other partitions.
const FREE: &str = "WITH freed AS (UPDATE lease SET holder = NULL, until = NULL
        WHERE context = $1 AND holder = $2 AND number = ANY($3) AND until > clock_timestamp() RETURNING number)
    UPDATE head h SET holder = NULL FROM freed, name n WHERE n.text = $1::text || '/' || freed.number::text AND h.partition = n.id";

const LEAVE: &str = "DELETE FROM replica WHERE context = $1 AND id = $2";

/// What a heartbeat found.
pub(super) struct Beat {
    /// Partitions whose lease is ours.
    pub mine: BTreeSet<u16>,
    /// How many of them are a fair share.
    pub share: usize,
    /// Free partitions that a newer build has held, and its format.
    pub newer: Vec<(u16, i64)>,
    /// When the first lease of another replica expires, unless it is renewed; none when no other holds one.
    pub expires: Option<Duration>,
}

/// The leases of a context, as one replica sees them.
pub(super) struct Table {
    link: Link,
    context: Arc<str>,
    /// The replica's name, and a part of this run's own: after a restart the leases before it are somebody else's.
    id: Arc<str>,
    partitions: u16,
    lease: Duration,
    format: i64,
    address: Option<String>,
}

impl Table {
    pub fn new(url: &str, context: &str, replica: &str, partitions: u16, settings: &LeaseSettings) -> StoreResult<Table> {
        let address = Address::parse(url)?;
        let own = link::name_of_its_own()?;
        let id = format!("{replica} {}", own.rsplit(' ').next().unwrap_or_default());
        Ok(Table {
            link: Link::new(&address, Role::Keeper, "alpes leases")?,
            context: context.into(),
            id: id.into(),
            partitions,
            lease: settings.lease,
            format: i64::from(settings.format),
            address: settings.address.clone(),
        })
    }

    pub fn lease(&self) -> Duration {
        self.lease
    }

    pub fn beat(&mut self) -> StoreResult<Beat> {
        let (context, id, format) = (self.context.clone(), self.id.clone(), self.format);
        let lease = i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX);
        let (partitions, address) = (i64::from(self.partitions), self.address.clone());
        let of = |sql| Bound::new(sql).with(&*context);
        let beat = self.link.once(async |session| {
            session.query(&of(ALIVE).with(&*id).with(format).with(address.as_deref())).await?;
            session.query(&of(FORGOTTEN).with(lease as f64)).await?;
            session.query(&of(PARTITIONS).with(partitions)).await?;
            let mut mine = numbers(&session.query(&of(RENEW).with(&*id).with(lease as f64)).await?)?;
            // Before what is free is taken: what expires in between is seen here, and taken with the next.
            let expires = session.query(&of(EXPIRES).with(&*id)).await?;
            let expires = expires.first().map(|row| load::get::<Option<i64>>(row, 0)).transpose()?.flatten();
            let expires = expires.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
            let live = session.query(&of(LIVE).with(&*id).with(lease as f64)).await?;
            let live = live.first().map_or(Ok(1), |row| load::count(row, 0))?;
            let share = usize::from(self.partitions).div_ceil(usize::try_from(live).unwrap_or(usize::MAX).max(1));
            if mine.len() < share {
                let most = i64::try_from(share - mine.len()).unwrap_or(i64::MAX);
                let grab = of(GRAB).with(&*id).with(lease as f64).with(format).with(most);
                mine.extend(numbers(&session.query(&grab).await?)?);
            }
            let newer = session.query(&of(NEWER).with(format)).await?;
            let newer = newer.iter().map(|row| Ok((load::small(row, 0)?, load::get(row, 1)?)));
            let newer = newer.collect::<Result<_, tokio_postgres::Error>>()?;
            Ok(Beat { mine, share, newer, expires })
        });
        beat.map_err(broken("the leases"))
    }

    pub fn free(&mut self, which: &[u16]) -> StoreResult<()> {
        let which: Vec<i64> = which.iter().map(|number| i64::from(*number)).collect();
        let free = Bound::new(FREE).with(&*self.context).with(&*self.id).with(&which);
        self.link.once(async |session| session.query(&free).await).map(drop).map_err(broken("the leases"))
    }

    pub fn leave(&mut self) -> StoreResult<()> {
        let leave = Bound::new(LEAVE).with(&*self.context).with(&*self.id);
        self.link.once(async |session| session.query(&leave).await).map(drop).map_err(broken("the replicas"))
    }
}

fn numbers(rows: &[tokio_postgres::Row]) -> Result<BTreeSet<u16>, tokio_postgres::Error> {
    rows.iter().map(|row| load::small(row, 0)).collect()
}
