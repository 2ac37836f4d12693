//! A block: events of a partner, or of a campaign, are not taken. Its id is what it blocks and of which kind that is.

use seedwork::{Aggregate, Refusal, Refuse};
use serde::{Deserialize, Serialize};
use wire::values::{BlockId, BlockTarget};

/// A block; it can be lifted and raised again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    id: BlockId,
    status: Status,
}

/// Where a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Events are refused.
    Active,
    /// Events are taken again.
    Lifted,
}

impl Status {
    /// The word for it: `active` or `lifted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Lifted => "lifted",
        }
    }
}

/// What happened to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It holds from now on.
    Raised,
    /// It holds no longer.
    Lifted,
}

/// Why a block says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The partner's events are blocked.
    #[error("events of the partner are blocked")]
    Partner,
    /// The campaign's events are blocked.
    #[error("events of the campaign are blocked")]
    Campaign,
}

impl Refuse for Refused {
    fn refusal(&self) -> Refusal {
        match self {
            Refused::Partner => Refusal::conflict("partner-blocked", self),
            Refused::Campaign => Refusal::conflict("campaign-blocked", self),
        }
    }
}

impl Block {
    /// A new block, which holds from now on.
    pub fn raise(id: BlockId) -> (Block, Event) {
        (Block { id, status: Status::Active }, Event::Raised)
    }

    /// Lets it hold again.
    pub fn raise_again(&mut self) -> Option<Event> {
        (self.status == Status::Lifted).then(|| {
            self.status = Status::Active;
            Event::Raised
        })
    }

    /// Lifts it.
    pub fn lift(&mut self) -> Option<Event> {
        (self.status == Status::Active).then(|| {
            self.status = Status::Lifted;
            Event::Lifted
        })
    }

    /// Whether it lets an event of what it blocks pass.
    ///
    /// # Errors
    /// When it holds.
    pub fn let_pass(&self) -> Result<(), Refused> {
        match (self.status, self.id.target()) {
            (Status::Lifted, _) => Ok(()),
            (Status::Active, BlockTarget::Partner(_)) => Err(Refused::Partner),
            (Status::Active, BlockTarget::Campaign(_)) => Err(Refused::Campaign),
        }
    }

    /// Its id.
    pub fn block(&self) -> &BlockId {
        &self.id
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl Aggregate for Block {
    const KIND: &'static str = "block";
    fn id(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(id: &str) -> Block {
        Block::raise(id.parse().unwrap()).0
    }

    #[test]
    fn a_block_says_what_it_blocks() {
        assert_eq!(raised("p-1~partner").let_pass().unwrap_err().refusal().code, "partner-blocked");
        assert_eq!(raised("c-1~campaign").let_pass().unwrap_err().refusal().code, "campaign-blocked");
    }

    #[test]
    fn a_lifted_block_lets_pass_until_it_is_raised_again() {
        let mut block = raised("p-1~partner");
        assert_eq!(block.lift(), Some(Event::Lifted));
        assert_eq!(block.let_pass(), Ok(()));
        assert_eq!(block.raise_again(), Some(Event::Raised));
        assert_eq!(block.let_pass(), Err(Refused::Partner));
    }

    #[test]
    fn twice_is_once() {
        let mut block = raised("p-1~partner");
        assert_eq!(block.raise_again(), None);
        block.lift();
        assert_eq!((block.lift(), block.status()), (None, Status::Lifted));
    }

    #[test]
    fn its_state_is_read_back_as_it_was_written() {
        let mut lifted = raised("c-1~campaign");
        lifted.lift();
        for block in [raised("p-1~partner"), lifted] {
            let text = serde_json::to_string(&block).unwrap();
            assert_eq!(serde_json::from_str::<Block>(&text).unwrap(), block);
        }
    }
}
