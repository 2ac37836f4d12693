//! PostgreSQL passes the store's suite, and says clearly what is wrong with a server that it cannot use.
#![cfg(feature = "distributed")]

use seedwork::store::Postgres;
use seedwork::store::contract::{self, Make};

use support::Databases;

mod support;

#[test]
fn a_store_in_postgresql_passes_the_suite() {
    let Some(mut databases) = Databases::of("a_store_in_postgresql_passes_the_suite") else { return };
    let mut url = String::new();
    contract::check(&mut |make| {
        if make == Make::New {
            url = databases.new_one();
        }
        Some(Box::new(Postgres::connect(&url).unwrap()))
    });
}
