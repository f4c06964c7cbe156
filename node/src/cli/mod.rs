//! The command line, one file for each command.

mod account;
mod amount;
mod genesis;
mod init;
mod keys;
mod peg;
mod refusals;
mod rpc_client;
mod sidechain;
mod stake;
mod start;
mod status;
mod time;

use causeway_signer::process::{block_on, say};
use clap::{Parser, Subcommand};

/// The version and where it comes from, as `--version` prints it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An EVM chain of your own, finalised by its stake and pegged both ways to an Ethereum-like parent.
#[derive(Debug, Parser)]
#[command(name = "causeway", version = VERSION, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make and check genesis files.
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Make, move and show keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Create a data directory.
    Init(init::InitArgs),
    /// Run the node.
    Start(start::StartArgs),
    /// Ask a running node how it is.
    Status(status::StatusArgs),
    /// Move coins over the peg, and see where a transfer is.
    #[command(subcommand)]
    Peg(peg::PegCommand),
    /// Validate, delegate, collect rewards, leave.
    #[command(subcommand)]
    Stake(stake::StakeCommand),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The failure and what to do; the process exits with status 1.
    pub fn run(self) -> eyre::Result<()> {
        match self.command {
            Command::Genesis(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Init(args) => args.run(),
            Command::Start(args) => args.run(),
            Command::Status(args) => args.run(),
            Command::Peg(command) => command.run(),
            Command::Stake(command) => command.run(),
            Command::Completions { shell } => {
                let mut command = <Self as clap::CommandFactory>::command();
                clap_complete::generate(shell, &mut command, "causeway", &mut std::io::stdout());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_options_do_not_contradict_each_other() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
