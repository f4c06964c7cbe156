//! The node's own limits for its pool.

/// The most transactions that one arriving transaction may evict. If more would have to go, it is refused:
/// one large transaction must not be a cheap way to remove hundreds of small ones.
pub const MAX_EVICTIONS_PER_ADD: usize = 16;

/// A local transaction is gossiped again if it is still runnable and not included after this time.
pub const REANNOUNCE_AFTER_MS: u64 = 60_000;

/// The pool's rules of admission and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// The chain id transactions must be signed for.
    pub chain_id: u64,
    /// Least priority fee in wei. Zero by default, since wallets scale tips down.
    pub min_tip_wei: u128,
    /// Highest total fee (gas limit times fee cap), in wei, of a transaction submitted to this node. It
    /// protects users from typing errors, and does not apply to gossip. `None` switches it off.
    pub fee_cap_wei: Option<u128>,
    /// Whether transactions without replay protection (before EIP-155) may be submitted to this node.
    /// Gossiped ones are always admitted, since blocks may carry them.
    pub allow_unprotected: bool,
    /// Most transactions in the pool.
    pub max_transactions: usize,
    /// Most bytes of encoded transactions in the pool.
    pub max_bytes: usize,
    /// Most transactions behind a nonce gap (or otherwise not runnable) in the pool.
    pub max_queued: usize,
    /// Most transactions of one sender.
    pub per_sender_slots: usize,
    /// Most transactions of one sender that are not runnable.
    pub per_sender_queued: usize,
    /// Longest authorization list (EIP-7702): each entry costs a signature recovery at admission.
    pub max_authorizations: usize,
    /// By how many percent a replacement must exceed both fee fields.
    pub price_bump_percent: u64,
    /// How long a transaction that cannot run is kept, in milliseconds.
    pub queued_lifetime_ms: u64,
}

impl PoolConfig {
    /// The default limits for a chain.
    #[must_use]
    pub fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            min_tip_wei: 0,
            fee_cap_wei: Some(1_000_000_000_000_000_000),
            allow_unprotected: false,
            max_transactions: 40_000,
            max_bytes: 128 * 1024 * 1024,
            max_queued: 10_000,
            per_sender_slots: 1_024,
            per_sender_queued: 256,
            max_authorizations: 256,
            price_bump_percent: 10,
            queued_lifetime_ms: 3 * 60 * 60 * 1_000,
        }
    }
}
