//! All limits of the network. They bound the memory and work that peers can cause.

use std::time::Duration;

use causeway_consensus::{MAX_CERTIFICATE_BYTES, MAX_MESSAGE_BYTES, PART_BYTES};
use causeway_execution::MAX_TRANSACTION_BYTES;
use causeway_peg::message::MAX_PEG_MESSAGE_BYTES;

/// Largest consensus message on its gossip topic or in the lane of small messages, in bytes: a part or a certificate
/// with its envelope. Longer messages (a decision with its block) use the bulk lane.
pub const MAX_CONSENSUS_BYTES: usize = max(PART_BYTES, MAX_CERTIFICATE_BYTES) + 4 * 1024;

/// Largest consensus message in the bulk lane, in bytes.
pub const MAX_BULK_BYTES: usize = MAX_MESSAGE_BYTES;

/// Largest message on the peg topic, in bytes.
pub const MAX_PEG_BYTES: usize = MAX_PEG_MESSAGE_BYTES;

/// Most transactions in one gossip message.
pub const MAX_BATCH_TRANSACTIONS: usize = 512;

/// Most bytes of transactions in one batch.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Largest message on the transaction topic, in bytes: a batch, its count, and a length for each.
pub const MAX_TRANSACTIONS_BYTES: usize = MAX_BATCH_BYTES + 4 + 4 * MAX_BATCH_TRANSACTIONS;

/// How long a transaction waits for others to share its batch.
pub const BATCH_DELAY: Duration = Duration::from_millis(5);

/// Bytes of a gossip frame beside its data: source, sequence number, topic, signature and lengths.
pub const GOSSIP_FRAME_OVERHEAD_BYTES: usize = 1024;

/// Largest sync request, in bytes.
pub const MAX_SYNC_REQUEST_BYTES: usize = 256;

/// Largest sync response, in bytes. An answer with more blocks is cut.
pub const MAX_SYNC_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// Most blocks in a sync response of any size.
pub const MAX_SYNC_BLOCKS: usize = 1024;

/// Most one-way messages in flight to one peer. Others wait.
pub const MAX_DIRECT_IN_FLIGHT: usize = 16;

/// Most one-way messages that wait for one peer. A further one replaces the oldest.
pub const MAX_DIRECT_QUEUED: usize = 512;

/// Most bulk messages in flight to one peer.
pub const MAX_BULK_IN_FLIGHT: usize = 1;

/// Most bulk messages that wait for one peer. A further one replaces the oldest.
pub const MAX_BULK_QUEUED: usize = 2;

/// Most inbound streams in work for one connection. It is twice what an honest peer opens, since an
/// acknowledgement may arrive before its slot is free.
pub const MAX_DIRECT_STREAMS: usize = 2 * MAX_DIRECT_IN_FLIGHT;

/// Most inbound bulk streams in work for one connection.
pub const MAX_BULK_STREAMS: usize = 2 * MAX_BULK_IN_FLIGHT;

/// Most inbound sync requests in work for one connection.
pub const MAX_SYNC_STREAMS: usize = 8;

/// Deadline of a one-way message.
pub const DIRECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Deadline of a bulk message.
pub const BULK_TIMEOUT: Duration = Duration::from_secs(20);

/// Most sync requests that a peer may make in a burst.
pub const SYNC_REQUEST_BURST: u32 = 64;

/// Sync requests a second that a peer may make in the long run.
pub const SYNC_REQUESTS_PER_SECOND: u32 = 32;

/// Most sync requests of this node that wait for an answer.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 256;

/// Most commands of the node that wait for the network task. Further ones are dropped and counted.
pub const MAX_COMMANDS: usize = 8 * 1024;

/// Most transaction publications that wait for the network task. Further ones are dropped and counted.
pub const MAX_TRANSACTION_COMMANDS: usize = 1024;

/// Most events that are handed to the node and not taken yet. The number is small, because only the queues before
/// this one order events by importance.
pub const EVENT_CHANNEL: usize = 64;

/// Most consensus and peg messages that wait for the node. Further ones are dropped and counted.
pub const MAX_QUEUED_MESSAGES: usize = 4096;

/// Most bytes of consensus and peg messages that wait for the node.
pub const MAX_QUEUED_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Most of these messages from one peer, so that no peer crowds out the others.
pub const MAX_QUEUED_MESSAGES_PER_PEER: usize = MAX_QUEUED_MESSAGES / 4;

/// Most transaction batches that wait for the node. Further ones are dropped and counted.
pub const MAX_QUEUED_BATCHES: usize = 256;

/// Most bytes of transaction batches that wait for the node.
pub const MAX_QUEUED_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Most sync requests that wait for the node. Further ones are dropped and counted.
pub const MAX_QUEUED_REQUESTS: usize = 256;

/// Most arrivals and departures that the node has not taken. At this number the network task waits for the node,
/// since these events are never dropped.
pub const MAX_QUEUED_LIFECYCLE: usize = 4096;

/// Time in which a connected peer must identify itself and join the topics. Otherwise it is disconnected.
pub const READY_DEADLINE: Duration = Duration::from_secs(10);

/// Deadline of a connection's handshakes.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most peers whose addresses are remembered.
pub const MAX_KNOWN_PEERS: usize = 1024;

/// Most addresses remembered of one peer.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;

/// Most peers whose number, penalties or bans are remembered.
pub const MAX_REMEMBERED_PEERS: usize = 4096;

/// Range of the gossip heartbeat, in milliseconds.
pub const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 50..=5_000;

/// How long gossip messages are kept, for the verdict of the node and for peers that missed them.
pub const GOSSIP_HISTORY: Duration = Duration::from_secs(3);

/// How long the id of a gossip message is remembered, so that a copy does not count as a new message.
pub const DUPLICATE_MEMORY: Duration = Duration::from_secs(60);

/// Most open streams on one connection.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 256;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

// A batch has room for one transaction of any size.
const _: () = assert!(MAX_BATCH_BYTES >= MAX_TRANSACTION_BYTES);
// A sync response has room for one block with its certificate.
const _: () = assert!(MAX_SYNC_RESPONSE_BYTES > MAX_BULK_BYTES);
