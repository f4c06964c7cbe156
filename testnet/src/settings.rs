//! `settings.json`: the choices made when the testnet was created, and the nodes added since.

use std::path::PathBuf;

use causeway_genesis::ceremony;
use eyre::{WrapErr as _, ensure, eyre};
use serde::{Deserialize, Serialize};

use crate::{chain::SidechainChoices, cli::UpArgs, directory::Directory};

/// Blocks of an epoch unless chosen otherwise: short enough to see the set change.
const DEFAULT_EPOCH_LENGTH: u64 = 60;
/// Smallest number of checkpoints in an epoch, by the rule of genesis: one of them carries the next set to the parent.
const CHECKPOINTS_PER_EPOCH: u64 = 2;
/// Seconds that stake stays locked after it left its validator.
const DEFAULT_UNBONDING_S: u64 = 300;
/// Blocks after which a validator that was silent throughout is jailed.
const DEFAULT_DOWNTIME_WINDOW: u64 = 300;
/// Seconds before a jailed validator may return.
const DEFAULT_JAIL_S: u64 = 60;

/// The settings of a testnet. A later `up` must not contradict them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Validators in genesis.
    pub validators: u8,
    /// The parent's URL; absent for the embedded one.
    pub parent: Option<String>,
    /// Whole coins deposited for each development account.
    pub deposit: u64,
    /// Time between blocks in milliseconds.
    pub block_interval_ms: u64,
    /// Blocks between checkpoints.
    pub checkpoint_interval: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Blocks of an epoch.
    pub epoch_length: u64,
    /// Seconds that stake stays locked after it left its validator.
    pub unbonding_seconds: u64,
    /// Blocks after which a validator that was silent throughout is jailed.
    pub downtime_window: u64,
    /// Seconds before a jailed validator may return.
    pub jail_seconds: u64,
    /// How many of the genesis validators relay checkpoints to the parent.
    pub relayers: u8,
    /// Nodes that joined later, in their order.
    pub added: Vec<AddedNode>,
}

/// A node that `testnet/node add` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddedNode {
    /// Its name.
    pub name: String,
    /// Whether it relays checkpoints to the parent.
    pub relay: bool,
}

impl Settings {
    /// Name of a genesis validator.
    pub fn validator_name(index: u8) -> String {
        format!("validator-{index}")
    }

    /// The settings of the command line, with defaults for the rest.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn choose(args: &UpArgs) -> eyre::Result<Self> {
        let validators = args.validators.unwrap_or(4);
        let checkpoint_interval = args.checkpoint_interval.unwrap_or(10);
        let shortest = checkpoint_interval.saturating_mul(CHECKPOINTS_PER_EPOCH);
        let epoch_length = args.epoch_length.unwrap_or(DEFAULT_EPOCH_LENGTH.max(shortest));
        ensure!(
            epoch_length >= shortest,
            "--epoch-length {epoch_length} is too short: with --checkpoint-interval {checkpoint_interval} it must be {shortest} or more"
        );
        Ok(Self {
            validators,
            parent: args.parent.clone(),
            deposit: args.deposit.unwrap_or(if args.parent.is_some() { 100 } else { 10_000 }),
            block_interval_ms: args.block_interval_ms.unwrap_or(1_000),
            checkpoint_interval,
            gas_limit: args.gas_limit.unwrap_or(ceremony::DEFAULT_GAS_LIMIT),
            epoch_length,
            unbonding_seconds: args.unbonding_seconds.unwrap_or(DEFAULT_UNBONDING_S),
            downtime_window: args.downtime_window.unwrap_or(DEFAULT_DOWNTIME_WINDOW),
            jail_seconds: args.jail_seconds.unwrap_or(DEFAULT_JAIL_S),
            relayers: args.relayers.unwrap_or(validators).min(validators),
            added: Vec::new(),
        })
    }

    /// The settings of the directory, or those of the command line when there are none yet.
    ///
    /// # Errors
    /// When the command line contradicts the directory's settings, or the file is damaged.
    pub fn resolve(directory: &Directory, args: &UpArgs) -> eyre::Result<Self> {
        if !path(directory).exists() {
            let settings = Self::choose(args)?;
            settings.save(directory)?;
            return Ok(settings);
        }
        let settings = Self::load(directory)?;
        settings.agree(args)?;
        Ok(settings)
    }

    /// The settings of the directory.
    ///
    /// # Errors
    /// When the file is missing, damaged, or of an older version.
    pub fn load(directory: &Directory) -> eyre::Result<Self> {
        let path = path(directory);
        let text = std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .wrap_err_with(|| format!("{} is damaged, or of another version: use --clean", path.display()))
    }

    /// Replaces the settings file: a reader sees either the old or the new settings.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, directory: &Directory) -> eyre::Result<()> {
        let path = path(directory);
        let new = path.with_extension("json.new");
        std::fs::write(&new, serde_json::to_string_pretty(self)?)
            .and_then(|()| std::fs::rename(&new, &path))
            .wrap_err_with(|| format!("cannot write {}", path.display()))
    }

    fn agree(&self, args: &UpArgs) -> eyre::Result<()> {
        let differs = |flag: &str, is: String, wanted: Option<String>| match wanted {
            Some(wanted) if wanted != is => {
                Err(eyre!("this testnet was made with {flag} {is}: use --clean to make it anew"))
            }
            _ => Ok(()),
        };
        let text = |number: u64| number.to_string();
        differs("--validators", self.validators.to_string(), args.validators.map(|n| n.to_string()))?;
        differs("--parent", self.parent.clone().unwrap_or_else(|| "(embedded)".into()), args.parent.clone())?;
        differs("--deposit", text(self.deposit), args.deposit.map(text))?;
        differs("--block-interval-ms", text(self.block_interval_ms), args.block_interval_ms.map(text))?;
        differs("--checkpoint-interval", text(self.checkpoint_interval), args.checkpoint_interval.map(text))?;
        differs("--gas-limit", text(self.gas_limit), args.gas_limit.map(text))?;
        differs("--epoch-length", text(self.epoch_length), args.epoch_length.map(text))?;
        differs("--unbonding-seconds", text(self.unbonding_seconds), args.unbonding_seconds.map(text))?;
        differs("--downtime-window", text(self.downtime_window), args.downtime_window.map(text))?;
        differs("--jail-seconds", text(self.jail_seconds), args.jail_seconds.map(text))?;
        differs("--relayers", self.relayers.to_string(), args.relayers.map(|n| n.to_string()))
    }

    /// Names of the genesis validators.
    pub fn validator_names(&self) -> Vec<String> {
        (0..self.validators).map(Self::validator_name).collect()
    }

    /// Names of all nodes of the sidechain: the genesis validators, then those that joined later.
    pub fn names(&self) -> Vec<String> {
        let added = self.added.iter().map(|node| node.name.clone());
        self.validator_names().into_iter().chain(added).collect()
    }

    /// The node's place among the relayers; `None` when it does not relay.
    pub fn relayer_position(&self, name: &str) -> Option<usize> {
        let genesis = (0..self.relayers).map(Self::validator_name);
        let added = self.added.iter().filter(|node| node.relay).map(|node| node.name.clone());
        genesis.chain(added).position(|relayer| relayer == name)
    }

    /// The settings that go into genesis.
    pub fn choices(&self) -> SidechainChoices {
        SidechainChoices {
            block_interval_ms: self.block_interval_ms,
            checkpoint_interval: self.checkpoint_interval,
            gas_limit: self.gas_limit,
            epoch_length: self.epoch_length,
            unbonding_seconds: self.unbonding_seconds,
            downtime_window: self.downtime_window,
            jail_seconds: self.jail_seconds,
        }
    }
}

fn path(directory: &Directory) -> PathBuf {
    directory.root().join("settings.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(words: &[&str]) -> UpArgs {
        match Cli::parse_from(["testnet", "up"].iter().chain(words)).command {
            Command::Up(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_epoch_holds_two_checkpoints_or_is_refused() {
        assert_eq!(Settings::choose(&args(&[])).unwrap().epoch_length, 60);
        assert_eq!(Settings::choose(&args(&["--checkpoint-interval", "100"])).unwrap().epoch_length, 200);
        let error = Settings::choose(&args(&["--checkpoint-interval", "5", "--epoch-length", "9"])).unwrap_err();
        assert!(error.to_string().contains("must be 10 or more"), "{error}");
    }

    #[test]
    fn added_nodes_are_remembered_and_relay_after_the_validators() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("net")).unwrap();
        directory.create().unwrap();
        let mut settings = Settings::resolve(&directory, &args(&["--validators", "2", "--relayers", "1"])).unwrap();
        for (name, relay) in [("follower", false), ("relayer", true)] {
            settings.added.push(AddedNode { name: name.into(), relay });
        }
        settings.save(&directory).unwrap();
        let again = Settings::resolve(&directory, &args(&["--relayers", "1"])).unwrap();
        assert_eq!(again.names(), ["validator-0", "validator-1", "follower", "relayer"]);
        let position = |name| again.relayer_position(name);
        assert_eq!(
            (position("validator-0"), position("validator-1"), position("follower"), position("relayer")),
            (Some(0), None, None, Some(1))
        );
        let error = Settings::resolve(&directory, &args(&["--epoch-length", "61"])).unwrap_err().to_string();
        assert!(error.contains("--epoch-length 60") && error.contains("--clean"), "{error}");
    }

    #[test]
    fn settings_of_an_older_version_say_what_to_do() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("net")).unwrap();
        directory.create().unwrap();
        std::fs::write(path(&directory), "{\"validators\":4}").unwrap();
        let error = Settings::resolve(&directory, &args(&[])).unwrap_err().to_string();
        assert!(error.contains("--clean"), "{error}");
    }
}
