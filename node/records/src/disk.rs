//! The file system for the write-ahead log and the sign states. It is a trait, so that tests can use a simulated disk that
//! loses unsynced data.

use std::{
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// A file system. A power cut may lose everything that [`DiskFile::sync`] and [`Self::sync_dir`] have not confirmed.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Opens a file for reading and appending; `None` when it does not exist.
    ///
    /// # Errors
    /// The file system's error.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>>;

    /// Creates a file, or empties an existing one.
    ///
    /// # Errors
    /// The file system's error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file and replaces the file that had the new name. Other processes see either the old or the new file.
    ///
    /// # Errors
    /// The file system's error.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are durable.
    ///
    /// # Errors
    /// The file system's error; it is then unknown which names are durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// 64 bits that a peer cannot predict.
    fn salt(&self) -> u64;
}

/// An open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length needs a system call that can fail, so an is_empty would hide its cost"
)]
pub trait DiskFile: Send + std::fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The file system's error.
    fn len(&self) -> io::Result<u64>;

    /// All of its content.
    ///
    /// # Errors
    /// The file system's error.
    fn read_all(&mut self) -> io::Result<Vec<u8>>;

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The file system's error; any part of the bytes may have been added.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to its first `len` bytes.
    ///
    /// # Errors
    /// The file system's error.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Waits until the content and the length are durable. For the name, see [`Disk::sync_dir`].
    ///
    /// # Errors
    /// The file system's error; it is then unknown which data is durable, and a second sync may hide that.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Some(Box::new(OsFile(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn salt(&self) -> u64 {
        // The keys of the standard library's hasher are unpredictable, and no two hashers share them.
        RandomState::new().hash_one(())
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut content)?;
        Ok(content)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::End(0))?;
        self.0.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Does not sync times and owners, which are not used; the length is always included.
        self.0.sync_data()
    }
}
