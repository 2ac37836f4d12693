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
pub mod http;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use seedwork::message::Role;

    use super::*;

    #[test]
    fn every_command_of_the_context_has_a_handler_and_a_permission() {
        let context = context(Settings::default());
        let handled: BTreeSet<_> = context.permissions().map(|(kind, _)| kind).collect();
        let asked = wire::campaign_v1::TABLE.iter().filter(|entry| entry.role == Role::Command).map(|entry| entry.kind);
        assert_eq!(handled, asked.collect());
    }

    #[test]
    fn the_catalogue_knows_what_the_sagas_send() {
        let context = context(Settings::default());
        let rows = context.plans().iter().flat_map(|saga| &saga.plan);
        let sent: BTreeSet<_> = rows.flat_map(|row| [row.command, row.undo]).flatten().collect();
        let kinds = wire::TABLES.iter().flat_map(|table| table.iter()).filter(|entry| entry.role == Role::Command);
        let told = kinds.filter(|entry| wire::counterparts(entry.kind).contains(&"campaign")).map(|entry| entry.kind);
        assert_eq!(sent, told.collect());
        assert_eq!(
            context.plans().iter().map(|saga| saga.name).collect::<Vec<_>>(),
            ["campaign.registration", "campaign.closing"]
        );
    }
}
