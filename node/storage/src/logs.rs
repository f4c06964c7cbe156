//! Finds logs: an inverted index selects the blocks that can match, and the blocks' receipts contain the logs.

use crate::{codec::Key, engine::Batch, error::StorageError, schema::LogsTable, storage::Storage};
use alloy_primitives::{Address, B256, Log};
use causeway_execution::Receipt;
use std::collections::BTreeSet;

/// The logs to find, as in `eth_getLogs`: every non-empty criterion must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The log's address is one of these; any when empty.
    pub addresses: Vec<Address>,
    /// The log has at least this many topics, and each is one of those at its position; an empty list matches any topic.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether a log matches.
    #[must_use]
    pub fn matches(&self, log: &Log) -> bool {
        let topics = log.data.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }
}

/// Limits of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCaps {
    /// Blocks in the range.
    pub max_blocks: u64,
    /// Logs in the answer.
    pub max_logs: usize,
}

/// A log with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLog {
    /// Its block's number.
    pub block_number: u64,
    /// Its block's hash.
    pub block_hash: B256,
    /// Its block's timestamp, seconds.
    pub block_timestamp: u64,
    /// The transaction that emitted it.
    pub transaction_hash: B256,
    /// That transaction's position in the block.
    pub transaction_index: u64,
    /// Its position among all logs of the block.
    pub log_index: u64,
    /// The log.
    pub log: Log,
}

/// The key of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Address(Address),
    /// Position, 0 to 3, and topic.
    Topic(u8, B256),
}

/// Block `block` contains a log with this subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogKey {
    pub(crate) subject: Subject,
    pub(crate) block: u64,
}

impl Key for LogKey {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 32 + 8);
        match &self.subject {
            Subject::Address(address) => {
                bytes.push(0);
                bytes.extend_from_slice(address.as_slice());
            }
            Subject::Topic(position, topic) => {
                bytes.push(position.saturating_add(1));
                bytes.extend_from_slice(topic.as_slice());
            }
        }
        bytes.extend_from_slice(&self.block.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (subject, block) = bytes.split_last_chunk::<8>()?;
        let subject = match subject.split_first()? {
            (0, address) => Subject::Address(Address::try_from(address).ok()?),
            (position @ 1..=4, topic) => Subject::Topic(position - 1, B256::try_from(topic).ok()?),
            _ => return None,
        };
        Some(Self { subject, block: u64::from_be_bytes(*block) })
    }
}

/// Adds the logs of a block's receipts to the index.
pub(crate) fn put_index(batch: &mut Batch<'_>, block: u64, receipts: &[Receipt]) {
    let mut subjects = BTreeSet::new();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        subjects.insert(Subject::Address(log.address));
        subjects.extend((0u8..).zip(log.data.topics()).map(|(position, topic)| Subject::Topic(position, *topic)));
    }
    for subject in subjects {
        batch.put::<LogsTable>(&LogKey { subject, block }, &());
    }
}

impl Storage {
    /// The logs of blocks `from` to `to` that match `filter`, in chain order. Both ends are included; blocks above the head
    /// have no logs yet.
    ///
    /// # Errors
    /// [`StorageError::TooManyBlocks`] and [`StorageError::TooManyLogs`] when `caps` are exceeded;
    /// [`StorageError::Database`] and [`StorageError::Corrupt`] when the database cannot be read.
    pub fn logs(&self, from: u64, to: u64, filter: &LogFilter, caps: &LogCaps) -> Result<Vec<StoredLog>, StorageError> {
        let to = to.min(self.head_number());
        if from > to {
            return Ok(Vec::new());
        }
        let asked = (to - from).saturating_add(1);
        if asked > caps.max_blocks {
            return Err(StorageError::TooManyBlocks { asked, limit: caps.max_blocks });
        }
        let mut found = Vec::new();
        for block in self.candidates(from, to, filter)? {
            self.collect(block, filter, caps, &mut found)?;
        }
        Ok(found)
    }

    /// The blocks that may contain a match, in order.
    fn candidates(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<u64>, StorageError> {
        let addresses = filter.addresses.iter().map(|address| Subject::Address(*address)).collect::<Vec<_>>();
        let topics = (0u8..)
            .zip(&filter.topics)
            .map(|(position, wanted)| wanted.iter().map(|topic| Subject::Topic(position, *topic)).collect::<Vec<_>>());
        let mut candidates: Option<BTreeSet<u64>> = None;
        for wanted in std::iter::once(addresses).chain(topics).filter(|wanted| !wanted.is_empty()) {
            let blocks = self.blocks_with(&wanted, from, to)?;
            candidates = Some(match candidates {
                None => blocks,
                Some(others) => others.intersection(&blocks).copied().collect(),
            });
        }
        Ok(candidates.map_or_else(|| (from..=to).collect(), |blocks| blocks.into_iter().collect()))
    }

    /// The blocks of the range that contain a log with any of `subjects`.
    fn blocks_with(&self, subjects: &[Subject], from: u64, to: u64) -> Result<BTreeSet<u64>, StorageError> {
        let mut blocks = BTreeSet::new();
        for subject in subjects {
            let (first, last) = (LogKey { subject: *subject, block: from }, LogKey { subject: *subject, block: to });
            self.store.engine.each::<LogsTable>(&first, &last, |key, ()| {
                blocks.insert(key.block);
            })?;
        }
        Ok(blocks)
    }

    fn collect(
        &self,
        number: u64,
        filter: &LogFilter,
        caps: &LogCaps,
        found: &mut Vec<StoredLog>,
    ) -> Result<(), StorageError> {
        let Some(row) = self.header_row(number)? else { return Ok(()) };
        if row.header.logs_bloom.is_zero() {
            return Ok(());
        }
        let (Some(receipts), Some(block)) = (self.receipts(number)?, self.block(number)?) else { return Ok(()) };
        let mut log_index = 0;
        for ((transaction_index, transaction), receipt) in (0u64..).zip(&block.transactions).zip(receipts.iter()) {
            for log in &receipt.logs {
                if filter.matches(log) {
                    if found.len() >= caps.max_logs {
                        return Err(StorageError::TooManyLogs { limit: caps.max_logs });
                    }
                    found.push(StoredLog {
                        block_number: number,
                        block_hash: row.hash,
                        block_timestamp: row.header.timestamp,
                        transaction_hash: transaction.hash(),
                        transaction_index,
                        log_index,
                        log: log.clone(),
                    });
                }
                log_index += 1;
            }
        }
        Ok(())
    }
}
