//! How it is moved: the messages run out, the directory is marked, and each context's rows go to its database in one transaction.

use seedwork::broker::Broker as _;
use seedwork::broker::pulsar::Pulsar;
use seedwork::clock::{Clock as _, SystemClock};
use seedwork::store::carry::{Carried, Received, carry};
use seedwork::store::{Partition, Postgres, Sqlite, Store as _, StoreError};

use super::Move;
use crate::lock::{self, DataDirectory, Moved};
use crate::print;
use crate::serve::{self, distributed};
use crate::settings::{Maybe, Settings};
use crate::trouble::{Exit, Trouble};

pub(super) fn run(asked: &Move) -> Result<(), Trouble> {
    let mut settings = asked.flags.settings()?;
    settings.data.clone_from(&asked.from);
    settings.database = Maybe(Some(asked.to.clone()));
    crate::log(&settings)?;
    let usage = |text: String| Trouble::new(text).exit(Exit::Usage);
    let shown = asked.from.display();
    if !settings.partitions.is_power_of_two() {
        return Err(usage(format!("--partitions {} is no power of two", settings.partitions)));
    }
    if !asked.to.is_for_each() {
        return Err(usage(
            "--to names one database and there are several contexts: write {context} where its name differs".to_owned(),
        ));
    }
    if !lock::store(&asked.from).is_file() {
        return Err(Trouble::new(format!("there is no store in {shown}: name the data directory of a server with --from")));
    }
    let data = DataDirectory::take_marked(&asked.from)?;
    let begun = Moved::of(&asked.from)?;
    if let Some(moved) = begun.as_ref().filter(|moved| moved.done) {
        return Err(moved.refusal(&asked.from));
    }
    unused(&settings)?;
    let moving = match begun {
        // What was brought already rests on the store as it is: nothing runs in it any more.
        Some(moved) if moved.to != asked.to.place() => {
            return Err(Trouble::new(format!(
                "the move of {shown} to {} was broken off: end it with the same --to, or give it up by deleting the file \"moved\" there",
                moved.to
            )));
        }
        Some(moved) => moved,
        None => {
            print::note(&format!("letting the messages of {shown} run out"));
            let campaigns = campaign::Settings { opening_limit_major: settings.opening_limit };
            let mut executor = serve::opened(&data.store(), campaigns, serve::limits(&settings))?;
            executor.run_out().map_err(|error| Trouble::new(format!("{shown} does not come to rest: {error}")))?;
            let id = i64::try_from(serve::chance()?.bits() >> 1).unwrap_or(i64::MAX).max(1);
            Moved { id, to: asked.to.place().to_owned(), done: false }
        }
    };
    ready(&settings)?;
    moving.mark(&asked.from)?;
    carry_all(&settings, &data, moving.id)?;
    Moved { done: true, ..moving }.mark(&asked.from)?;
    print::text(&format!(
        "All of it is in {}. Start the services there with --partitions {}; {shown} is as it was, and is not served any more\n",
        asked.to.place(),
        settings.partitions
    ));
    Ok(())
}

/// Nothing was said in the namespace by streams of these names: it would be taken for what the moved ones say.
fn unused(settings: &Settings) -> Result<(), Trouble> {
    let name = format!("move-{:016x}", serve::chance()?.bits());
    let broker = distributed::broker(settings, name)?;
    let mut broker = Pulsar::connect(broker, || {}).map_err(|trouble| Trouble::new(trouble.to_string()))?;
    for context in bff::CONTEXTS {
        for number in 0..settings.partitions {
            let partition = Partition { context: context.into(), number };
            if broker.last_sent(&partition).map_err(|error| Trouble::new(error.to_string()))?.is_some() {
                let namespace = &settings.broker_namespace;
                return Err(Trouble::new(format!(
                    "the namespace {}/{} has messages of {partition}, so it belongs to another deployment: name an unused one with \
                     --broker-namespace",
                    namespace.tenant, namespace.name
                )));
            }
        }
    }
    Ok(())
}

/// Every database can be reached, before the directory is marked.
fn ready(settings: &Settings) -> Result<(), Trouble> {
    bff::CONTEXTS.iter().try_for_each(|context| {
        Postgres::connect(&distributed::database(settings, context)?).map(drop).map_err(unusable(context))
    })
}

fn unusable(context: &str) -> impl Fn(StoreError) -> Trouble + '_ {
    move |error| Trouble::new(format!("the database of {context} cannot be used: {error}"))
}

fn carry_all(settings: &Settings, data: &DataDirectory, moving: i64) -> Result<(), Trouble> {
    let campaigns = campaign::Settings { opening_limit_major: settings.opening_limit };
    let epoch = u64::try_from(SystemClock::default().now() / 1000)
        .map_err(|_| Trouble::new("this machine's clock stands before 1970: set it"))?;
    let mut source = Sqlite::open(&data.store()).map_err(|error| Trouble::new(error.to_string()))?;
    for context in crate::contexts(campaigns) {
        let (name, schema) = (context.name(), context.schema(epoch));
        source.open(&schema).map_err(|error| Trouble::new(error.to_string()))?;
        let mut target = Postgres::connect(&distributed::database(settings, name)?).map_err(unusable(name))?;
        target.open(&schema).map_err(unusable(name))?;
        let received = carry(&mut source, &mut target, name, &schema, settings.partitions, moving).map_err(unusable(name))?;
        print::text(&match received {
            Received::Before => format!("{name}: was there already\n"),
            Received::Now(Carried { states, sagas, waiting, commands, log }) => format!(
                "{name}: {states} aggregates, {sagas} sagas, {waiting} waiting messages, {commands} commands, {log} rows of the log\n"
            ),
        });
    }
    Ok(())
}
