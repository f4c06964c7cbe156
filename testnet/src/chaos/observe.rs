//! Watches every node over its JSON-RPC during the whole run.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::{B256, U64};
use eyre::WrapErr as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    chaos::judge::{Judge, ShownBlock},
    rpc::Rpc,
};

/// Pause between two polls of a node.
const POLL: Duration = Duration::from_millis(100);
/// Deadline of one request: a node may hang.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// Largest number of blocks in one request.
const MAX_BLOCKS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    number: U64,
    hash: B256,
    parent_hash: B256,
    state_root: B256,
    transactions: Vec<B256>,
}

/// Parses a block in an answer.
///
/// # Errors
/// When the answer is not a block.
pub fn block(answer: Value) -> eyre::Result<ShownBlock> {
    let block: Block = serde_json::from_value(answer).wrap_err("a malformed block")?;
    Ok(ShownBlock {
        number: block.number.to(),
        hash: block.hash,
        parent: block.parent_hash,
        state_root: block.state_root,
        transactions: block.transactions,
    })
}

/// The judge with the run's clock, shared by all watchers.
#[derive(Clone, Debug)]
pub struct Court {
    judge: Arc<Mutex<Judge>>,
    started: Instant,
}

impl Court {
    /// A new judge; the clock starts.
    pub fn open() -> Self {
        Self { judge: Arc::default(), started: Instant::now() }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The judge.
    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a violation.
    pub fn violate(&self, rule: &'static str, seen: String) {
        self.judge().violate(self.now(), rule, seen);
    }
}

/// Watches every node, until the set is dropped.
pub fn watch(nodes: &[Rpc], court: &Court) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (node, rpc) in nodes.iter().cloned().enumerate() {
        let court = court.clone();
        tasks.spawn(async move {
            loop {
                match tokio::time::timeout(REQUEST_PATIENCE, look(&rpc, node, &court)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!("validator-{node}: {error:#}"),
                    Err(_) => tracing::debug!("validator-{node} does not answer"),
                }
                tokio::time::sleep(POLL).await;
            }
        });
    }
    tasks
}

async fn look(rpc: &Rpc, node: usize, court: &Court) -> eyre::Result<()> {
    let tags = ["latest", "finalized"].iter().map(|tag| json!([tag, false])).collect();
    let answers = rpc.batch("eth_getBlockByNumber", tags).await?;
    let at = court.now();
    for (answer, is_head) in answers.into_iter().zip([true, false]) {
        let shown = block(answer.map_err(|text| eyre::eyre!(text))?)?;
        let mut judge = court.judge();
        if is_head {
            judge.head(at, node, shown.number);
        } else {
            judge.finalised(at, node, shown.number);
        }
        judge.block(at, node, shown);
    }
    let missing = court.judge().unseen(node, MAX_BLOCKS);
    if missing.is_empty() {
        return Ok(());
    }
    let calls = missing.iter().map(|height| json!([U64::from(*height), false])).collect();
    for answer in rpc.batch("eth_getBlockByNumber", calls).await? {
        let shown = block(answer.map_err(|text| eyre::eyre!(text))?)?;
        court.judge().block(at, node, shown);
    }
    Ok(())
}
