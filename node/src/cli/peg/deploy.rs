//! `causeway peg deploy`: the registry and the vault, where the genesis file expects them.

use causeway_parent::DeployParams;
use clap::Args;
use eyre::eyre;
use serde_json::json;

use super::parent::{Parent, ParentArgs};
use crate::cli::{account::AccountArgs, say};

#[derive(Debug, Args)]
pub(in crate::cli) struct DeployArgs {
    #[command(flatten)]
    parent: ParentArgs,
    #[command(flatten)]
    account: AccountArgs,
    /// Seconds between a checkpoint's acceptance and claims against it: the time in which a forged checkpoint can be
    /// noticed. It can never be changed.
    #[arg(long, default_value_t = 1_800)]
    claim_delay_seconds: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl DeployArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let parent = self.parent.connect(self.account.signer()?).await?;
        deployable(&parent).await?;
        let deployment = parent
            .submitter
            .deploy(&DeployParams {
                genesis_hash: parent.genesis.hash,
                validators: parent.validators.clone(),
                deployer: parent.peg.deployer,
                deployer_nonce: parent.peg.deployer_nonce,
                claim_delay_s: self.claim_delay_seconds,
            })
            .await?;
        let (registry, vault) = (deployment.registry, deployment.vault);
        if self.json {
            return say(json!({
                "registry": registry, "vault": vault, "claimDelaySeconds": deployment.claim_delay_s,
                "genesisHash": parent.genesis.hash, "parentChainId": parent.peg.parent_chain_id,
            }));
        }
        say(format_args!("registry  {registry}"))?;
        say(format_args!("vault     {vault}"))?;
        say(format_args!(
            "Both stand on chain {} as genesis {} expects; claims wait {} s. Next: start the validators; anybody may check \
             this with `causeway genesis verify FILE --parent URL`.",
            parent.peg.parent_chain_id, parent.genesis.hash, deployment.claim_delay_s
        ))
    }
}

/// Refuses before anything is sent: a wrong key, a nonce that has passed or is not reached, or existing contracts. If only the
/// registry exists, an interrupted deployment is continued.
pub(super) async fn deployable(parent: &Parent) -> eyre::Result<()> {
    let (peg, submitter) = (&parent.peg, &parent.submitter);
    if submitter.address() != peg.deployer {
        return Err(eyre!(
            "this key is of {}, the genesis file foresees the deployer {}: use the deployer's key",
            submitter.address(),
            peg.deployer
        ));
    }
    let has_registry = !submitter.code(peg.registry).await?.is_empty();
    let has_vault = !submitter.code(peg.vault).await?.is_empty();
    if has_registry && has_vault {
        parent.verify().await?;
        return Err(eyre!(
            "already deployed: registry {} and vault {} stand on the parent as this genesis expects. Nothing was sent.",
            peg.registry,
            peg.vault
        ));
    }
    if has_vault {
        return Err(eyre!(
            "something stands at the vault's address {} though the registry does not: make a new genesis for a fresh deployer",
            peg.vault
        ));
    }
    let nonce = submitter.nonce(peg.deployer).await?;
    let foreseen = if has_registry { peg.deployer_nonce.saturating_add(1) } else { peg.deployer_nonce };
    if nonce > foreseen {
        return Err(eyre!(
            "the deployer {} has sent {nonce} transactions, the deployment needed its nonce {foreseen}, which is used up: \
             the addresses in the genesis file can never be reached. Make a genesis with --deployer-nonce {nonce}, or with \
             a fresh deployer.",
            peg.deployer
        ));
    }
    if nonce < foreseen {
        return Err(eyre!(
            "the deployer {} has sent {nonce} transactions, the deployment needs its nonce {foreseen}: send {} others \
             first (transfers to itself will do), or make a genesis with --deployer-nonce {nonce}",
            peg.deployer,
            foreseen.saturating_sub(nonce)
        ));
    }
    Ok(())
}
