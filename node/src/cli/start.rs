//! `causeway start`: runs the node.

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf};

use clap::Args;
use eyre::eyre;

use crate::{
    config::{DataDir, NodeConfig},
    start,
};

/// Libraries that log each vote or packet; `--log` can turn them up again.
const QUIET: &str = "arc_malachitebft_core_consensus=warn,arc_malachitebft_core_driver=warn,arc_malachitebft_core_votekeeper=warn,jsonrpsee_server=error";

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
    /// Log filter, as tracing's EnvFilter reads it.
    #[arg(long, env = "CAUSEWAY_LOG", default_value = "info")]
    log: String,
    /// Log as JSON.
    #[arg(long)]
    log_json: bool,
    /// End when the process with this id, which must be the parent, ends.
    #[arg(long, hide = true)]
    exit_with_parent: Option<i32>,
}

impl StartArgs {
    pub(super) fn run(self) -> eyre::Result<()> {
        start::die_with_parent(self.exit_with_parent)?;
        let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{}", self.log)).map_err(|error| {
            eyre!(
                "--log {:?} is not a log filter such as \"info\" or \"info,causeway_network=debug\": {error}",
                self.log
            )
        })?;
        let colours = std::io::stderr().is_terminal();
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
        if self.log_json {
            logs.json().init();
        } else {
            logs.init();
        }
        let dir = DataDir(self.dir.clone());
        let mut config = NodeConfig::load(&dir.config_file())?;
        self.override_file(&mut config);
        config.validate()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(start::run(dir, config))
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
        if !self.parent_endpoints.is_empty() {
            config.parent.endpoints = self.parent_endpoints;
        }
    }
}
