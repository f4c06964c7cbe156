//! The rules of one block: every figure of the chain that execution, admission, RPC and the node's loop go by.
//!
//! [`Rules`] is a plain value. It is never a constant: ask the [`Schedule`] of the chain for the rules of a height, once a block,
//! and pass them down. The genesis file holds the whole schedule as data. Its first rules follow from the keys that every genesis
//! file has; each entry of its `rules` list changes some figures from a height on ([`RulesEntry`]). `docs/genesis.md` describes
//! every figure.
//!
//! `entry` reads an entry, `bounds` holds the ranges and says which figures cannot change, `schedule` answers by height.

mod bounds;
mod entry;
mod schedule;

use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_primitives::Address;
use causeway_peg::PegFigures;
use causeway_staking::StakingParams;
use serde::{Deserialize, Serialize};

pub use bounds::{MAX_BASE_FEE_FLOOR, MAX_EXTRA_DATA_BYTES, MAX_TRANSACTION_BYTES};
pub use entry::RulesEntry;
pub(crate) use entry::write_entries;
pub use schedule::{KNOWN_VERSION, Schedule, UnknownRules};

use crate::{addresses, spec::ChainSpec};

/// The rules of one block. Everything in it is the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// The vocabulary these rules are written in. Not a figure: an entry states it beside its changes.
    #[serde(skip)]
    pub version: u64,
    /// The EVM.
    pub evm: EvmRules,
    /// The block.
    pub block: BlockRules,
    /// The base fee.
    pub base_fee: BaseFeeRule,
    /// Users' transactions.
    pub transaction: TransactionRules,
    /// What the chain itself does in a block.
    pub system: SystemRules,
    /// Native modules.
    pub modules: ModuleRules,
    /// Proof of stake.
    pub staking: StakingParams,
    /// The peg.
    pub peg: PegFigures,
}

/// A named set of EVM rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fork {
    /// Ethereum's Prague.
    Prague,
    /// Ethereum's Osaka. Over Prague it brings CLZ, the P-256 precompile, dearer MODEXP and the gas cap of a transaction
    /// (EIP-7825).
    Osaka,
}

/// The EVM's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvmRules {
    /// Opcodes, precompiles, gas prices and limits, as Ethereum names them.
    pub fork: Fork,
}

/// Figures of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockRules {
    /// Gas limit, exactly.
    pub gas_limit: u64,
    /// Aimed time between blocks in milliseconds.
    pub interval_ms: u64,
    /// Most bytes of the encoded block with the certificate it carries.
    pub max_bytes: u64,
    /// Most bytes of `extra_data`.
    pub max_extra_data_bytes: u64,
    /// How far a timestamp may be ahead of a validator's clock, in milliseconds.
    pub time_drift_ms: u64,
}

/// How the base fee follows from the previous block (EIP-1559).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BaseFeeRule {
    /// A block aims at its gas limit divided by this.
    pub elasticity: u64,
    /// The fee moves at most by one part in this many a block.
    pub change_denominator: u64,
    /// Least base fee in wei.
    pub floor: u64,
}

/// Figures of a user's transaction. The cap on its gas follows from the fork: [`Rules::transaction_gas_cap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransactionRules {
    /// Most bytes of the EIP-2718 encoding.
    pub max_bytes: u64,
}

/// What the chain itself does in a block, paid by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemRules {
    /// Gas limit of a system transaction; what is left of the block when that is less.
    pub gas: u64,
    /// Gas of the EIP-2935 and EIP-4788 calls at the start of a block. Not part of the block's gas.
    pub hook_gas: u64,
    /// The system transactions that a block may carry.
    pub transactions: SystemTransactions,
}

/// Which system transactions a block may carry, at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemTransactions {
    /// Deposits with their certificate.
    pub import_deposits: bool,
    /// A checkpoint's certificate.
    pub record_checkpoint: bool,
    /// The validators' statement that the parent chain knows a set.
    pub acknowledge_set: bool,
    /// Evidence of a double signature.
    pub report_evidence: bool,
}

/// Native modules: where they answer and what they charge beside the EVM's price of the slots they use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleRules {
    /// Where they answer.
    pub addresses: ModuleAddresses,
    /// What they charge.
    pub prices: ModulePrices,
}

/// Addresses of the native modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleAddresses {
    /// Proof of stake.
    pub staking: Address,
    /// The peg.
    pub peg: Address,
    /// The staking token.
    pub stake_token: Address,
}

/// Prices of the native modules, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModulePrices {
    /// For 32 bytes of input: decoding.
    pub input_word: u64,
    /// For one signature check; the ecrecover precompile's price by default.
    pub signature: u64,
    /// For hashing one leaf of up to eight words and folding it into an accumulator.
    pub leaf: u64,
    /// For hashing two words, as a step of a Merkle tree does.
    pub tree_step: u64,
    /// For 32 bytes hashed beyond decoding them.
    pub hash_word: u64,
    /// For crediting an account beyond loading it: the write behind a value transfer.
    pub credit: u64,
}

impl Rules {
    /// The rules that a genesis file has before its `rules` list changes anything.
    pub(crate) fn first(spec: &ChainSpec) -> Self {
        Self {
            version: 1,
            evm: EvmRules { fork: Fork::Osaka },
            block: BlockRules {
                gas_limit: spec.gas_limit,
                interval_ms: spec.block_interval_ms,
                max_bytes: bounds::MAX_BLOCK_BYTES,
                max_extra_data_bytes: MAX_EXTRA_DATA_BYTES,
                time_drift_ms: 5_000,
            },
            base_fee: BaseFeeRule { elasticity: 2, change_denominator: 8, floor: 0 },
            transaction: TransactionRules { max_bytes: MAX_TRANSACTION_BYTES },
            system: SystemRules {
                // An import of 256 deposits by 100 signers needs about 4M.
                gas: 10_000_000,
                // As the EIPs say.
                hook_gas: 30_000_000,
                transactions: SystemTransactions {
                    import_deposits: true,
                    record_checkpoint: true,
                    acknowledge_set: true,
                    report_evidence: true,
                },
            },
            modules: ModuleRules {
                addresses: ModuleAddresses {
                    staking: addresses::STAKING,
                    peg: addresses::PEG,
                    stake_token: addresses::STAKE_TOKEN,
                },
                prices: ModulePrices {
                    input_word: 3,
                    signature: 3_000,
                    leaf: 150,
                    tree_step: 42,
                    hash_word: 6,
                    credit: 6_700,
                },
            },
            staking: spec.staking_params(),
            peg: PegFigures { checkpoint_interval: spec.checkpoint_interval },
        }
    }

    /// Most gas that one user's transaction may ask for (EIP-7825); `None` where the fork has no such cap.
    pub fn transaction_gas_cap(&self) -> Option<u64> {
        (self.evm.fork >= Fork::Osaka).then_some(MAX_TX_GAS_LIMIT_OSAKA)
    }
}
