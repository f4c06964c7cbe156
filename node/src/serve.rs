//! Answers peers that catch up.

use causeway_network::{SyncRequest, SyncResponse};
use causeway_storage::{Storage, StorageError};

/// Most bytes of blocks in one answer; one block is always sent.
pub const SYNC_ANSWER_BYTES: usize = 6 << 20;
/// Most blocks in one answer.
pub const SYNC_ANSWER_BLOCKS: u32 = 64;

/// Answers a peer that catches up, from the database.
///
/// # Errors
/// When it cannot be read.
pub fn answer(storage: &Storage, request: &SyncRequest) -> Result<SyncResponse, StorageError> {
    let head = storage.head();
    match request {
        SyncRequest::Status => Ok(SyncResponse::Status { head: head.number, hash: storage.head_hash() }),
        SyncRequest::Blocks { from, max } => {
            let mut blocks = Vec::new();
            let mut bytes = 0_usize;
            let last =
                from.saturating_add(u64::from((*max).min(SYNC_ANSWER_BLOCKS))).min(head.number.saturating_add(1));
            for number in (*from).max(1)..last {
                let (Some(body), Some(certificate)) = (storage.body(number)?, storage.certificate(number)?) else {
                    break;
                };
                bytes = bytes.saturating_add(body.len());
                if bytes > SYNC_ANSWER_BYTES && !blocks.is_empty() {
                    break;
                }
                blocks.push((body, certificate));
            }
            Ok(SyncResponse::Blocks(blocks))
        }
    }
}
