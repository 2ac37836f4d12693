//! `alpes serve CONTEXT…` over PostgreSQL and Apache Pulsar: a context's service, as many times as are wanted, or the edge before them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bff::{Begun, Bff, Ends, Following, Here, Home, Listening, Live, Moves, Replicas, Services, Starting};
use seedwork::broker::Loopback;
use seedwork::broker::pulsar::{self, Edge, Followed, Follower, Pulsar};
use seedwork::clock::{Clock, SystemClock};
use seedwork::executor::owner::{Bell, Handle, OnCrash};
use seedwork::executor::{self, Executor};
use seedwork::message::{Role as Topic, topic_schema};
use seedwork::store::StoreError;
use seedwork::store::postgres::{self, LeaseSettings, Leases, Postgres, Readers, holders};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::door::{Asked, Remote};
use super::{Owner, Role, Signals, broken, chance, export, limits, listen, runtime, say};
use crate::otlp::Exporter;
use crate::settings::{Address, Settings};
use crate::trouble::{Exit, Trouble};

/// Between two attempts to begin, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// An owner of partitions of one context, and what keeps its leases.
struct Service {
    handle: Handle,
    owner: Owner,
    leases: Leases,
}

/// Serves these roles in this process until a signal stops it.
pub(super) fn run(settings: &Settings, roles: &[Role], port_is_set: bool) -> Result<(), Trouble> {
    let usage = |text: String| Trouble::new(text).exit(Exit::Usage);
    let roles = if roles.is_empty() { &Role::ALL[..] } else { roles };
    if roles.len() > 1 && port_is_set {
        return Err(usage("--port is one port and there are several services: leave it out, or start each alone".to_owned()));
    }
    if !settings.partitions.is_power_of_two() {
        return Err(usage(format!("--partitions {} is no power of two", settings.partitions)));
    }
    let contexts = roles.iter().filter(|role| role.context().is_some()).count();
    if contexts > 1 && settings.database.0.as_ref().is_some_and(|url| !url.is_for_each()) {
        return Err(usage(
            "--database names one database and there are several contexts: write {context} where its name differs".to_owned(),
        ));
    }
    let runtime = runtime(settings)?;
    let (exporter, exporting) = export(settings)?.unzip();
    let mut listening = Vec::new();
    for role in roles {
        let port = if port_is_set { settings.port } else { role.port() };
        let socket = runtime.block_on(listen(SocketAddr::new(settings.host, port)))?;
        listening.push((*role, socket.at_most(settings.connections)));
    }
    let ended = runtime.block_on(async { attend(settings, listening, exporter, Signals::listen()?).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    ended
}

/// Why a service has not begun.
enum Not {
    /// What it needs is away: it begins when that comes.
    Yet(Trouble),
    /// Somebody has to change something.
    Begun(Trouble),
}

impl From<Trouble> for Not {
    fn from(trouble: Trouble) -> Not {
        Not::Begun(trouble)
    }
}

impl From<pulsar::Trouble> for Not {
    fn from(trouble: pulsar::Trouble) -> Not {
        let told = Trouble::new(trouble.to_string());
        if trouble.passes { Not::Yet(told) } else { Not::Begun(told) }
    }
}

/// Begins a service, as soon as what it needs is there.
async fn begin(
    settings: Settings,
    role: Role,
    address: SocketAddr,
    exporter: Option<Exporter>,
    starting: Starting,
) -> Result<Option<Service>, Trouble> {
    let (mut wait, mut told, mut mistaken) = (AGAIN.0, String::new(), false);
    let name = match &settings.replica.0 {
        Some(name) => format!("{}-{}", role.name(), name.0),
        None => format!("{}-{:016x}", role.name(), chance()?.bits()),
    };
    loop {
        let name = name.clone();
        let (settings, own, runtime) = (settings.clone(), exporter.clone(), tokio::runtime::Handle::current());
        let attempt = tokio::task::spawn_blocking(move || start(&settings, name, role, address, own.as_ref(), &runtime)).await;
        match attempt {
            Ok(Ok((edge, service))) => {
                let spans = exporter.map(Exporter::spans);
                let ends: Ends = match &edge.home {
                    Home::Away(_, live) => {
                        let live = live.clone();
                        Box::new(move || live.close())
                    }
                    Home::Here(here) => {
                        let moves = here.moves.clone();
                        Box::new(move || moves.close())
                    }
                };
                starting.begun(edge.traced(spans), ends);
                say(&format!("Alpes {} listens on http://{address}\n", role.name()));
                return Ok(service);
            }
            Ok(Err(Not::Yet(trouble))) => {
                mistaken = false;
                let why = trouble.to_string();
                starting.waits(&why);
                // Once, and not with every attempt.
                if why != told {
                    tracing::warn!(service = role.name(), %address, why, "not ready: it is tried again until it does");
                    told = why;
                }
            }
            // A database that was away may be back when it is asked whether it is; a mistake is one the second time too.
            Ok(Err(Not::Begun(_))) if !mistaken => mistaken = true,
            Ok(Err(Not::Begun(trouble))) => return Err(trouble),
            Err(_) => {
                return Err(Trouble::new(format!("a defect of Alpes broke the start of {}; please report it", role.name())));
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

fn start(
    settings: &Settings,
    name: String,
    role: Role,
    address: SocketAddr,
    exporter: Option<&Exporter>,
    runtime: &tokio::runtime::Handle,
) -> Result<(Bff, Option<Service>), Not> {
    let broker = broker(settings, name)?;
    let campaigns = campaign::Settings { opening_limit_major: settings.opening_limit };
    // Before there is an owner, which nobody would stop if this failed.
    let door = door(broker.clone(), runtime)?;
    let (service, home) = match role.context() {
        None => (None, Home::Away(services(settings)?, live(broker))),
        Some(context) => {
            let (service, here) = own(settings, context, campaigns, broker, exporter, reached_at(settings, address)?)?;
            (Some(service), Home::Here(here))
        }
    };
    let edge = Bff { door: Arc::new(door), home, clock: Box::new(SystemClock::default()), chance: chance()?, campaigns };
    Ok((edge, service))
}

/// Where the broker is, as the settings say.
pub(crate) fn broker(settings: &Settings, name: String) -> Result<pulsar::Settings, Trouble> {
    let missing = "--broker is missing: the services speak over Apache Pulsar, for example --broker pulsar://127.0.0.1:6650";
    let url = settings.broker.0.clone().ok_or_else(|| Trouble::new(missing).exit(Exit::Usage))?;
    let mut broker = pulsar::Settings::new(url.0, name);
    broker.token.clone_from(&settings.broker_token.0);
    broker.admin = settings.broker_admin.0.as_ref().map(ToString::to_string);
    broker.tenant.clone_from(&settings.broker_namespace.tenant);
    broker.namespace.clone_from(&settings.broker_namespace.name);
    broker.partitions = settings.partitions;
    for context in bff::CONTEXTS {
        for topic in [Topic::Command, Topic::Event, Topic::Reply] {
            let schema = topic_schema(context, topic, wire::TABLES).to_string();
            broker.schemas.insert(format!("{context}.{}", topic.topic()).into(), schema.into());
        }
    }
    Ok(broker)
}

/// Where the other replicas of a service reach this one, `host:port`.
fn reached_at(settings: &Settings, listening: SocketAddr) -> Result<String, Not> {
    if let Some(address) = &settings.advertise.0 {
        let wrong = || Trouble::new(format!("advertise is {address}: it has to be a host and a port, without a path"));
        return address.authority().map(str::to_owned).ok_or_else(|| wrong().exit(Exit::Usage).into());
    }
    if !listening.ip().is_unspecified() {
        return Ok(listening.to_string());
    }
    let broker = settings.broker.0.as_ref().and_then(|broker| broker.0.split_once("://")).map_or("", |(_, place)| place);
    let broker = broker.split(',').next().unwrap_or_default();
    // Nothing is sent: the system says by which of this machine's addresses it would go.
    let own = UdpSocket::bind((listening.ip(), 0)).and_then(|socket| {
        if broker.contains(':') {
            socket.connect(broker)?
        } else {
            socket.connect((broker, 6650))?
        }
        socket.local_addr()
    });
    let own = own.map_err(|error| {
        let why = "the address from which the broker is reached is not known";
        Not::Yet(Trouble::new(format!("{why} ({error}): wait for its name to be known, or set --advertise")))
    })?;
    Ok(SocketAddr::new(own.ip(), listening.port()).to_string())
}

/// The database of a context, as the settings say.
pub(crate) fn database(settings: &Settings, context: &str) -> Result<String, Trouble> {
    let missing =
        "--database is missing: each context has one, for example --database postgres://alpes@127.0.0.1/alpes_{context}";
    let url = settings.database.0.as_ref().ok_or_else(|| Trouble::new(missing).exit(Exit::Usage))?;
    Ok(url.of(context))
}

/// Opens the context's store and starts an owner, which takes the partitions whose leases it gets.
fn own(
    settings: &Settings,
    context: &'static str,
    campaigns: campaign::Settings,
    broker: pulsar::Settings,
    exporter: Option<&Exporter>,
    address: String,
) -> Result<(Service, Here), Not> {
    let url = database(settings, context)?;
    let unusable = |error: StoreError| {
        let trouble = Trouble::new(format!("the database of {context} cannot be used: {error}"));
        if postgres::is_away(&url) { Not::Yet(trouble) } else { Not::Begun(trouble) }
    };
    let contexts: Vec<_> = crate::contexts(campaigns).into_iter().filter(|known| known.name() == context).collect();
    let plans = bff::plans(&contexts);
    let clock = SystemClock::default();
    let epoch = u64::try_from(clock.now() / 1000).map_err(|_| Trouble::new("this machine's clock stands before 1970: set it"))?;
    let executing = executor::Settings { partitions: settings.partitions, epoch };
    let store = Postgres::connect(&url).map_err(unusable)?;
    let replica = broker.name.clone();
    let bell = Bell::default();
    let ring = bell.clone();
    let broker = Loopback::new(Box::new(Pulsar::connect(broker, move || ring.ring())?));
    let opened = Executor::new(contexts, executing, Box::new(store), Box::new(broker), Box::new(clock), chance()?);
    let mut executor = opened.map_err(unusable)?.limited(limits(settings));
    if let Some(exporter) = exporter {
        executor.tap(exporter.tap());
    }
    let moves = Moves::default();
    executor.tap(moves.tap());
    let started = bell.start(executor, OnCrash::Again);
    let (handle, owner) = started.map_err(|error| Trouble::new(format!("cannot start the owner's thread ({error})")))?;
    let leasing = LeaseSettings { address: Some(address), ..LeaseSettings::default() };
    let leases = Leases::run(&url, context, &replica, settings.partitions, handle.clone(), leasing).map_err(unusable)?;
    let here = Here {
        owner: handle.clone(),
        read: Arc::new(Readers::new(&url).map_err(unusable)?),
        plans,
        stream: None,
        moves,
        files: Vec::new(),
        only: Some(context),
        replicas: Some(Replicas::new(settings.partitions, holders)),
    };
    Ok((Service { handle, owner, leases }, here))
}

/// A door over the broker.
fn door(broker: pulsar::Settings, runtime: &tokio::runtime::Handle) -> Result<Remote, pulsar::Trouble> {
    let asked = Arc::<Asked>::default();
    let hearing = asked.clone();
    let edge = Edge::connect(broker, move |answered| hearing.hear(answered))?;
    let answer_to: Arc<str> = edge.answer_to().into();
    let edge = Arc::new(edge);
    let send: super::door::Sender = Box::new(move |context, packet, hash| {
        let edge = edge.clone();
        Box::pin(async move { edge.send(&context, &packet, &hash).await })
    });
    Ok(Remote::new(asked, send, runtime.clone(), answer_to))
}

/// What the contexts say, followed from the first subscriber on.
fn live(broker: pulsar::Settings) -> Live {
    Live::new(broker.partitions, move |heard| {
        let topics = bff::CONTEXTS.map(|context| format!("{context}.{}", Topic::Event.topic()).into());
        let hear = move |followed| match followed {
            Followed::Row(row) => heard.row(row),
            Followed::Interrupted => heard.interrupted(),
        };
        let follower = Follower::start(broker.clone(), topics, hear).map_err(|trouble| trouble.to_string())?;
        let follower = Arc::new(follower);
        let begun = follower.clone();
        Ok((Box::new(follower) as Following, Box::pin(async move { begun.begun().await }) as Begun))
    })
}

/// Where the services are, as the settings say.
fn services(settings: &Settings) -> Result<Services, Trouble> {
    let at = |key: &str, address: &Address| match address.authority() {
        Some(authority) => Ok(authority.to_owned()),
        None => {
            Err(Trouble::new(format!("{key} is {address}: it has to be a host and a port, without a path")).exit(Exit::Usage))
        }
    };
    let addresses = [
        ("campaign", at("services.campaign", &settings.services_campaign)?),
        ("partner", at("services.partner", &settings.services_partner)?),
        ("tracking", at("services.tracking", &settings.services_tracking)?),
    ];
    Services::new(addresses).map_err(|context| Trouble::new(format!("services.{context} names no server")).exit(Exit::Usage))
}

/// Serves until a signal comes; then lets requests finish, hands the partitions on, and ends the owners.
async fn attend(
    settings: &Settings,
    listening: Vec<(Role, Listening)>,
    exporter: Option<Exporter>,
    mut signals: Signals,
) -> Result<(), Trouble> {
    let (stop, stopping) = watch::channel(());
    let (mut serving, mut beginning, mut owners) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut services = Vec::new();
    for (role, listening) in listening {
        let (mut stopping, starting) = (stopping.clone(), Starting::default());
        beginning.spawn(begin(settings.clone(), role, listening.address, exporter.clone(), starting.clone()));
        serving.spawn(bff::serve(listening, starting.router(), async move {
            // Told to stop, or nobody is left who could tell.
            let _either = stopping.changed().await;
            starting.stop();
        }));
    }
    loop {
        tokio::select! {
            Some(begun) = beginning.join_next() => {
                let broke = |_| Trouble::new("a defect of Alpes broke the start of a service; please report what stands above");
                if let Some(Service { handle, owner, leases }) = begun.map_err(broke)?? {
                    owners.spawn_blocking(move || owner.join());
                    services.push((handle, leases));
                }
            }
            Some(ended) = owners.join_next() => return Err(broken(ended)),
            Some(_) = serving.join_next() => return Err(Trouble::new("a port was closed from outside: start again")),
            () = signals.next() => break,
        }
    }
    beginning.abort_all();
    stop.send_replace(());
    tokio::select! {
        () = async { while serving.join_next().await.is_some() {} } => {}
        () = signals.next() => tracing::warn!("told to stop a second time: requests in flight are not waited for"),
    }
    for (handle, leases) in services {
        // Others may take the partitions at once, instead of when the leases run out.
        if tokio::task::spawn_blocking(move || leases.stop()).await.is_err() {
            tracing::error!("what keeps the leases had panicked");
        }
        handle.stop();
    }
    while let Some(ended) = owners.join_next().await {
        if !matches!(ended, Ok(Ok(Ok(())))) {
            return Err(broken(ended));
        }
    }
    Ok(())
}
