//! Blocks put together anew: doctored under a hash that fits, or executed again with other attributes.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::CommitCertificate;
use causeway_execution::{Block, BuildAttributes, ExecutedBlock, RecoveredTx, SystemCall};

use super::Context;

/// The block with something changed, and its hash with it. What executing it leads to is left as it was.
pub(super) fn doctored(block: &ExecutedBlock, change: impl FnOnce(&mut Block)) -> Arc<ExecutedBlock> {
    let mut changed = Block::clone(&block.block);
    change(&mut changed);
    let hash = changed.hash();
    Arc::new(ExecutedBlock { block: Arc::new(changed), hash, ..block.clone() })
}

/// What a block is executed again with.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Another timestamp, Unix seconds.
    pub(super) timestamp: Option<u64>,
    /// Another certificate of its parent.
    pub(super) certificate: Option<CommitCertificate>,
    /// Transactions after its own.
    pub(super) more: Vec<Arc<RecoveredTx>>,
}

/// The block executed again with other attributes, so that everything in it follows from them. `None` when it does not follow
/// the durable head, or cannot be executed.
pub(super) fn rebuilt(out: &Context<'_>, block: &ExecutedBlock, attributes: Attributes) -> Option<Arc<ExecutedBlock>> {
    let chain = out.own.chain()?;
    let (parent, header) = (chain.storage.head(), &block.block.header);
    if parent.number + 1 != header.number {
        return None;
    }
    let mut system = Vec::new();
    let mut users = Vec::new();
    for transaction in &block.block.transactions {
        match (transaction.as_system(), transaction.as_ethereum()) {
            (Some(call), _) => system.push(SystemCall { to: call.to, input: call.input.clone() }),
            (None, Some(signed)) => users.push(Arc::new(RecoveredTx::recover(signed.clone()).ok()?)),
            (None, None) => {}
        }
    }
    users.extend(attributes.more);
    let built = chain.executor.build(
        &parent,
        chain.storage.latest().as_ref(),
        BuildAttributes {
            timestamp: attributes.timestamp.unwrap_or(header.timestamp),
            proposer_operator: header.beneficiary,
            parent_certificate: attributes.certificate.or_else(|| block.block.parent_certificate.clone()),
            extra_data: header.extra_data.clone(),
            stop: None,
            max_bytes: causeway::chain::MAX_BODY_BYTES,
        },
        system,
        users.into_iter(),
    );
    built.ok().map(Arc::new)
}

/// A body of some bytes that is no block.
pub(super) fn rubbish(of: B256) -> Bytes {
    Bytes::copy_from_slice(&of.0)
}
