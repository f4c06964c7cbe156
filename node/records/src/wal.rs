//! The consensus write-ahead log: the messages that this node received and derived at one height, in order, so that a
//! restarted node derives the same messages again.
//!
//! A file covers one height. Its header contains the chain and the height. Entries follow, each framed as
//!
//! ```text
//! length: u32 | synced: u64 | head checksum: u32 | payload checksum: u32 | payload
//! ```
//!
//! all little endian. `synced` is the offset up to which the file was known to be on the disk when the entry was
//! appended. Both checksums (CRC-32C) start from the file's salt and the entry's offset, so bytes that a peer
//! placed inside a payload can never be taken for an entry.
//!
//! After a crash the end of the file may contain anything, because it was appended but not synced. This is a *torn tail*,
//! and it is dropped: no message left that depended on it. Damage before an offset that a later valid entry calls synced is
//! *corruption*: opening refuses and names the offset. Damage in the very last synced entries cannot be distinguished from a
//! torn tail; the sign state, not this log, prevents a validator from signing twice.

use crate::{
    disk::{Disk, DiskFile},
    durable::{self, ReplaceError},
};
use alloy_primitives::B256;
use crc::{CRC_32_ISCSI, Crc};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// Longest entry. A part of a proposal is 64 KiB; a body fetched whole is a few MiB.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;
/// Longest log that is opened; the consensus limits bound the messages of a height.
pub const MAX_LOG_BYTES: u64 = 1 << 30;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const MAGIC: [u8; 8] = *b"CWWAL\x00\x00\x01";
/// Magic, chain, height, salt, checksum.
const HEADER_BYTES: usize = 8 + 32 + 8 + 8 + 4;
/// Length, synced, head checksum, payload checksum.
const FRAME_BYTES: usize = 4 + 8 + 4 + 4;

/// Why the log cannot be used. The operator must resolve it; peers cannot cause it.
#[derive(Debug, Error)]
pub enum WalError {
    /// The file cannot be read or written. After a failed append, sync or reset the node must stop.
    #[error("cannot {action} the write-ahead log {}: {source}", .path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Bytes before a synced offset differ from the written ones.
    #[error(
        "the write-ahead log {} is corrupt at byte {offset}: {reason}. The disk may be failing. If this node validates, make sure its sign state is intact; then move the log away; the node then rejoins at the next height",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Offset of the damage.
        offset: u64,
        /// The error.
        reason: &'static str,
    },
    /// The log belongs to another chain.
    #[error(
        "the write-ahead log {} belongs to the chain with genesis {found}, but this node runs {expected}. Use the matching data directory",
        .path.display()
    )]
    ForeignChain {
        /// The file.
        path: PathBuf,
        /// Genesis hash this node was started with.
        expected: B256,
        /// Genesis hash in the log.
        found: B256,
    },
    /// The entry is longer than [`MAX_ENTRY_BYTES`]. A bug of the caller.
    #[error("the entry has {0} bytes, but at most {MAX_ENTRY_BYTES} can be logged")]
    EntryTooLarge(usize),
    /// An earlier write failed, so the content of the file is uncertain. The node must stop.
    #[error("an earlier write to the write-ahead log failed; restart the node once the disk is healthy")]
    Halted,
}

/// An open log, positioned for appending.
#[derive(Debug)]
pub struct Wal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    chain: B256,
    height: u64,
    salt: u64,
    /// Length of the file.
    length: u64,
    /// Number of bytes known to be on the disk.
    synced: u64,
    created: bool,
    dropped_bytes: u64,
    halted: bool,
}

impl Wal {
    /// Opens the log at `path`, or creates it for height 0, and returns its entries in order. A torn tail is cut off.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] and [`WalError::ForeignChain`] when the log cannot be continued, [`WalError::Io`] when the
    /// file cannot be used. The file is never reset silently.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, chain: B256) -> Result<(Self, Vec<Vec<u8>>), WalError> {
        let failed = |action| move |source| WalError::Io { action, path: path.to_path_buf(), source };
        let Some(mut file) = disk.open(path).map_err(failed("open"))? else {
            return Ok((Self::create(disk, path, chain)?, Vec::new()));
        };
        if file.len().map_err(failed("read"))? > MAX_LOG_BYTES {
            return Err(corrupt(path, MAX_LOG_BYTES, "it is longer than any log this node writes"));
        }
        let content = file.read_all().map_err(failed("read"))?;
        let (height, salt) = read_header(path, chain, &content)?;
        let (entries, end) = read_entries(path, salt, &content)?;
        let (length, end) = (as_u64(content.len()), as_u64(end));
        if end < length {
            tracing::warn!(path = %path.display(), height, at = end, bytes = length - end,
                "dropped the torn tail of the write-ahead log, which was never synced");
            file.truncate(end).map_err(failed("cut"))?;
        }
        // The content and the file's name may only have been in the page cache of the process that died.
        file.sync().map_err(failed("sync"))?;
        durable::sync_name(&*disk, path).map_err(failed("sync the directory of"))?;
        let wal = Self {
            disk,
            path: path.to_path_buf(),
            file,
            chain,
            height,
            salt,
            length: end,
            synced: end,
            created: false,
            dropped_bytes: length - end,
            halted: false,
        };
        Ok((wal, entries))
    }

    fn create(disk: Arc<dyn Disk>, path: &Path, chain: B256) -> Result<Self, WalError> {
        let (file, salt) = start_file(&*disk, path, chain, 0)?;
        let length = as_u64(HEADER_BYTES);
        Ok(Self {
            disk,
            path: path.to_path_buf(),
            file,
            chain,
            height: 0,
            salt,
            length,
            synced: length,
            created: true,
            dropped_bytes: 0,
            halted: false,
        })
    }

    /// The height of the entries; 0 in a new log.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Whether opening found no file. If the sign state has a signature at the height to decide, the log was lost; the node
    /// decides how to proceed.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// Bytes of torn tail that opening dropped.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Appends an entry. It is durable after the next [`Self::sync`].
    ///
    /// # Errors
    /// [`WalError::EntryTooLarge`]; [`WalError::Io`], after which the log is halted.
    pub fn append(&mut self, entry: &[u8]) -> Result<(), WalError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(WalError::EntryTooLarge(entry.len()));
        }
        let frame = frame(self.salt, self.length, self.synced, entry);
        self.guard("append to", |wal| wal.file.append(&frame))?;
        self.length = self.length.saturating_add(as_u64(frame.len()));
        Ok(())
    }

    /// Waits until all appended entries are on the disk.
    ///
    /// # Errors
    /// [`WalError::Io`], after which the log is halted: after a failed sync the content of the disk is unknown, and a retry
    /// would hide that.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.synced == self.length && !self.halted {
            return Ok(());
        }
        self.guard("sync", |wal| wal.file.sync())?;
        self.synced = self.length;
        Ok(())
    }

    /// Starts an empty log for `height`. After a crash the file is the complete old log or the complete new one.
    ///
    /// # Errors
    /// [`WalError::Io`], after which the log is halted.
    pub fn reset(&mut self, height: u64) -> Result<(), WalError> {
        if self.halted {
            return Err(WalError::Halted);
        }
        let (file, salt) =
            start_file(&*self.disk, &self.path, self.chain, height).inspect_err(|_| self.halted = true)?;
        self.file = file;
        self.salt = salt;
        self.height = height;
        self.length = as_u64(HEADER_BYTES);
        self.synced = self.length;
        Ok(())
    }

    fn guard(&mut self, action: &'static str, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), WalError> {
        if self.halted {
            return Err(WalError::Halted);
        }
        write(self).map_err(|source| {
            self.halted = true;
            WalError::Io { action, path: self.path.clone(), source }
        })
    }
}

/// Replaces the file at `path` by an empty log.
fn start_file(disk: &dyn Disk, path: &Path, chain: B256, height: u64) -> Result<(Box<dyn DiskFile>, u64), WalError> {
    let salt = disk.salt();
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(chain.as_slice());
    header.extend_from_slice(&height.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    header.extend_from_slice(&CRC.checksum(&header).to_le_bytes());
    match durable::replace(disk, path, &header) {
        Ok(file) => Ok((file, salt)),
        Err(ReplaceError::Kept(source) | ReplaceError::Unknown(source)) => {
            Err(WalError::Io { action: "start", path: path.to_path_buf(), source })
        }
    }
}

fn read_header(path: &Path, chain: B256, content: &[u8]) -> Result<(u64, u64), WalError> {
    // The header was complete before the file was renamed to this path, so a short header is damage and no torn write.
    let Some((header, _)) = content.split_first_chunk::<HEADER_BYTES>() else {
        return Err(corrupt(path, as_u64(content.len()), "it ends inside the header"));
    };
    if !header.starts_with(&MAGIC) {
        return Err(corrupt(path, 0, "it does not start like a log of this version"));
    }
    let (covered, checksum) = header.split_at(HEADER_BYTES - 4);
    if CRC.checksum(covered).to_le_bytes() != checksum {
        return Err(corrupt(path, 0, "the header's checksum is wrong"));
    }
    let found = B256::from_slice(&covered[8..40]);
    if found != chain {
        return Err(WalError::ForeignChain { path: path.to_path_buf(), expected: chain, found });
    }
    Ok((read_u64(&covered[40..]), read_u64(&covered[48..])))
}

/// The entries, and the offset after the last valid one.
fn read_entries(path: &Path, salt: u64, content: &[u8]) -> Result<(Vec<Vec<u8>>, usize), WalError> {
    let mut entries = Vec::new();
    let mut at = HEADER_BYTES;
    while at < content.len() {
        match read_entry(salt, content, at) {
            Ok(entry) => {
                entries.push(entry.payload.to_vec());
                at = entry.end;
            }
            Err(reason) => {
                if was_synced(salt, content, at) {
                    return Err(corrupt(path, as_u64(at), reason));
                }
                break;
            }
        }
    }
    Ok((entries, at))
}

struct Entry<'a> {
    payload: &'a [u8],
    synced: u64,
    end: usize,
}

/// The entry at `at`, or why there is none.
fn read_entry(salt: u64, content: &[u8], at: usize) -> Result<Entry<'_>, &'static str> {
    let (head, rest) = content
        .get(at..)
        .and_then(|rest| rest.split_first_chunk::<FRAME_BYTES>())
        .ok_or("the file ends inside an entry's head")?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let synced = read_u64(&head[4..]);
    if head_checksum(salt, at, &head[..12]).to_le_bytes() != head[12..16] {
        return Err("an entry's head has a wrong checksum");
    }
    let length = usize::try_from(length).map_err(|_| "an entry is longer than memory")?;
    let payload = rest.get(..length).ok_or("the file ends inside an entry")?;
    if payload_checksum(salt, at, payload).to_le_bytes() != head[16..20] {
        return Err("an entry's payload has a wrong checksum");
    }
    Ok(Entry { payload, synced, end: at + FRAME_BYTES + length })
}

/// Whether a valid entry after `damage` shows that the file was already synced beyond `damage` when the entry was appended.
fn was_synced(salt: u64, content: &[u8], damage: usize) -> bool {
    let mut at = damage.saturating_add(1);
    while at.saturating_add(FRAME_BYTES) <= content.len() {
        match read_entry(salt, content, at) {
            Ok(entry) if entry.synced > as_u64(damage) => return true,
            Ok(entry) => at = entry.end,
            Err(_) => at += 1,
        }
    }
    false
}

fn frame(salt: u64, at: u64, synced: u64, payload: &[u8]) -> Vec<u8> {
    let offset = usize::try_from(at).expect("a log is shorter than memory: MAX_LOG_BYTES");
    let length = u32::try_from(payload.len()).expect("append refuses entries above MAX_ENTRY_BYTES");
    let mut frame = Vec::with_capacity(FRAME_BYTES + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&synced.to_le_bytes());
    let head = head_checksum(salt, offset, &frame);
    frame.extend_from_slice(&head.to_le_bytes());
    frame.extend_from_slice(&payload_checksum(salt, offset, payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn head_checksum(salt: u64, at: usize, head: &[u8]) -> u32 {
    salted(salt, at, 0, head)
}

fn payload_checksum(salt: u64, at: usize, payload: &[u8]) -> u32 {
    salted(salt, at, 1, payload)
}

fn salted(salt: u64, at: usize, part: u8, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&salt.to_le_bytes());
    digest.update(&as_u64(at).to_le_bytes());
    digest.update(&[part]);
    digest.update(bytes);
    digest.finalize()
}

fn corrupt(path: &Path, offset: u64, reason: &'static str) -> WalError {
    WalError::Corrupt { path: path.to_path_buf(), offset, reason }
}

fn read_u64(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().copied().map_or(0, u64::from_le_bytes)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
