//! The `causeway-signer` program: runs a remote signer.

use std::{path::PathBuf, process::ExitCode};

use causeway_genesis::{
    Genesis,
    keys::{self, KeyRole},
};
use causeway_signer::{
    SignerAddress, SignerServer, StateOrigin, Vault,
    logs::LogArgs,
    password::PasswordArgs,
    process::{self, block_on, say},
};
use clap::Parser;
use eyre::eyre;

/// A remote signer: a process that holds a validator's keys in the node's place.
#[derive(Debug, Parser)]
#[command(name = "causeway-signer", version)]
struct Arguments {
    /// The chain's genesis file: a signer signs for one chain.
    #[arg(long)]
    genesis: PathBuf,
    /// Directory with consensus.key, peg.key and signer.key.
    #[arg(long)]
    keys: PathBuf,
    /// Where to listen: unix:PATH, or IP:PORT (port 0 for any free one).
    #[arg(long)]
    listen: SignerAddress,
    /// Directory with the record of what the keys have signed.
    #[arg(long)]
    state: PathBuf,
    /// Begin a record: for keys that never signed anything.
    #[arg(long, conflicts_with = "state_from_node")]
    new_state: bool,
    /// Begin with the record of a stopped node that used these keys until now: its data directory.
    #[arg(long)]
    state_from_node: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    logs: LogArgs,
    /// End when the process with this id, which must be the parent, ends.
    #[arg(long, hide = true)]
    exit_with_parent: Option<i32>,
}

impl Arguments {
    fn run(self) -> eyre::Result<()> {
        process::die_with_parent(self.exit_with_parent)?;
        self.logs.start()?;
        let genesis = Genesis::load(&self.genesis)?;
        let origin = match (self.new_state, self.state_from_node) {
            (true, _) => StateOrigin::New,
            (false, Some(dir)) => StateOrigin::Node(dir),
            (false, None) => StateOrigin::Existing,
        };
        let secret_file = self.keys.join(KeyRole::Signer.file_name());
        let secret = keys::load_file(&secret_file, KeyRole::Signer)?.ok_or_else(|| {
            eyre!(
                "{} is missing: it holds the secret shared with the node. Make it with `causeway keys new --role signer --keys {}` and copy it to the node",
                secret_file.display(),
                self.keys.display()
            )
        })?;
        let vault = Vault::open(&genesis, &self.keys, &self.state, &origin, &self.password.ask())?;
        let server = SignerServer::start(&self.listen, vault, secret)?;
        say(format_args!("signing for chain {} at {}", genesis.hash, server.address()))?;
        block_on(async {
            process::stop_requested().await;
            Ok(())
        })?;
        server.stop();
        Ok(())
    }
}

fn main() -> ExitCode {
    process::exit_code(Arguments::parse().run())
}
