//! The context *campaign*: campaigns, their registration, and the brand accounts that pay for them. See its README for its words.

mod activate;
mod cancel;
mod lifecycle;
mod limit;
mod publish;
mod register;
mod reserve;

pub mod account;
pub mod campaign;
pub mod closing;
pub mod registration;
pub mod reservation;
pub mod views;

pub use account::Settings;
use seedwork::{Context, UnitOfWork};

/// The context's table.
pub fn context(settings: Settings) -> Context {
    Context::of::<wire::campaign_v1::Campaign>()
        .view(views::CAMPAIGNS)
        .aggregate::<account::Account>()
        .aggregate::<reservation::Reservation>()
        .command("campaigns.write", register::register)
        .command("campaigns.write", cancel::cancel)
        .command("campaigns.write", lifecycle::pause)
        .command("campaigns.write", lifecycle::resume)
        .command("campaigns.write", lifecycle::finish)
        .command("campaigns.saga", activate::activate)
        .command("campaigns.saga", register::undo)
        .command("campaigns.saga", reserve::release)
        .command("campaigns.saga", move |ask: wire::ApproveReservation, work: &mut UnitOfWork<'_>| {
            reserve::approve(ask, work, &settings)
        })
        .command("accounts.write", move |ask: wire::SetLimit, work: &mut UnitOfWork<'_>| limit::set(ask, work, &settings))
        .saga(registration::saga())
        .saga(closing::saga())
}
