//! A wrong state root: a block that is correct except for its state root.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_execution::ExecutedBlock;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is, blocks::doctored, forgery::phantom};

#[derive(Debug)]
pub(super) struct WrongStateRoot;

impl Strategy for WrongStateRoot {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let parent = out.own.storage().map(|storage| storage.head().state_root);
        let right = block.block.header.state_root;
        let wrong = match out.rng.below(4) {
            0 => phantom(out.rng),
            1 => B256::ZERO,
            2 => parent.unwrap_or_default(),
            _ => {
                let mut near = right;
                near.0[31] ^= 1;
                near
            }
        };
        if wrong == right {
            return block;
        }
        out.acted();
        doctored(&block, |block| block.header.state_root = wrong)
    }
}
