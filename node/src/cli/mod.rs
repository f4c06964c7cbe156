//! The command line, one file for each command.

mod account;
mod amount;
mod genesis;
mod init;
mod keys;
mod logs;
pub(crate) mod password;
mod peg;
mod refusals;
mod rpc_client;
mod sidechain;
mod signer;
mod stake;
mod start;
mod status;
mod time;

use std::{io::Write, process::ExitCode};

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
    /// Run a remote signer: a process that holds a validator's keys in the node's place.
    Signer(signer::SignerArgs),
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
    /// Runs the command; an error is one paragraph on standard error and exit status 1.
    pub fn run_to_exit(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Standard error may be closed; there is nowhere left to say so.
                writeln!(std::io::stderr(), "error: {}", told_once(&error)).ok();
                ExitCode::FAILURE
            }
        }
    }

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
            Command::Signer(args) => args.run(),
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

/// Runs a future on a small runtime, for commands that talk to a node.
pub(crate) fn block_on<T>(future: impl Future<Output = eyre::Result<T>>) -> eyre::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Prints a line for people or scripts; a closed pipe is an error and no panic.
pub(crate) fn say(text: impl std::fmt::Display) -> eyre::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// The error and its causes, without causes that the text before them already contains.
fn told_once(error: &eyre::Report) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(cause.trim()) {
            text = format!("{text}: {cause}");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_options_do_not_contradict_each_other() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = eyre::Report::new(inner).wrap_err("cannot read x: disk on fire").wrap_err("starting");
        assert_eq!(told_once(&error), "starting: cannot read x: disk on fire");
    }
}
