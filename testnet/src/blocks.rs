//! `testnet/blocks`: the time between blocks, at epoch boundaries and elsewhere, as a subscriber to `newHeads` sees it.
//!
//! Headers count whole seconds, so intervals are measured where heads arrive. Two blocks stand at a boundary: the last one of an
//! epoch, in which the set changes, and the first one that the new set decides.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::U64;
use eyre::{WrapErr as _, ensure, eyre};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cli::BlocksArgs,
    directory::Directory,
    load::{
        report::Latency,
        watcher::{HeadWatcher, SeenBlock},
    },
    record::TestnetRecord,
    rpc::Rpc,
};

/// Time between blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Intervals {
    /// Blocks seen.
    pub blocks: usize,
    /// First heights of the epochs that began meanwhile.
    pub epochs: Vec<u64>,
    /// Milliseconds before blocks at a boundary.
    pub boundary_ms: Latency,
    /// Milliseconds before the other blocks.
    pub other_ms: Latency,
    /// Number of intervals behind each figure.
    pub counted: Counted,
}

/// Numbers of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// At boundaries.
    pub boundary: usize,
    /// Elsewhere.
    pub other: usize,
}

/// The fields of `staking_epoch` that are used here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Epoch {
    start_height: U64,
}

impl Intervals {
    /// Sorts the times between seen blocks by whether an epoch that starts at one of `starts` begins there.
    pub fn of(blocks: &[SeenBlock], starts: &BTreeSet<u64>) -> Self {
        let (mut boundary, mut other) = (Vec::new(), Vec::new());
        for pair in blocks.windows(2) {
            let [before, after] = pair else { continue };
            // Heads that were skipped arrived together with a later one.
            if before.number.checked_add(1) != Some(after.number) {
                continue;
            }
            let at_boundary = [Some(after.number), after.number.checked_add(1)];
            let interval = after.at.saturating_duration_since(before.at);
            if at_boundary.into_iter().flatten().any(|height| starts.contains(&height)) {
                boundary.push(interval);
            } else {
                other.push(interval);
            }
        }
        Self {
            blocks: blocks.len(),
            epochs: starts.iter().copied().collect(),
            counted: Counted { boundary: boundary.len(), other: other.len() },
            boundary_ms: Latency::of(boundary),
            other_ms: Latency::of(other),
        }
    }

    /// As text for a person.
    pub fn text(&self) -> String {
        let line = |what: &str, count: usize, ms: Latency| {
            format!("  {what:<9} {count} intervals, p50 {} ms, p99 {} ms, max {} ms", ms.p50, ms.p99, ms.max)
        };
        [
            format!("{} blocks, {} epochs began", self.blocks, self.epochs.len()),
            line("boundary", self.counted.boundary, self.boundary_ms),
            line("other", self.counted.other, self.other_ms),
        ]
        .join("\n")
    }
}

/// Watches an endpoint's blocks until it is told to finish.
#[derive(Debug)]
pub struct BlockWatch {
    rpc: Rpc,
    watcher: HeadWatcher,
}

impl BlockWatch {
    /// Starts watching.
    ///
    /// # Errors
    /// When the endpoint does not answer.
    pub async fn start(url: &str) -> eyre::Result<Self> {
        let watcher = HeadWatcher::start(&[url.to_owned()]).await.wrap_err("cannot watch for blocks")?;
        Ok(Self { rpc: Rpc::new(url)?, watcher })
    }

    /// Stops watching and sorts the intervals.
    ///
    /// # Errors
    /// When fewer than two blocks came, or the chain does not say where its epochs begin.
    pub async fn finish(self) -> eyre::Result<Intervals> {
        let seen = self.watcher.finish();
        let (Some(first), Some(last)) = (seen.blocks.first(), seen.blocks.last()) else {
            return Err(eyre!("no block came"));
        };
        ensure!(last.number > first.number, "only one block came: watch for longer");
        let starts = epoch_starts(&self.rpc, first.number, last.number).await?;
        Ok(Intervals::of(&seen.blocks, &starts))
    }
}

/// First heights of the epochs that begin after block `first` and by the block after `last`.
async fn epoch_starts(rpc: &Rpc, first: u64, last: u64) -> eyre::Result<BTreeSet<u64>> {
    let mut starts = BTreeSet::new();
    let mut at = last;
    loop {
        let epoch: Epoch = rpc.call("staking_epoch", json!([U64::from(at)])).await?;
        let start = epoch.start_height.to::<u64>();
        if start <= first {
            return Ok(starts);
        }
        starts.insert(start);
        // The state after block start - 1 is the first one in the epoch; the state before that is in the previous epoch.
        match start.checked_sub(2) {
            Some(before) if before > first && before < at => at = before,
            _ => return Ok(starts),
        }
    }
}

/// Watches and prints.
///
/// # Errors
/// When the endpoint does not answer, or is not a Causeway node.
pub async fn run(args: &BlocksArgs) -> eyre::Result<()> {
    let watch = BlockWatch::start(&endpoint(args)?).await?;
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let intervals = watch.finish().await?;
    say(&if args.json { serde_json::to_string_pretty(&intervals)? } else { intervals.text() });
    Ok(())
}

fn endpoint(args: &BlocksArgs) -> eyre::Result<String> {
    if let Some(url) = &args.rpc {
        return Ok(url.clone());
    }
    let record = TestnetRecord::load(Directory::new(&args.dir)?.root())?;
    let running = record.validators.iter().find(|validator| validator.pid.is_some());
    running.map(|validator| validator.rpc.clone()).ok_or_else(|| eyre!("no node runs: start it with testnet/up"))
}

#[allow(clippy::print_stdout)] // the command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn seen(times: &[(u64, u64)]) -> Vec<SeenBlock> {
        let start = Instant::now();
        let block = |(number, ms): &(u64, u64)| SeenBlock {
            number: *number,
            at: start + Duration::from_millis(*ms),
            transactions: 0,
            gas_used: 0,
        };
        times.iter().map(block).collect()
    }

    #[test]
    fn both_blocks_at_a_boundary_are_told_from_the_others() {
        let blocks = seen(&[(8, 0), (9, 100), (10, 205), (11, 315), (12, 415), (13, 516)]);
        let intervals = Intervals::of(&blocks, &BTreeSet::from([11]));
        assert_eq!((intervals.counted.boundary, intervals.counted.other), (2, 3));
        assert_eq!((intervals.boundary_ms.p50, intervals.boundary_ms.max), (105, 110));
        assert_eq!((intervals.other_ms.p50, intervals.other_ms.max), (100, 101));
    }

    #[test]
    fn skipped_heads_are_no_intervals() {
        let intervals = Intervals::of(&seen(&[(1, 0), (4, 900), (5, 950)]), &BTreeSet::new());
        assert_eq!((intervals.counted.boundary, intervals.counted.other), (0, 1));
        assert_eq!(intervals.other_ms.max, 50);
        assert!(intervals.text().contains("other     1 intervals, p50 50 ms"), "{}", intervals.text());
    }
}
