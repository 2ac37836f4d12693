//! A campaign that the context has heard of: what is asked by hand of a campaign that was never active names nothing that is known.

use seedwork::Aggregate;
use serde::{Deserialize, Serialize};
use wire::values::CampaignId;

/// A campaign, as far as it matters here. It is known from its activation on, and for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCampaign {
    id: CampaignId,
    name: String,
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The context heard of it.
    Heard,
}

impl KnownCampaign {
    /// A campaign that became active.
    pub fn heard(id: CampaignId, name: String) -> (KnownCampaign, Event) {
        (KnownCampaign { id, name }, Event::Heard)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Aggregate for KnownCampaign {
    const KIND: &'static str = "campaign";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}
