//! Log queries against a scan of every receipt.

use crate::support::{Changes, Content, Place, TestChain};
use alloy_primitives::{Address, B256, Bytes, Log};
use causeway_storage::{LogCaps, LogFilter, StorageError, StorageOptions, StoredLog};
use proptest::prelude::*;

in_each_place! {
    log_indexes_count_across_the_block,
    limits_are_named_and_the_range_ends_at_the_head,
}

const CAPS: LogCaps = LogCaps { max_blocks: 1_000, max_logs: 1_000 };

fn log() -> impl Strategy<Value = Log> {
    (0u8..3, prop::collection::vec(0u8..3, 0..=4), 0u8..9).prop_map(|(address, topics, data)| {
        let topics = topics.into_iter().map(B256::repeat_byte).collect();
        Log::new(Address::repeat_byte(address), topics, Bytes::from(vec![data])).unwrap()
    })
}

type Blocks = Vec<Vec<Vec<Log>>>;

fn blocks() -> impl Strategy<Value = Blocks> {
    prop::collection::vec(prop::collection::vec(prop::collection::vec(log(), 0..4), 0..4), 1..8)
}

fn filter() -> impl Strategy<Value = LogFilter> {
    let topics = prop::collection::vec(prop::collection::vec((0u8..4).prop_map(B256::repeat_byte), 0..3), 0..=4);
    (prop::collection::vec((0u8..4).prop_map(Address::repeat_byte), 0..3), topics)
        .prop_map(|(addresses, topics)| LogFilter { addresses, topics })
}

fn chain(place: &Place, blocks: &Blocks) -> TestChain {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    let mut nonce = 0;
    for block in blocks {
        let mut content = Content::default();
        for logs in block {
            content.add(nonce, logs.clone());
            nonce += 1;
        }
        chain.push_with(&Changes::default(), content);
    }
    chain
}

/// Every log of the range, by scanning, with a second implementation of the filter.
fn scan(chain: &TestChain, from: u64, to: u64, filter: &LogFilter) -> Vec<StoredLog> {
    let mut found = Vec::new();
    for (executed, _) in chain.blocks.iter().filter(|(executed, _)| (from..=to).contains(&executed.block.header.number))
    {
        let mut log_index = 0;
        for (index, receipt) in executed.receipts.iter().enumerate() {
            for log in &receipt.logs {
                let topics = log.data.topics();
                let mut passes = filter.addresses.is_empty() || filter.addresses.contains(&log.address);
                for (position, wanted) in filter.topics.iter().enumerate() {
                    passes &= match topics.get(position) {
                        None => false,
                        Some(topic) => wanted.is_empty() || wanted.contains(topic),
                    };
                }
                if passes {
                    found.push(StoredLog {
                        block_number: executed.block.header.number,
                        block_hash: executed.hash,
                        block_timestamp: executed.block.header.timestamp,
                        transaction_hash: executed.block.transactions[index].hash(),
                        transaction_index: index as u64,
                        log_index,
                        log: log.clone(),
                    });
                }
                log_index += 1;
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queries_find_exactly_what_a_scan_finds(blocks in blocks(), filters in prop::collection::vec((filter(), 0u64..9, 0u64..9), 1..12), in_memory in any::<bool>()) {
        let place = if in_memory { Place::memory() } else { Place::rocks() };
        let chain = chain(&place, &blocks);
        for (filter, from, to) in filters {
            prop_assert_eq!(chain.storage.logs(from, to, &filter, &CAPS).unwrap(), scan(&chain, from, to, &filter));
        }
    }
}

fn log_indexes_count_across_the_block(place: &Place) {
    let log = Log::new(Address::repeat_byte(1), Vec::new(), Bytes::new()).unwrap();
    let chain = chain(place, &vec![vec![vec![log.clone(), log.clone()], vec![], vec![log]]]);
    let found = chain.storage.logs(0, 1, &LogFilter::default(), &CAPS).unwrap();
    let places: Vec<_> = found.iter().map(|log| (log.transaction_index, log.log_index)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (2, 2)]);
}

fn limits_are_named_and_the_range_ends_at_the_head(place: &Place) {
    let log = Log::new(Address::repeat_byte(1), Vec::new(), Bytes::new()).unwrap();
    let chain = chain(place, &vec![vec![vec![log.clone(); 3]]; 5]);
    let query = |from, to, max_blocks, max_logs| {
        chain.storage.logs(from, to, &LogFilter::default(), &LogCaps { max_blocks, max_logs })
    };
    assert!(matches!(query(1, 5, 4, 99), Err(StorageError::TooManyBlocks { asked: 5, limit: 4 })));
    assert!(matches!(query(1, 5, 5, 14), Err(StorageError::TooManyLogs { limit: 14 })));
    assert_eq!(query(1, 5, 5, 15).unwrap().len(), 15);
    assert_eq!(query(1, u64::MAX, 5, 15).unwrap().len(), 15, "blocks after the head do not count");
    assert!(query(6, u64::MAX, 5, 15).unwrap().is_empty());
    assert!(query(3, 2, 5, 15).unwrap().is_empty());
}
