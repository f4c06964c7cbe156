//! Replaces a file atomically: after a crash it has either the complete old or the complete new content.

use crate::disk::{Disk, DiskFile};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The replacement of a file failed, or its result is unknown.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The old content is in place, and a retry may succeed.
    Kept(io::Error),
    /// The new content may be in place and may or may not survive a power cut.
    Unknown(io::Error),
}

/// Replaces the content of `path`: writes a second file, syncs it, renames it, syncs the directory. Returns the new file.
///
/// # Errors
/// The file system's error, with the state of the old content.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<Box<dyn DiskFile>, ReplaceError> {
    let beside = beside(path);
    let file = write_new(disk, &beside, content).map_err(ReplaceError::Kept)?;
    disk.rename(&beside, path).and_then(|()| sync_name(disk, path)).map_err(ReplaceError::Unknown)?;
    Ok(file)
}

fn write_new(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<Box<dyn DiskFile>> {
    let mut file = disk.create(path)?;
    file.append(content)?;
    file.sync()?;
    Ok(file)
}

/// Makes the directory entry of `path` durable. A process that finds a file must do this before it relies on the file: the
/// process that created it may have died between the rename and the sync.
///
/// # Errors
/// The file system's error.
pub(crate) fn sync_name(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Path of the new content before the rename. A leftover from a crash is overwritten.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}
