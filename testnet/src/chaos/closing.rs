//! The checks after the last repair: no node has lost anything, every coin is locked, the audit passes.

use std::{path::Path, process::Stdio, time::Duration};

use alloy_primitives::{B256, Bytes, U64, U256};
use alloy_sol_types::SolCall as _;
use causeway_contracts::PegVault;
use eyre::{WrapErr as _, eyre};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{process::Command, time::Instant};

use crate::{
    chaos::{
        crossings::{Crossings, Vault, is_claimed},
        observe::{self, Court},
        traffic::{self, Acknowledged, Traffic},
    },
    record::TestnetRecord,
    rpc::Rpc,
};

/// Deadline for the last transactions: included, and their receipts returned.
const TRAFFIC_PATIENCE: Duration = Duration::from_secs(60);
/// Deadline for the last deposits and claims: finality of the parent, a checkpoint, and finality again.
const PEG_PATIENCE: Duration = Duration::from_secs(180);
/// Deadline until all nodes have the same head.
const LEVEL_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(250);
/// Blocks in one request.
const MAX_BATCH: usize = 100;

/// The findings of the checks at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Blocks compared on every node.
    pub blocks: u64,
    /// Transactions checked on every node: all that a node has shown in a block.
    pub transactions: usize,
    /// Number of them whose receipt a node had returned before.
    pub acknowledged: usize,
    /// Transactions that a node no longer has, summed over all nodes. Must be 0.
    pub lost: usize,
    /// Coin on the sidechain, in wei.
    pub supply: U256,
    /// Coin in the vault, in wei. Must equal the supply when all deposits are minted and all withdrawals are claimed.
    pub locked: U256,
    /// Whether the audit passes.
    pub audit_holds: bool,
}

/// Input of the checks at the end.
#[derive(Debug)]
pub struct Closing<'a> {
    /// The judge, which remembers everything that nodes have shown.
    pub court: &'a Court,
    /// The nodes.
    pub nodes: &'a [Rpc],
    /// The record of the testnet.
    pub record: &'a TestnetRecord,
    /// The auditor's binary.
    pub auditor: &'a Path,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    supply: U256,
    deposits: Deposits,
    withdrawals: Withdrawals,
}

#[derive(Debug, Deserialize)]
struct Deposits {
    minted: U64,
}

#[derive(Debug, Deserialize)]
struct Withdrawals {
    count: U64,
}

impl Closing<'_> {
    /// Waits until pending transfers have arrived, within deadlines.
    pub async fn settle(&self, traffic: &Traffic, crossings: &Crossings) {
        traffic.stop_sending();
        crossings.stop_sending();
        let deadline = Instant::now() + TRAFFIC_PATIENCE;
        while traffic.under_way() > 0 && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        let left = traffic.under_way();
        if left > 0 {
            let seen = format!("{left} are not, {} s after the last fault", TRAFFIC_PATIENCE.as_secs());
            self.court.violate("every transaction gets into a block", seen);
        }
        let deadline = Instant::now() + PEG_PATIENCE;
        let mut waits = self.peg_waits_for().await;
        while waits.as_ref().map_or(true, Option::is_some) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
            waits = self.peg_waits_for().await;
        }
        let waits = waits.unwrap_or_else(|error| Some(format!("{error:#}")));
        if let Some(waits) = waits {
            self.court.violate("every transfer over the peg arrives", waits);
        }
    }

    /// The first transfer over the peg that is not complete.
    async fn peg_waits_for(&self) -> eyre::Result<Option<String>> {
        let rpc = self.nodes.first().ok_or_else(|| eyre!("no nodes"))?;
        let summary: Summary = rpc.call("peg_summary", json!([])).await?;
        let parent = Rpc::new(&self.record.parent.rpc)?;
        let data = Bytes::from(PegVault::depositNonceCall {}.abi_encode());
        let call = json!({ "to": self.record.parent.vault, "data": data });
        let answer: Bytes = parent.call("eth_call", json!([call, "latest"])).await?;
        let (made, minted) =
            (PegVault::depositNonceCall::abi_decode_returns(&answer)?, summary.deposits.minted.to::<u64>());
        if made != minted {
            return Ok(Some(format!("{made} deposits were made and {minted} are minted")));
        }
        let vault = Vault { rpc: parent, address: self.record.parent.vault };
        for index in (0..summary.withdrawals.count.to::<u64>()).rev() {
            if !is_claimed(&vault, index, "finalized").await? {
                let status: Value = rpc.call("peg_status", json!([{ "withdrawal": index }])).await?;
                return Ok(Some(format!("withdrawal {index} is not claimed: {}", status["stage"])));
            }
        }
        Ok(None)
    }

    /// Runs all checks.
    ///
    /// # Errors
    /// When a node or the parent does not answer, or the auditor cannot be run.
    pub async fn compare(&self, acknowledged: &Acknowledged) -> eyre::Result<Findings> {
        let height = self.level().await?;
        let mut findings = Findings { blocks: height, acknowledged: acknowledged.len(), ..Findings::default() };
        for (node, rpc) in self.nodes.iter().enumerate() {
            let lost = self.compare_node(node, rpc, height).await.wrap_err_with(|| format!("reading {}", rpc.url()))?;
            findings.lost = findings.lost.saturating_add(lost);
        }
        // All nodes have the blocks that the judge knows, so a receipt must name the judge's block.
        for (hash, place) in acknowledged {
            let now = self.court.judge().block_of(hash);
            if now != Some(*place) {
                findings.lost = findings.lost.saturating_add(1);
                let seen = format!("a receipt of {hash} named {place:?}, and now it is in {now:?}");
                self.court.violate("no acknowledged transaction is lost", seen);
            }
        }
        findings.transactions = self.court.judge().transactions();
        self.coin(&mut findings).await?;
        findings.audit_holds = self.audit().await?;
        Ok(findings)
    }

    /// Waits until all nodes have the same blocks. Returns the height of the last one.
    async fn level(&self) -> eyre::Result<u64> {
        let wanted = self.court.judge().highest();
        for (node, rpc) in self.nodes.iter().enumerate() {
            let deadline = Instant::now() + LEVEL_PATIENCE;
            while rpc.block_number().await.map_or(true, |number| number < wanted) {
                if Instant::now() >= deadline {
                    return Err(eyre!("validator-{node} is not at block {wanted} at the end"));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(wanted)
    }

    /// Compares a node's whole chain, with every receipt, with the judge's blocks. Returns how many transactions are missing.
    async fn compare_node(&self, node: usize, rpc: &Rpc, height: u64) -> eyre::Result<usize> {
        let mut lost = 0usize;
        let heights: Vec<u64> = (1..=height).collect();
        for chunk in heights.chunks(MAX_BATCH) {
            let blocks = chunk.iter().map(|height| json!([U64::from(*height), false])).collect();
            let receipts = chunk.iter().map(|height| json!([U64::from(*height)])).collect();
            let blocks = rpc.batch("eth_getBlockByNumber", blocks).await?;
            let receipts = rpc.batch("eth_getBlockReceipts", receipts).await?;
            for ((height, block), receipts) in chunk.iter().zip(blocks).zip(receipts) {
                let shown = observe::block(block.map_err(|text| eyre!("block {height}: {text}"))?)?;
                let receipts = receipts.map_err(|text| eyre!("receipts of block {height}: {text}"))?;
                self.court.judge().block(self.court.now(), node, shown);
                let known = self.court.judge().shown(*height).ok_or_else(|| eyre!("block {height} is unknown"))?;
                let missing = missing(&known.transactions, (*height, known.hash), &receipts);
                if missing > 0 {
                    let seen = format!("validator-{node} has no receipt for {missing} transactions of block {height}");
                    self.court.violate("no final transaction is lost", seen);
                    lost = lost.saturating_add(missing);
                }
            }
        }
        Ok(lost)
    }

    async fn coin(&self, findings: &mut Findings) -> eyre::Result<()> {
        findings.locked = Rpc::new(&self.record.parent.rpc)?.balance(self.record.parent.vault).await?;
        for (node, rpc) in self.nodes.iter().enumerate() {
            let summary: Summary = rpc.call("peg_summary", json!([])).await?;
            findings.supply = summary.supply;
            if findings.supply != findings.locked {
                let seen = format!("validator-{node}: supply {}, locked {}", findings.supply, findings.locked);
                self.court.violate("every coin is locked", seen);
            }
        }
        Ok(())
    }

    async fn audit(&self) -> eyre::Result<bool> {
        let mut command = Command::new(self.auditor);
        command.arg("--genesis").arg(&self.record.genesis).args(["--parent", &self.record.parent.rpc, "--json"]);
        command.arg("--sidechain").arg(self.nodes.first().ok_or_else(|| eyre!("no nodes"))?.url());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.wrap_err("cannot run peg-audit")?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let holds = output.status.success() && report["holds"] == true;
        if !holds {
            let said = String::from_utf8_lossy(&output.stderr);
            self.court.violate("the audit passes", format!("{} {report} {said}", output.status));
        }
        Ok(holds)
    }
}

/// Number of a block's transactions without a receipt that names this block.
fn missing(transactions: &[B256], block: (u64, B256), receipts: &Value) -> usize {
    let receipts = receipts.as_array().map(Vec::as_slice).unwrap_or_default();
    let placed = receipts.iter().filter(|receipt| traffic::place(receipt) == Some(block));
    let hashes = placed.filter_map(|receipt| serde_json::from_value::<B256>(receipt["transactionHash"].clone()).ok());
    let hashes: std::collections::HashSet<B256> = hashes.collect();
    transactions.iter().filter(|hash| !hashes.contains(*hash)).count()
}

/// Lines that must not be in a node's log.
pub fn alarming(log: &str) -> Vec<&str> {
    const ALARMS: [&str; 2] = ["signed two conflicting", "panicked at"];
    log.lines().filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_without_a_receipt_in_its_block_is_missing() {
        let (one, two, block) = (B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(9));
        let receipt =
            |hash: B256, block: B256| json!({ "transactionHash": hash, "blockHash": block, "blockNumber": "0x5" });
        let all = json!([receipt(one, block), receipt(two, block)]);
        assert_eq!(missing(&[one, two], (5, block), &all), 0);
        assert_eq!(missing(&[one, two], (5, block), &json!([receipt(one, block)])), 1);
        assert_eq!(missing(&[one, two], (5, block), &json!([receipt(one, block), receipt(two, one)])), 1);
        assert_eq!(missing(&[one, two], (5, block), &Value::Null), 2);
    }

    #[test]
    fn double_signing_and_panics_in_a_log_are_alarming() {
        let log =
            "INFO committed\nERROR a peg validator signed two conflicting attestations\nthread 'main' panicked at x\n";
        assert_eq!(alarming(log).len(), 2);
        assert!(alarming("INFO stopping\n").is_empty());
    }
}
