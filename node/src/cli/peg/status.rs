//! `causeway peg status`: where a transfer is, or how the peg stands.

use alloy_primitives::{B256, U64};
use clap::Args;
use eyre::eyre;
use serde_json::{Value, json};

use crate::cli::{
    rpc_client::{NodeArgs, RpcClient},
    say,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct PegStatusArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// A deposit's nonce.
    #[arg(long, conflicts_with_all = ["withdrawal", "transaction"])]
    deposit: Option<u64>,
    /// A withdrawal's index.
    #[arg(long, conflicts_with = "transaction")]
    withdrawal: Option<u64>,
    /// A transaction on the sidechain that withdrew.
    #[arg(long)]
    transaction: Option<B256>,
}

impl PegStatusArgs {
    pub(super) async fn run(self) -> eyre::Result<()> {
        let client = RpcClient::new(&self.node.rpc)?;
        let status: Value = match (self.deposit, self.withdrawal, self.transaction) {
            (Some(nonce), _, _) => client.call("peg_status", (json!({ "deposit": U64::from(nonce) }),)).await?,
            (_, Some(index), _) => client.call("peg_status", (json!({ "withdrawal": U64::from(index) }),)).await?,
            (_, _, Some(hash)) => client.call("peg_status", (hash,)).await?,
            _ => client.call("peg_summary", ()).await?,
        };
        if status.is_null() {
            return Err(eyre!("the node at {} knows no such transfer", self.node.rpc));
        }
        say(format_args!("{status:#}"))
    }
}
