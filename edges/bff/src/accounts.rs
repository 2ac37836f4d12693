//! Accounts of brands: read, and their limits set.

use std::fmt::Display;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use campaign::http::{AccountAnswer, NewLimit};
use campaign::views;
use seedwork::view::Read;
use wire::values::{AccountId, BrandId, Currency};

use crate::Shared;
use crate::answer::{json, said, tagged, written};
use crate::asked::Asked;
use crate::body::{self, JSON};
use crate::problem::{Fields, Problem};
use crate::routes::Routes;
use crate::submit::{Kind, Settled, submit};

pub(crate) fn routes() -> Routes {
    Routes::new().route("/v1/brands/{id}/accounts/{currency}", get(one).put(set))
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
    Ok(tagged(&headers, edge.query(move |read| document(read, &id, &settings)).await?))
}

async fn set(State(edge): State<Shared>, path: Address, request: Request) -> Result<Response, Problem> {
    let (brand, currency) = address(path)?;
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts.headers)?;
    let bytes = body::read(&edge, &parts.headers, body, JSON).await?;
    let new: NewLimit = body::json(&bytes)?;
    let command = new.command(&brand, currency).map_err(|refusal| Problem::refused(&refusal, FIELDS))?;
    match submit(&edge, asked, Kind::Other, &bytes, &command, FIELDS).await? {
        Settled::Done { saga: None, .. } => {
            let body = edge.just_written(|read| document(read, &command.account, &edge.campaigns))?;
            Ok(json(StatusCode::OK, body))
        }
        other => said(Kind::Other, command.account.as_str(), format!("/v1/brands/{brand}/accounts/{currency}"), other),
    }
}

/// An account that was never used answers as it would be opened.
fn document(read: &dyn Read, id: &AccountId, settings: &campaign::Settings) -> Result<Vec<u8>, String> {
    written(&AccountAnswer::from(&views::account(read, id, settings)?))
}
