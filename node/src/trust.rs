//! Weak subjectivity: which history a node believes when it catches up. Pure.
//!
//! Validators that left long ago can sign another history at no cost, because their stake is gone. So blocks from peers are
//! trusted only in three cases: the head is younger than the unbonding period, they lead to a checkpoint that the operator
//! trusts, or the operator has declared the peers honest.

use std::str::FromStr;

use alloy_primitives::B256;

/// A shorter unbonding period, in seconds, is raised to this value: on a test chain with such a short period, a pause
/// of minutes is no reason to stop trusting the peers.
pub const MIN_PERIOD_S: u64 = 3_600;

/// A block the operator trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedCheckpoint {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
}

impl FromStr for TrustedCheckpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not HEIGHT:HASH, such as 12345:0x0123...ef with 64 hex digits");
        let (height, hash) = text.split_once(':').ok_or_else(form)?;
        let digits = hash.strip_prefix("0x").unwrap_or(hash);
        if digits.len() != 64 {
            return Err(form());
        }
        Ok(Self { height: height.parse().map_err(|_| form())?, hash: digits.parse().map_err(|_| form())? })
    }
}

impl std::fmt::Display for TrustedCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

/// The history that this node trusts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trust {
    /// A block that must be part of the history.
    pub checkpoint: Option<TrustedCheckpoint>,
    /// Whether to trust the peers' history, however old this node's head is.
    pub history: bool,
    /// The chain's unbonding period in seconds.
    pub unbonding_s: u64,
}

impl Trust {
    /// Whether to accept from peers the blocks after the head, which has height `head` and time `timestamp` (Unix seconds).
    ///
    /// # Errors
    /// The reason why not, and what to do; the node stops with it.
    pub fn catch_up(&self, now_ms: u64, head: u64, timestamp: u64) -> Result<(), String> {
        if self.history || self.checkpoint.is_some_and(|checkpoint| head < checkpoint.height) {
            return Ok(());
        }
        let period_s = self.unbonding_s.max(MIN_PERIOD_S);
        let age_s = (now_ms / 1_000).saturating_sub(timestamp);
        if age_s <= period_s {
            return Ok(());
        }
        let stale = match self.checkpoint {
            Some(checkpoint) => format!(" The trusted checkpoint {checkpoint} is that old as well."),
            None => String::new(),
        };
        Err(format!(
            "peers have blocks beyond this node's head, block {head}, but that block is {} old, more than the unbonding period of {}: validators who have \
             taken back their stake since could sign a false history, so none is believed without you.{stale} Get the height and hash of a recent block \
             from a source you trust (an explorer, another operator) and start with --trusted-checkpoint HEIGHT:HASH; or with --trust-history if you \
             trust all of this node's peers. If this machine's clock is wrong, set it.",
            span(age_s),
            span(period_s)
        ))
    }

    /// Whether a decided block may be part of the history.
    ///
    /// # Errors
    /// When the block has the checkpoint's height and another hash; the node stops with this reason.
    pub fn block(&self, height: u64, hash: B256) -> Result<(), String> {
        match self.checkpoint {
            Some(checkpoint) if checkpoint.height == height && checkpoint.hash != hash => Err(format!(
                "block {height} of the peers has hash {hash}, the trusted checkpoint says {}: this node is being shown another history than the one you \
                 trust, or the checkpoint is wrong. Check it with a second source. If it is right, remove this node's data/chain and data/consensus.wal \
                 (keep the keys and sign states), connect to other bootnodes and sync again.",
                checkpoint.hash
            )),
            _ => Ok(()),
        }
    }
}

/// A time span as text for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DAY_S: u64 = 86_400;
    const NOW_MS: u64 = 1_800_000_000_000;

    fn trust() -> Trust {
        Trust { unbonding_s: 14 * DAY_S, ..Trust::default() }
    }

    fn aged(days: u64) -> u64 {
        NOW_MS / 1_000 - days * DAY_S
    }

    #[test]
    fn a_head_within_the_unbonding_period_catches_up() {
        assert!(trust().catch_up(NOW_MS, 5, aged(14)).is_ok());
        assert!(trust().catch_up(NOW_MS, 5, NOW_MS / 1_000 + 100).is_ok(), "a head ahead of this clock is not old");
    }

    #[test]
    fn an_older_head_needs_a_checkpoint_ahead_or_the_operators_word() {
        let refusal = trust().catch_up(NOW_MS, 5, aged(15)).unwrap_err();
        assert!(refusal.contains("--trusted-checkpoint") && refusal.contains("15 days"), "{refusal}");
        assert!(Trust { history: true, ..trust() }.catch_up(NOW_MS, 5, aged(15)).is_ok());
        let checkpoint = TrustedCheckpoint { height: 9, hash: B256::repeat_byte(1) };
        let trust = Trust { checkpoint: Some(checkpoint), ..trust() };
        assert!(trust.catch_up(NOW_MS, 8, aged(15)).is_ok());
        let refusal = trust.catch_up(NOW_MS, 9, aged(15)).unwrap_err();
        assert!(refusal.contains("that old as well"), "{refusal}");
        assert!(trust.catch_up(NOW_MS, 9, aged(1)).is_ok());
    }

    #[test]
    fn another_block_at_the_checkpoint_is_refused_with_both_hashes() {
        let (right, wrong) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let trust = Trust { checkpoint: Some(TrustedCheckpoint { height: 9, hash: right }), ..trust() };
        assert!(trust.block(9, right).is_ok());
        assert!(trust.block(8, wrong).is_ok());
        let refusal = trust.block(9, wrong).unwrap_err();
        assert!(refusal.contains(&right.to_string()) && refusal.contains(&wrong.to_string()), "{refusal}");
    }

    #[test]
    fn a_checkpoint_is_read_from_its_text() {
        let checkpoint = TrustedCheckpoint { height: 7, hash: B256::repeat_byte(0xab) };
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        assert_eq!(format!("7:{}", "ab".repeat(32)).parse(), Ok(checkpoint));
        for text in ["", "7", "7:", ":0xab", "x:0xab", "7:0xab", "-1:0x00"] {
            let error = text.parse::<TrustedCheckpoint>().unwrap_err();
            assert!(error.contains("HEIGHT:HASH"), "{error}");
        }
    }
}
