//! Moves coin over the peg and back during the run, by the user's command line: deposits, withdrawals, claims.
//!
//! Any of these may fail while something is broken, and is tried again. The checks at the end read the chains: every final
//! deposit minted, every withdrawal claimed, every coin locked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall as _;
use causeway_contracts::PegVault;
use eyre::{WrapErr as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{process::Command, sync::watch, task::JoinSet, time::Instant};

use crate::{
    chaos::{observe::REQUEST_PATIENCE, random::Random},
    record::TestnetRecord,
    rpc::Rpc,
};

/// Deadline of one command: the parent may hang for most of it.
const COMMAND_PATIENCE: Duration = Duration::from_secs(45);
/// Pauses between two deposits or withdrawals, in milliseconds.
const PAUSE_MS: (u64, u64) = (3_000, 7_000);
const CLAIM_PAUSE: Duration = Duration::from_secs(2);
/// A claim that is not final after this long may have been reorganised away.
const CLAIM_AGAIN: Duration = Duration::from_secs(15);
/// Development accounts of the depositor, the withdrawer and the claimer: the first three. The ninth account deploys and the tenth pays for transfers.
const DEPOSITOR: usize = 1;
const WITHDRAWER: usize = 2;
const CLAIMER: usize = 3;

/// Counts of successes and failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Deposits that the parent included.
    pub deposits: u64,
    /// Withdrawals that are in a block.
    pub withdrawals: u64,
    /// Claims that the vault paid.
    pub claims: u64,
    /// Commands that failed, because something was broken.
    pub failures: u64,
}

/// The tasks that move coin, until this is dropped.
#[derive(Debug)]
pub struct Crossings {
    counts: Arc<Mutex<Counts>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// The vault on the parent.
#[derive(Clone, Debug)]
pub struct Vault {
    /// The parent.
    pub rpc: Rpc,
    /// The contract.
    pub address: Address,
}

/// Whether the vault has paid a withdrawal, in the block of a tag.
///
/// # Errors
/// When the parent does not answer.
pub async fn is_claimed(vault: &Vault, index: u64, tag: &str) -> eyre::Result<bool> {
    let data = Bytes::from(PegVault::isClaimedCall { index }.abi_encode());
    let call = json!({ "to": vault.address, "data": data });
    let answer: Bytes = vault.rpc.call("eth_call", json!([call, tag])).await?;
    Ok(PegVault::isClaimedCall::abi_decode_returns(&answer)?)
}

#[derive(Clone)]
struct Traveller {
    binary: PathBuf,
    genesis: PathBuf,
    parent: String,
    vault: Vault,
    nodes: Vec<Rpc>,
    counts: Arc<Mutex<Counts>>,
    stopped: watch::Receiver<bool>,
    key: PathBuf,
    random: Random,
}

impl Crossings {
    /// Starts to move coin.
    ///
    /// # Errors
    /// When the keys cannot be written.
    pub fn start(binary: &Path, dir: &Path, record: &TestnetRecord, nodes: &[Rpc], seed: u64) -> eyre::Result<Self> {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (stop, stopped) = watch::channel(false);
        let vault = Vault { rpc: Rpc::new(&record.parent.rpc)?, address: record.parent.vault };
        let traveller = |account: usize| -> eyre::Result<Traveller> {
            let key = dir.join(format!("account-{account}.key"));
            let secret = record.accounts.get(account).map(|account| account.private_key.0).unwrap_or_default();
            crate::chain::write_key(&key, &causeway_genesis::SecretKey::from_bytes(secret))?;
            Ok(Traveller {
                binary: binary.to_owned(),
                genesis: record.genesis.clone(),
                parent: record.parent.rpc.clone(),
                vault: vault.clone(),
                nodes: nodes.to_vec(),
                counts: Arc::clone(&counts),
                stopped: stopped.clone(),
                key,
                random: Random::new(seed.wrapping_add(account as u64)),
            })
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(traveller(DEPOSITOR)?.deposits());
        tasks.spawn(traveller(WITHDRAWER)?.withdrawals());
        tasks.spawn(traveller(CLAIMER)?.claims());
        Ok(Self { counts, stop, tasks })
    }

    /// Stops new deposits and withdrawals; claims go on.
    pub fn stop_sending(&self) {
        self.stop.send_replace(true);
    }

    /// Stops everything and returns the counts.
    pub async fn finish(mut self) -> Counts {
        self.tasks.shutdown().await;
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Traveller {
    async fn deposits(mut self) {
        while self.pause().await {
            let amount = format!("0.{:06}", self.random.between(1, 999_999));
            let genesis = self.genesis.display().to_string();
            let parent = self.parent.clone();
            // The depositor's own account receives the coin on the sidechain.
            let arguments = ["deposit", "--genesis", &genesis, "--parent", &parent, "--amount", &amount];
            let done = self.run(&arguments).await;
            self.count(done, |counts| &mut counts.deposits);
        }
    }

    async fn withdrawals(mut self) {
        while self.pause().await {
            let amount = format!("0.{:06}", self.random.between(1, 9_999));
            let Some(rpc) = self.node().await else { continue };
            let done = self.run(&["withdraw", "--rpc", rpc.url(), "--amount", &amount]).await;
            self.count(done, |counts| &mut counts.withdrawals);
        }
    }

    /// Claims every withdrawal as soon as the parent has its checkpoint, and again when a reorganisation removed the claim.
    async fn claims(mut self) {
        // All withdrawals before this one are claimed in final blocks.
        let mut first = 0u64;
        let mut tried: BTreeMap<u64, Instant> = BTreeMap::new();
        loop {
            tokio::time::sleep(CLAIM_PAUSE).await;
            let Some(rpc) = self.node().await else { continue };
            for index in first.. {
                match self.claimed(index, "finalized").await {
                    Ok(true) if index == first => {
                        first = first.saturating_add(1);
                        continue;
                    }
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(_) => break,
                }
                let status = rpc.call::<Value>("peg_status", json!([{ "withdrawal": index }]));
                let Ok(Ok(status)) = tokio::time::timeout(REQUEST_PATIENCE, status).await else { break };
                if status["stage"] != "accepted" {
                    break;
                }
                if tried.get(&index).is_none_or(|at| at.elapsed() > CLAIM_AGAIN) {
                    tried.insert(index, Instant::now());
                    self.claim(&rpc, index).await;
                }
            }
            tried.retain(|index, _| *index >= first);
        }
    }

    async fn claimed(&self, index: u64, tag: &str) -> eyre::Result<bool> {
        let asked = is_claimed(&self.vault, index, tag);
        tokio::time::timeout(REQUEST_PATIENCE, asked).await.wrap_err("the parent does not answer")?
    }

    async fn claim(&self, rpc: &Rpc, index: u64) {
        let (genesis, index) = (self.genesis.display().to_string(), index.to_string());
        let common = ["claim", "--genesis", &genesis, "--parent", &self.parent];
        let own = ["--rpc", rpc.url(), "--index", &index];
        let done = self.run(&[common.as_slice(), &own].concat()).await;
        self.count(done, |counts| &mut counts.claims);
    }

    /// Waits, and returns whether to go on.
    async fn pause(&mut self) -> bool {
        let pause = Duration::from_millis(self.random.between(PAUSE_MS.0, PAUSE_MS.1));
        // A dropped sender means the end, too.
        let stopped = tokio::time::timeout(pause, self.stopped.wait_for(|stop| *stop)).await;
        stopped.is_err()
    }

    /// The first node that answers, starting at a random one.
    async fn node(&mut self) -> Option<Rpc> {
        let start = usize::try_from(self.random.between(0, 1_000)).unwrap_or_default();
        for offset in 0..self.nodes.len() {
            let rpc = self.nodes.get(start.wrapping_add(offset) % self.nodes.len())?.clone();
            if matches!(tokio::time::timeout(REQUEST_PATIENCE, rpc.block_number()).await, Ok(Ok(_))) {
                return Some(rpc);
            }
        }
        None
    }

    fn count(&self, done: eyre::Result<()>, which: fn(&mut Counts) -> &mut u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = match &done {
            Ok(()) => which(&mut counts),
            Err(error) => {
                tracing::debug!("{error:#}");
                &mut counts.failures
            }
        };
        *counter = counter.saturating_add(1);
    }

    async fn run(&self, arguments: &[&str]) -> eyre::Result<()> {
        let mut command = Command::new(&self.binary);
        command.arg("peg").args(arguments).arg("--key-file").arg(&self.key).arg("--json");
        command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        let output = tokio::time::timeout(COMMAND_PATIENCE, command.output()).await.wrap_err("takes too long")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "causeway peg {} failed: {said}", arguments.join(" "));
        Ok(())
    }
}
