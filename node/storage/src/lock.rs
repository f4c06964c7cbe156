//! Allows one process per data directory.

use crate::error::StorageError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

const FILE: &str = "LOCK";

/// An exclusive lock on a directory. It is released when it is dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct DirLock {
    // Keeps the lock: closing the file releases it.
    _file: File,
}

impl DirLock {
    /// Creates `dir` when it is missing and locks it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] when another process (or another handle of this one) holds it, [`StorageError::Io`] when
    /// the directory cannot be written.
    pub fn acquire(dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(FILE);
        let failed = |action, source| StorageError::Io { action, path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(|source| failed("create the directory of", source))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| failed("open", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The process id is only a help for the operator; the message is clear without it.
                let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StorageError::Locked { dir: dir.to_path_buf(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| failed("write", source))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_second_process_is_refused_with_the_directory_and_process_named() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        let error = DirLock::acquire(dir.path()).unwrap_err();
        assert!(matches!(error, StorageError::Locked { holder: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_io_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirLock::acquire(&file.path().join("below")).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }));
    }
}
