//! Reading storage: the blocks that callers name, and the faults of naming blocks that do not exist.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use causeway_consensus::{CommitCertificate, ValidatorSet};
use causeway_execution::{Block, LocalError, PegSlotsError, Receipt, SourceError, StakingSlotsError, StateSource};
use causeway_storage::StorageError;

use crate::api::Api;
use crate::errors::Fault;

/// A block with its hash.
pub(crate) struct StoredBlock {
    pub(crate) block: Arc<Block>,
    pub(crate) hash: B256,
}

/// A state and the header of its block.
pub(crate) struct StateAt {
    pub(crate) header: Arc<Header>,
    pub(crate) state: Arc<dyn StateSource>,
}

impl Api {
    pub(crate) fn chain_id(&self) -> u64 {
        self.ctx.genesis.spec.chain_id
    }

    /// Aimed time between the newest block and the one before it, for estimates.
    pub(crate) fn block_interval_ms(&self) -> u64 {
        let schedule = &self.ctx.genesis.schedule;
        schedule.at(self.head_number()).unwrap_or(schedule.first()).block.interval_ms
    }

    /// The newest durable block: a consistent pair of header and hash.
    pub(crate) fn head(&self) -> (Arc<Header>, B256) {
        let header = self.ctx.storage.head();
        // The hash is computed and not read, since the head may change between two reads.
        let hash = header.hash_slow();
        (header, hash)
    }

    pub(crate) fn head_number(&self) -> u64 {
        self.ctx.storage.head_number()
    }

    /// The number of the oldest block.
    pub(crate) fn earliest_number(&self) -> u64 {
        self.ctx.genesis.header.number
    }

    /// The height that a tag or number names; `None` beyond the head. Every block is final, so `latest`, `safe` and
    /// `finalized` are the same. `pending` is the head too, since the contents of the next block are not known.
    pub(crate) fn number_of_tag(&self, tag: BlockNumberOrTag) -> Result<Option<u64>, Fault> {
        let head = self.head_number();
        Ok(match tag {
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending => Some(head),
            BlockNumberOrTag::Earliest => Some(self.earliest_number()),
            BlockNumberOrTag::Number(number) => Some(number).filter(|number| *number <= head),
        })
    }

    /// The height of a block hash. All blocks are canonical, so EIP-1898's `requireCanonical` always holds.
    pub(crate) fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, Fault> {
        self.ctx.storage.number_by_hash(&hash).map_err(storage_fault)
    }

    pub(crate) fn number_of(&self, id: BlockId) -> Result<Option<u64>, Fault> {
        match id {
            BlockId::Hash(hash) => self.number_of_hash(hash.block_hash),
            BlockId::Number(tag) => self.number_of_tag(tag),
        }
    }

    /// The header at a height up to the head.
    pub(crate) fn existing_header(&self, number: u64) -> Result<Arc<Header>, Fault> {
        existing(number, self.ctx.storage.header_by_number(number))
    }

    pub(crate) fn existing_hash(&self, number: u64) -> Result<B256, Fault> {
        existing(number, self.ctx.storage.hash_by_number(number))
    }

    pub(crate) fn existing_block(&self, number: u64) -> Result<StoredBlock, Fault> {
        let block = existing(number, self.ctx.storage.block(number))?;
        Ok(StoredBlock { block, hash: self.existing_hash(number)? })
    }

    pub(crate) fn existing_receipts(&self, number: u64) -> Result<Arc<Vec<Receipt>>, Fault> {
        existing(number, self.ctx.storage.receipts(number))
    }

    pub(crate) fn existing_senders(&self, number: u64) -> Result<Vec<Address>, Fault> {
        existing(number, self.ctx.storage.senders(number))
    }

    pub(crate) fn certificate(&self, number: u64) -> Result<Option<CommitCertificate>, Fault> {
        self.ctx.storage.certificate(number).map_err(storage_fault)
    }

    /// Height and position of a transaction.
    pub(crate) fn locate(&self, hash: B256) -> Result<Option<(u64, usize)>, Fault> {
        self.ctx.storage.transaction(&hash).map_err(storage_fault)
    }

    /// The state at the head.
    pub(crate) fn latest(&self) -> Arc<dyn StateSource> {
        self.ctx.storage.latest()
    }

    /// The state after the block that `id` names.
    ///
    /// # Errors
    /// [`Fault::HeaderNotFound`] for an unknown block, [`Fault::Pruned`] for a block whose state is pruned.
    pub(crate) fn state(&self, id: BlockId) -> Result<StateAt, Fault> {
        let number = self.number_of(id)?.ok_or(Fault::HeaderNotFound)?;
        let header = self.existing_header(number)?;
        let state = self.ctx.storage.state_at(number).map_err(storage_fault)?;
        Ok(StateAt { header, state })
    }

    /// The validators that decide `height`, whose previous block is in the chain; `None` if the state that names them is pruned.
    pub(crate) fn validators_of(&self, height: u64) -> Result<Option<ValidatorSet>, Fault> {
        let state = match self.ctx.storage.state_at(height.saturating_sub(1)) {
            Ok(state) => state,
            Err(StorageError::Pruned { .. }) => return Ok(None),
            Err(error) => return Err(storage_fault(error)),
        };
        match causeway_execution::validator_set_at(&*state) {
            Ok((validators, _)) => Ok(Some(validators)),
            // The state was pruned after it was opened.
            Err(StakingSlotsError::Source(SourceError::Pruned(_))) => Ok(None),
            Err(error) => Err(self.staking_fault(error)),
        }
    }

    /// Turns a failed read of state into a fault.
    pub(crate) fn read<T>(&self, result: Result<T, SourceError>) -> Result<T, Fault> {
        result.map_err(|error| self.source_fault(&error))
    }

    pub(crate) fn local_fault(&self, error: &LocalError) -> Fault {
        match error {
            LocalError::Source(error) => self.source_fault(error),
            LocalError::UnknownRules(unknown) => (*unknown).into(),
            other => Fault::internal("execution", other),
        }
    }

    pub(crate) fn staking_fault(&self, error: StakingSlotsError) -> Fault {
        match error {
            StakingSlotsError::Source(error) => self.source_fault(&error),
            other => Fault::internal("staking state", other),
        }
    }

    pub(crate) fn peg_fault(&self, error: PegSlotsError) -> Fault {
        match error {
            PegSlotsError::Source(error) => self.source_fault(&error),
            other => Fault::internal("peg state", other),
        }
    }

    fn source_fault(&self, error: &SourceError) -> Fault {
        match error {
            // The state was pruned after it was opened, so the oldest kept one is at least the next.
            SourceError::Pruned(number) => Fault::Pruned { number: *number, oldest: number.saturating_add(1) },
            other => Fault::internal("state", other),
        }
    }
}

fn existing<T>(number: u64, result: Result<Option<T>, StorageError>) -> Result<T, Fault> {
    result.map_err(storage_fault)?.ok_or_else(|| missing(number))
}

/// A row of a committed block is missing, which is never the caller's fault.
fn missing(number: u64) -> Fault {
    Fault::internal("storage", format_args!("a row of block {number} is missing"))
}

pub(crate) fn storage_fault(error: StorageError) -> Fault {
    match error {
        StorageError::Pruned { number, oldest } => Fault::Pruned { number, oldest },
        StorageError::UnknownBlock { .. } => Fault::HeaderNotFound,
        other => Fault::internal("storage", other),
    }
}
