//! The `causeway` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    causeway_signer::process::exit_code(causeway::cli::Cli::parse().run())
}
