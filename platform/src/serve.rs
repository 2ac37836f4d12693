//! `alpes serve`: one process that holds a data directory, owns every partition of every context, and answers HTTP until it is told to
//! stop.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bff::{Bff, Here, Home, Listening, Moves, Stream};
use seedwork::broker::embedded::Embedded;
use seedwork::clock::{Chance, Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{self, Executor, Stop};
use seedwork::store::sqlite::{Readers, Sqlite};
use seedwork::store::{Partition, StoreError};
use tokio::sync::oneshot;

use crate::lock::DataDirectory;
use crate::otlp::{Exporter, Exporting, Target};
use crate::settings::Settings;
use crate::trouble::Trouble;

#[cfg(feature = "distributed")]
pub(crate) mod distributed;
#[cfg(feature = "distributed")]
mod door;
mod role;

pub use role::Role;

/// Partitions of every context: a process alone needs no more.
const PARTITIONS: u16 = 1;

type Owner = JoinHandle<Result<(), Stop>>;

/// What looks on as the owner commits.
#[derive(Clone)]
pub(crate) struct Looks {
    stream: Stream,
    moves: Moves,
}

impl Looks {
    /// Answers all who would wait for ever.
    fn close(&self) {
        self.stream.close();
        self.moves.close();
    }
}

/// Runs the server until a signal stops it: everything over a file, or these roles over PostgreSQL and Apache Pulsar. `port_is_set`: the
/// port was chosen, and is not the default.
///
/// # Errors
/// When it cannot start, or the store could no longer be written; one line says what to do.
pub fn run(settings: &Settings, roles: &[Role], port_is_set: bool) -> Result<(), Trouble> {
    let host = settings.host;
    if !is_own(host) && !settings.trust_network {
        return Err(Trouble::new(format!(
            "--host {host} can be reached by other machines, and whoever reaches this server may do everything: \
             leave it out, or add --trust-network if you trust that network"
        )));
    }
    if !roles.is_empty() || settings.database.0.is_some() || settings.broker.0.is_some() {
        return apart(settings, roles, port_is_set);
    }
    let mut data = DataDirectory::take(&settings.data)?;
    let runtime = runtime(settings)?;
    let listening = runtime.block_on(listen(SocketAddr::new(host, settings.port)))?.at_most(settings.connections);
    data.announce(listening.address)?;
    let store = data.store();
    let campaigns = campaign::Settings { opening_limit_major: settings.opening_limit };
    let (exporter, exporting) = export(settings)?.unzip();
    let (handle, owner, looks) = own(&store, campaigns, limits(settings), exporter.as_ref())?;
    let edge = edge(&handle, &store, campaigns, looks.clone())?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen()?;
        greet(listening.address, &store);
        attend(listening, edge, looks, exporter, handle, owner, signals).await
    });
    // What still runs belongs to nobody: its answers cannot be sent any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(data);
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    ended
}

#[cfg(feature = "distributed")]
fn apart(settings: &Settings, roles: &[Role], port_is_set: bool) -> Result<(), Trouble> {
    distributed::run(settings, roles, port_is_set)
}

#[cfg(not(feature = "distributed"))]
fn apart(_: &Settings, _: &[Role], _: bool) -> Result<(), Trouble> {
    Err(not_built())
}

/// Something was asked of a stack that is not in this build.
#[cfg(not(feature = "distributed"))]
pub(crate) fn not_built() -> Trouble {
    Trouble::new(
        "this build has neither PostgreSQL nor Apache Pulsar in it: build one with `cargo build --release --features distributed`, \
         or leave out the contexts, --database and --broker to serve everything from a file",
    )
}

/// The threads that speak HTTP.
fn runtime(settings: &Settings) -> Result<tokio::runtime::Runtime, Trouble> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(format!("cannot start the threads that speak HTTP ({error})")))
}

/// Whether only programs of this machine reach that address.
fn is_own(host: IpAddr) -> bool {
    host.to_canonical().is_loopback()
}

/// Listens. A port that was in use a moment ago may be taken again.
async fn listen(address: SocketAddr) -> Result<Listening, Trouble> {
    Listening::on(address).await.map_err(|error| {
        let what_to_do = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port with --port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need rights: choose another with --port",
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address: choose another with --host",
            _ => "choose another address with --host and --port",
        };
        Trouble::new(format!("cannot listen on {address} ({error}): {what_to_do}"))
    })
}

/// Starts to export traces, if a collector is set.
fn export(settings: &Settings) -> Result<Option<(Exporter, Exporting)>, Trouble> {
    let start = |target| {
        Exporter::start(target).map_err(|error| Trouble::new(format!("cannot start the thread that exports traces ({error})")))
    };
    Target::of(settings)?.map(start).transpose()
}

/// Opens the store, takes every partition of every context and starts the owner's thread.
pub(crate) fn own(
    path: &Path,
    campaigns: campaign::Settings,
    limits: executor::Limits,
    exporter: Option<&Exporter>,
) -> Result<(Handle, Owner, Looks), Trouble> {
    let mut executor = opened(path, campaigns, limits)?;
    let looks = Looks { stream: Stream::new(executor.heads()), moves: Moves::default() };
    executor.tap(looks.stream.tap());
    executor.tap(looks.moves.tap());
    if let Some(exporter) = exporter {
        executor.tap(exporter.tap());
    }
    let started = Bell::default().start(executor, OnCrash::End);
    let (handle, owner) =
        started.map_err(|error| Trouble::new(format!("cannot start the thread that owns the store ({error})")))?;
    Ok((handle, owner, looks))
}

/// Opens the store and takes every partition of every context.
pub(crate) fn opened(path: &Path, campaigns: campaign::Settings, limits: executor::Limits) -> Result<Executor, Trouble> {
    let unusable = |error: StoreError| unusable(path, &error);
    let store = Sqlite::open(path).map_err(unusable)?;
    let contexts = crate::contexts(campaigns);
    let partitions: Vec<Partition> = contexts
        .iter()
        .flat_map(|context| (0..PARTITIONS).map(|number| Partition { context: context.name().into(), number }))
        .collect();
    let clock = SystemClock::default();
    let epoch = u64::try_from(clock.now() / 1000).map_err(|_| Trouble::new("this machine's clock stands before 1970: set it"))?;
    let settings = executor::Settings { partitions: PARTITIONS, epoch };
    let broker = Box::new(Embedded::new(partitions.clone()));
    let opened = Executor::new(contexts, settings, Box::new(store), broker, Box::new(clock), chance()?);
    let mut executor = opened.map_err(unusable)?.limited(limits);
    for partition in &partitions {
        executor.take(partition).map_err(unusable)?;
    }
    Ok(executor)
}

/// What the settings tell the owner.
pub(crate) fn limits(settings: &Settings) -> executor::Limits {
    executor::Limits {
        keep_age: settings.log_keep_age.0.map(|age| age.0),
        keep_bytes: settings.log_keep_size.0.map(|size| size.0),
        not_yet: settings.not_yet.0,
        ..executor::Limits::default()
    }
}

/// The edge, beside the owner and with readers of its own.
pub(crate) fn edge(owner: &Handle, store: &Path, campaigns: campaign::Settings, looks: Looks) -> Result<Bff, Trouble> {
    Ok(Bff {
        door: Arc::new(owner.clone()),
        home: Home::Here(Here {
            owner: owner.clone(),
            read: Arc::new(Readers::new(store)),
            plans: bff::plans(&crate::contexts(campaigns)),
            stream: Some(looks.stream),
            moves: looks.moves,
            files: vec![store.to_owned(), store.with_extension("db-wal")],
            only: None,
            replicas: None,
        }),
        clock: Box::new(SystemClock::default()),
        chance: chance()?,
        campaigns,
    })
}

pub(crate) fn chance() -> Result<Chance, Trouble> {
    Chance::from_system().map_err(|error| Trouble::new(format!("the operating system gives no randomness ({error})")))
}

/// A store that cannot be opened or taken: which, why, and what to do.
fn unusable(path: &Path, error: &StoreError) -> Trouble {
    let (shown, text) = (path.display().to_string(), error.to_string());
    let told = if text.contains(&shown) { text } else { format!("{shown} cannot be used: {text}") };
    let what_to_do = [
        ("locked", ". Another program holds the file: close it, then start again"),
        ("malformed", ". The file is damaged: put a copy in its place, then start again"),
        ("disk is full", ". Make room on the disk, then start again"),
        ("unable to open", ". Look whether it is a file that you may read and write, or name another directory with --data"),
    ];
    let advice = what_to_do.iter().find(|(sign, _)| told.contains(sign)).map_or("", |(_, advice)| advice);
    Trouble::new(format!("{told}{advice}"))
}

/// Says where it is, and what to try.
fn greet(address: SocketAddr, store: &Path) {
    let text = format!(
        "Alpes listens on http://{address} and keeps its data in {}\n\
         Try   curl -H 'Content-Type: application/json' -H 'Prefer: wait=10' http://{address}/v1/campaigns -d \
         '{{\"id\":\"c-1\",\"name\":\"Moda\",\"brand\":\"b-1\",\"budget\":{{\"amount\":\"15000.00\",\"currency\":\"USD\"}},\
         \"participants\":[{{\"id\":\"p-1\",\"kind\":\"influencer\",\"name\":\"Alice Doe\"}}]}}'\n\
         Stop  with Ctrl-C\n",
        store.display()
    );
    say(&text);
}

/// Says something to whoever started it, who may have closed this end: that is no reason not to serve.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _unread = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Serves until a signal comes, then finishes what has begun; or until the owner can no longer go on.
async fn attend(
    listening: Listening,
    edge: Bff,
    looks: Looks,
    exporter: Option<Exporter>,
    handle: Handle,
    owner: Owner,
    mut signals: Signals,
) -> Result<(), Trouble> {
    let mut owner = tokio::task::spawn_blocking(move || owner.join());
    let (stop, stopped) = oneshot::channel::<()>();
    let spans = exporter.map(Exporter::spans);
    let serving = bff::serve(listening, edge.traced(spans), async move {
        // Told to stop, or nobody is left who could tell.
        let _either = stopped.await;
        looks.close();
    });
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut owner => return Err(broken(ended)),
        () = &mut serving => return Err(Trouble::new("the port was closed from outside: start again")),
        () = signals.next() => {}
    }
    let _told = stop.send(());
    tokio::select! {
        ended = &mut owner => return Err(broken(ended)),
        () = &mut serving => {}
        () = signals.next() => tracing::warn!("told to stop a second time: requests in flight are not waited for"),
    }
    handle.stop();
    match owner.await {
        Ok(Ok(Ok(()))) => Ok(()),
        ended => Err(broken(ended)),
    }
}

/// Why the owner's thread has ended though nobody stopped it.
fn broken(ended: Result<std::thread::Result<Result<(), Stop>>, tokio::task::JoinError>) -> Trouble {
    let why = match ended {
        Ok(Ok(Err(Stop::Crash(why)))) => format!("the store could not be read or written ({why})"),
        Ok(Ok(Ok(()))) => "the thread that owns the store has ended by itself".to_owned(),
        Ok(Err(_)) | Err(_) => {
            "a defect of Alpes broke the thread that owns the store; please report what stands above".to_owned()
        }
    };
    Trouble::new(format!(
        "{why}, so this process ends. Nothing that was acknowledged is lost: look after the disk, then start it again; it goes on from there"
    ))
}

/// Ctrl-C, and what a service manager sends.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From here on signals are heard, and no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Signals, Trouble> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let heard = |kind| signal(kind).map_err(|error| Trouble::new(format!("cannot listen for signals ({error})")));
            Ok(Signals { interrupt: heard(SignalKind::interrupt())?, terminate: heard(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_addresses_need_no_trust() {
        for own in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        for open in ["0.0.0.0", "::", "192.168.1.5", "::ffff:10.0.0.1", "8.8.8.8"] {
            assert!(!is_own(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn a_store_that_cannot_be_used_is_named_once_with_what_to_do() {
        let told = |text: &str| unusable(Path::new("d/alpes.db"), &StoreError(text.to_owned())).to_string();
        assert!(told("cannot take a partition: database is locked").ends_with("close it, then start again"));
        assert_eq!(told("cannot open d/alpes.db: no").matches("d/alpes.db").count(), 1);
        assert!(told("cannot read: it burns").starts_with("d/alpes.db cannot be used: cannot read: it burns"));
    }

    #[test]
    fn however_the_owner_ends_one_line_tells_what_is_not_lost() {
        let crashed = broken(Ok(Ok(Err(Stop::Crash("disk I/O error".to_owned()))))).to_string();
        assert!(crashed.contains("disk I/O error") && crashed.contains("Nothing that was acknowledged is lost"), "{crashed}");
        let panicked = broken(Ok(Err(Box::new("boom")))).to_string();
        assert!(panicked.contains("report") && panicked.lines().count() == 1, "{panicked}");
    }
}
