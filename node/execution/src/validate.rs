//! The rules of a block that can be checked without executing it, and the comparison afterwards.

use std::collections::BTreeSet;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, TxEnvelope, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{Typed2718, eip2718::Encodable2718, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, U256};
use alloy_sol_types::SolCall;
use causeway_consensus::{CommitCertificate, ValidatorSet};
use causeway_genesis::{Rules, addresses::SYSTEM};
use causeway_peg::IPeg;
use causeway_staking::abi::IStaking;
use rayon::prelude::*;

use crate::{
    block::{Block, transactions_root},
    fault::{BlockFault, ExecutionError, LocalError},
    header::{mix_hash, next_base_fee},
    limits::bytes,
    run::RunOutcome,
    transaction::{Transaction, TransactionError},
};

/// What a validator knows that is not in the block, its parent or the rules.
#[derive(Debug, Clone, Copy)]
pub struct ValidationContext<'a> {
    /// The validator's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Validators of the parent's height, who signed its certificate.
    pub parent_validators: &'a ValidatorSet,
    /// Operator accounts of the validators of the block's height. A block that is proposed again in a later round keeps the
    /// beneficiary of the validator that built it, so any of them is right.
    pub operators: &'a BTreeSet<Address>,
}

/// Checks everything about the header that does not need execution, the parent's certificate included.
pub(crate) fn header(
    chain: B256,
    rules: &Rules,
    parent: &Header,
    parent_hash: B256,
    block: &Block,
    checks: &ValidationContext<'_>,
) -> Result<(), ExecutionError> {
    let header = &block.header;
    lineage(rules, parent, parent_hash, header, checks.now_ms)?;
    fixed_fields(rules, header)?;
    if header.gas_limit != rules.block.gas_limit {
        let fault = BlockFault::GasLimit { expected: rules.block.gas_limit, actual: header.gas_limit };
        return Err(fault.into());
    }
    let base_fee = next_base_fee(parent, &rules.base_fee);
    if header.base_fee_per_gas != Some(base_fee) {
        return Err(BlockFault::BaseFee { expected: base_fee, actual: header.base_fee_per_gas }.into());
    }
    if !checks.operators.contains(&header.beneficiary) {
        return Err(BlockFault::Beneficiary(header.beneficiary).into());
    }
    let certificate_hash = certificate(chain, parent, parent_hash, block, checks.parent_validators)?;
    if header.parent_beacon_block_root != Some(certificate_hash) {
        let fault = BlockFault::CertificateHash { expected: certificate_hash, actual: header.parent_beacon_block_root };
        return Err(fault.into());
    }
    let mix = mix_hash(parent_hash, certificate_hash);
    if header.mix_hash != mix {
        return Err(BlockFault::MixHash { expected: mix, actual: header.mix_hash }.into());
    }
    Ok(())
}

fn lineage(
    rules: &Rules,
    parent: &Header,
    parent_hash: B256,
    header: &Header,
    now_ms: u64,
) -> Result<(), ExecutionError> {
    if header.parent_hash != parent_hash {
        return Err(BlockFault::ParentHash { expected: parent_hash, actual: header.parent_hash }.into());
    }
    let number =
        parent.number.checked_add(1).ok_or_else(|| LocalError::Bug("the chain is at its last height".into()))?;
    if header.number != number {
        return Err(BlockFault::Number { expected: number, actual: header.number }.into());
    }
    if header.timestamp < parent.timestamp {
        let fault = BlockFault::TimestampBeforeParent { parent: parent.timestamp, actual: header.timestamp };
        return Err(fault.into());
    }
    let limit = now_ms.saturating_add(rules.block.time_drift_ms) / 1_000;
    // A chain whose parent is ahead of the clock already (a clock set back) goes on at the parent's time.
    if header.timestamp > limit.max(parent.timestamp) {
        return Err(BlockFault::TimestampAhead { limit, actual: header.timestamp }.into());
    }
    Ok(())
}

fn fixed_fields(rules: &Rules, header: &Header) -> Result<(), BlockFault> {
    let limit = bytes(rules.block.max_extra_data_bytes);
    if header.extra_data.len() > limit {
        return Err(BlockFault::ExtraData { length: header.extra_data.len(), limit });
    }
    let fixed = [
        ("ommersHash", header.ommers_hash == EMPTY_OMMER_ROOT_HASH),
        ("difficulty", header.difficulty == U256::ZERO),
        ("nonce", header.nonce == B64::ZERO),
        ("withdrawalsRoot", header.withdrawals_root == Some(EMPTY_WITHDRAWALS)),
        ("blobGasUsed", header.blob_gas_used == Some(0)),
        ("excessBlobGas", header.excess_blob_gas == Some(0)),
        ("requestsHash", header.requests_hash == Some(EMPTY_REQUESTS_HASH)),
        ("blockAccessListHash", header.block_access_list_hash.is_none()),
        ("slotNumber", header.slot_number.is_none()),
    ];
    match fixed.iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(BlockFault::FixedField(field)),
        None => Ok(()),
    }
}

/// Checks the parent's certificate and returns the hash the header must carry.
fn certificate(
    chain: B256,
    parent: &Header,
    parent_hash: B256,
    block: &Block,
    validators: &ValidatorSet,
) -> Result<B256, BlockFault> {
    let certificate: &CommitCertificate = match (&block.parent_certificate, parent.number) {
        (None, 0) => return Ok(B256::ZERO),
        (Some(_), 0) => return Err(BlockFault::CertificateUnexpected),
        (None, _) => return Err(BlockFault::CertificateMissing),
        (Some(certificate), _) => certificate,
    };
    if certificate.height.0 != parent.number || certificate.block_hash != parent_hash {
        return Err(BlockFault::CertificateTarget { height: certificate.height, hash: certificate.block_hash });
    }
    certificate.verify(chain, validators).map_err(BlockFault::Certificate)?;
    Ok(certificate.hash())
}

/// The kinds of system transactions there are; a block carries at most one of each, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SystemKind {
    ImportDeposits,
    RecordCheckpoint,
    AcknowledgeSet,
    ReportEvidence,
}

/// What a system transaction does, `None` when it is nothing that the rules allow.
pub(crate) fn system_kind(rules: &Rules, to: Address, input: &[u8]) -> Option<SystemKind> {
    let selector: [u8; 4] = input.get(..4)?.try_into().ok()?;
    let (modules, allowed) = (&rules.modules.addresses, &rules.system.transactions);
    let (kind, is_allowed) = match selector {
        IPeg::importDepositsCall::SELECTOR if to == modules.peg => {
            (SystemKind::ImportDeposits, allowed.import_deposits)
        }
        IPeg::recordCheckpointCall::SELECTOR if to == modules.peg => {
            (SystemKind::RecordCheckpoint, allowed.record_checkpoint)
        }
        IPeg::acknowledgeSetCall::SELECTOR if to == modules.peg => {
            (SystemKind::AcknowledgeSet, allowed.acknowledge_set)
        }
        IStaking::reportEvidenceCall::SELECTOR if to == modules.staking => {
            (SystemKind::ReportEvidence, allowed.report_evidence)
        }
        _ => return None,
    };
    is_allowed.then_some(kind)
}

/// Checks size, transactions root, types, and the place, numbers and kinds of system transactions.
pub(crate) fn body(rules: &Rules, block: &Block) -> Result<(), BlockFault> {
    let certificate = block.parent_certificate.as_ref();
    let certificate_bytes =
        certificate.map_or(0, |certificate| borsh::object_length(certificate).unwrap_or(usize::MAX));
    let size = block.size().saturating_add(certificate_bytes);
    if size > bytes(rules.block.max_bytes) {
        return Err(BlockFault::TooLarge(size));
    }
    let root = transactions_root(&block.transactions);
    if block.header.transactions_root != root {
        return Err(BlockFault::TransactionsRoot { expected: root, actual: block.header.transactions_root });
    }
    let max_tx_bytes = bytes(rules.transaction.max_bytes);
    let mut last_kind = None;
    let mut users = false;
    for (index, tx) in block.transactions.iter().enumerate() {
        match tx {
            Transaction::Ethereum(tx) => {
                users = true;
                if tx.is_eip4844() {
                    return Err(BlockFault::TransactionType { index, ty: tx.ty() });
                }
                let size = tx.encode_2718_len();
                if size > max_tx_bytes {
                    return Err(BlockFault::TransactionSize { index, size, limit: max_tx_bytes });
                }
            }
            Transaction::System(tx) => {
                if users {
                    return Err(BlockFault::SystemPosition(index));
                }
                if tx.block_number != block.header.number || u32::try_from(index) != Ok(tx.index) {
                    return Err(BlockFault::SystemNumber(index));
                }
                let kind = system_kind(rules, tx.to, &tx.input).ok_or(BlockFault::SystemKind(index))?;
                match last_kind.replace(kind) {
                    Some(last) if last == kind => return Err(BlockFault::SystemRepeated(index)),
                    Some(last) if last > kind => return Err(BlockFault::SystemOrder(index)),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// The sender of each transaction: from the cache, or recovered on all cores.
pub(crate) fn senders(block: &Block, cache: &dyn Fn(&B256) -> Option<Address>) -> Result<Vec<Address>, BlockFault> {
    let mut senders = vec![SYSTEM; block.transactions.len()];
    let mut unknown: Vec<(usize, &TxEnvelope)> = Vec::new();
    for (index, tx) in block.transactions.iter().enumerate() {
        if let Transaction::Ethereum(tx) = tx {
            match cache(tx.tx_hash()) {
                Some(sender) => senders[index] = sender,
                None => unknown.push((index, tx)),
            }
        }
    }
    let recovered: Vec<_> =
        unknown.into_par_iter().with_min_len(8).map(|(index, tx)| (index, recover_sender(tx))).collect();
    for (index, sender) in recovered {
        senders[index] = sender.map_err(|error| BlockFault::Signature { index, error })?;
    }
    for (index, (tx, sender)) in block.transactions.iter().zip(&senders).enumerate() {
        if tx.as_ethereum().is_some() && *sender == SYSTEM {
            return Err(BlockFault::SystemSender(index));
        }
    }
    Ok(senders)
}

fn recover_sender(tx: &TxEnvelope) -> Result<Address, TransactionError> {
    use alloy_consensus::transaction::SignerRecoverable;
    tx.recover_signer().map_err(|_| TransactionError::InvalidSignature)
}

/// Compares what execution gave with what the header says.
pub(crate) fn outcome(header: &Header, outcome: &RunOutcome) -> Result<(), BlockFault> {
    if header.gas_used != outcome.gas_used {
        return Err(BlockFault::GasUsed { expected: outcome.gas_used, actual: header.gas_used });
    }
    if header.logs_bloom != outcome.logs_bloom {
        return Err(BlockFault::LogsBloom);
    }
    if header.receipts_root != outcome.receipts_root {
        return Err(BlockFault::ReceiptsRoot { expected: outcome.receipts_root, actual: header.receipts_root });
    }
    if header.state_root != outcome.state_root {
        return Err(BlockFault::StateRoot { expected: outcome.state_root, actual: header.state_root });
    }
    Ok(())
}
