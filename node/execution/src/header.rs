//! Header fields that follow from the parent and from the rules.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, constants::EMPTY_WITHDRAWALS};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::{Address, B256, keccak256};
use causeway_genesis::rules::{BaseFeeRule, Rules};

/// Base fee in wei of the child of `parent` (EIP-1559), which `rules` are the rules of.
pub fn next_base_fee(parent: &Header, rules: &BaseFeeRule) -> u64 {
    let params = BaseFeeParams {
        max_change_denominator: rules.change_denominator.into(),
        elasticity_multiplier: rules.elasticity.into(),
    };
    let before = parent.base_fee_per_gas.unwrap_or_default();
    calc_next_block_base_fee(parent.gas_used, parent.gas_limit, before, params).max(rules.floor)
}

/// PREVRANDAO of the child of `parent_hash`: keccak(parent certificate hash || parent hash). The next proposer picks which
/// signatures its certificate holds, so it can choose among many values: contracts must not bet money on it.
pub fn mix_hash(parent_hash: B256, parent_certificate_hash: B256) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(parent_certificate_hash.as_slice());
    bytes[32..].copy_from_slice(parent_hash.as_slice());
    keccak256(bytes)
}

/// Header of the child of `parent`, under the child's rules and before execution: roots, bloom and gas used are still zero.
pub(crate) fn child_header(
    parent: &Header,
    parent_hash: B256,
    timestamp: u64,
    beneficiary: Address,
    rules: &Rules,
    parent_certificate_hash: B256,
) -> Header {
    Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary,
        number: parent.number.saturating_add(1),
        gas_limit: rules.block.gas_limit,
        timestamp,
        mix_hash: mix_hash(parent_hash, parent_certificate_hash),
        base_fee_per_gas: Some(next_base_fee(parent, &rules.base_fee)),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(parent_certificate_hash),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
