//! A file system and tables in memory, for storage.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_records::{Disk, DiskFile};
use causeway_storage::{Family, RawRow, Tables, TablesError, Write};

type Content = Arc<Mutex<Vec<u8>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files by path. An open file keeps its content when its name is reused.
#[derive(Debug, Default)]
pub(crate) struct Files(Mutex<BTreeMap<PathBuf, Content>>);

impl Files {
    pub(crate) fn with(path: &Path, content: &[u8]) -> Arc<Self> {
        let files = Self::default();
        lock(&files.0).insert(path.into(), Arc::new(Mutex::new(content.to_vec())));
        Arc::new(files)
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        lock(&self.0).get(path).map(|content| lock(content).clone()).unwrap_or_default()
    }
}

impl Disk for Files {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        let content = lock(&self.0).get(path).cloned();
        Ok(content.map(|content| Box::new(OpenFile(content)) as Box<dyn DiskFile>))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = Content::default();
        lock(&self.0).insert(path.into(), content.clone());
        Ok(Box::new(OpenFile(content)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.0);
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), content);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn salt(&self) -> u64 {
        0x5a17
    }
}

#[derive(Debug)]
struct OpenFile(Content);

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(lock(&self.0).len()).unwrap_or(u64::MAX))
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(lock(&self.0).clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        lock(&self.0).truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows in a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows(Arc<Mutex<BTreeMap<Place, Vec<u8>>>>);

/// Family and key.
type Place = (Family, Vec<u8>);

impl Rows {
    /// An independent copy of the rows.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(lock(&self.0).clone())))
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Changes the row in place `at`; `None` removes it.
    pub(crate) fn tamper(&self, at: usize, change: impl FnOnce(Family, Vec<u8>, Vec<u8>) -> Option<RawRow>) {
        let mut rows = lock(&self.0);
        let Some((family, key)) = rows.keys().nth(at).cloned() else { return };
        let value = rows.remove(&(family, key.clone())).unwrap_or_default();
        if let Some((key, value)) = change(family, key, value) {
            rows.insert((family, key), value);
        }
    }
}

impl Tables for Rows {
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError> {
        let value = lock(&self.0).get(&(family, key.to_vec())).cloned();
        Ok(value.map(|value| read(&value)).is_some())
    }

    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError> {
        let rows = lock(&self.0);
        let row = rows.range((family, Vec::new())..).take_while(|((of, _), _)| *of == family).last();
        Ok(row.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError> {
        if from >= end {
            return Ok(());
        }
        let rows: Vec<_> = lock(&self.0)
            .range((family, from.to_vec())..(family, end.to_vec()))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        for (key, value) in rows {
            if !row(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError> {
        let rows = lock(&self.0);
        let first = rows.range((family, from.to_vec())..).next();
        let row = first.filter(|((of, key), _)| *of == family && key.get(..prefix) == from.get(..prefix));
        Ok(row.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError> {
        let mut rows = lock(&self.0);
        for Write { family, key, value } in writes {
            match value {
                Some(value) => rows.insert((family, key), value),
                None => rows.remove(&(family, key)),
            };
        }
        Ok(())
    }
}
