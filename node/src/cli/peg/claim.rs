//! `causeway peg claim`: pays out a withdrawal with a proof that a node gives.

use alloy_primitives::{Address, B256, U64, U256};
use causeway_peg::{TREE_DEPTH, Withdrawal};
use clap::Args;
use eyre::eyre;
use serde::Deserialize;
use serde_json::json;

use super::parent::ParentArgs;
use crate::cli::{
    account::AccountArgs,
    rpc_client::{NodeArgs, RpcClient},
    say,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ClaimArgs {
    #[command(flatten)]
    parent: ParentArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    account: AccountArgs,
    /// The withdrawal's index.
    #[arg(long)]
    index: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The proof as `peg_getWithdrawalProof` gives it; fields that a claim does not need are not read.
#[derive(Debug, Deserialize)]
struct ProofAnswer {
    withdrawal: WithdrawalAnswer,
    checkpoint: CheckpointAnswer,
    siblings: Vec<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawalAnswer {
    index: U64,
    token: Address,
    sender: Address,
    recipient: Address,
    amount: U256,
    relayer_fee: U256,
}

#[derive(Debug, Deserialize)]
struct CheckpointAnswer {
    number: U64,
}

impl ClaimArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let parent = self.parent.connect(self.account.signer()?).await?;
        let node = RpcClient::new(&self.node.rpc)?;
        parent.same_chain(Some(&node)).await?;
        let answer: ProofAnswer = node.call("peg_getWithdrawalProof", (U64::from(self.index),)).await?;
        let siblings: [B256; TREE_DEPTH] = answer.siblings.try_into().map_err(|siblings: Vec<B256>| {
            eyre!("the node's proof has {} siblings, it must have {TREE_DEPTH}", siblings.len())
        })?;
        let WithdrawalAnswer { index, token, sender, recipient, amount, relayer_fee } = answer.withdrawal;
        let withdrawal = Withdrawal { index: index.to(), token, sender, recipient, amount, relayerFee: relayer_fee };
        let checkpoint = answer.checkpoint.number.to();
        let hash = parent.submitter.claim(parent.peg.vault, &withdrawal, checkpoint, &siblings).await?;
        if self.json {
            return say(json!({ "index": self.index, "transaction": hash, "recipient": recipient, "amount": amount }));
        }
        say(format_args!("withdrawal {} is paid to {recipient} in {hash}", self.index))
    }
}
