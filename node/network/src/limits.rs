//! Every bound of the network in one place. A peer can make this node hold no more than these allow.

use std::time::Duration;

use causeway_consensus::{MAX_CERTIFICATE_BYTES, MAX_MESSAGE_BYTES, PART_BYTES};
use causeway_execution::MAX_TRANSACTION_BYTES;
use causeway_peg::message::MAX_PEG_MESSAGE_BYTES;

/// Largest consensus message on its gossip topic or sent one way, in bytes: a part or a certificate with
/// its envelope. Longer ones (a decision with its block) travel as bulk.
pub const MAX_CONSENSUS_BYTES: usize = max(PART_BYTES, MAX_CERTIFICATE_BYTES) + 4 * 1024;

/// Largest consensus message sent as bulk, in bytes.
pub const MAX_BULK_BYTES: usize = MAX_MESSAGE_BYTES;

/// Largest message on the peg topic, in bytes.
pub const MAX_PEG_BYTES: usize = MAX_PEG_MESSAGE_BYTES;

/// Most transactions in one gossip message.
pub const MAX_BATCH_TRANSACTIONS: usize = 512;

/// A batch is sent before its transactions exceed this many bytes.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Largest message on the transaction topic, in bytes: a batch, its count, and a length for each.
pub const MAX_TRANSACTIONS_BYTES: usize = MAX_BATCH_BYTES + 4 + 4 * MAX_BATCH_TRANSACTIONS;

/// How long a transaction may wait for others to share its batch.
pub const BATCH_DELAY: Duration = Duration::from_millis(5);

/// Room in a gossip frame beside its data: source, sequence number, topic, signature and lengths.
pub const GOSSIP_FRAME_OVERHEAD_BYTES: usize = 1024;

/// Largest sync request, in bytes.
pub const MAX_SYNC_REQUEST_BYTES: usize = 256;

/// Largest sync response, in bytes. Answers with more blocks are cut to fit.
pub const MAX_SYNC_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// Most blocks in a sync response, whatever their size.
pub const MAX_SYNC_BLOCKS: usize = 1024;

/// One-way messages under way to one peer; more wait.
pub const MAX_DIRECT_IN_FLIGHT: usize = 16;

/// One-way messages waiting for one peer; the oldest is dropped for the newest.
pub const MAX_DIRECT_QUEUED: usize = 512;

/// Bulk messages under way to one peer.
pub const MAX_BULK_IN_FLIGHT: usize = 1;

/// Bulk messages waiting for one peer; the oldest is dropped for the newest.
pub const MAX_BULK_QUEUED: usize = 2;

/// Inbound streams served at once for one connection: twice what an honest peer opens, since its
/// acknowledgement may arrive before the slot is free.
pub const MAX_DIRECT_STREAMS: usize = 2 * MAX_DIRECT_IN_FLIGHT;

/// Inbound bulk streams served at once for one connection.
pub const MAX_BULK_STREAMS: usize = 2 * MAX_BULK_IN_FLIGHT;

/// Inbound sync requests served at once for one connection.
pub const MAX_SYNC_STREAMS: usize = 8;

/// Deadline of a one-way message.
pub const DIRECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Deadline of a bulk message.
pub const BULK_TIMEOUT: Duration = Duration::from_secs(20);

/// Sync requests a peer may make at once after a pause.
pub const SYNC_REQUEST_BURST: u32 = 64;

/// Sync requests a second a peer may make in the long run.
pub const SYNC_REQUESTS_PER_SECOND: u32 = 32;

/// Our own sync requests that wait for an answer.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 256;

/// Commands from the node that wait for the network task; further ones are dropped and counted.
pub const MAX_COMMANDS: usize = 8 * 1024;

/// Transaction publications that wait for the network task; further ones are dropped and counted.
pub const MAX_TRANSACTION_COMMANDS: usize = 1024;

/// Events handed to the node and not taken yet. Small, since the bounded queues behind it keep the order
/// of importance.
pub const EVENT_CHANNEL: usize = 64;

/// Consensus and peg messages waiting for the node; further ones are dropped and counted.
pub const MAX_QUEUED_MESSAGES: usize = 4096;

/// Bytes of consensus and peg messages waiting for the node.
pub const MAX_QUEUED_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Of those, messages from one peer: nobody can crowd out the others.
pub const MAX_QUEUED_MESSAGES_PER_PEER: usize = MAX_QUEUED_MESSAGES / 4;

/// Transaction batches waiting for the node; further ones are dropped and counted.
pub const MAX_QUEUED_BATCHES: usize = 256;

/// Bytes of transaction batches waiting for the node.
pub const MAX_QUEUED_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Sync requests waiting for the node; further ones are dropped and counted.
pub const MAX_QUEUED_REQUESTS: usize = 256;

/// Peers arriving and leaving that the node was not told yet. At this number the network waits for the
/// node, since these events are never dropped.
pub const MAX_QUEUED_LIFECYCLE: usize = 4096;

/// A connected peer that has not identified itself and joined the topics after this long is dropped.
pub const READY_DEADLINE: Duration = Duration::from_secs(10);

/// Deadline of a connection's handshakes.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Peers remembered with their addresses.
pub const MAX_KNOWN_PEERS: usize = 1024;

/// Addresses remembered of one peer.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;

/// Peers whose number, penalties or bans are remembered.
pub const MAX_REMEMBERED_PEERS: usize = 4096;

/// Least and greatest gossip heartbeat in milliseconds.
pub const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 50..=5_000;

/// How long gossip messages are kept for validation and for peers that missed them.
pub const GOSSIP_HISTORY: Duration = Duration::from_secs(3);

/// How long the id of a gossip message is remembered, so that a copy is not taken for a new one.
pub const DUPLICATE_MEMORY: Duration = Duration::from_secs(60);

/// Streams open at once on one connection.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 256;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

// A batch holds at least one transaction of any size.
const _: () = assert!(MAX_BATCH_BYTES >= MAX_TRANSACTION_BYTES);
// A sync response holds at least one block with its certificate.
const _: () = assert!(MAX_SYNC_RESPONSE_BYTES > MAX_BULK_BYTES);
