//! An in-memory cache of the latest state.
//!
//! An entry holds the value in every state from block `since` up to the head. A commit rewrites the entries that it
//! changes, so a reader of an older state (`since` greater than its block) knows that the entry is not valid for it. A
//! reader may add only a value that is still the latest: it checks, while it holds the shard, that no commit has begun
//! ([`crate::view`] explains why this is race-free).

use lru::{DefaultHasher, LruCache};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, Hash},
    num::NonZeroUsize,
};

/// Independently locked parts, so that readers do not wait for each other.
const SHARDS: usize = 16;

struct Entry<V> {
    value: Option<V>,
    since: u64,
}

/// A bounded cache of present and absent values; the least recently used are evicted first.
pub(crate) struct LatestCache<K, V> {
    shards: Vec<Mutex<LruCache<K, Entry<V>>>>,
    hasher: DefaultHasher,
}

impl<K: Hash + Eq, V: Clone> LatestCache<K, V> {
    /// A cache of about `entries` values at most.
    pub(crate) fn new(entries: usize) -> Self {
        let each = NonZeroUsize::new(entries.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect();
        Self { shards, hasher: DefaultHasher::default() }
    }

    /// The value in the state of `block`, which is at most the head, if it is cached.
    pub(crate) fn get(&self, key: &K, block: u64) -> Option<Option<V>> {
        self.shard(key).lock().get(key).filter(|entry| entry.since <= block).map(|entry| entry.value.clone())
    }

    /// Adds a value that was read from the state of `block`, unless `still_latest` reports that a commit has begun since.
    pub(crate) fn add(&self, key: K, value: Option<V>, block: u64, still_latest: impl FnOnce() -> bool) {
        let mut shard = self.shard(&key).lock();
        if still_latest() {
            shard.put(key, Entry { value, since: block });
        }
    }

    /// A commit of `block` has changed `key`. Updates only cached keys; other keys are read when needed.
    pub(crate) fn change(&self, key: &K, value: Option<V>, block: u64) {
        if let Some(entry) = self.shard(key).lock().peek_mut(key) {
            *entry = Entry { value, since: block };
        }
    }

    fn shard(&self, key: &K) -> &Mutex<LruCache<K, Entry<V>>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % (SHARDS as u64)).unwrap_or(0);
        &self.shards[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_serves_states_from_its_block_on() {
        let cache = LatestCache::new(64);
        cache.add(1u8, Some("old"), 5, || true);
        assert_eq!(cache.get(&1, 4), None);
        assert_eq!(cache.get(&1, 5), Some(Some("old")));
        cache.change(&1, None, 6);
        assert_eq!(cache.get(&1, 5), None, "the older state must read history");
        assert_eq!(cache.get(&1, 6), Some(None));
    }

    #[test]
    fn outdated_values_are_not_added_and_uncached_keys_are_not_updated() {
        let cache = LatestCache::new(64);
        cache.add(1u8, Some("stale"), 5, || false);
        cache.change(&2, Some("new"), 6);
        assert_eq!((cache.get(&1, 9), cache.get(&2, 9)), (None, None));
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let cache = LatestCache::new(32);
        for key in 0..10_000u32 {
            cache.add(key, Some(key), 0, || true);
        }
        assert!((0..10_000u32).filter(|key| cache.get(key, 0).is_some()).count() <= 32);
    }
}
