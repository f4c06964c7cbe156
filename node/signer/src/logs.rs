//! Logging of commands that keep running.

use std::io::IsTerminal;

use clap::Args;
use eyre::eyre;

/// Libraries that log each vote or packet; `--log` can turn them up again.
const QUIET: &str = "arc_malachitebft_core_consensus=warn,arc_malachitebft_core_driver=warn,arc_malachitebft_core_votekeeper=warn,jsonrpsee_server=error";

/// How to log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Log filter, as tracing's EnvFilter reads it.
    #[arg(long, env = "CAUSEWAY_LOG", default_value = "info")]
    log: String,
    /// Log as JSON.
    #[arg(long)]
    log_json: bool,
}

impl LogArgs {
    /// Logs to standard error from now on.
    ///
    /// # Errors
    /// When the filter is invalid.
    pub fn start(&self) -> eyre::Result<()> {
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
        Ok(())
    }
}
