//! The parent as a genesis file names it: one chain, one registry, one vault, all of one sidechain.

use std::{path::PathBuf, sync::Arc};

use alloy_signer_local::PrivateKeySigner;
use causeway_contracts::CheckpointRegistry;
use causeway_genesis::{Genesis, PegSpec};
use causeway_parent::{Http, Submitter, SubmitterConfig};
use causeway_peg::PegValidatorSet;
use clap::Args;
use eyre::eyre;

use crate::cli::rpc_client::RpcClient;

/// Which parent, and which contracts on it.
#[derive(Debug, Args)]
pub(super) struct ParentArgs {
    /// The chain's genesis file, which names the contracts.
    #[arg(long)]
    genesis: PathBuf,
    /// The parent's JSON-RPC URL.
    #[arg(long)]
    parent: String,
}

/// A parent endpoint with the account that sends through it, and what genesis says of it.
pub(super) struct Parent {
    pub(super) submitter: Submitter,
    pub(super) genesis: Genesis,
    pub(super) peg: PegSpec,
    /// The first federation.
    pub(super) validators: PegValidatorSet,
}

impl ParentArgs {
    /// Reads the genesis file and connects; an endpoint of another chain is refused.
    pub(super) async fn connect(self, signer: PrivateKeySigner) -> eyre::Result<Parent> {
        Parent::connect(Genesis::load(&self.genesis)?, self.parent, signer).await
    }
}

impl Parent {
    pub(super) async fn connect(genesis: Genesis, url: String, signer: PrivateKeySigner) -> eyre::Result<Self> {
        let (Some(peg), Some(validators)) = (genesis.spec.peg.clone(), genesis.peg_validator_set()) else {
            return Err(eyre!("this genesis is of a standalone chain: it has no peg"));
        };
        let config = SubmitterConfig::new(url, peg.parent_chain_id);
        let submitter = Submitter::connect(config, signer, Arc::new(Http::new()?)).await?;
        Ok(Self { submitter, genesis, peg, validators })
    }

    /// Refuses a registry or a node of another sidechain.
    ///
    /// # Errors
    /// Names the mismatch and both genesis hashes.
    pub(super) async fn same_chain(&self, node: Option<&RpcClient>) -> eyre::Result<()> {
        let (registry, expected) = (self.peg.registry, self.genesis.hash);
        if self.submitter.code(registry).await?.is_empty() {
            return Err(eyre!(
                "no registry stands at {registry} on the parent: deploy it first (causeway peg deploy), or use the \
                 endpoint of the right parent"
            ));
        }
        let found = self.submitter.view(registry, CheckpointRegistry::genesisHashCall {}).await?;
        if found != expected {
            return Err(eyre!(
                "registry {registry} on the parent belongs to the chain with genesis {found}, the genesis file is of \
                 {expected}: use that chain's genesis file"
            ));
        }
        if let Some(node) = node {
            let found = node.genesis_hash().await?;
            if found != expected {
                return Err(eyre!(
                    "the node at {} is on the chain with genesis {found}, registry {registry} on the parent belongs to \
                     {expected}: use a node of that chain",
                    node.url()
                ));
            }
        }
        Ok(())
    }

    /// Checks that the parent has exactly the contracts of this release for this genesis.
    ///
    /// # Errors
    /// Names the difference.
    pub(super) async fn verify(&self) -> eyre::Result<causeway_parent::Deployment> {
        let (registry, vault) = (self.peg.registry, self.peg.vault);
        Ok(self.submitter.verify_deployment(self.genesis.hash, &self.validators, registry, vault).await?)
    }
}

/// Checks that the contracts a genesis names stand on the parent.
pub(in crate::cli) async fn verify_deployment(genesis: &Genesis, url: &str) -> eyre::Result<String> {
    // Only views are called; the key never signs.
    let parent = Parent::connect(genesis.clone(), url.to_owned(), PrivateKeySigner::random()).await?;
    let deployment = parent.verify().await?;
    Ok(format!(
        "registry {} and vault {} stand as this genesis expects; claims wait {} s",
        deployment.registry, deployment.vault, deployment.claim_delay_s
    ))
}
