//! The settings of the server: where it listens, who may reach it, and every limit it keeps.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Port that wallets expect.
pub const DEFAULT_PORT: u16 = 8545;

/// Where the server listens and who may reach it.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Address of the one listener that carries HTTP and WebSocket.
    pub listen: SocketAddr,
    /// Origins that a browser may call from. `*` allows any; an empty list sends no CORS header.
    pub cors_origins: Vec<String>,
    /// Host names accepted in the `Host` header besides `localhost` and IP literals. `*` switches the check off.
    pub allowed_hosts: Vec<String>,
    /// Limits on the cost of one request, of one connection, and of all of them.
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

/// Every limit of the server. A refusal names the limit it met. Sizes are in bytes, times in milliseconds.
///
/// Zero is refused at start, except where a field says what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcLimits {
    /// Bytes of one request body. A batch counts as one. Default 5 MiB.
    pub request_bytes: u32,
    /// Bytes of all request bodies in memory: those being read and those being worked on, of all connections. Default 64 MiB.
    pub body_bytes_in_flight: usize,
    /// Time in which a request body must arrive. Default 10 s.
    pub body_ms: u64,
    /// Bytes of one call's parameters. Decoded JSON takes many times the memory of its text, so this is less than
    /// `request_bytes`. Default 2 MiB.
    pub params_bytes: usize,
    /// Bytes of one response body. A batch counts as one. Default 25 MiB.
    pub response_bytes: u32,
    /// Bytes of all answers in memory: those of batches being built and those not read by their clients yet, of all
    /// connections. Default 256 MiB.
    pub answer_bytes_in_flight: usize,
    /// Time in which a client must read an HTTP answer. A WebSocket whose client reads nothing for this long is closed.
    /// Default 60 s.
    pub answer_ms: u64,
    /// Bytes of the requests that one WebSocket has in work, and as many of answers and events that its client has not read.
    /// Default 32 MiB.
    pub websocket_bytes_in_flight: usize,
    /// Time between two pings on a WebSocket. Default 30 s.
    pub websocket_ping_ms: u64,
    /// A WebSocket whose client has answered no ping for this long is closed. Default 75 s.
    pub websocket_silence_ms: u64,
    /// Requests in one batch. Default 1,000.
    pub batch: u32,
    /// Time for one batch. Requests that have not begun by then are refused. Zero refuses all of them. Default 60 s.
    pub batch_ms: u64,
    /// Open connections, HTTP and WebSocket together. Default 512.
    pub connections: u32,
    /// Subscriptions of one WebSocket. Zero allows none. Default 128.
    pub subscriptions_per_connection: u32,
    /// Messages queued for one WebSocket before its subscriptions wait. One log message may exceed a megabyte. Default 32.
    pub queued_messages: u32,
    /// Events that a subscriber may fall behind before its subscription ends. Default 128.
    pub subscriber_lag: usize,
    /// Filters installed through one connection. Zero allows none. Default 128.
    pub filters_per_connection: usize,
    /// Filters installed through all connections. Zero allows none. Default 10,000.
    pub filters: usize,
    /// Time after its last poll at which a filter is removed. Default 5 min.
    pub filter_ttl_ms: u64,
    /// Addresses of one log filter, and topics in one of its positions. geth has the same limit. Default 1,000.
    pub filter_terms_per_position: usize,
    /// Addresses and topics of all installed filters and log subscriptions. Default 500,000.
    pub filter_terms: usize,
    /// Blocks in the range of one log query. Default 100,000.
    pub log_blocks: u64,
    /// Logs in the answer to one query. Default 20,000.
    pub logs: usize,
    /// Gas of one `eth_call`, `eth_estimateGas`, `eth_createAccessList` or `debug_traceCall`. A call that asks for more gets this
    /// much. Default 50,000,000.
    pub call_gas: u64,
    /// Accounts, plus storage slots of all accounts, that one call may override. Zero allows none. Default 10,000.
    pub call_overrides: usize,
    /// Time for one request that reads storage or runs the EVM, with the time it waits for its turn. Default 10 s.
    pub request_ms: u64,
    /// Time that `eth_sendRawTransactionSync` waits for a block when its caller names no time. Default 5 s.
    pub send_sync_default_ms: u64,
    /// Longest time that `eth_sendRawTransactionSync` waits. A caller that names a longer time gets this one. Default 30 s.
    pub send_sync_max_ms: u64,
    /// Storage keys of one `eth_getProof`. Zero allows none. Default 1,024.
    pub proof_keys: usize,
    /// Blocks of one `eth_feeHistory`. A caller that asks for more gets this many. Default 1,024.
    pub fee_history_blocks: u64,
    /// Reward percentiles of one `eth_feeHistory`. Zero allows none. Default 100.
    pub fee_history_percentiles: usize,
    /// Checkpoints of one `peg_checkpoints`. Default 100.
    pub checkpoints: u64,
    /// Expensive requests (calls, estimates, log queries, proofs) that run at once. Zero, the default: one a core, at least two.
    pub heavy_running: usize,
    /// Expensive requests that wait for their turn. The next one is refused. Zero allows none. Default 1,024.
    pub heavy_waiting: usize,
    /// Traces that run at once. Default 1.
    pub traces_running: usize,
    /// Traces that wait for their turn. The next one is refused. Zero allows none. Default 64.
    pub traces_waiting: usize,
    /// Cheap storage reads that run at once. Zero, the default: four a core, at least eight.
    pub reads_running: usize,
    /// Cheap storage reads that wait for their turn. The next one is refused. Zero allows none. Default 4,096.
    pub reads_waiting: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            request_bytes: 5 * 1024 * 1024,
            body_bytes_in_flight: 64 * 1024 * 1024,
            body_ms: 10_000,
            params_bytes: 2 * 1024 * 1024,
            response_bytes: 25 * 1024 * 1024,
            answer_bytes_in_flight: 256 * 1024 * 1024,
            answer_ms: 60_000,
            websocket_bytes_in_flight: 32 * 1024 * 1024,
            websocket_ping_ms: 30_000,
            websocket_silence_ms: 75_000,
            batch: 1_000,
            batch_ms: 60_000,
            connections: 512,
            subscriptions_per_connection: 128,
            queued_messages: 32,
            subscriber_lag: 128,
            filters_per_connection: 128,
            filters: 10_000,
            filter_ttl_ms: 5 * 60 * 1_000,
            filter_terms_per_position: 1_000,
            filter_terms: 500_000,
            log_blocks: 100_000,
            logs: 20_000,
            call_gas: 50_000_000,
            call_overrides: 10_000,
            request_ms: 10_000,
            send_sync_default_ms: 5_000,
            send_sync_max_ms: 30_000,
            proof_keys: 1_024,
            fee_history_blocks: 1_024,
            fee_history_percentiles: 100,
            checkpoints: 100,
            heavy_running: 0,
            heavy_waiting: 1_024,
            traces_running: 1,
            traces_waiting: 64,
            reads_running: 0,
            reads_waiting: 4_096,
        }
    }
}

/// A limit is zero that must not be. The operator has to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON-RPC limit {0} is 0: set it to 1 or more")]
pub struct ZeroLimit(pub &'static str);

impl RpcLimits {
    /// # Errors
    /// [`ZeroLimit`] names the first field that must not be zero and is.
    pub fn check(&self) -> Result<(), ZeroLimit> {
        let zeros = [
            ("request_bytes", self.request_bytes == 0),
            ("body_bytes_in_flight", self.body_bytes_in_flight == 0),
            ("body_ms", self.body_ms == 0),
            ("params_bytes", self.params_bytes == 0),
            ("response_bytes", self.response_bytes == 0),
            ("answer_bytes_in_flight", self.answer_bytes_in_flight == 0),
            ("answer_ms", self.answer_ms == 0),
            ("websocket_bytes_in_flight", self.websocket_bytes_in_flight == 0),
            ("websocket_ping_ms", self.websocket_ping_ms == 0),
            ("websocket_silence_ms", self.websocket_silence_ms == 0),
            ("batch", self.batch == 0),
            ("connections", self.connections == 0),
            ("queued_messages", self.queued_messages == 0),
            ("subscriber_lag", self.subscriber_lag == 0),
            ("filter_ttl_ms", self.filter_ttl_ms == 0),
            ("filter_terms_per_position", self.filter_terms_per_position == 0),
            ("filter_terms", self.filter_terms == 0),
            ("log_blocks", self.log_blocks == 0),
            ("logs", self.logs == 0),
            ("call_gas", self.call_gas == 0),
            ("request_ms", self.request_ms == 0),
            ("send_sync_default_ms", self.send_sync_default_ms == 0),
            ("send_sync_max_ms", self.send_sync_max_ms == 0),
            ("fee_history_blocks", self.fee_history_blocks == 0),
            ("checkpoints", self.checkpoints == 0),
            ("traces_running", self.traces_running == 0),
        ];
        match zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(ZeroLimit(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Fields whose zero has a meaning.
    const MAY_BE_ZERO: [&str; 12] = [
        "batch_ms",
        "subscriptions_per_connection",
        "filters_per_connection",
        "filters",
        "call_overrides",
        "proof_keys",
        "fee_history_percentiles",
        "heavy_running",
        "heavy_waiting",
        "traces_waiting",
        "reads_running",
        "reads_waiting",
    ];

    #[test]
    fn a_zero_is_refused_by_its_name_unless_it_has_a_meaning() {
        RpcLimits::default().check().unwrap();
        let defaults = serde_json::to_value(RpcLimits::default()).unwrap();
        for name in defaults.as_object().unwrap().keys() {
            let mut changed = defaults.clone();
            changed[name] = json!(0);
            let limits: RpcLimits = serde_json::from_value(changed).unwrap();
            match limits.check() {
                Ok(()) => assert!(MAY_BE_ZERO.contains(&name.as_str()), "{name}"),
                Err(ZeroLimit(found)) => assert_eq!(found, name),
            }
        }
    }

    #[test]
    fn a_missing_field_has_its_default_and_an_unknown_one_is_refused() {
        let parse = |value: Value| serde_json::from_value::<RpcLimits>(value);
        assert_eq!(parse(json!({})).unwrap(), RpcLimits::default());
        assert_eq!(parse(json!({ "logs": 5 })).unwrap(), RpcLimits { logs: 5, ..RpcLimits::default() });
        assert!(parse(json!({ "log": 5 })).is_err());
    }
}
