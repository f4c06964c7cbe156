//! The feed of committed blocks: a bounded broadcast to subscribers, fed by storage's commit callback.

use std::sync::Arc;

use alloy_primitives::Bloom;
use alloy_rpc_types_eth::{Header, Log};
use causeway_execution::ExecutedBlock;
use tokio::sync::broadcast;

use crate::eth::convert;

/// The parts of a committed block that subscribers need. State changes are left out, so a slow subscriber takes little memory.
#[derive(Debug)]
pub(crate) struct HeadEvent {
    pub(crate) header: Header,
    pub(crate) bloom: Bloom,
    pub(crate) logs: Vec<Log>,
}

/// Clones share one feed.
#[derive(Debug, Clone)]
pub(crate) struct HeadFeed {
    live: broadcast::Sender<Arc<HeadEvent>>,
}

impl HeadFeed {
    /// A subscriber that falls more than `lag` blocks behind misses the oldest ones, and gets an error that counts them.
    pub(crate) fn new(lag: usize) -> Self {
        Self { live: broadcast::channel(lag.max(1)).0 }
    }

    /// Storage calls this once for each durable block, in order, on the committing thread.
    pub(crate) fn committed(&self, executed: &ExecutedBlock) {
        if self.live.receiver_count() == 0 {
            return;
        }
        // An error means that the last subscriber left meanwhile.
        self.live.send(Arc::new(event(executed))).ok();
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<HeadEvent>> {
        self.live.subscribe()
    }
}

fn event(executed: &ExecutedBlock) -> HeadEvent {
    let header = &executed.block.header;
    HeadEvent {
        header: convert::header(header, executed.hash),
        bloom: header.logs_bloom,
        logs: convert::logs(&executed.block, executed.hash, &executed.receipts),
    }
}
