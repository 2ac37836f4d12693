//! The context *partner*: who promotes campaigns, and which. See its README for its words.

mod ban;
mod cancel;
mod hear;
mod publish;
mod register;

pub mod enrolment;
pub mod http;
pub mod known_campaign;
pub mod partner;
pub mod views;

use seedwork::Context;

/// The context's table.
pub fn context() -> Context {
    Context::of::<wire::partner_v1::Partner>()
        .view(views::PARTNERS)
        .view(views::ENROLMENTS)
        .aggregate::<known_campaign::KnownCampaign>()
        .command_early("partners.write", register::register)
        .command("partners.write", cancel::cancel)
        .command("partners.write", ban::ban)
        .command("partners.write", ban::unban)
        .on(hear::hear)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use seedwork::message::Role;

    use super::*;

    #[test]
    fn every_command_of_the_context_has_a_handler_and_a_permission() {
        let context = context();
        let handled: BTreeSet<_> = context.permissions().map(|(kind, _)| kind).collect();
        let asked = wire::partner_v1::TABLE.iter().filter(|entry| entry.role == Role::Command).map(|entry| entry.kind);
        assert_eq!(handled, asked.collect());
    }
}
