//! The EIP-712 domain, which binds a signature to one sidechain, one registry and one parent chain.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Serialize};

use crate::{
    message::Attestation,
    types::{Checkpoint, ParentView, SetAcknowledged},
};

/// EIP-712 `name` of the domain.
pub const DOMAIN_NAME: &str = "Causeway";
/// EIP-712 `version` of the domain; changes with every change of the signed types.
pub const DOMAIN_VERSION: &str = "1";

/// The identity of one peg. The registry computes the same separator from the current `block.chainid`, its own
/// address and the genesis hash given at its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PegDomain {
    /// Chain id of the parent chain.
    pub parent_chain_id: u64,
    /// `CheckpointRegistry` on the parent.
    pub registry: Address,
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
}

impl PegDomain {
    /// The domain in alloy's EIP-712 type.
    pub fn eip712(&self) -> Eip712Domain {
        Eip712Domain {
            name: Some(Cow::Borrowed(DOMAIN_NAME)),
            version: Some(Cow::Borrowed(DOMAIN_VERSION)),
            chain_id: Some(U256::from(self.parent_chain_id)),
            verifying_contract: Some(self.registry),
            salt: Some(self.genesis_hash),
        }
    }

    /// EIP-712 domain separator.
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    /// The digest that validators sign for a checkpoint. It also identifies the checkpoint (`prevDigest` of the next one).
    pub fn checkpoint_digest(&self, checkpoint: &Checkpoint) -> B256 {
        checkpoint.eip712_signing_hash(&self.eip712())
    }

    /// The digest that validators sign for a view of the parent.
    pub fn parent_view_digest(&self, view: &ParentView) -> B256 {
        view.eip712_signing_hash(&self.eip712())
    }

    /// The digest that validators sign for an acknowledgement: the parent has a set in force.
    pub fn set_acknowledged_digest(&self, seen: &SetAcknowledged) -> B256 {
        seen.eip712_signing_hash(&self.eip712())
    }

    /// The digest of a gossiped attestation.
    pub fn attestation_digest(&self, attestation: &Attestation) -> B256 {
        match attestation {
            Attestation::ParentView(view) => self.parent_view_digest(view),
            Attestation::Checkpoint(checkpoint) => self.checkpoint_digest(checkpoint),
            Attestation::SetAcknowledged(seen) => self.set_acknowledged_digest(seen),
        }
    }
}
