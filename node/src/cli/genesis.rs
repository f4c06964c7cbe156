//! `causeway genesis new|add-validator|verify`.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256, U256};
use causeway_genesis::{ChainSpec, GenesisValidator, ceremony};
use clap::{Args, Subcommand};
use eyre::{WrapErr, eyre};

use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum GenesisCommand {
    /// Write a draft without validators.
    New(NewArgs),
    /// Add a validator to a draft.
    AddValidator(AddValidatorArgs),
    /// Check a genesis file and print what it commits to.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// File to write; refuses to overwrite one.
    #[arg(long)]
    out: PathBuf,
    /// EIP-155 chain id.
    #[arg(long)]
    chain_id: u64,
    /// Human name of the chain.
    #[arg(long, default_value = "causeway")]
    name: String,
    /// Aimed time between blocks, in milliseconds.
    #[arg(long)]
    block_interval_ms: Option<u64>,
    /// Blocks between checkpoints on the parent.
    #[arg(long)]
    checkpoint_interval: Option<u64>,
    /// Blocks of an epoch: the validator set changes between epochs.
    #[arg(long)]
    epoch_length: Option<u64>,
    /// Chain id of the parent; with it the chain is pegged.
    #[arg(long, requires = "deployer")]
    parent_chain_id: Option<u64>,
    /// Account on the parent that will deploy the registry and the vault.
    #[arg(long, requires = "parent_chain_id")]
    deployer: Option<Address>,
    /// That account's transaction count when it deploys the registry.
    #[arg(long, default_value_t = 0)]
    deployer_nonce: u64,
}

#[derive(Debug, Args)]
pub(super) struct AddValidatorArgs {
    /// The draft, changed in place.
    #[arg(long)]
    genesis: PathBuf,
    /// Unique name.
    #[arg(long)]
    name: String,
    /// Account that owns the stake.
    #[arg(long)]
    operator: Address,
    /// Ed25519 public key (`causeway keys show`).
    #[arg(long)]
    consensus_key: B256,
    /// Address of the peg key (`causeway keys show`).
    #[arg(long)]
    peg_address: Address,
    /// Self-bond in units of 10^-18 of the stake token.
    #[arg(long)]
    stake: U256,
    /// Commission in basis points of the delegators' rewards: 500 is 5 %.
    #[arg(long, default_value_t = 0)]
    commission_bps: u16,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The genesis file.
    genesis: PathBuf,
    /// Also check that the contracts this genesis names stand on the parent, as expected.
    #[arg(long)]
    parent: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl GenesisCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        match self {
            Self::New(args) => args.run(),
            Self::AddValidator(args) => args.run(),
            Self::Verify(args) => args.run(),
        }
    }
}

impl NewArgs {
    fn run(self) -> eyre::Result<()> {
        if self.out.exists() {
            return Err(eyre!("{} exists; remove it or choose another name", self.out.display()));
        }
        let peg = match (self.parent_chain_id, self.deployer) {
            (Some(chain), Some(deployer)) => Some(
                ceremony::predicted_peg(chain, deployer, self.deployer_nonce)
                    .ok_or_else(|| eyre!("--deployer-nonce is too large"))?,
            ),
            _ => None,
        };
        let timestamp =
            SystemTime::now().duration_since(UNIX_EPOCH).wrap_err("the clock is before 1970; set it")?.as_secs();
        let mut spec = ceremony::new_spec(self.chain_id, &self.name, timestamp, peg);
        if let Some(interval) = self.block_interval_ms {
            spec.block_interval_ms = interval;
        }
        if let Some(interval) = self.checkpoint_interval {
            spec.checkpoint_interval = interval;
        }
        if let Some(length) = self.epoch_length {
            spec.epoch_length = length;
        }
        spec.save(&self.out)?;
        say(format_args!(
            "wrote {}. Next: `causeway genesis add-validator --genesis {} ...` for each validator.",
            self.out.display(),
            self.out.display()
        ))
    }
}

impl AddValidatorArgs {
    fn run(self) -> eyre::Result<()> {
        let mut spec = ChainSpec::load_draft(&self.genesis)?;
        let validator = GenesisValidator {
            name: self.name,
            operator: self.operator,
            consensus_key: self.consensus_key,
            peg_address: self.peg_address,
            stake: self.stake,
            commission_bps: self.commission_bps,
        };
        ceremony::add_validator(&mut spec, validator)?;
        spec.save(&self.genesis)?;
        say(format_args!(
            "{} validators. When all are in, everybody compares `causeway genesis verify {}`.",
            spec.validators.len(),
            self.genesis.display()
        ))
    }
}

impl VerifyArgs {
    fn run(self) -> eyre::Result<()> {
        let genesis = causeway_genesis::Genesis::load(&self.genesis)?;
        let verified = ceremony::summary(&genesis);
        let deployment = match &self.parent {
            Some(url) => Some(super::block_on(super::peg::verify_deployment(&genesis, url))?),
            None => None,
        };
        if self.json {
            let validators: Vec<_> = verified
                .validators
                .iter()
                .map(|(name, id, power)| serde_json::json!({"name": name, "validator": id, "power": power}))
                .collect();
            return say(serde_json::json!({
                "hash": verified.hash, "stateRoot": verified.state_root, "chainId": verified.chain_id,
                "validators": validators, "federation": verified.federation, "deployment": deployment,
                "rules": rules_of(&genesis),
            }));
        }
        say(format_args!("genesis hash  {}", verified.hash))?;
        say(format_args!("state root    {}", verified.state_root))?;
        say(format_args!("chain id      {}", verified.chain_id))?;
        for (name, id, power) in &verified.validators {
            say(format_args!("validator     {name}  {id}  power {power}"))?;
        }
        match verified.federation {
            Some(commitment) => say(format_args!("federation    {commitment}"))?,
            None => say("peg           none (a standalone chain)")?,
        }
        if let Some(text) = deployment {
            say(format_args!("deployment    {text}"))?;
        }
        for (height, rules) in genesis.schedule.known() {
            say(format_args!("rules         version {} from block {height} on", rules.version))?;
        }
        if let Some(unknown) = genesis.schedule.unknown() {
            say(format_args!("warning       {unknown}"))?;
        }
        Ok(())
    }
}

/// The schedule of the rules, as `--json` prints it.
fn rules_of(genesis: &causeway_genesis::Genesis) -> serde_json::Value {
    let known = genesis
        .schedule
        .known()
        .map(|(height, rules)| serde_json::json!({"height": height, "version": rules.version, "rules": rules}));
    let unknown = genesis.schedule.unknown();
    let unknown = unknown.map(|unknown| serde_json::json!({"height": unknown.height, "version": unknown.version}));
    known.chain(unknown).collect()
}
