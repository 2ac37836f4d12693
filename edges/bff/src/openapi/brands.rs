//! Brands and their accounts.

use serde_json::{Value, json};

use super::Area;
use super::operation::{Operation, get, put};
use super::schema::{amount, currency, id, list, object, of, page};

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
        get("/v1/brands", "listBrands", "List brands")
            .says("Whoever pays for a campaign or has an account, each with its accounts.")
            .pages()
            .answers(200, "BrandPage", "A page of brands.")
            .leads_to("listBrands", "cursor", "/next"),
        get("/v1/brands/{id}/accounts", "listAccounts", "A brand's accounts")
            .says("Those that it has opened, all of them.")
            .part("id", id(), "b-12345", "The brand.")
            .answers(200, "AccountPage", "The accounts, by currency."),
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
    let brand = object(json!({"id": id(), "accounts": list(of("Account"))}), json!({}));
    vec![
        ("Account", account),
        ("AccountPage", page(of("Account"))),
        ("Brand", brand),
        ("BrandPage", page(of("Brand"))),
        ("NewLimit", object(json!({"limit": amount()}), json!({}))),
    ]
}
