//! The configuration of RocksDB: optimised for little memory, because several validators may share a machine.

use crate::tables::{Access, Family};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, CompactionDecision, DBCompressionType, LogLevel, Options,
    SliceTransform,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Memory for blocks of sorted tables, with their indexes and filters.
const BLOCK_CACHE_BYTES: usize = 48 << 20;
/// Memory for unflushed writes of all families together.
const WRITE_BUFFERS_BYTES: usize = 48 << 20;
/// Memory for unflushed writes of one family.
const WRITE_BUFFER_BYTES: usize = 12 << 20;
/// RocksDB flushes its own log into tables at this size, which bounds the time of a restart.
const MAX_LOG_BYTES: u64 = 192 << 20;
/// File handles RocksDB keeps open.
const MAX_OPEN_FILES: i32 = 384;
/// Threads that flush and compact.
const BACKGROUND_JOBS: i32 = 2;
/// Bits per key in a bloom filter: about 1 % false positives.
const BLOOM_BITS: f64 = 10.0;
/// Bytes of the block number at the end of a history key.
pub(crate) const BLOCK_NUMBER_BYTES: usize = 8;
/// Pruned history is removed at the latest when its table has this age.
const MAX_TABLE_AGE_S: u64 = 24 * 3_600;

/// The number of old states that stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryDepth {
    /// All of them, from genesis on.
    Archive,
    /// The head's state and the states of this many blocks before it.
    Blocks(u64),
}

/// Settings of a data directory; all may change between runs. A raised horizon never goes back, because pruned data is gone.
#[derive(Debug, Clone, Copy)]
pub struct StorageOptions {
    /// The number of old states that stay readable.
    pub history: HistoryDepth,
    /// Entries of the latest-state cache, for each of accounts, slots and trie nodes. 65,536 entries take up to about
    /// 60 MB together.
    pub cache_entries: usize,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { history: HistoryDepth::Archive, cache_entries: 65_536 }
    }
}

pub(crate) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.increase_parallelism(BACKGROUND_JOBS);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_file_opening_threads(2);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(MAX_LOG_BYTES);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// The families; `horizon` is the oldest block whose state must stay readable.
pub(crate) fn families(horizon: &Arc<AtomicU64>) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    Family::ALL
        .iter()
        .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(*family, &cache, horizon)))
        .collect()
}

fn family_options(family: Family, cache: &Cache, horizon: &Arc<AtomicU64>) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(5);
    // Indexes and filters count against the block cache, so memory stays bounded for any amount of data.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(3);
    options.set_target_file_size_base(32 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Trie nodes consist of hashes, which do not compress.
    let compression = match family {
        Family::Nodes | Family::NodeHistory => DBCompressionType::None,
        _ => DBCompressionType::Lz4,
    };
    options.set_compression_type(compression);
    match family.access() {
        Access::Point => {
            table.set_bloom_filter(BLOOM_BITS, false);
            table.set_optimize_filters_for_memory(true);
        }
        Access::Ordered => table.set_block_size(16 << 10),
        Access::History => {
            table.set_bloom_filter(BLOOM_BITS, false);
            table.set_whole_key_filtering(false);
            options.set_prefix_extractor(SliceTransform::create("without_block_number", without_block_number, None));
            options.set_memtable_prefix_bloom_ratio(0.05);
            let horizon = Arc::clone(horizon);
            options.set_compaction_filter("below_horizon", move |_, key, _| {
                if is_below(key, horizon.load(Ordering::SeqCst)) {
                    CompactionDecision::Remove
                } else {
                    CompactionDecision::Keep
                }
            });
            options.set_periodic_compaction_seconds(MAX_TABLE_AGE_S);
        }
    }
    options.set_block_based_table_factory(&table);
    options
}

/// The versioned key in a history key.
pub(crate) fn without_block_number(key: &[u8]) -> &[u8] {
    &key[..key.len().saturating_sub(BLOCK_NUMBER_BYTES)]
}

/// Whether no state from `horizon` on needs a history entry: the entry of block `b` holds the value before `b`,
/// so only the states of blocks before `b` need it.
fn is_below(key: &[u8], horizon: u64) -> bool {
    key.last_chunk::<BLOCK_NUMBER_BYTES>().is_some_and(|block| u64::from_be_bytes(*block) <= horizon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_pruned_once_no_kept_state_needs_it() {
        let key = |block: u64| [b"key".as_slice(), &block.to_be_bytes()].concat();
        assert!(is_below(&key(7), 7), "its value belongs to the state before block 7");
        assert!(is_below(&key(6), 7));
        assert!(!is_below(&key(8), 7), "the state of block 7 needs it");
        assert!(!is_below(b"short", 7));
        assert_eq!(without_block_number(&key(1)), b"key");
    }
}
