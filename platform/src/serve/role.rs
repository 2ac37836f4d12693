//! What a process of the distributed stack is.

use clap::ValueEnum;

/// A service of one context, or the edge before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The edge: everything over HTTP; keeps nothing itself
    Bff,
    /// Campaigns, brands' accounts, and the sagas that run them
    Campaign,
    /// Partners and their enrolments
    Partner,
    /// Tracked events and blocks
    Tracking,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Bff, Role::Campaign, Role::Partner, Role::Tracking];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Role::Bff => "bff",
            Role::Campaign => "campaign",
            Role::Partner => "partner",
            Role::Tracking => "tracking",
        }
    }

    /// The context that it serves, unless it is the edge.
    pub fn context(self) -> Option<&'static str> {
        (self != Role::Bff).then(|| self.name())
    }

    /// The port that seed 004 gives it.
    pub fn port(self) -> u16 {
        match self {
            Role::Bff => 8000,
            Role::Campaign => 8001,
            Role::Partner => 8002,
            Role::Tracking => 8003,
        }
    }
}
