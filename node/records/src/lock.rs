//! Allows one process per data directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

const FILE: &str = "LOCK";

/// Why a directory cannot be locked. The operator must resolve it.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has the directory open.
    #[error(
        "{} is in use by another process{}. Two nodes must never share a data directory: stop the other one, or choose another directory",
        .dir.display(), holder_note(*.holder)
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Process id the holder left in the lock file, when it can be read.
        holder: Option<u32>,
    },
    /// The lock file or its directory cannot be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

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
    /// [`LockError::Locked`] when another process (or another handle of this one) holds it, [`LockError::Io`] when
    /// the directory cannot be written.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(FILE);
        let failed = |action, source| LockError::Io { action, path: path.clone(), source };
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
                return Err(LockError::Locked { dir: dir.to_path_buf(), holder });
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

fn holder_note(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
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
        assert!(matches!(error, LockError::Locked { holder: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_io_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirLock::acquire(&file.path().join("below")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }));
    }
}
