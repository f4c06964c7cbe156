//! Replacing a file so that after a crash either the old or the new content is there, whole.

use crate::disk::{Disk, DiskFile};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A file was not replaced, or perhaps was.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The old content is in place, and another attempt may succeed.
    Kept(io::Error),
    /// The new content may be in place and may or may not survive a power cut.
    Unknown(io::Error),
}

/// Replaces the content of `path`: write beside it, sync, rename, sync the directory. Returns the new file.
///
/// # Errors
/// Whatever the file system says, with what it means for the old content.
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

/// Makes the directory entry of `path` durable. Whoever finds a file must do so before relying on it: the process that
/// put it there may have died between the rename and this.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn sync_name(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Where the new content is prepared. A leftover from a crash is simply overwritten.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}
