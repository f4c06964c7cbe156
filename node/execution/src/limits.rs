//! What the rules of a height demand of a transaction before it runs.

use alloy_consensus::{Transaction, TxEnvelope};
use causeway_genesis::Rules;
use revm::{
    context::CfgEnv,
    context_interface::{Cfg as _, cfg::GasParams},
};

use crate::context::spec_id;

/// The limits of a transaction under the rules of one height. Cheap to keep, not to make: one for each block is enough.
#[derive(Debug, Clone)]
pub struct TransactionLimits {
    /// Gas limit of the block.
    pub block_gas: u64,
    /// Most gas of one transaction (EIP-7825), where the fork has such a cap.
    pub gas_cap: Option<u64>,
    /// Most bytes of the EIP-2718 encoding.
    pub max_bytes: usize,
    /// Most bytes of init code (EIP-3860).
    pub max_init_code_bytes: usize,
    gas: GasParams,
}

impl TransactionLimits {
    /// The limits under `rules`.
    pub fn of(rules: &Rules) -> Self {
        let spec = spec_id(&rules.evm);
        Self {
            block_gas: rules.block.gas_limit,
            gas_cap: rules.transaction_gas_cap(),
            max_bytes: bytes(rules.transaction.max_bytes),
            max_init_code_bytes: CfgEnv::new_with_spec(spec).max_initcode_size(),
            gas: GasParams::new_spec(spec),
        }
    }

    /// Gas charged before the first instruction, and the least that the transaction pays for its calldata whatever it executes
    /// (EIP-7623).
    pub fn intrinsic_and_floor_gas(&self, tx: &TxEnvelope) -> (u64, u64) {
        let list = tx.access_list();
        let keys = list.map_or(0, |list| list.iter().map(|item| item.storage_keys.len()).sum());
        let gas = self.gas.initial_tx_gas(
            tx.input(),
            tx.kind().is_create(),
            count(list.map_or(0, |list| list.len())),
            count(keys),
            count(tx.authorization_list().map_or(0, |list| list.len())),
            None,
        );
        (gas.initial_total_gas(), gas.floor_gas())
    }
}

/// Gas of the cheapest transaction: a block with less left is full.
pub fn least_gas(rules: &Rules) -> u64 {
    GasParams::new_spec(spec_id(&rules.evm)).tx_base_stipend()
}

/// Gas that a call with value passes on for free.
pub(crate) fn call_stipend(rules: &Rules) -> u64 {
    GasParams::new_spec(spec_id(&rules.evm)).call_stipend()
}

/// A figure of the rules as a length in memory.
pub(crate) fn bytes(figure: u64) -> usize {
    usize::try_from(figure).unwrap_or(usize::MAX)
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
