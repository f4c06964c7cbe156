//! The sign states on disk: the last signatures of this validator, for consensus and for the peg.
//!
//! A validator that loses its sign state and continues to sign may sign twice. So the two cases without a record are kept
//! apart: a missing file (`Ok(None)`: a new directory, or one that lost the file; the node decides) and a damaged file (an
//! error; nothing may be signed).

use crate::{
    disk::Disk,
    durable::{self, ReplaceError},
};
use alloy_primitives::hex;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::SignState;
use crc::{CRC_32_ISCSI, Crc};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use thiserror::Error;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Longest record. A sign state is a few hundred bytes.
const MAX_RECORD_BYTES: u64 = 1 << 20;
const CONSENSUS_MAGIC: [u8; 8] = *b"CWSIGN\x00\x01";
const PEG_MAGIC: [u8; 8] = *b"CWPEGS\x00\x01";

/// Why a sign state could not be read or written. The operator must resolve it; nothing may be signed before that.
#[derive(Debug, Error)]
pub enum SignStateError {
    /// The file cannot be read or replaced. After a failed store the node must stop.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The content differs from what was stored.
    #[error(
        "{} is damaged: {reason}. This file prevents the validator from signing twice: restore it from a copy that is certainly the newest, or retire the key. Do not delete the file and continue",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The difference.
        reason: String,
    },
    /// The result of an earlier store is unknown. Nothing may be signed before a restart.
    #[error("an earlier write of {} failed; restart once the disk is healthy", .0.display())]
    Halted(PathBuf),
}

/// The sign state of the consensus key.
#[derive(Debug, Clone)]
pub struct SignStateFile(RecordFile);

impl SignStateFile {
    /// Names the file; nothing is read or written yet.
    pub fn new(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self(RecordFile::new(disk, path.into(), CONSENSUS_MAGIC))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The last stored state; `None` when the file does not exist.
    ///
    /// # Errors
    /// [`SignStateError`]; a damaged file is never treated as a missing one.
    pub fn load(&self) -> Result<Option<SignState>, SignStateError> {
        self.0.load()
    }

    /// Replaces the file atomically. When this returns `Ok`, the state survives a power cut.
    ///
    /// # Errors
    /// [`SignStateError::Io`]: the message must not be signed. When the new state may nevertheless have replaced the old
    /// one, every further store returns [`SignStateError::Halted`].
    pub fn store(&self, state: &SignState) -> Result<(), SignStateError> {
        self.0.store(state)
    }
}

/// The sign state of the peg key. The caller defines its type, because the peg's signing rules are part of the node.
#[derive(Debug, Clone)]
pub struct PegSignStateFile(RecordFile);

impl PegSignStateFile {
    /// Names the file; nothing is read or written yet.
    pub fn new(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self(RecordFile::new(disk, path.into(), PEG_MAGIC))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The last stored state; `None` when the file does not exist.
    ///
    /// # Errors
    /// [`SignStateError`]; a damaged file is never treated as a missing one.
    pub fn load<T: BorshDeserialize>(&self) -> Result<Option<T>, SignStateError> {
        self.0.load()
    }

    /// Replaces the file atomically. When this returns `Ok`, the state survives a power cut.
    ///
    /// # Errors
    /// [`SignStateError::Io`]: the message must not be signed. When the new state may nevertheless have replaced the old
    /// one, every further store returns [`SignStateError::Halted`].
    pub fn store<T: BorshSerialize>(&self, state: &T) -> Result<(), SignStateError> {
        self.0.store(state)
    }
}

/// One borsh value in a file: 8 bytes of magic, the value, CRC-32C of everything before it (little endian).
#[derive(Debug, Clone)]
struct RecordFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    magic: [u8; 8],
    /// Whether it is unknown which content survives a power cut.
    halted: Arc<AtomicBool>,
}

impl RecordFile {
    fn new(disk: Arc<dyn Disk>, path: PathBuf, magic: [u8; 8]) -> Self {
        Self { disk, path, magic, halted: Arc::default() }
    }

    fn load<T: BorshDeserialize>(&self) -> Result<Option<T>, SignStateError> {
        let failed = |action| move |source| self.failed(action, source);
        let Some(mut file) = self.disk.open(&self.path).map_err(failed("open"))? else { return Ok(None) };
        let length = file.len().map_err(failed("read"))?;
        if length > MAX_RECORD_BYTES {
            return Err(self.corrupt(format!("it has {length} bytes, but at most {MAX_RECORD_BYTES} are ever written")));
        }
        let content = file.read_all().map_err(failed("read"))?;
        // The returned state may be signed again, so it must survive a power cut. The process that stored it
        // may have died before its sync finished.
        file.sync().map_err(failed("sync"))?;
        durable::sync_name(&*self.disk, &self.path).map_err(failed("sync the directory of"))?;
        let Some((covered, checksum)) = content.split_last_chunk::<4>() else {
            return Err(self.corrupt(format!("its {} bytes are too few", content.len())));
        };
        let (expected, found) = (CRC.checksum(covered), u32::from_le_bytes(*checksum));
        if expected != found {
            return Err(self.corrupt(format!("its checksum is {found:08x}, but its content has {expected:08x}")));
        }
        let Some(payload) = covered.strip_prefix(&self.magic) else {
            let start = &covered[..covered.len().min(self.magic.len())];
            return Err(
                self.corrupt(format!("it starts with 0x{}, which is not the start of such a file", hex::encode(start)))
            );
        };
        borsh::from_slice(payload).map(Some).map_err(|error| self.corrupt(error.to_string()))
    }

    fn store<T: BorshSerialize>(&self, value: &T) -> Result<(), SignStateError> {
        if self.halted.load(Ordering::SeqCst) {
            return Err(SignStateError::Halted(self.path.clone()));
        }
        let mut content = self.magic.to_vec();
        borsh::to_writer(&mut content, value).map_err(|source| self.failed("encode", source))?;
        content.extend_from_slice(&CRC.checksum(&content).to_le_bytes());
        if u64::try_from(content.len()).is_ok_and(|length| length > MAX_RECORD_BYTES) {
            return Err(self.failed("encode", io::Error::other(format!("{} bytes are too many", content.len()))));
        }
        match durable::replace(&*self.disk, &self.path, &content) {
            Ok(_) => Ok(()),
            Err(ReplaceError::Kept(source)) => Err(self.failed("replace", source)),
            Err(ReplaceError::Unknown(source)) => {
                self.halted.store(true, Ordering::SeqCst);
                Err(self.failed("replace", source))
            }
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SignStateError {
        SignStateError::Io { action, path: self.path.clone(), source }
    }

    fn corrupt(&self, reason: String) -> SignStateError {
        SignStateError::Corrupt { path: self.path.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::OsDisk;
    use std::fs;

    fn consensus_file(path: impl Into<PathBuf>) -> SignStateFile {
        SignStateFile::new(Arc::new(OsDisk), path)
    }

    fn peg_file(path: impl Into<PathBuf>) -> PegSignStateFile {
        PegSignStateFile::new(Arc::new(OsDisk), path)
    }

    #[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
    struct Signed {
        checkpoint: (u64, [u8; 32]),
        view: Option<(u64, [u8; 32])>,
    }

    fn signed(number: u64) -> Signed {
        Signed { checkpoint: (number, [7; 32]), view: Some((number, [9; 32])) }
    }

    #[test]
    fn stored_states_load_again_and_replace_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = peg_file(dir.path().join("peg"));
        for number in 0..3 {
            file.store(&signed(number)).unwrap();
            assert_eq!(file.load::<Signed>().unwrap(), Some(signed(number)));
        }
        let consensus = consensus_file(dir.path().join("consensus"));
        consensus.store(&SignState::default()).unwrap();
        assert_eq!(consensus.load().unwrap(), Some(SignState::default()));
    }

    #[test]
    fn a_missing_file_is_not_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(consensus_file(dir.path().join("none")).load().unwrap().is_none());
        fs::write(dir.path().join("empty"), b"").unwrap();
        let error = consensus_file(dir.path().join("empty")).load().unwrap_err();
        assert!(matches!(error, SignStateError::Corrupt { .. }));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peg");
        let file = peg_file(&path);
        file.store(&signed(5)).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                assert!(matches!(file.load::<Signed>(), Err(SignStateError::Corrupt { .. })), "byte {at}, bit {bit}");
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(matches!(file.load::<Signed>(), Err(SignStateError::Corrupt { .. })), "cut at {at}");
        }
    }

    #[test]
    fn the_file_of_the_other_signer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        consensus_file(&path).store(&SignState::default()).unwrap();
        let error = peg_file(&path).load::<SignState>().unwrap_err();
        assert!(error.to_string().contains("not the start of such a file"), "{error}");
    }

    #[test]
    fn a_file_left_by_a_crash_between_write_and_rename_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peg");
        let file = peg_file(&path);
        file.store(&signed(1)).unwrap();
        fs::write(dir.path().join("peg.new"), b"half").unwrap();
        assert_eq!(file.load::<Signed>().unwrap(), Some(signed(1)));
        file.store(&signed(2)).unwrap();
        assert_eq!(file.load::<Signed>().unwrap(), Some(signed(2)));
    }

    #[test]
    fn a_failed_store_is_an_error_and_keeps_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peg");
        let file = peg_file(&path);
        file.store(&signed(1)).unwrap();
        // A directory at the path of the new file makes the replacement fail.
        fs::create_dir(dir.path().join("peg.new")).unwrap();
        assert!(matches!(file.store(&signed(2)), Err(SignStateError::Io { .. })));
        assert_eq!(file.load::<Signed>().unwrap(), Some(signed(1)));
    }
}
