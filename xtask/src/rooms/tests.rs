//! A made-up context in which each room once knows what it may not.

use super::*;
use crate::made_up::{assert_one, tree};

const MANIFEST: &str = "[package]\nname = \"shop\"\n[dependencies]\nseedwork = \"1\"\nwire = \"1\"\nserde-x = \"1\"\n";

/// A context in order, with one file more or another text for one of them.
fn shop(path: &str, text: &str) -> Vec<Finding> {
    let mut tree = tree(&[
        ("contexts/shop/Cargo.toml", MANIFEST),
        (
            "contexts/shop/src/lib.rs",
            "use seedwork::Context; pub mod order; pub fn shop() { Context::of().command(crate::place::place) }",
        ),
        ("contexts/shop/src/order.rs", "use seedwork::Aggregate; use wire::values::Money; impl Aggregate for Order {}"),
        ("contexts/shop/src/place.rs", "use seedwork::{Result, UnitOfWork}; use wire::shop_v1::Place; use crate::order::Order;"),
        (
            "contexts/shop/src/delivery.rs",
            "use seedwork::{Saga, saga::Open}; use wire::shop_v1::Ship; fn s() { Saga::new(\"d\"); }",
        ),
        (
            "contexts/shop/src/publish.rs",
            "use seedwork::{Outbox, Publish}; use crate::order::{Event, Order}; use wire::shop_v1 as out;",
        ),
        (
            "contexts/shop/src/views.rs",
            "use crate::order::Order; use seedwork::view::View; const Q: &str = \"SELECT id FROM shop_order\";",
        ),
        ("contexts/shop/src/http.rs", "use crate::{place, views}; use seedwork::{Refusal, command::Class};"),
        ("contexts/bank/Cargo.toml", "[package]\nname = \"bank\"\n"),
        ("wire/src/values.rs", "pub use money::Money;"),
        ("wire/src/shop_v1.rs", "seedwork::messages! {} use seedwork::message::Message; use crate::values::Money;"),
        ("seedwork/src/message.rs", "macro_rules! m { () => { $crate::message::Owner } } use std::sync::Arc;"),
    ]);
    tree.files.insert(path.to_owned(), text.to_owned());
    check(&tree)
}

#[track_caller]
fn refused(path: &str, text: &str, line: usize, says: &str) {
    assert_one(&shop(path, text), path, line, says);
}

#[test]
fn a_context_in_order_has_no_findings() {
    assert_eq!(shop("contexts/shop/README.md", ""), []);
}

#[test]
fn an_aggregate_knows_no_work_no_messages_no_rooms_and_no_outside() {
    let order = |line: &str| format!("impl seedwork::Aggregate for Order {{}}\n{line}");
    for (line, says) in [
        ("use seedwork::UnitOfWork;", "may not know `seedwork::UnitOfWork`"),
        ("use seedwork::*;", "may not know `seedwork::*`"),
        ("use seedwork::work;", "may not know `seedwork::work`"),
        ("fn f(ask: wire::shop_v1::Place) {}", "`wire::shop_v1::Place`, which is no value"),
        ("use crate::place::place;", "`crate::place::place`, a use case"),
        ("use super::views::Row;", "`super::views::Row`, views.rs"),
        ("use std::{collections::BTreeMap, fs::File};", "`std::fs::File`, which reaches out of the process"),
        ("fn f() { std::process::exit(1) }", "reaches out of the process"),
        ("use serde_x::Thing;", "may not know `serde_x::Thing`"),
        ("async fn f() {}", "is not async"),
        ("const Q: &str = \"SELECT 1 FROM x\";", "may not know SQL"),
    ] {
        refused("contexts/shop/src/order.rs", &order(line), 2, says);
    }
    assert_eq!(shop("contexts/shop/src/order.rs", &order("use wire::Money; use seedwork::command::{Class, Refuse};")), []);
    assert_eq!(shop("contexts/shop/src/order.rs", &order("// seedwork::UnitOfWork\nconst T: &str = \"wire::shop_v1\";")), []);
    assert_eq!(shop("contexts/shop/src/order.rs", &order("#[cfg(test)]\nmod tests { use seedwork::UnitOfWork; }")), []);
}

#[test]
fn the_files_below_a_room_are_part_of_it() {
    assert_eq!(shop("contexts/shop/src/order/status.rs", "use super::Order; use crate::order::Line;"), []);
    refused("contexts/shop/src/order/status.rs", "\n\nuse super::super::place;", 3, "`super::super::place`, a use case");
    assert_eq!(shop("contexts/shop/src/order/tests.rs", "use crate::place::place;"), [], "tests may know anything");
}

#[test]
fn a_use_case_knows_no_other_use_case_and_no_edges() {
    refused("contexts/shop/src/cancel.rs", "use crate::place::place;", 1, "`crate::place::place`, a use case");
    refused("contexts/shop/src/cancel.rs", "use crate::http;", 1, "`crate::http`, http.rs");
    refused("contexts/shop/src/cancel.rs", "use crate::Order;", 1, "hides the room");
    refused("contexts/shop/src/cancel.rs", "\nuse seedwork::store::Store;", 2, "`seedwork::store::Store`");
    refused("contexts/shop/src/cancel.rs", "fn f() { q(\"UPDATE shop_order SET x = 1\") }", 1, "may not know SQL");
    assert_eq!(
        shop("contexts/shop/src/cancel.rs", "use crate::{delivery::Delivery, order::Order}; use seedwork::saga::Abort;"),
        []
    );
}

#[test]
fn publish_knows_its_aggregates_and_wire_only() {
    refused("contexts/shop/src/publish.rs", "use crate::delivery::Delivery;", 1, "a saga");
    refused("contexts/shop/src/publish.rs", "use seedwork::{Publish, UnitOfWork};", 1, "`seedwork::UnitOfWork`");
    refused("contexts/shop/src/publish.rs", "use serde_x::Thing;", 1, "`serde_x::Thing`");
}

#[test]
fn a_saga_knows_no_aggregates_and_no_handlers() {
    let delivery = |line: &str| format!("fn s() {{ Saga::new(\"d\"); }}\n{line}");
    refused("contexts/shop/src/delivery.rs", &delivery("use crate::order::Order;"), 2, "`crate::order::Order`, an aggregate");
    refused("contexts/shop/src/delivery.rs", &delivery("use seedwork::UnitOfWork;"), 2, "wire and seedwork::saga");
    refused("contexts/shop/src/delivery/v1.rs", "use crate::place;", 1, "a saga may not know `crate::place`, a use case");
}

#[test]
fn views_know_no_handlers_and_no_tables_of_others() {
    refused("contexts/shop/src/views.rs", "use crate::place;", 1, "views.rs may not know `crate::place`, a use case");
    let sql = "const Q: &str = \"SELECT x FROM shop_order JOIN bank_account ON bank_account.id = x\";";
    refused("contexts/shop/src/views.rs", sql, 1, "`bank_account` is a table of the context bank");
}

#[test]
fn http_knows_no_aggregates_no_work_and_no_sql() {
    refused("contexts/shop/src/http.rs", "use crate::order::Order;", 1, "`crate::order::Order`, an aggregate");
    refused("contexts/shop/src/http.rs", "use seedwork::UnitOfWork;", 1, "`seedwork::UnitOfWork`");
    refused("contexts/shop/src/http.rs", "const Q: &str = \"DELETE FROM shop_order\";", 1, "may not know SQL");
}

#[test]
fn a_table_is_wiring() {
    refused("contexts/shop/src/lib.rs", "fn shop() {\n  if x { y() }\n}", 2, "`if` belongs into a room");
    assert_eq!(shop("contexts/shop/src/lib.rs", "pub use order::Order; impl X for Y {}"), []);
}

#[test]
fn wire_knows_messages_only_and_messages_know_nothing() {
    refused("wire/src/shop_v1.rs", "use seedwork::{Refusal, message::Event};", 1, "`seedwork::Refusal`");
    refused("wire/src/shop_v1.rs", "use std::io::Read;", 1, "does not reach out");
    refused("seedwork/src/message.rs", "use std::fmt;\nuse crate::command::Refusal;", 2, "needs no other file");
    refused("seedwork/src/message.rs", "use super::work::X;", 1, "needs no other file");
}
