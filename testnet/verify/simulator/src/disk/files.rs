//! Files as a power cut leaves them: the durable content, and the order of the unsynced writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::rng::Rng;

/// Identifies a file independently of its name.
pub(super) type Inode = u32;

/// What a power cut leaves of the unsynced changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    All,
    Nothing,
    /// A prefix of the changes; the last one may be partial.
    Prefix,
    /// Any pieces of contents, and the names as of some moment.
    Pieces,
}

#[derive(Debug, Clone)]
enum Change {
    Append { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    /// Content as processes see it.
    cached: Vec<u8>,
    /// Content that survives a power cut.
    durable: Vec<u8>,
    pending: Vec<(u64, Change)>,
}

#[derive(Debug, Clone)]
enum Naming {
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf },
}

impl Naming {
    fn is_in(&self, directory: &Path) -> bool {
        let (Self::Create { path, .. } | Self::Rename { to: path, .. }) = self;
        path.parent() == Some(directory)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Inode>) {
        match self {
            Self::Create { path, inode } => _ = names.insert(path.clone(), *inode),
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// All files of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    contents: BTreeMap<Inode, Content>,
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    pending_names: Vec<(u64, Naming)>,
    next_inode: Inode,
    sequence: u64,
}

impl Files {
    pub(super) fn find(&self, path: &Path) -> Option<Inode> {
        self.names.get(path).copied()
    }

    pub(super) fn create(&mut self, path: &Path) -> Inode {
        if let Some(inode) = self.find(path) {
            self.truncate(inode, 0);
            return inode;
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.contents.insert(inode, Content::default());
        self.name(Naming::Create { path: path.to_path_buf(), inode });
        inode
    }

    /// Returns whether the file existed.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let found = self.names.contains_key(from);
        if found {
            self.name(Naming::Rename { from: from.to_path_buf(), to: to.to_path_buf() });
        }
        found
    }

    /// Removes a file's name, durably.
    pub(super) fn remove(&mut self, path: &Path) {
        self.names.remove(path);
        self.durable_names.remove(path);
        self.forget_nameless();
    }

    /// The content, if the file still has a name.
    pub(super) fn read(&self, inode: Inode) -> Option<&[u8]> {
        self.contents.get(&inode).map(|content| content.cached.as_slice())
    }

    pub(super) fn append(&mut self, inode: Inode, bytes: &[u8]) {
        let sequence = self.next_sequence();
        if let Some(content) = self.contents.get_mut(&inode) {
            let change = Change::Append { at: content.cached.len(), bytes: bytes.to_vec() };
            content.cached.extend_from_slice(bytes);
            content.pending.push((sequence, change));
        }
    }

    pub(super) fn truncate(&mut self, inode: Inode, len: usize) {
        let sequence = self.next_sequence();
        if let Some(content) = self.contents.get_mut(&inode) {
            content.cached.truncate(len);
            content.pending.push((sequence, Change::Truncate(len)));
        }
    }

    pub(super) fn sync(&mut self, inode: Inode) {
        if let Some(content) = self.contents.get_mut(&inode) {
            for (_, change) in content.pending.drain(..) {
                apply(&mut content.durable, &change);
            }
        }
    }

    pub(super) fn sync_dir(&mut self, directory: &Path) {
        let (durable_names, mut replaced) = (&mut self.durable_names, false);
        self.pending_names.retain(|(_, naming)| {
            let synced = naming.is_in(directory);
            if synced {
                naming.apply(durable_names);
                replaced = true;
            }
            !synced
        });
        if replaced && self.pending_names.is_empty() {
            self.forget_nameless();
        }
    }

    /// A sync of the content failed: any part of it is durable now, and the rest never becomes durable by a later sync.
    pub(super) fn fail_sync(&mut self, inode: Inode, rng: &mut Rng) {
        if let Some(content) = self.contents.get_mut(&inode) {
            let pending = std::mem::take(&mut content.pending);
            keep_pieces(&mut content.durable, &pending, rng);
        }
    }

    /// A sync of names failed.
    pub(super) fn fail_sync_dir(&mut self, rng: &mut Rng) {
        let pending = std::mem::take(&mut self.pending_names);
        let kept = rng.index(pending.len() + 1);
        pending.iter().take(kept).for_each(|(_, naming)| naming.apply(&mut self.durable_names));
    }

    /// The power is cut: from now on every process sees the durable content.
    pub(super) fn cut(&mut self, left: Left, rng: &mut Rng) {
        let names = std::mem::take(&mut self.pending_names);
        match left {
            Left::Nothing => {}
            Left::All => {
                names.iter().for_each(|(_, naming)| naming.apply(&mut self.durable_names));
                for content in self.contents.values_mut() {
                    content.durable.clone_from(&content.cached);
                }
            }
            Left::Prefix => self.keep_prefix(&names, rng),
            Left::Pieces => {
                let kept = rng.index(names.len() + 1);
                names.iter().take(kept).for_each(|(_, naming)| naming.apply(&mut self.durable_names));
                for content in self.contents.values_mut() {
                    keep_pieces(&mut content.durable, &content.pending, rng);
                }
            }
        }
        self.names = self.durable_names.clone();
        for content in self.contents.values_mut() {
            content.pending.clear();
            content.cached.clone_from(&content.durable);
        }
        self.forget_nameless();
    }

    fn keep_prefix(&mut self, names: &[(u64, Naming)], rng: &mut Rng) {
        let changes = self.contents.values().flat_map(|content| content.pending.iter().map(|(sequence, _)| *sequence));
        let mut order: Vec<u64> = names.iter().map(|(sequence, _)| *sequence).chain(changes).collect();
        order.sort_unstable();
        // The change at the cut is partial; a cut after the last change leaves all of them.
        let cut = order.get(rng.index(order.len() + 1)).copied().unwrap_or(u64::MAX);
        let done = names.iter().filter(|(sequence, _)| *sequence < cut);
        done.for_each(|(_, naming)| naming.apply(&mut self.durable_names));
        for content in self.contents.values_mut() {
            for (sequence, change) in &content.pending {
                match change {
                    change if *sequence < cut => apply(&mut content.durable, change),
                    Change::Append { at, bytes } if *sequence == cut => {
                        let part = bytes[..rng.index(bytes.len())].to_vec();
                        apply(&mut content.durable, &Change::Append { at: *at, bytes: part });
                    }
                    _ => {}
                }
            }
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        let sequence = self.next_sequence();
        self.pending_names.push((sequence, naming));
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Removes contents without a name, now and after a power cut. No process keeps a file open without a name.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<Inode> = self.names.values().chain(self.durable_names.values()).copied().collect();
        self.contents.retain(|inode, _| named.contains(inode));
    }
}

fn apply(durable: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Append { at, bytes } => write_at(durable, *at, bytes),
        Change::Truncate(len) => durable.truncate(*len),
    }
}

/// Missing bytes between the end and `at` read as zero.
fn write_at(durable: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if durable.len() < end {
        durable.resize(end, 0);
    }
    durable[at..end].copy_from_slice(bytes);
}

/// Keeps any pieces of the pending changes. The length is separate metadata: it may cover pieces that were lost.
fn keep_pieces(durable: &mut Vec<u8>, pending: &[(u64, Change)], rng: &mut Rng) {
    // From single bytes to sectors.
    let piece = *rng.pick(&[1, 8, 64, 512]);
    for (_, change) in pending {
        match change {
            Change::Truncate(len) => {
                if rng.percent(50) {
                    durable.truncate(*len);
                }
            }
            Change::Append { at, bytes } => {
                for (index, bytes) in bytes.chunks(piece).enumerate() {
                    if rng.percent(50) {
                        write_at(durable, at + index * piece, bytes);
                    }
                }
            }
        }
    }
}
