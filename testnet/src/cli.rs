//! Command line of the launcher. The scripts `testnet/up`, `down`, `load`, `fault`, `node`, `blocks` and `chaos` call it.

use std::path::PathBuf;

use alloy_primitives::{B256, U256};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Default directory of a testnet.
pub const DEFAULT_DIRECTORY: &str = ".testnet";

/// Default directory of a chaos run.
pub const CHAOS_DIRECTORY: &str = ".chaos";

/// A local Causeway testnet: real nodes, a parent chain, and coin that came through the vault.
#[derive(Debug, Parser)]
#[command(name = "testnet", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The launcher's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a testnet, or resume the one in the directory
    Up(UpArgs),
    /// Stop the testnet of a directory
    Down(DirectoryArgs),
    /// Send transactions and measure how long they take to be final
    Load(LoadArgs),
    /// Break a node, or repair it
    Fault(FaultArgs),
    /// Add a node to a running testnet
    Node(NodeArgs),
    /// Watch blocks and print the time between them, at epoch boundaries and elsewhere
    Blocks(BlocksArgs),
    /// Kill, pause, cut off and starve real nodes under load, and watch that nothing is lost
    Chaos(ChaosArgs),
}

/// Which testnet.
#[derive(Clone, Debug, Args)]
pub struct DirectoryArgs {
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY)]
    pub dir: PathBuf,
}

/// Settings of `up`.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Validators, 1 to 32 [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub validators: Option<u8>,
    /// JSON-RPC of a parent chain with a `finalized` tag, instead of the embedded one
    #[arg(long, value_name = "URL", requires = "parent_key")]
    pub parent: Option<String>,
    /// Private key of a funded account on that parent: deploys the contracts and deposits
    #[arg(long, value_name = "KEY", requires = "parent", env = "TESTNET_PARENT_KEY", hide_env_values = true)]
    pub parent_key: Option<B256>,
    /// Coin to deposit for each development account, in whole coins [default: 10000, with --parent 100]
    #[arg(long, value_name = "COINS")]
    pub deposit: Option<u64>,
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY)]
    pub dir: PathBuf,
    /// Forget the testnet that is in the directory and start anew
    #[arg(long)]
    pub clean: bool,
    /// Return when the testnet runs; stop it with testnet/down
    #[arg(long)]
    pub detach: bool,
    /// Time between blocks in milliseconds, 10 to 60000 [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub block_interval_ms: Option<u64>,
    /// Blocks between checkpoints on the parent [default: 10]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub checkpoint_interval: Option<u64>,
    /// Gas limit of a block [default: 60000000]
    #[arg(long, value_name = "GAS", value_parser = clap::value_parser!(u64).range(5_000_000..=1_000_000_000))]
    pub gas_limit: Option<u64>,
    /// Blocks of an epoch: the validator set changes only between epochs [default: 60, or two checkpoint intervals]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(4..=10_000_000))]
    pub epoch_length: Option<u64>,
    /// Seconds that stake stays locked after it left its validator [default: 300]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub unbonding_seconds: Option<u64>,
    /// Blocks after which a validator that was silent throughout is jailed [default: 300]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub downtime_window: Option<u64>,
    /// Seconds before a jailed validator may return [default: 60]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=31_536_000))]
    pub jail_seconds: Option<u64>,
    /// Validators that relay checkpoints to the parent [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=32))]
    pub relayers: Option<u8>,
    /// Set on the process that runs in the background for `--detach`.
    #[arg(long, hide = true)]
    pub background: bool,
    /// End when the process with this id, which must be the parent, ends. For tests.
    #[arg(long, hide = true)]
    pub exit_with_parent: Option<i32>,
}

/// Kinds of transactions in a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadKind {
    /// Coin transfers
    Transfer,
    /// ERC-20 transfers
    Erc20,
    /// Half of each
    Mixed,
}

impl std::fmt::Display for LoadKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Transfer => "transfer",
            Self::Erc20 => "erc20",
            Self::Mixed => "mixed",
        })
    }
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Transactions each second.
    PerSecond(u32),
    /// As fast as the chain takes them.
    Max,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerSecond(rate) => rate.fmt(formatter),
            Self::Max => formatter.write_str("max"),
        }
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "max" => Ok(Self::Max),
            _ => match text.parse() {
                Ok(rate @ 1..=100_000) => Ok(Self::PerSecond(rate)),
                _ => Err("a rate is a number from 1 to 100000, or max".into()),
            },
        }
    }
}

/// Settings of `load`.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// What to send
    #[arg(long, value_enum, default_value_t = LoadKind::Transfer)]
    pub kind: LoadKind,
    /// Transactions each second, or max: as fast as the chain takes what was signed beforehand
    #[arg(long, default_value = "100")]
    pub rate: Rate,
    /// How long to send
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Accounts that send, funded first
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub accounts: u32,
    /// With --rate max: transactions that may be on their way at once
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: u32,
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY, conflicts_with = "rpc")]
    pub dir: PathBuf,
    /// JSON-RPC endpoints (HTTP and WebSocket on one port) of any chain, instead of a testnet of ours
    #[arg(long, value_name = "URL", requires = "key")]
    pub rpc: Vec<String>,
    /// Private key of a funded account there
    #[arg(long, value_name = "KEY", requires = "rpc")]
    pub key: Option<B256>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// An action on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultKind {
    /// SIGKILL: the process is gone at once
    Kill,
    /// SIGSTOP: the process hangs
    Pause,
    /// SIGCONT: the process goes on
    Resume,
    /// Start the node, stopping it first where it runs
    Restart,
}

/// Settings of `fault`.
#[derive(Clone, Debug, Args)]
pub struct FaultArgs {
    /// What to do
    #[arg(value_enum)]
    pub kind: FaultKind,
    /// Which node: validator-0, or just 0; or parent
    pub node: String,
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY)]
    pub dir: PathBuf,
}

/// Settings of `node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// What to do
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What `node` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Make keys and start a node that follows the chain; `causeway stake register` makes it a validator
    Add(AddArgs),
}

/// Settings of `node add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// Its name: 1 to 32 of a-z, 0-9 and '-'
    pub name: String,
    /// Let it relay checkpoints to the parent too; the launcher's account there pays for its first ones
    #[arg(long)]
    pub relay: bool,
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY)]
    pub dir: PathBuf,
}

/// Settings of `chaos`.
#[derive(Clone, Debug, Args)]
pub struct ChaosArgs {
    /// How long to break things
    #[arg(long, value_name = "M", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    pub minutes: u64,
    /// Every class of fault once and briefly, instead of faults for some minutes
    #[arg(long, conflicts_with = "minutes")]
    pub once: bool,
    /// Validators, 4 to 16
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=16))]
    pub validators: u8,
    /// Seed of the schedule [default: another one each time, and printed]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Transfers each second
    #[arg(long, value_name = "R", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Mount nothing, even where that is allowed
    #[arg(long)]
    pub rootless: bool,
    /// Directory of the testnet that is made for this and broken; an earlier run's content is removed
    #[arg(long, default_value = CHAOS_DIRECTORY)]
    pub dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Settings of `blocks`.
#[derive(Clone, Debug, Args)]
pub struct BlocksArgs {
    /// How long to watch
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Directory of the testnet
    #[arg(long, default_value = DEFAULT_DIRECTORY, conflicts_with = "rpc")]
    pub dir: PathBuf,
    /// JSON-RPC endpoint (HTTP and WebSocket on one port) of any Causeway chain, instead of a testnet of ours
    #[arg(long, value_name = "URL")]
    pub rpc: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Converts whole coins to wei.
pub fn coins(amount: u64) -> U256 {
    U256::from(amount).saturating_mul(U256::from(1_000_000_000_000_000_000u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates_are_numbers_or_max() {
        assert_eq!("max".parse::<Rate>().unwrap(), Rate::Max);
        assert_eq!("250".parse::<Rate>().unwrap(), Rate::PerSecond(250));
        for wrong in ["0", "-1", "fast", "100001", ""] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_foreign_parent_needs_a_key() {
        assert!(Cli::try_parse_from(["testnet", "up", "--parent", "http://127.0.0.1:1"]).is_err());
        assert!(Cli::try_parse_from(["testnet", "up", "--validators", "0"]).is_err());
        assert!(Cli::try_parse_from(["testnet", "fault", "explode", "0"]).is_err());
        assert!(Cli::try_parse_from(["testnet", "node", "add"]).is_err());
    }
}
