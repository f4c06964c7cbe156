//! `causeway keys new|show`.

use std::path::PathBuf;

use causeway_genesis::NodeKeys;
use clap::{Args, Subcommand};

use super::say;
use crate::config::DataDir;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Draw a validator's keys into `DIR/keys`; refuses to overwrite any.
    New(KeyArgs),
    /// Print the public parts of the keys in `DIR/keys`.
    Show(KeyArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The data directory.
    #[arg(long, env = "CAUSEWAY_DIR")]
    dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl KeysCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        let (args, keys) = match self {
            Self::New(args) => {
                let keys = NodeKeys::generate()?;
                keys.save(&DataDir(args.dir.clone()).keys())?;
                (args, keys)
            }
            Self::Show(args) => {
                let keys = NodeKeys::load(&DataDir(args.dir.clone()).keys())?;
                (args, keys)
            }
        };
        let consensus = alloy_primitives::B256::from(keys.consensus_public().0);
        let peer = causeway_network::peer_id(*keys.p2p.expose())?;
        if args.json {
            return say(serde_json::json!({
                "validator": keys.validator_id(), "consensusKey": consensus, "pegAddress": keys.peg_address(), "peerId": peer.to_string(),
            }));
        }
        say(format_args!("validator      {}", keys.validator_id()))?;
        say(format_args!("consensus key  {consensus}"))?;
        say(format_args!("peg address    {}", keys.peg_address()))?;
        say(format_args!("peer id        {peer}"))
    }
}
