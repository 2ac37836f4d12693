//! The context *tracking*: what enrolled partners cause, and whose events are not taken. See its README for its words.

mod blocklist;
mod cancel;
mod hear;
mod know;
mod publish;
mod record;

pub mod block;
pub mod event;
pub mod http;
pub mod known_campaign;
pub mod known_enrolment;
pub mod views;

use seedwork::Context;

/// The context's table.
pub fn context() -> Context {
    Context::of::<wire::tracking_v1::Tracking>()
        .view(views::EVENTS)
        .view(views::BLOCKS)
        .aggregate::<known_campaign::KnownCampaign>()
        .aggregate::<known_enrolment::KnownEnrolment>()
        .command_early("tracking.write", record::record)
        .command("tracking.write", cancel::cancel)
        .command("tracking.write", know::know)
        .command("blocks.write", blocklist::block)
        .command("blocks.write", blocklist::unblock)
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
        let asked = wire::tracking_v1::TABLE.iter().filter(|entry| entry.role == Role::Command).map(|entry| entry.kind);
        assert_eq!(handled, asked.collect());
    }
}
