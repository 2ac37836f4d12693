//! Brands and their accounts: read, and the limits of accounts set.

use std::fmt::Display;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use campaign::http::{AccountAnswer, BrandAnswer, NewLimit};
use campaign::views::{self, Brands};
use seedwork::view::{Read, Versioned};
use serde::Deserialize;
use wire::values::{AccountId, BrandId, Currency};

use crate::answer::{changed, json, said, versioned, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::pages::{self, Wanted};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};
use crate::{Id, Shared};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/brands", get(brands))
        .route("/v1/brands/{id}/accounts", get(list))
        .route("/v1/brands/{id}/accounts/{currency}", get(one).put(set))
}

const FIELDS: Fields = campaign::http::field;

type Address = Result<Path<(String, String)>, PathRejection>;

/// Which brand's account in which currency.
fn address(path: Address) -> Result<(BrandId, Currency), Problem> {
    let Path((brand, currency)) = path.map_err(|rejection| Problem::malformed("path-invalid", rejection.body_text()).at("id"))?;
    fn wrong<E: Display>(code: &'static str, field: &'static str) -> impl Fn(E) -> Problem {
        move |error| Problem::malformed(code, error).at(field)
    }
    let brand = brand.parse().map_err(wrong("id-invalid", "id"))?;
    let currency = currency.parse().map_err(wrong("currency-unknown", "currency"))?;
    Ok((brand, currency))
}

async fn one(State(edge): State<Shared>, path: Address, headers: HeaderMap) -> Result<Response, Problem> {
    let (brand, currency) = address(path)?;
    let (id, settings) = (AccountId::join(&brand, currency), edge.campaigns);
    Ok(versioned(&headers, edge.query(move |read| document(read, &id, &settings)).await?))
}

async fn set(State(edge): State<Shared>, path: Address, request: Request) -> Result<Response, Problem> {
    let (brand, currency) = address(path)?;
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewLimit = body::json(&bytes)?;
    let command = new.command(&brand, currency).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    let location = format!("/v1/brands/{brand}/accounts/{currency}");
    let settled = submit(&edge, asked, Kind::Other, &bytes, &command, FIELDS).await?;
    if let Settled::Done { saga: None, .. } = &settled
        && let Some(body) = edge.left(&location, |read| document(read, &command.account, &edge.campaigns).map(Some)).await?
    {
        return Ok(changed(StatusCode::OK, body));
    }
    said(Kind::Other, command.account.as_str(), location, settled)
}

/// An account that was never used answers as it would be opened.
fn document(read: &dyn Read, id: &AccountId, settings: &campaign::Settings) -> Result<Versioned<Vec<u8>>, String> {
    let Versioned { version, value } = views::account(read, id, settings)?;
    Ok(Versioned { version, value: written(&AccountAnswer::from(&value))? })
}

/// The parameters of a list of brands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
}

async fn brands(State(edge): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    let Parameters { limit, cursor } = pages::parameters(&uri)?;
    let wanted = Wanted::of(limit.as_deref(), cursor.as_deref(), None, |text| BrandId::parse(text).ok())?;
    let body = edge.query(move |read| {
        let Brands { brands, next } = views::brands(read, wanted.after.as_ref(), wanted.limit)?;
        pages::page(brands.iter().map(BrandAnswer::from), next.map(|next| next.to_string()), None)
    });
    Ok(json(StatusCode::OK, body.await?))
}

/// The accounts that a brand has opened: there are fewer than currencies, so all of them are one page.
async fn list(State(edge): State<Shared>, Id(brand): Id<BrandId>) -> Result<Response, Problem> {
    let body = edge.query(move |read| {
        let accounts = views::accounts(read, &brand)?;
        pages::page(accounts.iter().map(|account| AccountAnswer::from(&account.value)), None, None)
    });
    Ok(json(StatusCode::OK, body.await?))
}
