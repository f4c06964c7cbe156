//! The testnet's directory: its paths, and the lock that one launcher holds.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use eyre::{WrapErr as _, bail};
use nix::fcntl::{Flock, FlockArg};

/// Written into a directory that we made, so that `--clean` removes nothing else.
const MARKER: &str = ".causeway-testnet";

/// A testnet's directory.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

/// Held by a running launcher; the system releases it whenever the launcher ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Directory {
    /// The directory at `path`, made absolute from the working directory.
    pub fn new(path: &Path) -> eyre::Result<Self> {
        let root = std::path::absolute(path).wrap_err("the working directory is gone")?;
        Ok(Self { root })
    }

    /// Makes the directory. Refuses one that holds other files.
    pub fn create(&self) -> eyre::Result<()> {
        let ours = self.root.join(MARKER).exists();
        if !ours && self.root.exists() && std::fs::read_dir(&self.root)?.next().is_some() {
            bail!("{} is not empty and no testnet: choose another --dir", self.root.display());
        }
        std::fs::create_dir_all(self.run()).wrap_err_with(|| format!("cannot create {}", self.root.display()))?;
        std::fs::write(self.root.join(MARKER), "Made by testnet/up; --clean removes this directory's content.\n")?;
        Ok(())
    }

    /// Removes the state of an earlier testnet, keeping the lock.
    pub fn clean(&self) -> eyre::Result<()> {
        let keep = [self.run(), self.root.join(MARKER), self.launcher_log()];
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            if keep.contains(&path) {
                continue;
            }
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.wrap_err_with(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes the lock. The error names the process that holds it.
    pub fn lock(&self) -> eyre::Result<Lock> {
        match self.try_lock()? {
            Ok(lock) => Ok(lock),
            Err(pid) => bail!(
                "a testnet is running in {} already, process {pid}: stop it with testnet/down, or choose another --dir",
                self.root.display()
            ),
        }
    }

    /// The process that runs this testnet; `None` when it does not run.
    pub fn holder(&self) -> eyre::Result<Option<u32>> {
        if !self.lock_file().exists() {
            return Ok(None);
        }
        Ok(self.try_lock()?.err())
    }

    fn try_lock(&self) -> eyre::Result<Result<Lock, u32>> {
        let path = self.lock_file();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.wrap_err_with(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Ok(Lock { _file: file }))
            }
            Err((mut file, _)) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                Ok(Err(text.trim().parse().unwrap_or(0)))
            }
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lock and control socket.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The launcher's own keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Key that deploys the contracts, deposits, and pays for it on the parent.
    pub fn operator_key(&self) -> PathBuf {
        self.keys().join("operator.key")
    }

    /// Genesis file of the sidechain.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.json")
    }

    /// Remembered ports.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports.json")
    }

    /// Data directory of the embedded parent.
    pub fn parent(&self) -> PathBuf {
        self.root.join("parent")
    }

    /// Data directory of a validator.
    pub fn validator(&self, name: &str) -> PathBuf {
        self.root.join("validators").join(name)
    }

    /// The log of a detached launcher.
    pub fn launcher_log(&self) -> PathBuf {
        self.root.join("launcher.log")
    }

    fn lock_file(&self) -> PathBuf {
        self.run().join("lock")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("net")).unwrap();
        directory.create().unwrap();
        (parent, directory)
    }

    #[test]
    fn a_second_launcher_is_refused_with_the_first_ones_process_id() {
        let (_parent, directory) = directory();
        assert_eq!(directory.holder().unwrap(), None);
        let lock = directory.lock().unwrap();
        assert_eq!(directory.holder().unwrap(), Some(std::process::id()));
        let error = directory.lock().unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("testnet/down"), "{error}");
        drop(lock);
        directory.lock().unwrap();
    }

    #[test]
    fn clean_removes_state_and_refuses_directories_of_others() {
        let (parent, directory) = directory();
        std::fs::write(directory.genesis(), "{}").unwrap();
        directory.clean().unwrap();
        assert!(!directory.genesis().exists() && directory.run().exists());
        directory.create().unwrap();
        let foreign = parent.path().join("photos");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("cat.png"), "").unwrap();
        let error = Directory::new(&foreign).unwrap().create().unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
    }
}
