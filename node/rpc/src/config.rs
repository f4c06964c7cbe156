//! What an operator may set about the server: where it listens, who may reach it, and every limit it holds.

use std::net::{Ipv4Addr, SocketAddr};

/// Port that wallets expect.
pub const DEFAULT_PORT: u16 = 8545;

/// Where the server listens and who may reach it.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Address of the one listener that carries HTTP and WebSocket.
    pub listen: SocketAddr,
    /// Origins that a browser may call from; `*` allows any, an empty list sends no CORS header.
    pub cors_origins: Vec<String>,
    /// Host names accepted in the `Host` header besides `localhost` and IP literals; `*` switches the check off.
    pub allowed_hosts: Vec<String>,
    /// The bounds on what one request, connection or all of them may cost.
    pub limits: RpcLimits,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            cors_origins: vec!["*".to_owned()],
            allowed_hosts: Vec::new(),
            limits: RpcLimits::default(),
        }
    }
}

/// Every bound of the server. A refused request is told the name and the value of the limit it met.
#[derive(Debug, Clone)]
pub struct RpcLimits {
    /// Bytes of one request body (a batch counts as one).
    pub request_bytes: u32,
    /// Bytes of request bodies that are held at once, of all connections together: read so far, or being worked on.
    pub body_bytes_in_flight: usize,
    /// Time in which a request body must be complete, in milliseconds.
    pub body_ms: u64,
    /// Bytes of one call's parameters. Decoded JSON takes many times its text in memory, so this is less than a body.
    pub params_bytes: usize,
    /// Bytes of one response body (a batch counts as one).
    pub response_bytes: u32,
    /// Bytes of answers that are being built in batches or that their clients have yet to read, of all connections together.
    pub answer_bytes_in_flight: usize,
    /// Time in which a client must have read an HTTP answer, in milliseconds.
    pub answer_ms: u64,
    /// Bytes that one WebSocket may hold of requests being worked on, and as many of answers and events that its client has
    /// yet to read. A client that reads nothing for `answer_ms` is disconnected.
    pub websocket_bytes_in_flight: usize,
    /// Requests in one batch.
    pub batch: u32,
    /// Time that one batch may take, in milliseconds: what is left then is refused.
    pub batch_ms: u64,
    /// Open connections, HTTP and WebSocket together.
    pub connections: u32,
    /// Subscriptions of one WebSocket connection.
    pub subscriptions_per_connection: u32,
    /// Messages queued for one WebSocket connection before its subscriptions wait. A log message may have over a megabyte.
    pub queued_messages: u32,
    /// Events that a slow subscriber may lag behind before it is dropped.
    pub subscriber_lag: usize,
    /// Filters installed through one connection.
    pub filters_per_connection: usize,
    /// Filters installed in all.
    pub filters: usize,
    /// Time after its last poll at which a filter is forgotten, in milliseconds.
    pub filter_ttl_ms: u64,
    /// Blocks that one log query may span.
    pub log_blocks: u64,
    /// Logs that one query may return.
    pub logs: usize,
    /// Gas of one `eth_call` or `eth_estimateGas`.
    pub call_gas: u64,
    /// Time that one expensive request may take, waiting for its turn included, in milliseconds.
    pub request_ms: u64,
    /// Storage keys of one `eth_getProof`.
    pub proof_keys: usize,
    /// Blocks of one `eth_feeHistory`.
    pub fee_history_blocks: u64,
    /// Expensive requests (calls, estimates, log queries, proofs) that run at once.
    pub heavy_running: usize,
    /// Expensive requests that wait for their turn; one more is refused at once.
    pub heavy_waiting: usize,
    /// Traces that run at once.
    pub traces_running: usize,
    /// Traces that wait for their turn.
    pub traces_waiting: usize,
    /// Cheap storage reads that run at once.
    pub reads_running: usize,
    /// Cheap storage reads that wait for their turn.
    pub reads_waiting: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
        Self {
            request_bytes: 5 * 1024 * 1024,
            body_bytes_in_flight: 64 * 1024 * 1024,
            body_ms: 10_000,
            params_bytes: 2 * 1024 * 1024,
            response_bytes: 25 * 1024 * 1024,
            answer_bytes_in_flight: 256 * 1024 * 1024,
            answer_ms: 60_000,
            websocket_bytes_in_flight: 32 * 1024 * 1024,
            batch: 1_000,
            batch_ms: 60_000,
            connections: 512,
            subscriptions_per_connection: 128,
            queued_messages: 32,
            subscriber_lag: 128,
            filters_per_connection: 128,
            filters: 10_000,
            filter_ttl_ms: 5 * 60 * 1_000,
            log_blocks: 100_000,
            logs: 20_000,
            call_gas: 50_000_000,
            request_ms: 10_000,
            proof_keys: 1_024,
            fee_history_blocks: 1_024,
            heavy_running: cores.max(2),
            heavy_waiting: 1_024,
            traces_running: 1,
            traces_waiting: 64,
            reads_running: 4 * cores.max(2),
            reads_waiting: 4_096,
        }
    }
}
