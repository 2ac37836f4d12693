//! `alpes simulate`: the real machine over the real contexts in a simulated world, where time is virtual and everything fails now and then:
//! stores crash before and after commits, messages are lost, doubled and late, partitions change hands. One seed twice is the same day.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use seedwork::clock::Chance;
use seedwork::testing::{Faults, World};
use serde::Serialize;
use wire::values::{CampaignKind, Money, PartnerKind};

use crate::print::{self, Cell, Table};
use crate::trouble::Trouble;

/// Virtual time after which a world must have come to rest: longer than all attempts and deadlines together.
const REST: Duration = Duration::from_secs(24 * 3600);
/// Campaigns of a day, brands that pay for them, and people who take part.
const CAMPAIGNS: u64 = 4;
const BRANDS: u64 = 2;
const PEOPLE: u64 = 5;

/// What is simulated.
#[derive(Clone, Copy, Debug, Args)]
pub struct Simulate {
    /// The first day's seed; each next day has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many days
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    days: u32,
    /// A store and two processes for each context and a broker between them, instead of one process
    #[arg(long)]
    distributed: bool,
    /// Nothing fails
    #[arg(long)]
    calm: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What became of a day.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Day {
    seed: u64,
    /// Commands that were asked.
    asked: u32,
    /// Sagas, by name and how they ended: an outcome, and the reason when one was undone.
    sagas: BTreeMap<String, u32>,
    /// Reserved of what each brand may reserve, at the end.
    accounts: Vec<String>,
}

/// Lets the days go by and prints what happened.
///
/// # Errors
/// When a world does not come to rest, or what must hold at rest does not: the seed is named, and finds it again.
pub fn run(asked: &Simulate) -> Result<(), Trouble> {
    let (mut all, mut days) = (BTreeMap::new(), Vec::new());
    let mut table = Table::new(&["SEED", "ASKED", "SAGAS", "RESERVED"]);
    for number in 0..u64::from(asked.days) {
        let seed = asked.seed.wrapping_add(number);
        let day = day(seed, asked).map_err(|why| Trouble::new(format!("the day of seed {seed} ends badly: {why}")))?;
        for (how, count) in &day.sagas {
            *all.entry(how.clone()).or_insert(0_u64) += u64::from(*count);
        }
        let sagas: Vec<String> = day.sagas.iter().map(|(how, count)| format!("{count} {how}")).collect();
        table.row([
            Cell::plain(seed.to_string()).right(),
            Cell::plain(day.asked.to_string()).right(),
            Cell::plain(sagas.join(", ")),
            Cell::quiet(day.accounts.join(", ")),
        ]);
        if asked.json {
            days.push(day);
        }
    }
    if asked.json {
        return print::json(&days);
    }
    table.print();
    let sagas: Vec<String> = all.iter().map(|(how, count)| format!("{count} {how}")).collect();
    print::line(&format!("\n{} days: {}", asked.days, sagas.join(", ")));
    Ok(())
}

fn day(seed: u64, asked: &Simulate) -> Result<Day, String> {
    let contexts = || crate::contexts(campaign::Settings { opening_limit_major: 1_000_000 });
    let mut world = if asked.distributed { World::distributed(contexts, 2, seed) } else { World::embedded(contexts, seed) };
    if !asked.calm {
        world.set_faults(Faults::all());
    }
    let commands = script(&mut world, seed)?;
    world.run(Duration::from_secs(12));
    world.set_faults(Faults::default());
    if !world.settle(REST) {
        return Err(format!("the world does not come to rest: {}", world.describe()));
    }
    // The last message of a route that the broker lost is found when the route has been idle.
    world.run(Duration::from_secs(600));
    let mut sagas = BTreeMap::new();
    for (id, record) in world.sagas() {
        if !record.run.stage.ended() {
            return Err(format!("saga {id} has not ended: {record:?}"));
        }
        let reason = record.run.reason.as_ref().map(|reason| format!(" ({})", reason.refusal.code)).unwrap_or_default();
        *sagas.entry(format!("{} {}{reason}", record.name, record.stage())).or_insert(0) += 1;
    }
    Ok(Day { seed, asked: commands, sagas, accounts: accounts(&world)? })
}

/// The accounts; each holds what its approved reservations say, and no more than its limit.
fn accounts(world: &World) -> Result<Vec<String>, String> {
    use campaign::account::Account;
    use campaign::reservation::{Reservation, Status};
    let reservations = world.states::<Reservation>("campaign");
    let mut told = Vec::new();
    for account in world.states::<Account>("campaign") {
        let id = account.account().as_str();
        let of_it = |one: &&Reservation| {
            one.status() == Status::Approved
                && one.amount().currency == account.limit().currency
                && one.reservation().as_str().split('~').next() == id.split('~').next()
        };
        let reserved: i64 = reservations.iter().filter(of_it).map(|one| one.amount().amount).sum();
        if reserved != account.reserved().amount || reserved > account.limit().amount {
            return Err(format!(
                "account {id} holds {} of {}, and its reservations {reserved}",
                account.reserved(),
                account.limit()
            ));
        }
        told.push(format!("{id} {} of {}", account.reserved(), account.limit()));
    }
    Ok(told)
}

/// What is asked in a day, drawn by its seed. How many commands that were.
fn script(world: &mut World, seed: u64) -> Result<u32, String> {
    let mut chance = Chance::seeded(seed ^ 0x51_0ca7e);
    let mut commands = 0;
    for number in 0..CAMPAIGNS {
        commands += 1;
        world.ask(&campaign_of(number, &mut chance)?);
        for _ in 0..3 {
            for _ in 0..chance.below(10) {
                world.step(Duration::MAX);
            }
            let campaign = id(format!("c-{}", chance.below(number + 1)))?;
            let partner = id(format!("p-{}", chance.below(PEOPLE)))?;
            commands += 1;
            let _asked = match chance.below(8) {
                0 => world.ask(&wire::BanPartner { partner, reason: None }),
                1 => world.ask(&wire::UnbanPartner { partner }),
                2 => world.ask(&wire::CancelCampaign { campaign, reason: "too dear".to_owned() }),
                3 => world.ask(&wire::FinishCampaign { campaign }),
                4 => world.ask(&wire::PauseCampaign { campaign }),
                5 => world.ask(&wire::ResumeCampaign { campaign }),
                6 => world.ask(&wire::Block { block: id(format!("{partner}~partner"))? }),
                _ => world.ask(&wire::Unblock { block: id(format!("{partner}~partner"))? }),
            };
        }
    }
    Ok(commands)
}

fn campaign_of(number: u64, chance: &mut Chance) -> Result<wire::RegisterCampaign, String> {
    let people: std::collections::BTreeSet<u64> = (0..=chance.below(3)).map(|_| chance.below(PEOPLE)).collect();
    let participant = |person: u64| {
        let (kind, name) = (PartnerKind::Influencer, format!("Person {person}"));
        Ok(wire::Participant { id: id(format!("p-{person}"))?, kind, name, profile: String::new(), kind_as_sent: None })
    };
    Ok(wire::RegisterCampaign {
        campaign: id(format!("c-{number}"))?,
        name: format!("Campaign {number}"),
        kind: CampaignKind::Mixed,
        starts: None,
        ends: None,
        budget: Money::parse(["200000", "400000", "700000"][usize::try_from(chance.below(3)).unwrap_or(0)], "USD")
            .map_err(|error| error.to_string())?,
        brand: id(format!("b-{}", chance.below(BRANDS)))?,
        participants: people.into_iter().map(participant).collect::<Result<_, String>>()?,
        kind_as_sent: None,
    })
}

fn id<T: std::str::FromStr<Err: std::fmt::Display>>(text: String) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_day_and_days_differ() {
        for distributed in [false, true] {
            let asked = Simulate { seed: 7, days: 1, distributed, calm: false, json: false };
            let told = day(7, &asked).unwrap();
            assert_eq!(told, day(7, &asked).unwrap());
            let days: Vec<Day> = (0..8).map(|seed| day(seed, &asked).unwrap()).collect();
            let seen: std::collections::BTreeSet<&str> =
                days.iter().flat_map(|day| day.sagas.keys().map(String::as_str)).collect();
            assert!(seen.len() > 3, "much happens in a few days: {seen:?}");
        }
    }
}
