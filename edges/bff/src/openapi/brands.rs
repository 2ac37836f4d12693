//! Brands and their accounts.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, put};
use super::schema::{amount, currency, id, object};

pub(super) fn area() -> Area {
    Area {
        name: "brands",
        text: "Who pays. A brand has an account per currency; campaigns reserve their budgets on it, and never more than its limit.",
        operations: operations(),
        schemas: schemas(),
    }
}

fn of_one(operation: Operation) -> Operation {
    operation.part("id", id(), "b-12345", "The brand.").part("currency", currency(), "USD", "An ISO 4217 code.")
}

fn operations() -> Vec<Operation> {
    vec![
        of_one(get("/v1/brands/{id}/accounts/{currency}", "getAccount", "A brand's account"))
            .says("One that was never used answers as it would be opened.")
            .tagged()
            .answers(200, "Account", "The account."),
        of_one(put("/v1/brands/{id}/accounts/{currency}", "setLimit", "Set the limit of a brand's account"))
            .says("A limit below what is reserved refuses new campaigns and takes nothing back.")
            .takes("NewLimit", true, &[("two millions", json!({"limit": "2000000.00"}))])
            .answers(200, "Account", "The account with its new limit."),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let account = object(
        json!({"brand": id(), "currency": currency(), "limit": amount(), "reserved": amount(), "available": amount()}),
        json!({}),
    );
    vec![("Account", account), ("NewLimit", object(json!({"limit": amount()}), json!({})))]
}
