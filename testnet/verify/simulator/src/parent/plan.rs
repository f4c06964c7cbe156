//! Settings of a simulated parent.

use alloy_primitives::{Address, B256};
use causeway_contracts::predicted_addresses;
use causeway_peg::PegValidatorSet;

use super::episodes::ParentFaults;

/// Settings of a [`super::Parent`].
#[derive(Clone, Debug)]
pub struct ParentPlan {
    /// Its chain id.
    pub chain_id: u64,
    /// Time between blocks, ms.
    pub block_ms: u64,
    /// Smallest number of blocks above a final block.
    pub finality_blocks: u64,
    /// Finality advances in steps of this many blocks, as with epochs.
    pub finality_step: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Smallest base fee, wei per gas. Blocks are nearly empty, so this is the usual base fee.
    pub base_fee: u64,
    /// Longest time from a transaction's admission until a block may include it, ms.
    pub inclusion_ms: u64,
    /// Shortest and longest round trip to an endpoint, ms.
    pub latency_ms: (u64, u64),
    /// JSON-RPC endpoints.
    pub endpoints: usize,
    /// Number of past blocks whose state can be queried. Full nodes keep 128; the lag of endpoints is added.
    pub state_blocks: u64,
    /// Unix time at the start of the run, seconds.
    pub start_unix_s: u64,
    /// Faults until [`super::Parent::heal`].
    pub faults: ParentFaults,
}

impl Default for ParentPlan {
    /// A block each 2 s, final after 6, three endpoints, no faults.
    fn default() -> Self {
        Self {
            chain_id: 31_337,
            block_ms: 2_000,
            finality_blocks: 6,
            finality_step: 1,
            gas_limit: 60_000_000,
            base_fee: 1_000_000_000,
            inclusion_ms: 2_000,
            latency_ms: (5, 60),
            endpoints: 3,
            state_blocks: 1_024,
            start_unix_s: 1_700_000_000,
            faults: ParentFaults::default(),
        }
    }
}

/// The peg's contracts in the parent's first block: the registry is the deployer's transaction number `deployer_nonce`, the
/// vault the next one, as in genesis.
#[derive(Clone, Debug)]
pub struct PegDeployment {
    /// Account that deploys. Needs no key: the first block's transactions are unsigned.
    pub deployer: Address,
    /// Its nonce before.
    pub deployer_nonce: u64,
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
    /// The first validator set.
    pub validators: PegValidatorSet,
    /// Seconds between a checkpoint's acceptance and claims against it.
    pub claim_delay_s: u64,
}

impl PegDeployment {
    /// Addresses of the registry and the vault.
    pub fn addresses(&self) -> (Address, Address) {
        predicted_addresses(self.deployer, self.deployer_nonce)
    }
}
