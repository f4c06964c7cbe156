//! `causeway peg deposit|withdraw`: coin that crosses the peg, either way.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use causeway_genesis::addresses::PEG;
use causeway_peg::IPeg;
use clap::Args;
use eyre::eyre;
use serde_json::json;

use super::parent::ParentArgs;
use crate::cli::{
    account::AccountArgs,
    amount::Unit,
    rpc_client::{NodeArgs, RpcClient},
    say,
    sidechain::Sidechain,
};

/// What both directions ask for.
#[derive(Debug, Args)]
struct TransferArgs {
    #[command(flatten)]
    account: AccountArgs,
    /// Amount in coins, for example 1.5.
    #[arg(long)]
    amount: String,
    /// Who gets it on the other chain; the paying account by default.
    #[arg(long)]
    to: Option<Address>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl TransferArgs {
    fn amount(&self) -> eyre::Result<U256> {
        Unit::Coin.parse_some(&self.amount)
    }
}

/// A transfer that was sent.
struct Sent {
    /// `deposit` or `withdrawal`.
    what: &'static str,
    /// Name of its number.
    numbered: &'static str,
    number: u64,
    /// Name of the block's height.
    height_name: &'static str,
    height: u64,
    hash: B256,
    gas_used: u64,
    /// The result and the next step, in a sentence.
    story: String,
}

impl Sent {
    fn tell(&self, json: bool) -> eyre::Result<()> {
        if json {
            return say(json!({
                self.numbered: self.number, "transaction": self.hash, self.height_name: self.height, "gasUsed": self.gas_used,
            }));
        }
        say(&self.story)?;
        say(format_args!("Follow it: causeway peg status --{} {}", self.what, self.number))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DepositArgs {
    #[command(flatten)]
    parent: ParentArgs,
    /// A node of the sidechain, to check that it is the one the contracts belong to.
    #[arg(long, env = "CAUSEWAY_RPC")]
    rpc: Option<String>,
    #[command(flatten)]
    transfer: TransferArgs,
}

impl DepositArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let amount = self.transfer.amount()?;
        let parent = self.parent.connect(self.transfer.account.signer()?).await?;
        let node = self.rpc.as_deref().map(RpcClient::new).transpose()?;
        // Coin locked in a wrong vault is lost, so everything is checked first.
        parent.same_chain(node.as_ref()).await?;
        parent.verify().await?;
        let recipient = self.transfer.to.unwrap_or_else(|| parent.submitter.address());
        let receipt = parent.submitter.deposit_native(parent.peg.vault, recipient, amount).await?;
        let (nonce, height, hash) = (receipt.deposit.nonce, receipt.height, receipt.hash);
        Sent {
            what: "deposit",
            numbered: "nonce",
            number: nonce,
            height_name: "parentHeight",
            height,
            hash,
            gas_used: receipt.gas_used,
            story: format!(
                "deposit {nonce} is in parent block {height} ({hash}). It is minted to {recipient} once that block is final."
            ),
        }
        .tell(self.transfer.json)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WithdrawArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    /// Part of the amount that pays whoever sends the claim, in coins.
    #[arg(long, default_value = "0")]
    relayer_fee: String,
}

impl WithdrawArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let (amount, fee) = (self.transfer.amount()?, Unit::Coin.parse(&self.relayer_fee)?);
        let sidechain = Sidechain::connect(&self.node.rpc, self.transfer.account.signer()?).await?;
        let recipient = self.transfer.to.unwrap_or_else(|| sidechain.address());
        let call = IPeg::withdrawCall { recipient, relayerFee: fee };
        let landed = sidechain.send(PEG, amount, call.abi_encode().into()).await?;
        let hash = landed.hash;
        let event: IPeg::WithdrawalRequested = landed
            .event(PEG)
            .ok_or_else(|| eyre!("transaction {hash} left no withdrawal: {PEG} is not the peg on this chain"))?;
        let (index, height) = (event.index, landed.height());
        Sent {
            what: "withdrawal",
            numbered: "index",
            number: index,
            height_name: "height",
            height,
            hash,
            gas_used: landed.gas_used(),
            story: format!(
                "withdrawal {index} is burned in block {height} ({hash}). It can be claimed once the parent has a \
                 checkpoint that covers it."
            ),
        }
        .tell(self.transfer.json)
    }
}
