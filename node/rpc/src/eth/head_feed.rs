//! The feed of committed blocks: storage's commit callback becomes a bounded broadcast of what subscribers are sent.

use std::sync::Arc;

use alloy_primitives::Bloom;
use alloy_rpc_types_eth::{Header, Log};
use causeway_execution::ExecutedBlock;
use tokio::sync::broadcast;

use crate::eth::convert;

/// What subscribers need of a committed block; state changes are left out, so that a slow subscriber holds little memory.
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
    /// A subscriber more than `lag` blocks behind loses events and is told so.
    pub(crate) fn new(lag: usize) -> Self {
        Self { live: broadcast::channel(lag.max(1)).0 }
    }

    /// Called once for each durable block, in order, on the committing thread.
    pub(crate) fn committed(&self, executed: &ExecutedBlock) {
        if self.live.receiver_count() == 0 {
            return;
        }
        // An error means that the last subscriber has just left.
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
