//! `causeway start`: runs the node.

use std::{net::SocketAddr, path::PathBuf};

use causeway_signer::{SignerAddress, logs::LogArgs, password::PasswordArgs, process};
use clap::Args;

use crate::{
    config::{DataDir, NodeConfig},
    start,
    trust::TrustedCheckpoint,
};

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// The data directory.
    #[arg(long, env = "CAUSEWAY_DIR")]
    dir: PathBuf,
    /// Address for JSON-RPC, over the file's `rpc.listen`.
    #[arg(long, env = "CAUSEWAY_RPC_LISTEN")]
    rpc_listen: Option<SocketAddr>,
    /// Address for metrics, over the file's `metrics.listen`.
    #[arg(long, env = "CAUSEWAY_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// Multiaddresses to listen on, over the file's `p2p.listen`.
    #[arg(long, env = "CAUSEWAY_P2P_LISTEN", value_delimiter = ',')]
    p2p_listen: Vec<String>,
    /// Bootnodes, over the file's `p2p.bootnodes`.
    #[arg(long, env = "CAUSEWAY_BOOTNODES", value_delimiter = ',')]
    bootnodes: Vec<String>,
    /// Parent endpoints, over the file's `parent.endpoints`.
    #[arg(long, env = "CAUSEWAY_PARENT_ENDPOINTS", value_delimiter = ',')]
    parent_endpoints: Vec<String>,
    /// A recent block of this chain, from a source you trust: catching up with another history is refused. Over the file's
    /// `sync.trusted_checkpoint`.
    #[arg(long, env = "CAUSEWAY_TRUSTED_CHECKPOINT", value_name = "HEIGHT:HASH")]
    trusted_checkpoint: Option<TrustedCheckpoint>,
    /// Believe the peers' history however old this node's last block is; as the file's `sync.trust_history`.
    #[arg(long, env = "CAUSEWAY_TRUST_HISTORY")]
    trust_history: bool,
    /// Remote signer, over the file's `signer.address`: unix:PATH or IP:PORT.
    #[arg(long, env = "CAUSEWAY_SIGNER")]
    signer: Option<SignerAddress>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    logs: LogArgs,
    /// End when the process with this id, which must be the parent, ends.
    #[arg(long, hide = true)]
    exit_with_parent: Option<i32>,
}

impl StartArgs {
    pub(super) fn run(self) -> eyre::Result<()> {
        process::die_with_parent(self.exit_with_parent)?;
        self.logs.start()?;
        let dir = DataDir(self.dir.clone());
        let mut config = NodeConfig::load(&dir.config_file())?;
        let password = self.password.clone();
        self.override_file(&mut config);
        config.validate()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(start::run(dir, config, &password.ask()))
    }

    fn override_file(self, config: &mut NodeConfig) {
        if let Some(listen) = self.rpc_listen {
            config.rpc.listen = listen;
        }
        if let Some(listen) = self.metrics_listen {
            config.metrics.listen = listen;
        }
        if !self.p2p_listen.is_empty() {
            config.p2p.listen = self.p2p_listen;
        }
        if !self.bootnodes.is_empty() {
            config.p2p.bootnodes = self.bootnodes;
        }
        if let Some(address) = self.signer {
            config.signer.address = Some(address);
        }
        if !self.parent_endpoints.is_empty() {
            config.parent.endpoints = self.parent_endpoints;
        }
        if let Some(checkpoint) = self.trusted_checkpoint {
            config.sync.trusted_checkpoint = Some(checkpoint.to_string());
        }
        config.sync.trust_history |= self.trust_history;
    }
}
