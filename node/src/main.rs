//! The `causeway` binary.

use clap::Parser;

fn main() -> eyre::Result<()> {
    causeway::cli::Cli::parse().run()
}
