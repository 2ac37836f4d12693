//! Block a partner or a campaign, and unblock it. Anything may be blocked before it is known here.

use seedwork::{Result, UnitOfWork};

use crate::block::Block;

/// Handles [`wire::Block`].
///
/// # Errors
/// None of its own.
pub fn block(ask: wire::Block, work: &mut UnitOfWork<'_>) -> Result {
    let (block, raised) = match work.find::<Block>(&ask.block)? {
        Some(mut block) => {
            let raised = block.raise_again();
            (block, raised)
        }
        None => {
            let (block, raised) = Block::raise(ask.block);
            (block, Some(raised))
        }
    };
    work.save(block, raised)
}

/// Handles [`wire::Unblock`].
///
/// # Errors
/// Unknown when it was never blocked.
pub fn unblock(ask: wire::Unblock, work: &mut UnitOfWork<'_>) -> Result {
    let mut block = work.load::<Block>(&ask.block)?;
    let lifted = block.lift();
    work.save(block, lifted)
}
