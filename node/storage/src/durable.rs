//! Replacing a file so that after a crash either the old or the new content is there, whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Replaces the content of `path`: write beside it, sync, rename, sync the directory. Returns the new file, opened for
/// reading and writing, positioned at its end.
///
/// # Errors
/// Whatever the file system says. After an error the old content is still in place, or the new one is but may not
/// survive a power cut: the caller must treat the error as fatal.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<File> {
    let beside = beside(path);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_parent(path)?;
    Ok(file)
}

/// Makes the directory entry of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Where the new content is prepared. A leftover from a crash is simply overwritten.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}
