//! Changed blocks: edited under a matching hash, or executed again with other attributes.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use causeway_consensus::CommitCertificate;
use causeway_execution::{
    Block, BuildAttributes, ExecutedBlock, RecoveredTx, SystemCall, SystemTx, Transaction, transactions_root,
};

use super::Context;

/// The block with a change, and its new hash. The results of execution in the header are left as they were.
pub(super) fn doctored(block: &ExecutedBlock, change: impl FnOnce(&mut Block)) -> Arc<ExecutedBlock> {
    let mut changed = Block::clone(&block.block);
    change(&mut changed);
    let hash = changed.hash();
    Arc::new(ExecutedBlock { block: Arc::new(changed), hash, ..block.clone() })
}

/// The changed attributes of a block.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Another timestamp, Unix seconds.
    pub(super) timestamp: Option<u64>,
    /// Another certificate of its parent.
    pub(super) certificate: Option<CommitCertificate>,
    /// A system call beside its own, instead of the one of that kind.
    pub(super) system: Option<SystemCall>,
    /// Transactions after its own.
    pub(super) more: Vec<Arc<RecoveredTx>>,
}

/// Gas limit of a forged system transaction: the one that chains start with.
pub(super) const SYSTEM_TX_GAS: u64 = 10_000_000;

/// Whether both call the same function.
fn is_kind(to: Address, input: &Bytes, call: &SystemCall) -> bool {
    to == call.to && input.get(..4) == call.input.get(..4)
}

/// Names the transactions in the header.
pub(super) fn seal_transactions(block: &mut Block) {
    block.header.transactions_root = transactions_root(&block.transactions);
}

/// The position of a system call in the block.
pub(super) fn system_transaction(block_number: u64, index: usize, call: SystemCall) -> Transaction {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    Transaction::System(SystemTx { block_number, index, to: call.to, gas_limit: SYSTEM_TX_GAS, input: call.input })
}

/// The block with a system call before its others, in place of the one of that kind, also when execution would refuse it.
pub(super) fn with_system_call(block: &ExecutedBlock, call: SystemCall) -> Arc<ExecutedBlock> {
    doctored(block, |block| {
        let (mut calls, mut users) = (vec![call.clone()], Vec::new());
        for transaction in std::mem::take(&mut block.transactions) {
            match transaction {
                Transaction::System(tx) if is_kind(tx.to, &tx.input, &call) => {}
                Transaction::System(SystemTx { to, input, .. }) => calls.push(SystemCall { to, input }),
                user => users.push(user),
            }
        }
        let number = block.header.number;
        let calls = (0..).zip(calls).map(|(index, call)| system_transaction(number, index, call));
        block.transactions = calls.chain(users).collect();
        seal_transactions(block);
    })
}

/// The block executed again with other attributes, so that all its fields are consistent. `None` when it does not follow
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
            (Some(call), _) if attributes.system.as_ref().is_some_and(|own| is_kind(call.to, &call.input, own)) => {}
            (Some(call), _) => system.push(SystemCall { to: call.to, input: call.input.clone() }),
            (None, Some(signed)) => users.push(Arc::new(RecoveredTx::recover(signed.clone()).ok()?)),
            (None, None) => {}
        }
    }
    system.extend(attributes.system);
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

/// Random bytes that are no block.
pub(super) fn rubbish(of: B256) -> Bytes {
    Bytes::copy_from_slice(&of.0)
}
