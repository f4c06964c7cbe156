//! `causeway-testnet`: the launcher behind the scripts in this directory.

use std::process::ExitCode;

use causeway_testnet::{
    blocks, chaos,
    cli::{Cli, Command},
    fault, join, load, up,
};
use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

#[allow(clippy::print_stderr)] // the command's answer to the person who typed it
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> eyre::Result<()> {
    match Cli::parse().command {
        Command::Up(args) if args.detach && !args.background => main_thread()?.block_on(up::detach(args)),
        Command::Up(args) => main_thread()?.block_on(up::run(args)),
        Command::Down(args) => main_thread()?.block_on(fault::down(&args.dir)),
        Command::Fault(args) => main_thread()?.block_on(fault::run(&args)),
        Command::Node(args) => main_thread()?.block_on(join::run(&args)),
        Command::Blocks(args) => Builder::new_multi_thread().enable_all().build()?.block_on(blocks::run(&args)),
        Command::Chaos(args) => main_thread()?.block_on(chaos::run(args)),
        Command::Load(args) => Builder::new_multi_thread().enable_all().build()?.block_on(load::run(args)),
    }
}

/// Runs everything on the main thread: Linux ends the nodes together with the thread that started them.
fn main_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
