//! `causeway init`: creates a data directory.

use std::{path::PathBuf, sync::Arc};

use causeway_genesis::{
    Genesis,
    keys::{self, KeyRole, PublicPart},
};
use causeway_records::OsDisk;
use clap::Args;
use eyre::{WrapErr, eyre};

use super::say;
use crate::{
    assemble::create_sign_states,
    config::{DataDir, NodeConfig},
};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The data directory to create.
    #[arg(long, env = "CAUSEWAY_DIR")]
    dir: PathBuf,
    /// The genesis file, copied into it.
    #[arg(long)]
    genesis: PathBuf,
    /// Multiaddress of a node to start from, ending in `/p2p/<peer id>`; may be repeated.
    #[arg(long = "bootnode")]
    bootnodes: Vec<String>,
    /// A name for logs.
    #[arg(long, default_value = "causeway")]
    moniker: String,
}

impl InitArgs {
    pub(super) fn run(self) -> eyre::Result<()> {
        let genesis = Genesis::load(&self.genesis)?;
        let dir = DataDir(self.dir.clone());
        let config_file = dir.config_file();
        if config_file.exists() {
            return Err(eyre!(
                "{} exists: this is a data directory already. Choose another --dir.",
                config_file.display()
            ));
        }
        for folder in ["config", "data", "run"] {
            let folder = self.dir.join(folder);
            std::fs::create_dir_all(&folder).wrap_err_with(|| format!("cannot create {}", folder.display()))?;
        }
        let mut config = NodeConfig::default();
        config.node.moniker = self.moniker;
        config.p2p.bootnodes = self.bootnodes;
        std::fs::copy(&self.genesis, dir.genesis_file())
            .wrap_err_with(|| format!("cannot write {}", dir.genesis_file().display()))?;
        create_sign_states(Arc::new(OsDisk), &dir)?;
        std::fs::write(&config_file, config.to_toml()?)
            .wrap_err_with(|| format!("cannot write {}", config_file.display()))?;
        let consensus = keys::public_part(&dir.keys().join(KeyRole::Consensus.file_name()), KeyRole::Consensus)?;
        let role = match consensus {
            Some(PublicPart::Consensus(key)) if genesis.validator_set().get(&key.id()).is_some() => "a validator",
            Some(_) => "no validator of the first set, though it has validator keys",
            None => "no validator (no keys in keys/)",
        };
        say(format_args!(
            "created {}: genesis {}, this node is {role}. Next: `causeway start --dir {}`.",
            self.dir.display(),
            genesis.hash,
            self.dir.display()
        ))
    }
}
