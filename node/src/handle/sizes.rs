//! The sizes of the node's buffers between events, and their limits.

use causeway_consensus::Size;

use super::{MAX_EXECUTED, Node};
use crate::{
    hold::{MAX_HEARD, MAX_HEARD_BYTES},
    sync::{MAX_PEERS, MAX_QUEUED_BLOCKS},
};

impl Node {
    /// The sizes of the buffers of the consensus host, of the federation, and of the node itself. Cheap; for tests of bounded memory.
    pub fn sizes(&self) -> Vec<Size> {
        let size = |what, held, most| Size { what, held, most };
        let (heard, heard_bytes) = self.hold.as_ref().map_or((0, 0), |hold| (hold.heard(), hold.heard_bytes()));
        let mut sizes = vec![
            size("blocks being executed", self.executing.len(), MAX_EXECUTED),
            size("executed blocks of the height", self.valid.len(), MAX_EXECUTED),
            size("messages heard while listening", heard, MAX_HEARD),
            size("bytes of messages heard while listening", heard_bytes, MAX_HEARD_BYTES),
            size("peers with a known head", self.sync.peers(), MAX_PEERS),
            size("blocks fetched ahead", self.sync.queued(), MAX_QUEUED_BLOCKS),
        ];
        sizes.extend(self.host.sizes());
        sizes.extend(
            self.federation
                .iter()
                .flat_map(|federation| federation.sizes())
                .map(|(what, held, most)| size(what, held, most)),
        );
        sizes
    }
}
