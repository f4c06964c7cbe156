//! Private files: only the owner may read them; they are written atomically and never overwritten.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use alloy_primitives::hex;
use zeroize::Zeroizing;

use super::KeyError;

/// Directory mode: only the owner may list or enter it.
const DIRECTORY_MODE: u32 = 0o700;
/// File mode: only the owner may read or write it.
const FILE_MODE: u32 = 0o600;
/// Permission bits of group and others.
const FOREIGN_BITS: u32 = 0o077;

/// Reads at most `limit` + 1 bytes of a file; `None` when it does not exist.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    let io = |source| KeyError::Io { path: path.into(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // Checks the open file, so that the checked file is the one that is read.
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & FOREIGN_BITS != 0 {
        return Err(KeyError::Mode { path: path.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Writes a private file: under another name first, synced, then linked to its name, which must be free. After a crash the file
/// is complete or does not exist. The directory is created with mode 0700 when missing.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let io = |source| KeyError::Io { path: path.into(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if !directory.exists() {
        fs::create_dir_all(&directory).map_err(io)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(io)?;
    }
    if path.symlink_metadata().is_ok() {
        return Err(KeyError::Exists { path: path.into() });
    }
    let mut suffix = [0u8; 8];
    getrandom::fill(&mut suffix).map_err(|error| KeyError::Randomness(error.to_string()))?;
    let new = directory.join(format!(".new-{}", hex::encode(suffix)));
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()?;
            // Unlike a rename, a link fails when the name was taken in the meantime.
            fs::hard_link(&new, path)
        });
    let removed = fs::remove_file(&new);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyError::Exists { path: path.into() });
        }
        Err(error) => return Err(io(error)),
    }
    removed.map_err(io)?;
    fs::File::open(&directory).and_then(|directory| directory.sync_all()).map_err(io)
}
