//! `causeway status`: asks a running node how it is.

use clap::Args;
use serde_json::{Value, json};

use super::{block_on, rpc_client::RpcClient, say};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The node's JSON-RPC URL.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(super) fn run(self) -> eyre::Result<()> {
        block_on(async move {
            let client = RpcClient::new(&self.rpc)?;
            let version: Value = client.call("web3_clientVersion", ()).await?;
            let block: Value = client.call("eth_getBlockByNumber", ("latest", false)).await?;
            let syncing: Value = client.call("eth_syncing", ()).await?;
            let peers: Value = client.call("net_peerCount", ()).await?;
            let consensus: Value = client.call("consensus_status", ()).await?;
            let peg: Value = client.call("peg_summary", ()).await.unwrap_or(Value::Null);
            let status = json!({
                "version": version, "head": {"number": block["number"], "hash": block["hash"], "timestamp": block["timestamp"]},
                "syncing": syncing, "peers": peers, "consensus": consensus, "peg": peg,
            });
            if self.json {
                return say(status);
            }
            say(format_args!("{}", version.as_str().unwrap_or("unknown version")))?;
            say(format_args!("head       {} {}", quantity(&block["number"]), block["hash"].as_str().unwrap_or("?")))?;
            match syncing.as_object() {
                None => say("syncing    no")?,
                Some(sync) => say(format_args!(
                    "syncing    block {} of {}",
                    quantity(sync.get("currentBlock").unwrap_or(&Value::Null)),
                    quantity(sync.get("highestBlock").unwrap_or(&Value::Null))
                ))?,
            }
            say(format_args!("peers      {}", quantity(&peers)))?;
            say(format_args!("consensus  {consensus}"))?;
            if peg.is_object() {
                say(format_args!("peg        {peg}"))?;
            }
            Ok(())
        })
    }
}

fn quantity(value: &Value) -> String {
    let text = value.as_str().unwrap_or("?");
    let number = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    number.map_or_else(|| text.to_owned(), |number| number.to_string())
}
