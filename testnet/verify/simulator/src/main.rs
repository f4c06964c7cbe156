//! `causeway-sim`: the simulator behind `testnet/sim`.

use std::{io, process::ExitCode};

use causeway_simulator::{cli::Cli, run::run};
use clap::Parser as _;

#[allow(clippy::print_stderr)] // the command's answer to the person who typed it
fn main() -> ExitCode {
    match run(&Cli::parse(), &mut io::stdout(), &mut io::stderr()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
