//! The disk that can become full: one validator's data directory.
//!
//! Where mounts are allowed it is a tmpfs that is shrunk to its used size, so that the file system itself refuses the next page.
//! Elsewhere the preloaded library refuses writes as a full file system does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use eyre::{WrapErr as _, ensure};

use crate::chaos::preload::Switches;

/// Size of the healthy file system: more than a run writes.
const WELL_BYTES: u64 = 2 << 30;
/// Attempts to set a disk's size to its used size.
const FILL_TRIES: u32 = 50;
/// Name of our mounts in the system's table.
const SOURCE: &str = "causeway-chaos";

/// How a data directory is made full.
#[derive(Debug)]
pub enum SmallDisk {
    /// A tmpfs is mounted here.
    Mounted(PathBuf),
    /// Writes are refused by the preloaded library.
    Preloaded,
}

impl SmallDisk {
    /// Mounts a tmpfs at `path` where that is possible and wanted. Otherwise uses the library.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(path: &Path, may_mount: bool) -> eyre::Result<Self> {
        std::fs::create_dir_all(path).wrap_err_with(|| format!("cannot create {}", path.display()))?;
        if !may_mount || !nix::unistd::geteuid().is_root() {
            return Ok(Self::Preloaded);
        }
        let options = format!("size={WELL_BYTES},mode=0700");
        match mount(&["-t", "tmpfs", "-o", &options, SOURCE], path) {
            Ok(()) => Ok(Self::Mounted(path.to_owned())),
            Err(error) => {
                tracing::warn!("{error:#}; a full disk is one that the preloaded library calls full");
                Ok(Self::Preloaded)
            }
        }
    }

    /// Text for the report.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Mounted(_) => "a tmpfs that is shrunk to what is used",
            Self::Preloaded => "writes refused with ENOSPC by the preloaded library (no mounts without root)",
        }
    }

    /// Makes the disk full.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fill(&self, switches: &Switches) -> eyre::Result<()> {
        let Self::Mounted(path) = self else { return switches.fill() };
        // The node keeps writing, and a size below its use at that moment is refused.
        let mut tries_left = FILL_TRIES;
        loop {
            let about = nix::sys::statvfs::statvfs(path.as_path()).wrap_err("cannot tell how full the disk is")?;
            let used = about.blocks().saturating_sub(about.blocks_free()).saturating_mul(about.fragment_size());
            tries_left = tries_left.saturating_sub(1);
            match mount(&["-o", &format!("remount,size={}", used.max(1))], path) {
                Err(_) if tries_left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    /// Gives the disk room again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn heal(&self, switches: &Switches) -> eyre::Result<()> {
        let Self::Mounted(path) = self else { return switches.heal() };
        mount(&["-o", &format!("remount,size={WELL_BYTES}")], path)
    }
}

impl Drop for SmallDisk {
    /// The content goes with the mount. Processes that still hold files there keep them until they end.
    fn drop(&mut self) {
        if let Self::Mounted(path) = self
            && let Err(error) = unmount(path)
        {
            tracing::error!("{error:#}");
        }
    }
}

fn mount(arguments: &[&str], path: &Path) -> eyre::Result<()> {
    let output = Command::new("mount").args(arguments).arg(path).output().wrap_err("cannot run mount")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mount {} {} failed: {said}", arguments.join(" "), path.display());
    Ok(())
}

fn unmount(path: &Path) -> eyre::Result<()> {
    let output = Command::new("umount").arg("-l").arg(path).output().wrap_err("cannot run umount")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "umount {} failed: {said}", path.display());
    Ok(())
}

/// Unmounts what a killed run left mounted below a directory. Returns the number of mounts.
///
/// # Errors
/// When the system refuses.
pub fn sweep(directory: &Path) -> eyre::Result<usize> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours = leftovers(&table, directory);
    ours.iter().try_for_each(|path| unmount(path))?;
    Ok(ours.len())
}

fn leftovers(table: &str, directory: &Path) -> Vec<PathBuf> {
    let fields = table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        // The kernel writes spaces of a path in octal.
        Some((fields.next()?, PathBuf::from(fields.next()?.replace("\\040", " "))))
    });
    fields.filter(|(source, path)| *source == SOURCE && path.starts_with(directory)).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_mounts_below_the_directory_are_swept() {
        let table = "causeway-chaos /a/net/validators/validator-3/data tmpfs rw 0 0\n\
                     tmpfs /a/net/other tmpfs rw 0 0\n\
                     causeway-chaos /b\\040c/net/data tmpfs rw 0 0\n\
                     causeway-chaos /a/network/data tmpfs rw 0 0\n";
        assert_eq!(leftovers(table, Path::new("/a/net")), [PathBuf::from("/a/net/validators/validator-3/data")]);
        assert_eq!(leftovers(table, Path::new("/b c")), [PathBuf::from("/b c/net/data")]);
    }
}
