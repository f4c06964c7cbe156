//! `causeway peg deposit|withdraw|claim|status`: what a person does with the peg, without a relayer's help.

use std::path::PathBuf;

use alloy_primitives::{Address, B256, TxKind, U64, U256, utils::parse_ether};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use causeway_genesis::{Genesis, PegSpec, addresses::PEG, keys};
use causeway_parent::{Submitter, SubmitterConfig};
use causeway_peg::{IPeg, TREE_DEPTH, Withdrawal};
use clap::{Args, Subcommand};
use eyre::eyre;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{block_on, rpc_client::RpcClient, say};

#[derive(Debug, Subcommand)]
pub(super) enum PegCommand {
    /// Lock coin on the parent; it is minted on the sidechain once the deposit is final there.
    Deposit(DepositArgs),
    /// Burn coin on the sidechain; it can be claimed on the parent once a checkpoint covers it.
    Withdraw(WithdrawArgs),
    /// Pay out a withdrawal on the parent. Anyone may do this for anyone.
    Claim(ClaimArgs),
    /// Where a transfer is, or how the peg stands.
    Status(PegStatusArgs),
}

/// The key that pays.
#[derive(Debug, Args)]
struct KeyArgs {
    /// File with the hex private key of the paying account.
    #[arg(long, conflicts_with = "private_key", required_unless_present = "private_key")]
    key_file: Option<PathBuf>,
    /// The hex private key itself, from the environment so that it does not show in the process list.
    #[arg(long, env = "CAUSEWAY_PRIVATE_KEY", hide_env_values = true)]
    private_key: Option<String>,
}

impl KeyArgs {
    fn signer(&self) -> eyre::Result<PrivateKeySigner> {
        let text = match (&self.private_key, &self.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => {
                let key = keys::load_file(path, keys::KeyRole::Peg)?
                    .ok_or_else(|| eyre!("{} does not exist", path.display()))?;
                return Ok(PrivateKeySigner::from_slice(key.expose())?);
            }
            (None, None) => return Err(eyre!("give --key-file or CAUSEWAY_PRIVATE_KEY")),
        };
        text.trim().parse().map_err(|_| eyre!("the private key is not 32 bytes of hex in the curve's range"))
    }
}

#[derive(Debug, Args)]
pub(super) struct DepositArgs {
    /// The chain's genesis file, which names the vault.
    #[arg(long)]
    genesis: PathBuf,
    /// The parent's JSON-RPC URL.
    #[arg(long)]
    parent: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Amount in coins, for example 1.5.
    #[arg(long)]
    amount: String,
    /// Who gets it on the sidechain; the paying account by default.
    #[arg(long)]
    to: Option<Address>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The sidechain's JSON-RPC URL.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Amount in coins, for example 1.5.
    #[arg(long)]
    amount: String,
    /// Who gets it on the parent; the paying account by default.
    #[arg(long)]
    to: Option<Address>,
    /// Part of the amount that pays whoever sends the claim, in coins.
    #[arg(long, default_value = "0")]
    relayer_fee: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ClaimArgs {
    /// The chain's genesis file, which names the vault.
    #[arg(long)]
    genesis: PathBuf,
    /// The parent's JSON-RPC URL.
    #[arg(long)]
    parent: String,
    /// The sidechain's JSON-RPC URL, for the proof.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    #[command(flatten)]
    key: KeyArgs,
    /// The withdrawal's index.
    #[arg(long)]
    index: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct PegStatusArgs {
    /// The sidechain's JSON-RPC URL.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    /// A deposit's nonce.
    #[arg(long, conflicts_with_all = ["withdrawal", "transaction"])]
    deposit: Option<u64>,
    /// A withdrawal's index.
    #[arg(long, conflicts_with = "transaction")]
    withdrawal: Option<u64>,
    /// A transaction on the sidechain that withdrew.
    #[arg(long)]
    transaction: Option<B256>,
}

impl PegCommand {
    pub(super) fn run(self) -> eyre::Result<()> {
        block_on(async {
            match self {
                Self::Deposit(args) => args.run().await,
                Self::Withdraw(args) => args.run().await,
                Self::Claim(args) => args.run().await,
                Self::Status(args) => args.run().await,
            }
        })
    }
}

/// The proof as `peg_getWithdrawalProof` gives it; fields that a claim does not need are not read.
#[derive(Debug, Deserialize)]
struct ProofAnswer {
    withdrawal: WithdrawalAnswer,
    checkpoint: CheckpointAnswer,
    siblings: Vec<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithdrawalAnswer {
    index: U64,
    token: Address,
    sender: Address,
    recipient: Address,
    amount: U256,
    relayer_fee: U256,
}

#[derive(Debug, Deserialize)]
struct CheckpointAnswer {
    number: U64,
}

impl DepositArgs {
    async fn run(self) -> eyre::Result<()> {
        let genesis = Genesis::load(&self.genesis)?;
        let peg = peg_of(&genesis)?;
        let submitter =
            Submitter::connect(SubmitterConfig::new(self.parent, peg.parent_chain_id), self.key.signer()?).await?;
        let recipient = self.to.unwrap_or_else(|| submitter.address());
        let receipt = submitter.deposit_native(peg.vault, recipient, coins(&self.amount)?).await?;
        let nonce = receipt.deposit.nonce;
        if self.json {
            return say(
                json!({ "nonce": nonce, "transaction": receipt.hash, "parentHeight": receipt.height, "gasUsed": receipt.gas_used }),
            );
        }
        say(format_args!(
            "deposit {nonce} is in parent block {} ({}). It is minted to {recipient} once that block is final.",
            receipt.height, receipt.hash
        ))?;
        say(format_args!("Follow it: causeway peg status --deposit {nonce}"))
    }
}

impl WithdrawArgs {
    async fn run(self) -> eyre::Result<()> {
        let chain: U64 = RpcClient::new(&self.rpc)?.call("eth_chainId", ()).await?;
        let submitter = Submitter::connect(SubmitterConfig::new(self.rpc, chain.to()), self.key.signer()?).await?;
        let recipient = self.to.unwrap_or_else(|| submitter.address());
        let call = IPeg::withdrawCall { recipient, relayerFee: coins(&self.relayer_fee)? };
        let included = submitter.send(TxKind::Call(PEG), coins(&self.amount)?, call.abi_encode().into()).await?;
        let index = included
            .logs
            .iter()
            .filter(|log| log.address == PEG)
            .find_map(|log| IPeg::WithdrawalRequested::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
            .map(|event| event.index)
            .ok_or_else(|| {
                eyre!("transaction {} left no withdrawal: {PEG} is not the peg on this chain", included.hash)
            })?;
        if self.json {
            return say(
                json!({ "index": index, "transaction": included.hash, "height": included.height, "gasUsed": included.gas_used }),
            );
        }
        say(format_args!(
            "withdrawal {index} is burned in block {} ({}). It can be claimed once the parent has a checkpoint that covers it.",
            included.height, included.hash
        ))?;
        say(format_args!("Follow it: causeway peg status --withdrawal {index}"))
    }
}

impl ClaimArgs {
    async fn run(self) -> eyre::Result<()> {
        let genesis = Genesis::load(&self.genesis)?;
        let peg = peg_of(&genesis)?;
        let answer: ProofAnswer =
            RpcClient::new(&self.rpc)?.call("peg_getWithdrawalProof", (U64::from(self.index),)).await?;
        let siblings: [B256; TREE_DEPTH] = answer.siblings.try_into().map_err(|siblings: Vec<B256>| {
            eyre!("the node's proof has {} siblings, it must have {TREE_DEPTH}", siblings.len())
        })?;
        let WithdrawalAnswer { index, token, sender, recipient, amount, relayer_fee } = answer.withdrawal;
        let withdrawal = Withdrawal { index: index.to(), token, sender, recipient, amount, relayerFee: relayer_fee };
        let submitter =
            Submitter::connect(SubmitterConfig::new(self.parent, peg.parent_chain_id), self.key.signer()?).await?;
        let hash = submitter.claim(peg.vault, &withdrawal, answer.checkpoint.number.to(), &siblings).await?;
        if self.json {
            return say(json!({ "index": self.index, "transaction": hash, "recipient": recipient, "amount": amount }));
        }
        say(format_args!("withdrawal {} is paid to {recipient} in {hash}", self.index))
    }
}

impl PegStatusArgs {
    async fn run(self) -> eyre::Result<()> {
        let client = RpcClient::new(&self.rpc)?;
        let status: Value = match (self.deposit, self.withdrawal, self.transaction) {
            (Some(nonce), _, _) => client.call("peg_status", (json!({ "deposit": U64::from(nonce) }),)).await?,
            (_, Some(index), _) => client.call("peg_status", (json!({ "withdrawal": U64::from(index) }),)).await?,
            (_, _, Some(hash)) => client.call("peg_status", (hash,)).await?,
            _ => client.call("peg_summary", ()).await?,
        };
        if status.is_null() {
            return Err(eyre!("the node at {} knows no such transfer", self.rpc));
        }
        say(format_args!("{status:#}"))
    }
}

/// Checks that the contracts a genesis names stand on the parent.
pub(super) async fn verify_deployment(genesis: &Genesis, url: &str) -> eyre::Result<String> {
    let peg = peg_of(genesis)?;
    let set = genesis.peg_validator_set().ok_or_else(|| eyre!("this genesis has no federation"))?;
    // Only views are called; the key never signs.
    let submitter =
        Submitter::connect(SubmitterConfig::new(url.to_owned(), peg.parent_chain_id), PrivateKeySigner::random())
            .await?;
    let deployment = submitter.verify_deployment(genesis.hash, &set, peg.registry, peg.vault).await?;
    Ok(format!(
        "registry {} and vault {} stand as this genesis expects; claims wait {} s",
        deployment.registry, deployment.vault, deployment.claim_delay_s
    ))
}

fn peg_of(genesis: &Genesis) -> eyre::Result<PegSpec> {
    genesis.spec.peg.clone().ok_or_else(|| eyre!("this genesis is of a standalone chain: it has no peg"))
}

fn coins(text: &str) -> eyre::Result<U256> {
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    if decimals > 18 {
        return Err(eyre!("{text:?} has {decimals} decimals; a coin has 18"));
    }
    parse_ether(text).map_err(|error| eyre!("{text:?} is not an amount of coins (such as 1.5): {error}"))
}
