//! `causeway stake register`: proves possession of a node's keys and registers them for the paying account.

use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer::SignerSync;
use causeway_genesis::{Genesis, NodeKeys};
use causeway_staking::{IStaking, registration};
use clap::Args;
use ed25519_dalek::Signer;
use eyre::eyre;
use serde_json::json;

use super::{answers, send::SendArgs};
use crate::{
    cli::amount::{Unit, whole},
    config::DataDir,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct RegisterArgs {
    /// The validator's data directory: its consensus and peg keys are registered.
    #[arg(long, env = "CAUSEWAY_DIR")]
    dir: PathBuf,
    /// The operator's own stake, in stake tokens, for example 1000.5.
    #[arg(long)]
    self_bond: String,
    /// Commission in basis points of the delegators' rewards: 500 is 5 %.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    commission_bps: u16,
    #[command(flatten)]
    send: SendArgs,
}

impl RegisterArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let self_bond = Unit::Stake.parse_some(&self.self_bond)?;
        let dir = DataDir(self.dir);
        let sender = self.send.connect().await?;
        let genesis_hash = sender.client().genesis_hash().await?;
        let expected = Genesis::load(&dir.genesis_file())?.hash;
        if genesis_hash != expected {
            return Err(eyre!(
                "the node at {} is on the chain with genesis {genesis_hash}, {} is of {expected}: register with a node of \
                 that chain",
                sender.client().url(),
                dir.genesis_file().display()
            ));
        }
        let keys = NodeKeys::unlock(&dir.keys(), &self.send.account.password().ask())?;
        let operator = sender.address();
        if operator == keys.peg_address() {
            return Err(eyre!(
                "the paying account is the peg key itself: an operator needs an account of its own, whose key the node never sees"
            ));
        }
        let proofs = Proofs::of(&keys, genesis_hash, operator)?;
        let call = IStaking::registerCall {
            consensusKey: proofs.consensus_key,
            consensusProof: proofs.consensus_proof,
            pegAddress: proofs.peg_address,
            pegProof: proofs.peg_proof,
            commissionBps: self.commission_bps,
            selfBond: self_bond,
        };
        let landed = sender.call(call).await?;
        let (epoch, height) = answers::epoch(sender.client()).await?.ahead(2);
        let facts = json!({
            "operator": operator, "validator": keys.validator_id(), "consensusKey": proofs.consensus_key,
            "pegAddress": proofs.peg_address, "selfBond": self_bond, "commissionBps": self.commission_bps,
            "entersEpoch": epoch, "entersHeight": height,
        });
        sender.tell(
            &landed,
            facts,
            &[
                format!(
                    "{operator} operates validator {} now, with {} stake tokens of its own.",
                    keys.validator_id(),
                    whole(self_bond)
                ),
                format!(
                    "It enters the set in epoch {epoch}, about block {height}, if its stake is among the greatest by then; \
                     newcomers together bring at most a third of the set's stake in one epoch, and the rest follows epoch by epoch."
                ),
                format!(
                    "Let `causeway start --dir {}` run from now on: it begins to sign by itself. Follow it: causeway stake \
                     status --validator {operator}",
                    dir.0.display()
                ),
            ],
        )
    }
}

/// Both keys' signatures that agree to the registration for one operator on one chain.
struct Proofs {
    consensus_key: B256,
    consensus_proof: Bytes,
    peg_address: Address,
    peg_proof: Bytes,
}

impl Proofs {
    fn of(keys: &NodeKeys, genesis_hash: B256, operator: Address) -> eyre::Result<Self> {
        let (consensus_key, peg_address) = (B256::from(keys.consensus_public().0), keys.peg_address());
        let message = registration::consensus_message(genesis_hash, operator, consensus_key);
        let consensus_proof = keys.consensus_signing_key().sign(&message).to_bytes();
        let digest = registration::peg_digest(genesis_hash, operator, peg_address);
        let peg_proof = keys.peg_signer().sign_hash_sync(&digest)?.as_bytes();
        Ok(Self {
            consensus_key,
            consensus_proof: Bytes::copy_from_slice(&consensus_proof),
            peg_address,
            peg_proof: Bytes::copy_from_slice(&peg_proof),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use causeway_consensus::ConsensusKey;
    use causeway_peg::Signature65;

    #[test]
    fn the_proofs_verify_for_this_operator_and_chain_alone() {
        let keys = NodeKeys::generate().unwrap();
        let (genesis, operator) = (B256::repeat_byte(7), Address::repeat_byte(9));
        let proofs = Proofs::of(&keys, genesis, operator).unwrap();
        let key = ConsensusKey(proofs.consensus_key.0);
        let signature: [u8; 64] = proofs.consensus_proof.as_ref().try_into().unwrap();
        let message = |operator| registration::consensus_message(genesis, operator, proofs.consensus_key);
        assert!(key.verifies(&message(operator), &signature));
        assert!(!key.verifies(&message(Address::ZERO), &signature));
        let recovered = |genesis| {
            let digest = registration::peg_digest(genesis, operator, proofs.peg_address);
            Signature65::from_bytes(&proofs.peg_proof).unwrap().recover(digest).ok()
        };
        assert_eq!(recovered(genesis), Some(keys.peg_address()));
        assert_ne!(recovered(B256::ZERO), Some(keys.peg_address()));
    }
}
