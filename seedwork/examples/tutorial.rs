//! A library lends its books: the program of docs/tutorial.md, which explains it from top to bottom.
//!
//! `cargo run -p seedwork --example tutorial`
#![allow(clippy::disallowed_types, reason = "derive(AvroSchema) expands to std's HashSet")]
#![allow(missing_docs, reason = "a program, not a library")]

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::AvroSchema;
use seedwork::saga::Committed;
use seedwork::testing::{Case, World, assert_saga_laws};
use seedwork::{Aggregate, Context, Outbox, Publish, Refusal, Refuse, Result, Saga, UnitOfWork};
use serde::{Deserialize, Serialize};

seedwork::messages! {
    context Library = "library", version 1;
    commands {
        Borrow "borrow" by member; CancelLoan "cancel-loan" by member; ConfirmLoan "confirm-loan" by member;
        TakeBook "take-book" by book; PutBack "put-back" by book;
    }
    events { Lent "lent" by member; }
}

/// A member wants a book.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Borrow {
    pub member: String,
    pub book: String,
}

/// The undo of that.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct CancelLoan {
    pub member: String,
    pub book: String,
}

/// The book is on its way: from here nothing is undone.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct ConfirmLoan {
    pub member: String,
    pub book: String,
}

/// Take a book off the shelf for a member.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct TakeBook {
    pub book: String,
    pub member: String,
}

/// The undo of that.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct PutBack {
    pub book: String,
    pub member: String,
}

/// A member has a book.
#[derive(Serialize, Deserialize, AvroSchema)]
pub struct Lent {
    pub member: String,
    pub book: String,
}

/// A member, and the books that it asked for: `true` for those that it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    id: String,
    books: BTreeMap<String, bool>,
}

/// What happens to a member.
#[derive(Debug, PartialEq)]
pub enum MemberEvent {
    Asked,
    Lent(String),
    Cancelled,
}

/// Why a member is told no.
#[derive(Debug, PartialEq)]
pub enum Refused {
    TooMany,
}

impl Member {
    const MOST: usize = 2;

    fn borrow(&mut self, book: &str) -> std::result::Result<Option<MemberEvent>, Refused> {
        if self.books.contains_key(book) {
            return Ok(None);
        }
        if self.books.len() == Member::MOST {
            return Err(Refused::TooMany);
        }
        self.books.insert(book.to_owned(), false);
        Ok(Some(MemberEvent::Asked))
    }

    fn confirm(&mut self, book: &str) -> Option<MemberEvent> {
        (self.books.insert(book.to_owned(), true) != Some(true)).then(|| MemberEvent::Lent(book.to_owned()))
    }

    fn cancel(&mut self, book: &str) -> Option<MemberEvent> {
        self.books.remove(book).map(|_| MemberEvent::Cancelled)
    }
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::TooMany => Refusal::conflict("too-many", "a member has two books at most"),
        }
    }
}

impl Aggregate for Member {
    const KIND: &'static str = "member";
    fn id(&self) -> &str {
        &self.id
    }
}

impl Publish for Member {
    type Event = MemberEvent;
    fn publish(&self, event: MemberEvent, out: &mut Outbox) {
        match event {
            MemberEvent::Lent(book) => out.event(Lent { member: self.id.clone(), book }),
            MemberEvent::Asked | MemberEvent::Cancelled => out.nothing(),
        }
    }
}

/// A book, and who has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Book {
    id: String,
    with: Option<String>,
}

impl Aggregate for Book {
    const KIND: &'static str = "book";
    fn id(&self) -> &str {
        &self.id
    }
}

impl Publish for Book {
    type Event = ();
    fn publish(&self, (): (), out: &mut Outbox) {
        out.nothing();
    }
}

fn borrow(ask: Borrow, work: &mut UnitOfWork<'_>) -> Result {
    let member = work.find::<Member>(&ask.member)?;
    let mut member = member.unwrap_or_else(|| Member { id: ask.member.clone(), books: BTreeMap::new() });
    let asked = member.borrow(&ask.book)?;
    if asked.is_some() {
        work.start(Loan { member: ask.member, book: ask.book })?;
    }
    work.save(member, asked)
}

fn cancel_loan(ask: CancelLoan, work: &mut UnitOfWork<'_>) -> Result {
    let mut member = work.load::<Member>(&ask.member)?;
    let cancelled = member.cancel(&ask.book);
    work.save(member, cancelled)
}

fn confirm_loan(ask: ConfirmLoan, work: &mut UnitOfWork<'_>) -> Result {
    let mut member = work.load::<Member>(&ask.member)?;
    let lent = member.confirm(&ask.book);
    work.save(member, lent)
}

fn take_book(ask: TakeBook, work: &mut UnitOfWork<'_>) -> Result {
    let mut book = work.find::<Book>(&ask.book)?.unwrap_or(Book { id: ask.book, with: None });
    match &book.with {
        Some(member) if *member == ask.member => return Ok(()),
        Some(_) => return Err(Refusal::conflict("lent", "somebody else has the book").into()),
        None => book.with = Some(ask.member),
    }
    work.save(book, [()])
}

fn put_back(ask: PutBack, work: &mut UnitOfWork<'_>) -> Result {
    let Some(mut book) = work.find::<Book>(&ask.book)? else { return Ok(()) };
    let back = book.with.take_if(|member| *member == ask.member).map(|_| ());
    work.save(book, back)
}

/// What the saga knows: written once, when it starts.
#[derive(Serialize, Deserialize)]
pub struct Loan {
    member: String,
    book: String,
}

impl Loan {
    fn cancel(&self) -> CancelLoan {
        CancelLoan { member: self.member.clone(), book: self.book.clone() }
    }
    fn take(&self) -> TakeBook {
        TakeBook { book: self.book.clone(), member: self.member.clone() }
    }
    fn put_back(&self) -> PutBack {
        PutBack { book: self.book.clone(), member: self.member.clone() }
    }
    fn confirm(&self) -> ConfirmLoan {
        ConfirmLoan { member: self.member.clone(), book: self.book.clone() }
    }
}

/// The table.
pub fn loan() -> Saga<Loan, Committed> {
    Saga::new("library.loan") // 1  the unit of work that starts it
        .undo_start(Loan::cancel)
        .step(Loan::take) //         2
        .undo(Loan::put_back)
        .then(Loan::confirm) //      3  from here no way back
}

/// The context, as a value.
pub fn contexts() -> Vec<Context> {
    let library = Context::of::<Library>().aggregate::<Member>().aggregate::<Book>().saga(loan());
    let library = library.command("library.borrow", borrow).command("library.saga", cancel_loan);
    let library = library.command("library.saga", confirm_loan).command("library.saga", take_book);
    vec![library.command("library.saga", put_back)]
}

/// Which books are lent, and to whom.
fn view(world: &World) -> String {
    let members = world.states::<Member>("library");
    let books = world.states::<Book>("library");
    let asked = members.iter().flat_map(|of| of.books.iter().map(|(book, has)| format!("{} {book} {has}\n", of.id)));
    let away = books.iter().filter_map(|book| Some(format!("{} is with {}\n", book.id, book.with.as_ref()?)));
    asked.chain(away).collect()
}

fn wish(member: &str, book: &str) -> Borrow {
    Borrow { member: member.to_owned(), book: book.to_owned() }
}

fn two_want_the_same_book() {
    let mut world = World::embedded(contexts, 1);
    let tickets = [world.ask(&wish("ana", "ficciones")), world.ask(&wish("ben", "ficciones"))];
    assert!(world.settle(Duration::from_secs(60)), "every saga ends");
    let outcomes = tickets.map(|ticket| world.outcome(ticket).expect("it has ended"));
    assert!(outcomes[0].completed && !outcomes[1].completed);
    let reason = outcomes[1].reason.as_ref().expect("it was undone");
    assert_eq!((reason.row, &*reason.refusal.code), (2, "lent"));
    assert_eq!(view(&world), "ana ficciones true\nficciones is with ana\n", "nothing is left of ben's wish");
}

fn the_loan_obeys_the_laws() {
    assert_saga_laws(&Case { contexts, saga: "library.loan", start: |world| world.ask(&wish("ana", "ficciones")), view });
}

pub fn main() {
    two_want_the_same_book();
    the_loan_obeys_the_laws();
    println!("The library lends its books, and every loan happens whole or not at all.");
}
