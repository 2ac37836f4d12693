//! A small business for the tests: a harbour sells crossings, a ferry keeps berths. A crossing is booked by a saga: a berth for every
//! passenger, then the fare from the payer's purse, the pivot, then the crossing is confirmed.
#![allow(dead_code, missing_docs, reason = "each test uses what it needs")]
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(clippy::ptr_arg, reason = "the items of a list of String are &String")]

pub mod harbour_v1 {
    use apache_avro::AvroSchema;
    use serde::{Deserialize, Serialize};
    seedwork::messages! {
        context Harbour = "harbour", version 1;
        commands {
            BookCrossing "book" by crossing;
            UnbookCrossing "unbook" by crossing;
            ConfirmCrossing "confirm" by crossing;
            CancelCrossing "cancel" by crossing;
            TakeFare "take-fare" by fare;
            FillPurse "fill-purse" by purse;
        }
        events { CrossingConfirmed "confirmed" by crossing; FareTaken "fare-taken" by fare; }
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct BookCrossing {
        pub crossing: String,
        pub purse: String,
        pub passengers: Vec<String>,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct UnbookCrossing {
        pub crossing: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct ConfirmCrossing {
        pub crossing: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct CancelCrossing {
        pub crossing: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct TakeFare {
        pub fare: String,
        pub amount: i64,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct FillPurse {
        pub purse: String,
        pub amount: i64,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct CrossingConfirmed {
        pub crossing: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct FareTaken {
        pub fare: String,
    }
}

pub mod ferry_v1 {
    use apache_avro::AvroSchema;
    use serde::{Deserialize, Serialize};
    seedwork::messages! {
        context Ferry = "ferry", version 1;
        commands { TakeBerth "take-berth" by berth; FreeBerth "free-berth" by berth; Board "board" by berth; }
        events { BerthTaken "berth-taken" by berth; }
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct TakeBerth {
        pub berth: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct FreeBerth {
        pub berth: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct Board {
        pub berth: String,
    }
    #[derive(Clone, Debug, Serialize, Deserialize, AvroSchema)]
    pub struct BerthTaken {
        pub berth: String,
    }
}

use std::fmt::Write as _;

use ferry_v1::*;
use harbour_v1::*;
use seedwork::saga::Committed;
use seedwork::testing::World;
use seedwork::{Abort, Aggregate, Context, Outbox, Publish, Refusal, Result, Saga, UnitOfWork};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    pub id: String,
    pub status: String,
    pub saga: String,
    pub cancel: bool,
}
impl Aggregate for Crossing {
    const KIND: &'static str = "crossing";
    fn id(&self) -> &str {
        &self.id
    }
}
impl Publish for Crossing {
    type Event = String;
    fn publish(&self, event: String, out: &mut Outbox) {
        if event == "confirmed" {
            out.event(CrossingConfirmed { crossing: self.id.clone() });
        }
    }
}
impl Crossing {
    fn become_(&mut self, status: &str) -> Option<String> {
        (self.status != status).then(|| {
            self.status = status.to_owned();
            status.to_owned()
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Purse {
    pub id: String,
    pub amount: i64,
}
impl Aggregate for Purse {
    const KIND: &'static str = "purse";
    fn id(&self) -> &str {
        &self.id
    }
}
impl Publish for Purse {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.nothing();
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fare {
    pub id: String,
    pub amount: i64,
}
impl Aggregate for Fare {
    const KIND: &'static str = "fare";
    fn id(&self) -> &str {
        &self.id
    }
}
impl Publish for Fare {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.event(FareTaken { fare: self.id.clone() });
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Berth {
    pub id: String,
    pub taken: bool,
    pub changes: u32,
}
impl Aggregate for Berth {
    const KIND: &'static str = "berth";
    fn id(&self) -> &str {
        &self.id
    }
}
impl Publish for Berth {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.event(BerthTaken { berth: self.id.clone() });
    }
}

/// What the ferry knows of confirmed crossings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub id: String,
    pub times: u32,
}
impl Aggregate for Known {
    const KIND: &'static str = "known";
    fn id(&self) -> &str {
        &self.id
    }
}
impl Publish for Known {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.nothing();
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Booking {
    pub crossing: String,
    pub purse: String,
    pub berths: Vec<String>,
}

impl Booking {
    pub fn unbook(&self) -> UnbookCrossing {
        UnbookCrossing { crossing: self.crossing.clone() }
    }
    pub fn berths(&self) -> &[String] {
        &self.berths
    }
    pub fn take_berth(&self, berth: &String) -> TakeBerth {
        TakeBerth { berth: berth.clone() }
    }
    pub fn free_berth(&self, berth: &String) -> FreeBerth {
        FreeBerth { berth: berth.clone() }
    }
    pub fn take_fare(&self) -> TakeFare {
        TakeFare { fare: format!("{}~{}", self.purse, self.crossing), amount: 10 * self.berths.len() as i64 }
    }
    pub fn confirm(&self) -> ConfirmCrossing {
        ConfirmCrossing { crossing: self.crossing.clone() }
    }
}

pub fn booking() -> Saga<Booking, Committed> {
    Saga::new("harbour.booking")
        .undo_start(Booking::unbook)
        .each(Booking::berths)
        .step(Booking::take_berth)
        .undo(Booking::free_berth)
        .pivot(Booking::take_fare)
        .then(Booking::confirm)
}

fn book(ask: BookCrossing, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<Crossing>(&ask.crossing)?.is_some() {
        return Err(Refusal::conflict("booked", "this crossing is booked").into());
    }
    let berths = ask.passengers.iter().map(|passenger| format!("{passenger}~{}", ask.crossing)).collect();
    let saga = work.start(Booking { crossing: ask.crossing.clone(), purse: ask.purse, berths })?;
    let crossing = Crossing { id: ask.crossing, status: "draft".into(), saga: saga.to_string(), cancel: false };
    work.save(crossing, ["drafted".to_owned()])
}

fn unbook(ask: UnbookCrossing, work: &mut UnitOfWork<'_>) -> Result {
    let mut crossing = work.load::<Crossing>(&ask.crossing)?;
    let event = crossing.become_("cancelled");
    work.save(crossing, event)
}

fn confirm(ask: ConfirmCrossing, work: &mut UnitOfWork<'_>) -> Result {
    let mut crossing = work.load::<Crossing>(&ask.crossing)?;
    let event = crossing.become_("confirmed");
    work.save(crossing, event)
}

fn cancel(ask: CancelCrossing, work: &mut UnitOfWork<'_>) -> Result {
    let mut crossing = work.load::<Crossing>(&ask.crossing)?;
    match work.abort(&crossing.saga, "the customer changed their mind")? {
        Abort::Undoing => work.tell(serde_json::json!({"status": "undoing"})),
        Abort::TooLate => return Err(Refusal::conflict("too-late", "it cannot be undone any more").into()),
        Abort::Ended => return Err(Refusal::conflict("ended", "it has ended").into()),
    }
    crossing.cancel = true;
    work.save(crossing, ["cancel asked".to_owned()])
}

fn take_fare(ask: TakeFare, work: &mut UnitOfWork<'_>) -> Result {
    if work.find::<Fare>(&ask.fare)?.is_some() {
        return Ok(());
    }
    let purse = seedwork::message::partition_key(&ask.fare).to_owned();
    let mut purse = work.find::<Purse>(&purse)?.unwrap_or(Purse { id: purse, amount: 0 });
    if purse.amount < ask.amount {
        return Err(Refusal::conflict("purse-empty", "the purse holds too little").into());
    }
    purse.amount -= ask.amount;
    work.save(purse, [()])?;
    work.save(Fare { id: ask.fare, amount: ask.amount }, [()])
}

fn fill_purse(ask: FillPurse, work: &mut UnitOfWork<'_>) -> Result {
    let mut purse = work.find::<Purse>(&ask.purse)?.unwrap_or(Purse { id: ask.purse, amount: 0 });
    purse.amount += ask.amount;
    work.save(purse, [()])
}

fn take_berth(ask: TakeBerth, work: &mut UnitOfWork<'_>) -> Result {
    if ask.berth.starts_with("stowaway") {
        return Err(Refusal::conflict("stowaway", "no berth for stowaways").into());
    }
    assert!(!ask.berth.starts_with("bomb"), "boom");
    let mut berth = work.find::<Berth>(&ask.berth)?.unwrap_or(Berth { id: ask.berth, taken: false, changes: 0 });
    let event = (!berth.taken).then_some(());
    berth.taken = true;
    berth.changes += u32::from(event.is_some());
    work.save(berth, event)
}

fn free_berth(ask: FreeBerth, work: &mut UnitOfWork<'_>) -> Result {
    let Some(mut berth) = work.find::<Berth>(&ask.berth)? else { return Ok(()) };
    let event = berth.taken.then_some(());
    berth.taken = false;
    berth.changes += u32::from(event.is_some());
    work.save(berth, event)
}

fn board(ask: Board, work: &mut UnitOfWork<'_>) -> Result {
    let mut berth = work.load::<Berth>(&ask.berth)?;
    berth.changes += 100;
    work.save(berth, [()])
}

fn confirmed(event: CrossingConfirmed, work: &mut UnitOfWork<'_>) -> Result {
    let mut known = work.find::<Known>(&event.crossing)?.unwrap_or(Known { id: event.crossing, times: 0 });
    known.times += 1;
    work.save(known, [()])
}

pub fn contexts() -> Vec<Context> {
    vec![
        Context::of::<Harbour>()
            .aggregate::<Crossing>()
            .aggregate::<Purse>()
            .aggregate::<Fare>()
            .command("harbour.write", book)
            .command("harbour.saga", unbook)
            .command("harbour.saga", confirm)
            .command("harbour.write", cancel)
            .command("harbour.saga", take_fare)
            .command("harbour.write", fill_purse)
            .saga(booking()),
        Context::of::<Ferry>()
            .aggregate::<Berth>()
            .aggregate::<Known>()
            .command("ferry.saga", take_berth)
            .command("ferry.saga", free_berth)
            .command_early("ferry.write", board)
            .on(confirmed),
    ]
}

pub fn crossing(id: &str, purse: &str, passengers: &[&str]) -> BookCrossing {
    let passengers = passengers.iter().map(|passenger| (*passenger).to_owned()).collect();
    BookCrossing { crossing: id.to_owned(), purse: purse.to_owned(), passengers }
}

/// What the world looks like to its users: live crossings, taken berths, what is in the purses.
pub fn view(world: &World) -> String {
    let mut text = String::new();
    for crossing in world.states::<Crossing>("harbour").iter().filter(|crossing| crossing.status != "cancelled") {
        let _ = writeln!(text, "{} {}", crossing.id, crossing.status);
    }
    for berth in world.states::<Berth>("ferry").iter().filter(|berth| berth.taken) {
        let _ = writeln!(text, "{} taken", berth.id);
    }
    for purse in world.states::<Purse>("harbour") {
        let _ = writeln!(text, "{} {}", purse.id, purse.amount);
    }
    for known in world.states::<Known>("ferry") {
        let _ = writeln!(text, "{} known {}", known.id, known.times);
    }
    text
}

/// Every saga ended; nothing half done; no fare taken twice or for nothing; every event heard once.
pub fn invariants(world: &World, filled: i64) -> std::result::Result<(), String> {
    let crossings = world.states::<Crossing>("harbour");
    let berths = world.states::<Berth>("ferry");
    let fares = world.states::<Fare>("harbour");
    for (id, record) in world.sagas() {
        if !record.run.stage.ended() {
            return Err(format!("saga {id} has not ended"));
        }
    }
    for crossing in &crossings {
        let taken = berths.iter().filter(|berth| berth.taken && berth.id.ends_with(&format!("~{}", crossing.id))).count();
        let paid = fares.iter().filter(|fare| fare.id.ends_with(&format!("~{}", crossing.id))).count();
        let known = world.state::<Known>("ferry", &crossing.id).map_or(0, |known| known.times);
        match crossing.status.as_str() {
            "confirmed" if taken > 0 && paid == 1 && known == 1 => {}
            "cancelled" if taken == 0 && paid == 0 && known == 0 => {}
            other => return Err(format!("{} is {other} with {taken} berths, {paid} fares, known {known} times", crossing.id)),
        }
    }
    let left: i64 = world.states::<Purse>("harbour").iter().map(|purse| purse.amount).sum();
    let spent: i64 = fares.iter().map(|fare| fare.amount).sum();
    if left + spent != filled {
        return Err(format!("{filled} was filled in, {left} is left and {spent} was spent"));
    }
    Ok(())
}
