//! Where the records are in a data directory.

use std::path::{Path, PathBuf};

/// `data/consensus.wal`: the write-ahead log.
pub fn wal(dir: &Path) -> PathBuf {
    dir.join("data/consensus.wal")
}

/// `data/sign_state`: the last message the consensus key signed.
pub fn sign_state(dir: &Path) -> PathBuf {
    dir.join("data/sign_state")
}

/// `data/peg_sign_state`: the last attestations the peg key signed.
pub fn peg_sign_state(dir: &Path) -> PathBuf {
    dir.join("data/peg_sign_state")
}
