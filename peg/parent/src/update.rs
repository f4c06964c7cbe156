//! The watcher's reports.

use alloy_primitives::B256;
use causeway_peg::{Deposit, ParentView};

/// A block by number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Number.
    pub height: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
}

/// An event of the parent chain. Events come in order.
#[derive(Clone, Debug, PartialEq)]
pub enum ParentUpdate {
    /// All endpoints agree that the parent is final up to here, and every deposit up to here has been reported.
    Finalized {
        /// Parent block number.
        height: u64,
        /// Its hash.
        hash: B256,
        /// Its timestamp, seconds.
        timestamp: u64,
    },
    /// The deposits since the previous canonical cut (at most [`causeway_peg::deposit::MAX_DEPOSITS_PER_VIEW`]) and the view to
    /// sign for them.
    Deposits {
        /// The view at this cut.
        view: ParentView,
        /// Deposits after the previous cut, by nonce; the last one's nonce is `view.depositNonce`.
        deposits: Vec<Deposit>,
    },
    /// The sources contradict each other or themselves. No deposit is reported until they agree again. This is an alarm.
    Conflict(Conflict),
    /// The sources work and agree again: ends [`Self::Conflict`] and [`Self::Unreachable`].
    Recovered,
    /// A source does not answer, lags, or gives invalid answers. Deposits wait; they are not lost.
    Unreachable {
        /// Start of the outage, Unix milliseconds of the local clock.
        since_ms: u64,
        /// The reason, as text for operators.
        reason: String,
    },
    /// The registry's latest checkpoint at the finalised block changed. Number 0 means none yet.
    Checkpoint {
        /// Number of the latest accepted checkpoint.
        number: u64,
        /// Its digest.
        digest: B256,
    },
    /// The validator set that the registry has in force at the finalised block, equal at all sources. It is reported when it
    /// changes, and once after every start.
    ///
    /// The set in force is the set of the latest accepted checkpoint's epoch. The registry may already know the next set,
    /// but it still accepts checkpoints of the current set until it accepts one of the next epoch. So only the set in force
    /// shows that all earlier sets have no power at the parent any more.
    SetCommitted {
        /// Epoch of the set.
        epoch: u64,
        /// The registry's commitment to it; never zero.
        commitment: B256,
    },
}

/// How finalised data of the parent contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two endpoints give different hashes for a block that both finalised.
    #[error(
        "finalised block {height} is {a_hash} at {a} and {b_hash} at {b}: find out which source is wrong and remove it"
    )]
    Hash {
        /// Block number.
        height: u64,
        /// One endpoint.
        a: String,
        /// Its hash.
        a_hash: B256,
        /// The other endpoint.
        b: String,
        /// Its hash.
        b_hash: B256,
    },
    /// Two endpoints give different deposit logs for the same finalised blocks.
    #[error("deposits in finalised blocks {from} to {to} differ between {a} and {b}: remove the source that is wrong")]
    Deposits {
        /// First block compared.
        from: u64,
        /// Last block compared.
        to: u64,
        /// One endpoint.
        a: String,
        /// The other endpoint.
        b: String,
    },
    /// Two endpoints give different registry states at one finalised block.
    #[error("the registry at finalised block {height} differs between {a} and {b}: remove the source that is wrong")]
    Registry {
        /// Block number.
        height: u64,
        /// One endpoint.
        a: String,
        /// The other endpoint.
        b: String,
    },
    /// A block that was final now has another hash.
    #[error(
        "{endpoint}: finalised block {height} changed its hash from {was} to {now}: the parent broke finality, or the source is wrong"
    )]
    FinalityBroken {
        /// The endpoint.
        endpoint: String,
        /// Block number.
        height: u64,
        /// The old hash.
        was: B256,
        /// The new hash.
        now: B256,
    },
    /// The finalised height of an endpoint decreased.
    #[error(
        "{endpoint}: the finalised height decreased from {from} to {to}: the source was reset, or is behind a load balancer"
    )]
    Regressed {
        /// The endpoint.
        endpoint: String,
        /// The greatest height that it had finalised.
        from: u64,
        /// The height that it finalises now.
        to: u64,
    },
    /// The vault's deposit history contradicts what the sidechain has imported, or itself.
    #[error("{endpoint}: the vault's deposit history contradicts itself: {fault}")]
    History {
        /// The endpoint.
        endpoint: String,
        /// The contradiction.
        fault: crate::cuts::CutError,
    },
    /// The vault has fewer deposits than the sidechain has imported.
    #[error(
        "{endpoint}: the vault counts {count} deposits and {known} were known before: the parent was reset, or this is \
         not the parent this chain is pegged to"
    )]
    Unknown {
        /// The endpoint.
        endpoint: String,
        /// Deposits known before.
        known: u64,
        /// Deposits the vault counts.
        count: u64,
    },
}

/// The watcher's current state; for RPC status, metrics and logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentStatus {
    /// The finalised block all endpoints agree on.
    pub finalized: Option<BlockRef>,
    /// Nonce of the last deposit reported.
    pub deposit_nonce: u64,
    /// Next block whose logs will be read.
    pub next_height: u64,
    /// Latest checkpoint on the registry at the finalised block: number and digest.
    pub checkpoint: Option<(u64, B256)>,
    /// Validator set the registry has in force at the finalised block: epoch and commitment.
    pub set_in_force: Option<(u64, B256)>,
    /// The conflict that blocks reports, if any.
    pub conflict: Option<Conflict>,
    /// The failure that blocks reports, if any: its start (Unix ms) and the reason.
    pub unreachable: Option<(u64, String)>,
}
